"""Memory that models took when they were last seen loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from elixi_models.inventory import InstalledModel, LoadedModel, ServerView
from elixi_models.metrics import footprints as footprints_module
from elixi_models.metrics.footprints import Footprints
from elixi_models.records import ModelSummary, ResourceSample

MODEL = InstalledModel("x:latest", "d", weights_digest="w")


class Cache:
    """The cache's two verbs, in memory."""

    def __init__(self, **figures: dict[str, Any]) -> None:
        self.stored = figures
        self.writes = 0

    def figures(self, model: str) -> dict[str, Any] | None:
        return self.stored.get(model.partition(":")[0])

    def note(self, model: str, figures: dict[str, Any]) -> None:
        self.writes += 1
        self.stored[model.partition(":")[0]] = dict(figures)


def view(size_bytes: int | None = None, vram_bytes: int | None = None, loaded: bool = True) -> ServerView:
    entry = LoadedModel("x:latest", "d", size_bytes, vram_bytes)
    return ServerView("http://h", installed=(MODEL,), loaded=(entry,) if loaded else ())


def footprints(cache: Cache) -> Footprints:
    return Footprints(cache=cache, summarise=lambda model: ModelSummary())  # type: ignore[arg-type]


def test_the_runners_own_memory_counts_before_what_ollama_says() -> None:
    """With a GPU the runner's memory is only a part, then Ollama's figure counts."""
    found = footprints(Cache())
    found.note(view(500), ResourceSample(runner_bytes={"w": 232}))
    assert found.latest == {"w": 232}
    found.note(view(500, 400), ResourceSample(runner_bytes={"w": 232}))
    assert found.latest == {"w": 500}
    found.note(view(466), ResourceSample())
    assert found.latest == {"w": 466}


def test_a_footprint_stays_when_the_model_leaves_and_unknown_is_no_footprint() -> None:
    """The last one seen is kept; a model never seen with a size has none."""
    found = footprints(Cache())
    found.note(view(None), ResourceSample())
    assert found.latest == {}
    found.note(view(466), ResourceSample())
    found.note(view(loaded=False), ResourceSample())
    assert found.latest == {"w": 466}


def test_what_an_earlier_process_saw_is_recalled_from_the_cache() -> None:
    """Until something newer is seen."""
    found = footprints(Cache(x={"memory_bytes": 77}))
    found.note(view(loaded=False), ResourceSample())
    assert found.latest == {"w": 77}
    found.note(view(466), ResourceSample())
    assert found.latest == {"w": 466}


def test_the_cache_is_written_only_when_figures_change() -> None:
    """In the seed's names, and nothing at all while nothing is known."""
    cache = Cache()
    found = footprints(cache)
    found.note(view(None), ResourceSample())
    assert cache.writes == 0
    found.note(view(2_097_152), ResourceSample())
    found.note(view(2_097_152), ResourceSample())
    assert cache.writes == 1
    assert cache.stored["x"] == {
        "tokens_per_second": None,
        "avg_latency_ms": None,
        "memory_mb": 2,
        "memory_bytes": 2_097_152,
    }


def test_the_load_of_an_hour_is_the_mean_of_the_looks_that_found_the_model_loaded() -> None:
    """Looks without a figure, without the model, or in another hour do not count."""
    found = footprints(Cache())
    for as_of_s, percent, loaded in ((7_200.0, 20.0, True), (7_300.0, 60.0, True), (7_400.0, 99.0, False)):
        found.note(replace(view(466, loaded=loaded), as_of_s=as_of_s), ResourceSample(cpu_percent=percent))
    found.note(replace(view(466), as_of_s=7_500.0), ResourceSample(cpu_percent=None))
    found.note(replace(view(466), as_of_s=10_800.0), ResourceSample(cpu_percent=5.0))

    assert found.cpu_percent("w", 7_200) == 40.0
    assert found.cpu_percent("w", 10_800) == 5.0
    assert found.cpu_percent("w", 3_600) is found.cpu_percent(None, 7_200) is None


def test_the_memory_of_loads_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest hours are given up."""
    monkeypatch.setattr(footprints_module, "_KEPT_LOADS", 3)
    found = footprints(Cache())
    for hour in range(5):
        found.note(replace(view(466), as_of_s=3_600.0 * hour), ResourceSample(cpu_percent=1.0))

    assert [found.cpu_percent("w", 3_600 * hour) for hour in range(5)] == [None, None, 1.0, 1.0, 1.0]


def test_footprints_are_given_by_weights_and_the_machines_memory_beside_them() -> None:
    """Unknown weights have none."""
    found = footprints(Cache())
    found.note(view(466), ResourceSample(ram_total_bytes=1_000))

    assert (found.memory_bytes("w"), found.memory_bytes("v"), found.memory_bytes(None)) == (466, None, None)
    assert found.ram_total_bytes == 1_000
