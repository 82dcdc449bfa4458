"""The public library, offline: what can be installed, and what a model is made for."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

from .. import names
from ..inventory import InstalledModel
from .kinds import LANGUAGES, TASK_WORDS, kind_by_name

_REMEMBERED = 4096


class CatalogueTag(NamedTuple):
    """A tag of a family. `size_bytes` is exact, `size_gb_reported` the library's rounded figure; None is unknown.

    `id` is the first 12 digits of the manifest's digest.
    """

    tag: str
    parameter_size: str | None
    size_bytes: int | None
    size_gb_reported: float | None
    context_length: int | None
    quantization: str | None
    capabilities: tuple[str, ...]
    licence: str | None
    released: str | None
    id: str | None


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A family of the public library. Sizes and context are those of its default tag; None is unknown.

    `popularity` is 1-5. `tags` are the plain ones (`latest`, `8b`).
    """

    name: str
    description: str | None
    kind: str | None
    popularity: int | None
    parameter_size: str | None
    size_bytes: int | None
    context_length: int | None
    capabilities: tuple[str, ...]
    licence: str | None
    released: str | None
    tags: tuple[CatalogueTag, ...]


class Catalogue:
    """Reads its data once, at the first question; thread-safe; never touches a network."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: tuple[CatalogueEntry, ...] | None = None
        self._by_name: dict[str, CatalogueEntry] = {}
        self._installable: tuple[frozenset[str], tuple[CatalogueEntry, ...]] | None = None
        self._kinds: dict[tuple[str, tuple[str, ...] | None], str | None] = {}
        self.as_of: str | None = None

    def entries(self) -> tuple[CatalogueEntry, ...]:
        """All families, the popular ones first."""
        if self._entries is None:
            with self._lock:
                if self._entries is None:
                    self._read()
        return self._entries or ()

    def installable(self, installed: Iterable[InstalledModel]) -> tuple[CatalogueEntry, ...]:
        """The families of which nothing is installed; cheap when asked again about the same inventory."""
        families = frozenset(names.family(model.name) for model in installed)
        known = self._installable
        if known is None or known[0] != families:
            rest = tuple(entry for entry in self.entries() if entry.name.lower() not in families)
            known = self._installable = (families, rest)
        return known[1]

    def family(self, name: str) -> CatalogueEntry | None:
        """The family of that name, in any spelling, or None."""
        self.entries()
        return self._by_name.get(name.lower())

    def classify(self, model: InstalledModel) -> str | None:
        """What a model is for: general, coding, analysis, creative, fast, vision or embedding.

        An embedder is known by its capabilities; else the catalogue decides, else the words of the name;
        a model that chats and says nothing else is general. None while nothing at all is known.
        """
        facts = (model.name, model.capabilities)
        if facts not in self._kinds:
            if len(self._kinds) >= _REMEMBERED:
                self._kinds.clear()
            self._kinds[facts] = self._classify(model)
        return self._kinds.get(facts)

    def _classify(self, model: InstalledModel) -> str | None:
        if model.capabilities is not None and "completion" not in model.capabilities:
            return "embedding" if "embedding" in model.capabilities else None
        family = names.family(model.name)
        special = kind_by_name(family, exact_only=True)
        if special is not None:
            return special
        entry = self.family(family)
        if entry is not None:
            return entry.kind
        return kind_by_name(family) or ("general" if model.can_chat is not False else None)

    def supports(self, model: InstalledModel) -> tuple[str, ...]:
        """Programming languages that the publisher of a code model names, else the tasks of its kind."""
        languages = LANGUAGES.get(names.family(model.name))
        return languages or TASK_WORDS.get(self.classify(model) or "", ())

    def _read(self) -> None:
        packed = files("elixi_models").joinpath("catalogue/data/families.json.gz").read_bytes()
        document = json.loads(gzip.decompress(packed))
        entries = sorted(map(_entry, document["families"]), key=lambda entry: (-(entry.popularity or 0), entry.name))
        self.as_of = document["as_of"]
        self._by_name = {entry.name.lower(): entry for entry in entries}
        self._entries = tuple(entries)


def _entry(family: Mapping[str, Any]) -> CatalogueEntry:
    tags = tuple(map(_tag, family["tags"]))
    default = next((tag for tag in tags if tag.tag == family["default_tag"]), None)
    return CatalogueEntry(
        name=family["name"],
        description=family["description"],
        kind=family["kind"],
        popularity=family["popularity"],
        parameter_size=default.parameter_size if default else None,
        size_bytes=default.size_bytes if default else None,
        context_length=default.context_length if default else None,
        capabilities=tuple(family["capabilities"]),
        licence=family["licence"],
        released=family["released"],
        tags=tags,
    )


def _tag(facts: Mapping[str, Any]) -> CatalogueTag:
    """Hundreds of tags say the same few words: each is kept once."""
    once: dict[str, Any] = {
        name: sys.intern(value) if isinstance(value, str) else value for name, value in facts.items()
    }
    once["capabilities"] = tuple(map(sys.intern, facts["capabilities"]))
    return CatalogueTag(**once)
