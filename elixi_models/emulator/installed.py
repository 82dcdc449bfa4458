"""The models that are on the emulated disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .manifests import Manifest, manifest_of
from .models import EmulatedModel
from .names import Name


@dataclass(frozen=True, slots=True)
class Installed:
    """A model on the disk."""

    name: Name
    model: EmulatedModel
    manifest: Manifest
    modified_ns: int

    @property
    def digest(self) -> str:
        """The manifest's digest: changes with any of its layers."""
        return self.manifest.digest

    @property
    def weights(self) -> str:
        """The digest of the weights: shared by copies and children."""
        return self.manifest.weights.digest


class Disk:
    """What is installed, and how much room is left."""

    def __init__(self, now_ns: Callable[[], int], *, free_bytes: int | None = None) -> None:
        self._now_ns = now_ns
        self._lock = threading.RLock()
        self._models: dict[str, Installed] = {}
        self._room: int | None = free_bytes

    def install(self, name: Name, model: EmulatedModel) -> Installed:
        """Put a model there, also in the place of another of that name."""
        with self._lock:
            before = self._used()
            found = self.find(name)
            name = found.name if found else name
            self._models[name.key] = entry = Installed(name, model, manifest_of(model), self._now_ns())
            self._spend(self._used() - before)
            return entry

    def provide(self, name: Name, model: EmulatedModel) -> Installed:
        """Put a model there as if it had always been: it takes nothing of the free room."""
        with self._lock:
            room = self._room
            entry = self.install(name, model)
            self._room = room
            return entry

    def find(self, name: Name) -> Installed | None:
        """The installed model of that name, in whatever case it is written."""
        with self._lock:
            return self._models.get(name.key)

    def all(self) -> list[Installed]:
        """Every installed model, changed last first."""
        with self._lock:
            return sorted(self._models.values(), key=lambda entry: -entry.modified_ns)

    def copy(self, source: Installed, destination: Name) -> None:
        """Give a model a second name; the manifest is the same."""
        with self._lock:
            self._models[destination.key] = replace(source, name=destination, modified_ns=self._now_ns())

    def remove(self, entry: Installed) -> None:
        """Delete a name and every blob that no other name uses."""
        with self._lock:
            before = self._used()
            del self._models[entry.name.key]
            self._spend(self._used() - before)

    def change(self, name: Name, **facts: Any) -> None:
        """Change facts of an installed model that its digests do not depend on."""
        with self._lock:
            entry = self._models[name.key]
            self._models[name.key] = replace(entry, model=replace(entry.model, **facts))

    def has_blob(self, digest: str) -> bool:
        """Whether any installed model has that blob."""
        with self._lock:
            return any(blob.digest == digest for entry in self._models.values() for blob in entry.manifest.blobs)

    @property
    def free_bytes(self) -> int | None:
        """Room that is left, or None where it was never limited."""
        return self._room

    def limit(self, free_bytes: int | None) -> None:
        """Say how much room there is from now on."""
        self._room = free_bytes

    def _used(self) -> int:
        return sum({blob.digest: blob.size for e in self._models.values() for blob in e.manifest.blobs}.values())

    def _spend(self, count: int) -> None:
        if self._room is not None:
            self._room -= count
