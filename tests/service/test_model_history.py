"""A model over time, from the calls of a running service to the JSON."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from elixi_models import ModelService, shapes, timelines
from elixi_models.errors import InvalidRequest
from elixi_models.names import ModelName
from elixi_models.records import BenchmarkJob
from elixi_models.testing import OllamaEmulator

from .conftest import PATIENCE_S

NAME = ModelName.parse("llama3.2:1b")
Eventually = Callable[..., Any]


@pytest.mark.parametrize("bucket", ["hour", "day"])
def test_calls_become_points(make_service: Callable[..., ModelService], bucket: Any, eventually: Eventually) -> None:
    """By the hour and by the day; spelling does not matter; the current figures agree with the history."""
    with OllamaEmulator(["llama3.2:1b"]) as ollama:
        service = make_service(ollama.url)
        assert service.model_history(NAME, bucket=bucket).points == ()
        for _ in range(3):
            service.chat("hello", model="llama3.2:1b")
        told = eventually(lambda: service.model_history(ModelName.parse("LLAMA3.2:1B"), bucket=bucket).points)
        summary = service.available().cards[0].summary

    assert [point.requests for point in told] == [3]
    assert told[0].latency_percentiles == summary.latency_percentiles
    assert told[0].outcomes == {"ok": 3}
    assert len(told[0].weights_digests) == 1


def test_the_history_outlives_the_process_and_the_model(make_service: Callable[..., ModelService]) -> None:
    """A new process over a server without the model tells of the old one's calls."""
    with OllamaEmulator(["llama3.2:1b"]) as ollama:
        first = make_service(ollama.url)
        first.chat("hello", model="llama3.2:1b")
        first.delete(NAME, force=True, wait_s=PATIENCE_S)
        first.close()
        second = make_service(ollama.url)
        history = second.model_history(NAME)

    assert [point.requests for point in history.points] == [1]


def test_a_range_that_ends_before_it_begins_is_refused(make_service: Callable[..., ModelService]) -> None:
    """Before the store is asked."""
    with pytest.raises(InvalidRequest):
        make_service("http://127.0.0.1:9", ready=False).model_history(NAME, from_s=2.0, to_s=1.0)


def test_a_hanging_store_is_not_waited_for(make_service: Callable[..., ModelService]) -> None:
    """The answer comes within `switch_wait_s` and says that it is pending."""
    service = make_service("http://127.0.0.1:9", ready=False, switch_wait_s=0.05)
    release = threading.Event()
    held: Future[bool] = service.parts.follower.submit(lambda store: release.wait(PATIENCE_S))
    history = service.model_history(NAME)
    release.set()
    held.result(PATIENCE_S)

    assert (history.points, history.pending, history.as_of_s) == ((), True, None)


def test_benchmarks_of_the_time_are_told(
    make_service: Callable[..., ModelService], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a service whose store has no calls."""
    service = make_service("http://127.0.0.1:9", ready=False)
    job = BenchmarkJob("j#1", "u", "llama3.2:1b", "quick", "ok", 0.0, 0.0, finished_at_s=time.time(), report={"x": 1})
    monkeypatch.setattr(service.parts.benchmarks, "all", lambda: [job])

    assert service.model_history(NAME).benchmarks == (job,)


def test_status_and_list_tell_spread_and_efficiency(make_service: Callable[..., ModelService]) -> None:
    """Percentiles of 24 hours, and what the memory is good for; null for a service that has no model."""
    with OllamaEmulator(["llama3.2:1b"], load_seconds=0.01) as ollama:
        service = make_service(ollama.url)
        nothing = shapes.status(service.status())
        service.switch(NAME, wait_s=PATIENCE_S)
        for _ in range(8):
            service.chat("Tell me more", model="llama3.2:1b")
        service.parts.observer.refresh(PATIENCE_S)
        status, listed = shapes.status(service.status()), shapes.inventory(service.available())["installed"][0]

    unknown = {"p50": None, "p95": None, "p99": None}
    assert nothing["percentiles"] == {"latency_ms": unknown, "time_to_first_token_ms": unknown}
    assert set(nothing["memory_efficiency"].values()) == {None}
    spread = status["percentiles"]["latency_ms"]
    assert 0 < spread["p50"] <= spread["p95"] <= spread["p99"]
    assert status["percentiles"] == listed["percentiles"]
    assert status["memory_efficiency"] == listed["memory_efficiency"]


def test_efficiency_needs_a_footprint_and_a_rate() -> None:
    """A card's own figures; a size on the disk alone says nothing."""
    from dataclasses import replace

    from elixi_models.inventory import InstalledModel
    from elixi_models.records import ModelSummary
    from elixi_models.reports import ModelCard

    model = InstalledModel("m:1b", "d", size_bytes=2_000_000_000)
    card = ModelCard(model, None, ModelSummary(tokens_per_second=50.0), 3_000_000_000, True, True)

    assert timelines.efficiency_of(card) == {
        "gb_per_1000_tokens_per_second": 60.0,
        "quality_per_gib": None,
        "footprint_per_file_byte": 1.5,
    }
    assert set(timelines.efficiency_of(replace(card, memory_bytes=None)).values()) == {None}


def test_efficiency_counts_what_was_measured_only() -> None:
    """Points of the general score for each GiB; an estimate is no measurement."""
    from elixi_models.inventory import InstalledModel
    from elixi_models.quality import TaskScore
    from elixi_models.records import ModelSummary
    from elixi_models.reports import ModelCard

    def quality_per_gib(questions: int) -> float | None:
        score = TaskScore(60.0, (50.0, 70.0), questions, "quick+table", 0.3)
        model = InstalledModel("m:1b", "d")
        card = ModelCard(model, None, ModelSummary(), 2_147_483_648, True, True, {"general": score})
        found: float | None = timelines.efficiency_of(card)["quality_per_gib"]
        return found

    assert (quality_per_gib(20), quality_per_gib(0)) == (30.0, None)


def test_hourly_documents_tell_what_benchmarks_had_measured(
    make_service: Callable[..., ModelService], monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """By the end of the hour that is documented."""
    from elixi_models.quality import TaskScore

    service = make_service("http://127.0.0.1:9", ready=False)
    hour_s = int(time.time() // 3_600 - 2) * 3_600
    score = TaskScore(45.0, (30.0, 60.0), 9, "quick+table", 0.5)
    monkeypatch.setattr(
        service.parts.benchmarks, "scores_at", lambda at_s: {"w1": {"coding": score}} if at_s == hour_s + 3_600 else {}
    )
    parts = service.parts
    rollup = {"ollama_url": parts.settings.ollama_url, "model": "m:1b", "weights_digest": "w1", "requests": 1}
    parts.store.put_rollup("r", {**rollup, "hour_s": hour_s})
    service.start()
    (document,) = eventually(lambda: parts.store.performance(ollama_url=parts.settings.ollama_url))

    assert document["benchmarks"]["coding"] == 45.0
    assert document["task_suitability"] == {"general": None, "coding": 4.5, "analysis": None, "creative": None}
