"""How much memory each model took when it was last seen loaded, remembered across restarts in the 24-hour cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..inventory import InstalledModel, ServerView
from ..records import ModelSummary, ResourceSample
from ..store.cache import PerformanceCache

_BYTES_PER_MIB = 1_048_576


class Footprints:
    """The last footprint in bytes of each weights digest (manifest digest where that is unknown).

    Updated by the observer's thread alone; `latest` is replaced, never changed, so any thread may read it.
    """

    def __init__(self, *, cache: PerformanceCache, summarise: Callable[[InstalledModel], ModelSummary]) -> None:
        self._cache = cache
        self._summarise = summarise
        self.latest: Mapping[str, int] = {}

    def note(self, view: ServerView, resources: ResourceSample) -> None:
        """Remember what is resident now, and write each model's figures to the cache when they changed.

        The runner's own memory counts, with a GPU what Ollama says; zero is unknown.
        """
        latest = dict(self.latest)
        for model in view.installed:
            cached = self._cache.figures(model.name) or {}
            identity = model.weights_digest or model.digest
            remembered = latest.get(identity) or cached.get("memory_bytes")
            footprint = _resident_bytes(model, view, resources) or remembered
            if footprint:
                latest[identity] = footprint
            figures = _figures(self._summarise(model), footprint)
            known = {name: cached.get(name) for name in figures}
            if any(value is not None for value in figures.values()) and figures != known:
                self._cache.note(model.name, figures)
        self.latest = latest


def _resident_bytes(model: InstalledModel, view: ServerView, resources: ResourceSample) -> int | None:
    residence = view.residence(model)
    if residence is None:
        return None
    if residence.vram_bytes:
        return residence.size_bytes
    return resources.runner_bytes.get(model.weights_digest or "") or residence.size_bytes


def _figures(summary: ModelSummary, footprint: int | None) -> dict[str, Any]:
    return {
        "tokens_per_second": summary.tokens_per_second,
        "avg_latency_ms": summary.latency_ms,
        "memory_mb": round(footprint / _BYTES_PER_MIB) if footprint else None,
        "memory_bytes": footprint,
    }
