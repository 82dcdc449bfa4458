"""Pulls: what a server says while it downloads a model, and what it keeps when that ends early."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from .answers import Stream
from .errors import Refusal
from .faults import Faults, PullFault
from .installed import Disk
from .library import Library
from .manifests import Layer, Manifest, manifest_of
from .models import EmulatedModel
from .names import Name
from .obstacles import Cutting, DiskFull, Obstacle
from .scheduler import Aborted
from .transfers import Pace, Transfer
from .versions import Version

_TICK_S = 0.06
_HASHED_PER_S = 1.7e9


@dataclass(slots=True)
class Pacing:
    """How long pulls take: `seconds` for any whole model, else bytes per second, else no time at all."""

    seconds: float | None = 2.0
    bytes_per_s: float | None = None

    def pace_of(self, manifest: Manifest, version: Version, scale: float) -> Pace:
        """The pace of a model's blobs."""
        if self.seconds is None:
            return Pace(self.bytes_per_s, version.least_layer_s * scale)
        # A tenth is left for verifying.
        rate = manifest.size / (0.9 * self.seconds) if self.seconds > 0 else None
        return Pace(rate, min(version.least_layer_s * scale, self.seconds / 10))

    def verifying_s(self, size: int, scale: float) -> float:
        """How long checking so many new bytes takes."""
        return size / _HASHED_PER_S * scale if self.seconds is None else self.seconds / 10


