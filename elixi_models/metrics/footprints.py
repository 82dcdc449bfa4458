"""What each model took of the machine when it was last seen loaded; its memory is remembered across restarts in the
24-hour cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..inventory import InstalledModel, ServerView
from ..records import ModelSummary, ResourceSample
from ..store.cache import PerformanceCache
from .rollups import hour_of

_BYTES_PER_MIB = 1_048_576
_KEPT_LOADS = 500


class Footprints:
    """The last footprint in bytes of each weights digest (manifest digest where that is unknown).

    Updated by the observer's thread alone; `latest` is replaced, never changed, so any thread may read it.
    """

    def __init__(self, *, cache: PerformanceCache, summarise: Callable[[InstalledModel], ModelSummary]) -> None:
        self._cache = cache
        self._summarise = summarise
        self._loads: dict[tuple[str, int], tuple[float, int]] = {}
        self.latest: Mapping[str, int] = {}
        self.ram_total_bytes: int | None = None

    def note(self, view: ServerView, resources: ResourceSample) -> None:
        """Remember what is resident now, and write each model's figures to the cache when they changed.

        The runner's own memory counts, with a GPU what Ollama says; zero is unknown.
        """
        self.ram_total_bytes = resources.ram_total_bytes
        latest = dict(self.latest)
        for model in view.installed:
            cached = self._cache.figures(model.name) or {}
            identity = model.weights_digest or model.digest
            remembered = latest.get(identity) or cached.get("memory_bytes")
            footprint = resident_bytes(model, view, resources) or remembered
            if footprint:
                latest[identity] = footprint
            self._note_load(identity, view, model, resources)
            figures = _figures(self._summarise(model), footprint)
            known = {name: cached.get(name) for name in figures}
            if any(value is not None for value in figures.values()) and figures != known:
                self._cache.note(model.name, figures)
        self.latest = latest

    def memory_bytes(self, weights_digest: str | None) -> int | None:
        """The footprint of a model's weights when loaded; None while it was never seen."""
        return self.latest.get(weights_digest or "")

    def cpu_percent(self, weights_digest: str | None, hour_s: int) -> float | None:
        """The mean of Ollama's load (0-100 of the machine) over an hour's looks that found those weights loaded."""
        total, looks = self._loads.get((weights_digest or "", hour_s), (0.0, 0))
        return total / looks if looks else None

    def _note_load(self, identity: str, view: ServerView, model: InstalledModel, resources: ResourceSample) -> None:
        if resources.cpu_percent is None or view.as_of_s is None or view.residence(model) is None:
            return
        key = identity, hour_of(view.as_of_s)
        total, looks = self._loads.get(key, (0.0, 0))
        self._loads[key] = total + resources.cpu_percent, looks + 1
        if len(self._loads) > _KEPT_LOADS:
            del self._loads[next(iter(self._loads))]


def resident_bytes(model: InstalledModel, view: ServerView, resources: ResourceSample) -> int | None:
    """The memory of a resident model: its runner's own, with a GPU what Ollama says; None for unknown or not loaded."""
    residence = view.residence(model)
    if residence is None:
        return None
    if residence.vram_bytes:
        # The runner's RSS holds only the part that is not on the GPU.
        return residence.size_bytes
    return resources.runner_bytes.get(model.weights_digest or "") or residence.size_bytes


def _figures(summary: ModelSummary, footprint: int | None) -> dict[str, Any]:
    return {
        "tokens_per_second": summary.tokens_per_second,
        "avg_latency_ms": summary.latency_ms,
        "memory_mb": round(footprint / _BYTES_PER_MIB) if footprint else None,
        "memory_bytes": footprint,
    }
