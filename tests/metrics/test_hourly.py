"""One document of the seed's shape for every hour in which a model was asked."""

from __future__ import annotations

import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.metrics.hourly import HourlyDocuments
from elixi_models.metrics.rollups import RollupBook
from elixi_models.quality import TaskScore

from .conftest import NOON_S, URL, AwayStore, Machine

SCORES = {
    "general": TaskScore(60.0, (50.0, 70.0), 20, "quick+table", 0.3),
    "coding": TaskScore(45.0, (30.0, 60.0), 0, "table", 1.0),
}


def measured_at(at_s):
    """A benchmark of w1 that ended half an hour after noon."""
    return {"w1": SCORES} if at_s >= NOON_S + 1_800 else {}


@pytest.fixture
def documents(clock):
    return HourlyDocuments(URL, clock=clock, machine=Machine(), measured_at=measured_at)


def put(store, owner, *calls):
    book = RollupBook(URL, owner)
    for one in calls:
        book.add(one)
    for rollup_id, rollup in book.changed():
        store.put_rollup(rollup_id, rollup)


def test_a_finished_hour_is_documented_from_all_owners(documents, store, call, clock):
    """Two processes' calls of an hour give one document with the figures of both."""
    put(store, "one", call(duration_s=1.0, tokens=51, eval_s=1.0))
    put(store, "two", call(duration_s=3.0, tokens=51, eval_s=1.0), call(outcome="timeout"), call(outcome="cancelled"))
    clock.now_s = NOON_S + 3_661
    documents.write(store)

    (document,) = store.performance(ollama_url=URL)
    assert document["model_name"] == "a:1b"
    assert document["performance"] == {
        "tokens_per_second": 50.0,
        "avg_latency_ms": 2_000.0,
        "error_rate": pytest.approx(1 / 3),
        "total_requests": 4,
    }
    assert document["resource_usage"] == {"memory_mb": 2_000, "cpu_percent": 25.0, "memory_percent": 25.0}
    assert document["memory_efficiency"]["gb_per_1000_tokens_per_second"] == pytest.approx(41.94304)
    assert document["percentiles"]["latency_ms"] == {
        "p50": pytest.approx(1_000, rel=0.01),
        "p95": pytest.approx(3_000, rel=0.01),
        "p99": pytest.approx(3_000, rel=0.01),
    }
    assert document["hour_s"] == NOON_S
    assert document["created_at_s"] == NOON_S + 3_600


def test_an_hour_is_documented_once_whoever_does_it(documents, store, call, clock):
    """The same process later, and another process, add nothing."""
    put(store, "one", call())
    clock.now_s = NOON_S + 3_661
    documents.write(store)
    documents.write(store)
    HourlyDocuments(URL, clock=clock, machine=Machine(), measured_at=measured_at).write(store)

    assert len(store.performance(ollama_url=URL)) == 1


def test_the_hour_under_way_waits_until_its_last_figures_are_there(documents, store, call, clock):
    """Within a minute of its end an hour is not documented yet."""
    put(store, "one", call())
    clock.now_s = NOON_S + 3_659
    documents.write(store)
    assert store.performance(ollama_url=URL) == []

    clock.now_s = NOON_S + 3_661
    documents.write(store)
    assert len(store.performance(ollama_url=URL)) == 1


def test_each_model_has_its_own_document_without_invented_figures(documents, store, call, clock):
    """An hour with failures alone has an error rate and no speed."""
    put(store, "one", call(model="b:latest", weights_digest=None, outcome="timeout"), call())
    clock.now_s = NOON_S + 3_661
    documents.write(store)

    by_name = {document["model_name"]: document for document in store.performance(ollama_url=URL)}
    assert sorted(by_name) == ["a:1b", "b"]
    assert by_name["b"]["performance"] == {
        "tokens_per_second": None,
        "avg_latency_ms": None,
        "error_rate": 1.0,
        "total_requests": 1,
    }
    assert set(by_name["b"]["resource_usage"].values()) == {None}
    assert by_name["b"]["percentiles"]["latency_ms"] == {"p50": None, "p95": None, "p99": None}


def test_memory_that_only_another_process_saw_is_documented(documents, store, call, clock):
    """Its roll-ups tell the largest footprint that it saw."""
    put(store, "one", call(weights_digest="w9"))
    (rollup,) = store.rollups(ollama_url=URL, since_s=NOON_S)
    store.put_rollup("other", {**rollup, "owner": "two", "memory_bytes": 1_048_576_000})
    clock.now_s = NOON_S + 3_661
    documents.write(store)

    assert store.performance(ollama_url=URL)[0]["resource_usage"]["memory_mb"] == 1_000


def test_hours_missed_while_no_process_ran_are_documented_at_the_next_start(documents, store, call, clock):
    """Those of the last day; older ones stay roll-ups."""
    put(store, "one", call(created_at_s=NOON_S - 30 * 3_600), call(created_at_s=NOON_S - 20 * 3_600))
    documents.write(store)

    assert [document["hour_s"] for document in store.performance(ollama_url=URL)] == [NOON_S - 20 * 3_600]


def test_an_hour_is_tried_again_after_an_outage(documents, store, call, clock):
    """What could not be written is written at the next call."""
    put(store, "one", call())
    clock.now_s = NOON_S + 3_661
    with pytest.raises(StoreUnavailable):
        documents.write(AwayStore())
    documents.write(store)

    assert len(store.performance(ollama_url=URL)) == 1


def test_the_scores_of_that_time_are_in_the_document(documents, store, call, clock):
    """What was measured by the end of the hour; an estimate, an earlier hour and other weights have none."""
    put(store, "one", call(), call(created_at_s=NOON_S - 60), call(model="b:1b", weights_digest="w2"))
    put(store, "two", call(model="c:1b", weights_digest=None))
    clock.now_s = NOON_S + 3_661
    documents.write(store)

    by_hour = {(each["model"], each["hour_s"]): each for each in store.performance(ollama_url=URL)}
    measured = by_hour.pop(("a:1b", NOON_S))
    assert measured["benchmarks"] == {"general_purpose": 60.0, "coding": None, "creativity": None, "analysis": None}
    assert measured["task_suitability"] == {"general": 6.0, "coding": None, "analysis": None, "creative": None}
    assert measured["memory_efficiency"]["quality_per_gib"] == pytest.approx(60 / 1.953125)
    assert len(by_hour) == 3
    for each in by_hour.values():
        assert set(each["benchmarks"].values()) == set(each["task_suitability"].values()) == {None}
        assert each["memory_efficiency"]["quality_per_gib"] is None


@pytest.mark.parametrize("ahead_s", [7_200, 400 * 86_400])
def test_a_clock_that_was_ahead_keeps_no_hour_from_being_documented(documents, store, call, clock, ahead_s):
    """By hours or by more than a year."""
    clock.now_s = NOON_S + ahead_s
    documents.write(store)
    clock.now_s = NOON_S
    documents.write(store)
    put(store, "one", call())
    clock.now_s = NOON_S + 3_661
    documents.write(store)

    assert [document["hour_s"] for document in store.performance(ollama_url=URL)] == [NOON_S]