@dataclass(eq=False, slots=True)
class Pulls:
    """All downloads of one server. A blob is downloaded once, whoever and however many wait for it."""

    version: Version
    disk: Disk
    library: Library
    faults: Faults
    models_dir: str
    time_scale: float = 1.0
    pacing: Pacing = field(default_factory=Pacing)
    halted: threading.Event = field(default_factory=threading.Event)
    """Set while the server is down."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _transfers: dict[str, Transfer] = field(default_factory=dict)
    _landed: set[str] = field(default_factory=set)
    _active: list[str] = field(default_factory=list)

    def lines(self, name: Name, abort: threading.Event) -> Stream:
        """A pull, line by line; it ends with a `Refusal` where the server would say `error`."""
        with self._lock:
            self._active.append(name.shown)
        try:
            yield from self._pull(name, abort)
        finally:
            with self._lock:
                self._active.remove(name.shown)

    @property
    def tick_s(self) -> float:
        """Seconds from one line to the next."""
        return _TICK_S * self.time_scale

    def active(self) -> list[str]:
        """Names of the models that are being pulled, once for each who waits."""
        with self._lock:
            return list(self._active)

    def _pull(self, name: Name, abort: threading.Event) -> Stream:
        yield {"status": "pulling manifest"}
        fault = self.faults.pull_fault(name.shown)
        model = self._model(name, fault)
        manifest = manifest_of(model)
        pace = self.pacing.pace_of(manifest, self.version, self.time_scale)
        fresh = [blob for blob in manifest.blobs if not self._has(blob.digest)]
        for blob in manifest.blobs:
            if blob in fresh:
                # Whatever goes wrong does so with the first layer, or once all are there.
                yield from self._fetch(blob, pace, fault if blob is fresh[0] else None, abort)
            else:
                yield _progress(blob, blob.size)
        yield {"status": "verifying sha256 digest"}
        self._verify(fresh, fault)
        # Whoever leaves from here on does not stop the model from being installed.
        unused = self._install(name, model)
        yield {"status": "writing manifest"}
        if unused:
            yield {"status": "removing unused layers"}
        yield {"status": "success"}

    def set_rate(self, bytes_per_s: float | None) -> None:
        """Let bytes come at that rate from now on, also those of pulls under way; None is at once."""
        self.pacing.seconds, self.pacing.bytes_per_s = None, bytes_per_s
        with self._lock:
            for transfer in self._transfers.values():
                transfer.change_rate(bytes_per_s)

    def stall(self, name: Name | None) -> None:
        """Let no byte come any more, for pulls of the name that are under way (or all)."""
        manifest = self.library.manifest(name) if name else None
        for transfer in self._all():
            if manifest is None or any(blob.digest == transfer.digest for blob in manifest.blobs):
                transfer.hold_at(transfer.bytes_so_far())

    def release(self) -> None:
        """Let bytes come again wherever they were held up."""
        for transfer in self._all():
            transfer.hold_at(None)

    def kept(self) -> dict[str, int]:
        """Bytes that are there of blobs not yet whole, by digest."""
        return {transfer.digest: transfer.bytes_so_far() for transfer in self._all()}

    def _all(self) -> list[Transfer]:
        with self._lock:
            return list(self._transfers.values())

    def _model(self, name: Name, fault: PullFault | None) -> EmulatedModel:
        if fault and (problem := self._registry_problem(name, fault)):
            raise Refusal(500, f"pull model manifest: {problem}")
        model = self.library.find(name)
        if model is None:
            raise Refusal(500, "pull model manifest: file does not exist")
        return model

    def _registry_problem(self, name: Name, fault: PullFault) -> str | None:
        address = f"https://{name.host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
        if fault.kind == "registry-down":
            return f'Get "{address}": Service Unavailable'
        if fault.kind == "offline":
            return f'Get "{address}": dial tcp: lookup {name.host} on 127.0.0.53:53: no such host'
        if not fault.kind.startswith("manifest-"):
            return None
        status = fault.kind.removeprefix("manifest-")
        if status == "401":
            nonce = hashlib.sha256(address.encode()).hexdigest()[:22]
            return self.version.denied_401.format(host=name.host, nonce=nonce, seconds=int(time.time()))
        if status == "404":
            return "file does not exist"
        return f'{status}: {{"errors": [{{"code": "UNKNOWN", "message": "{fault.text}"}}]}}'

    def _has(self, digest: str) -> bool:
        with self._lock:
            landed = digest in self._landed
        return landed or self.disk.has_blob(digest)

    def _transfer(self, blob: Layer, pace: Pace) -> Transfer:
        with self._lock:
            transfer = self._transfers.setdefault(blob.digest, Transfer(blob.digest, blob.size, pace))
        if not transfer.waiting:
            transfer.pace = pace
            # What held the last pull up does not hold up this one.
            transfer.hold_at(None)
        return transfer

    def _fetch(self, blob: Layer, pace: Pace, fault: PullFault | None, abort: threading.Event) -> Stream:
        if fault and fault.kind == "blob-missing":
            raise Refusal(500, "file does not exist")
        # What takes longer than a tick is told at least once, however late this thread is.
        owed = pace.least_s >= self.tick_s
        if self._has(blob.digest):
            # It came for somebody else's pull, in step with this one.
            if owed:
                yield _progress(blob, blob.size)
            return
        transfer = self._transfer(blob, pace)
        yield from self._wait_for(transfer, blob, self._obstacle(transfer, fault), owed, abort)
        with self._lock:
            self._transfers.pop(blob.digest, None)
            # Somebody who waited for it too may have installed it by now.
            if not self.disk.has_blob(blob.digest):
                self._landed.add(blob.digest)

    def _wait_for(
        self, transfer: Transfer, blob: Layer, obstacle: Obstacle, owed: bool, abort: threading.Event
    ) -> Stream:
        obstacle.apply()
        transfer.join()
        try:
            owed = owed or transfer.seconds_left() >= self.tick_s
            while owed or transfer.seconds_left():
                if abort.wait(min(self.tick_s, transfer.seconds_left())):
                    raise Aborted
                if owed or transfer.seconds_left():
                    yield _progress(blob, transfer.bytes_so_far())
                owed = False
                obstacle.give_up()
                obstacle.apply()
        finally:
            transfer.leave()

    def _obstacle(self, transfer: Transfer, fault: PullFault | None) -> Obstacle:
        path = f"{self.models_dir}/blobs/sha256-{transfer.digest}-partial"
        if fault and fault.kind == "disk-full":
            return DiskFull(transfer, transfer.total * 2 // 5, path)
        room = self._room(transfer)
        if room is not None and room < transfer.total:
            return DiskFull(transfer, max(room, 0), path)
        if fault and fault.kind == "cut":
            return Cutting(transfer, self.time_scale)
        if fault and fault.kind == "stall":
            transfer.hold_at(max(transfer.bytes_so_far(), transfer.total // 25))
        return Obstacle(transfer)

    def _room(self, transfer: Transfer) -> int | None:
        free = self.disk.free_bytes
        if free is None:
            return None
        return free - sum(other.bytes_so_far() for other in self._all() if other is not transfer)

    def _verify(self, fresh: list[Layer], fault: PullFault | None) -> None:
        size = sum(blob.size for blob in fresh)
        if fresh and self.halted.wait(self.pacing.verifying_s(size, self.time_scale)):
            raise Aborted
        if fresh and fault and fault.kind == "corrupt":
            with self._lock:
                self._landed.discard(fresh[0].digest)
            got = hashlib.sha256(fresh[0].digest.encode()).hexdigest()
            text = f"digest mismatch, file must be downloaded again: want sha256:{fresh[0].digest}, got sha256:{got}"
            raise Refusal(500, text)

    def _install(self, name: Name, model: EmulatedModel) -> bool:
        before = self.disk.find(name)
        entry = self.disk.install(name, model)
        with self._lock:
            self._landed -= {blob.digest for blob in entry.manifest.blobs}
        return before is not None and any(not self.disk.has_blob(blob.digest) for blob in before.manifest.blobs)


def _progress(blob: Layer, completed: int) -> dict[str, Any]:
    line: dict[str, Any] = {
        "status": f"pulling {blob.digest[:12]}",
        "digest": f"sha256:{blob.digest}",
        "total": blob.size,
    }
    if completed:
        line["completed"] = completed
    return line
