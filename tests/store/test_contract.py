"""The contract of the store, the same on every medium."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from elixi_models.records import Measurement, UsageEvent
from elixi_models.store.base import Lease, Preference, Store

from .media import Medium
from .racing import ROUNDS, job, spawn

URL = "http://127.0.0.1:11434"
OTHER_URL = "http://10.0.0.2:11434"
NOW_S = float(int(time.time()))
DAY_S = 86_400.0

FULL = Measurement(
    id="0011223344556677",
    created_at_s=NOW_S + 0.123456,
    ollama_url=URL,
    model="mistral:7b",
    source="chat",
    outcome="ok",
    duration_s=1.25,
    digest="d" * 64,
    weights_digest="e" * 64,
    ttft_s=0.125,
    total_s=1.2,
    load_s=0.0,
    prompt_tokens=20,
    prompt_s=0.2,
    tokens=200,
    eval_s=0.9,
    done_reason="stop",
)


def measured(id: str, at_s: float, **more: Any) -> Measurement:
    return replace(Measurement(id, at_s, URL, "mistral:7b", "chat", "ok", 1.0), **more)


def used(id: str, at_s: float, **more: Any) -> UsageEvent:
    return replace(UsageEvent(id, at_s, URL, "switch", "mistral:7b", "ok"), **more)


# Liveness


def test_a_medium_that_answers_passes_ping(store: Store, medium: Medium) -> None:
    """ping() returns, and leaves nothing that any reader sees."""
    store.ping()
    assert store.kind == medium.kind
    assert store.preference("ping") is None


def test_a_closed_store_opens_again(store: Store) -> None:
    """close() gives connections back; the next use opens new ones on the same data."""
    store.put_preference("k", version=1, value={"a": 1}, now_s=5.0)
    store.close()
    store.close()
    assert store.preference("k") == Preference("k", 1, {"a": 1}, 5.0)


# Measurements


def test_a_measurement_comes_back_as_it_was(store: Store) -> None:
    """Every field survives exactly, times included."""
    store.add_measurements([FULL])
    assert store.measurements(ollama_url=URL, since_s=NOW_S) == [FULL]


def test_unknown_fields_of_a_measurement_stay_unknown(store: Store) -> None:
    """None is not stored as a number."""
    sparse = measured("a", NOW_S)
    store.add_measurements([sparse])
    assert store.measurements(ollama_url=URL, since_s=0) == [sparse]


def test_a_measurement_is_inserted_once_by_its_id(store: Store) -> None:
    """An id already there is left alone, the others of the same batch are inserted."""
    first = measured("a", NOW_S, duration_s=1.0)
    store.add_measurements([first])
    store.add_measurements([measured("a", NOW_S, duration_s=9.0), measured("b", NOW_S + 1)])
    assert store.measurements(ollama_url=URL, since_s=0) == [first, measured("b", NOW_S + 1)]


def test_no_measurements_are_no_error(store: Store) -> None:
    """An empty batch does nothing."""
    store.add_measurements([])
    assert store.measurements(ollama_url=URL, since_s=0) == []


def test_measurements_are_cut_by_time_and_server(store: Store) -> None:
    """since_s is included, until_s is not, other servers are not seen; oldest first."""
    mine = [measured(f"m{n}", NOW_S + n) for n in range(5)]
    store.add_measurements([*reversed(mine), measured("x", NOW_S + 2, ollama_url=OTHER_URL)])
    assert store.measurements(ollama_url=URL, since_s=NOW_S + 1, until_s=NOW_S + 3) == mine[1:3]


def test_the_limit_keeps_the_newest_measurements(store: Store) -> None:
    """Of more than the limit the oldest are left out; the order stays oldest first."""
    mine = [measured(f"m{n}", NOW_S + n) for n in range(5)]
    store.add_measurements(mine)
    assert store.measurements(ollama_url=URL, since_s=0, limit=2) == mine[3:]


def test_what_cannot_be_a_number_is_stored_as_unknown(store: Store) -> None:
    """NaN and infinities become None: neither JSON nor every server takes them."""
    store.add_measurements([measured("a", NOW_S, eval_s=float("nan"), load_s=float("inf"))])
    assert store.measurements(ollama_url=URL, since_s=0) == [measured("a", NOW_S)]


# Roll-ups


def test_a_rollup_replaces_the_one_of_its_id(store: Store) -> None:
    """The owner's newer figures stand; there is one document per id."""
    for requests in (1, 2):
        store.put_rollup("r", {"ollama_url": URL, "model": "m", "hour_s": 3600, "requests": requests})
    assert store.rollups(ollama_url=URL) == [{"ollama_url": URL, "model": "m", "hour_s": 3600, "requests": 2}]


def test_rollups_are_cut_by_hour_and_server_in_order(store: Store) -> None:
    """since_s <= hour_s < until_s of one server, in order of the hour."""
    for hour in (3, 1, 2, 0):
        store.put_rollup(f"r{hour}", {"ollama_url": URL, "model": "m", "hour_s": hour * 3600})
    store.put_rollup("x", {"ollama_url": OTHER_URL, "model": "m", "hour_s": 3600})
    hours = [rollup["hour_s"] for rollup in store.rollups(ollama_url=URL, since_s=3600, until_s=3 * 3600)]
    assert hours == [3600, 7200]


def summed(id: str, hour_s: int, model: str, weights: str | None, **more: Any) -> tuple[str, dict[str, Any]]:
    return id, {"ollama_url": URL, "model": model, "weights_digest": weights, "hour_s": hour_s, "id": id, **more}


def test_rollups_may_be_asked_of_one_name_or_of_some_weights(store: Store) -> None:
    """In any spelling of the name; with both, each that fits either, once; still cut by hour and server, in order."""
    for rollup_id, rollup in (
        summed("named", 7200, "Phi:Latest", "w0"),
        summed("both", 3600, "phi:latest", "w1"),
        summed("alias", 3600, "mine:1b", "w1"),
        summed("unknown", 3600, "phi:latest", None),
        summed("day", -86_400, "phi:latest", "w1"),
        summed("late", 10_800, "phi:latest", "w1"),
        summed("other", 3600, "phi:3b", "w2"),
        summed("away", 3600, "phi:latest", "w1", ollama_url=OTHER_URL),
    ):
        store.put_rollup(rollup_id, rollup)

    def found(**subject: str) -> list[str]:
        asked = store.rollups(ollama_url=URL, since_s=3600, until_s=10_800, **subject)
        return [rollup["id"] for rollup in asked]

    assert found(model="phi") == ["both", "unknown", "named"]
    assert found(weights_digest="w1") == ["alias", "both"]
    assert found(model="PHI:latest", weights_digest="w1") == ["alias", "both", "unknown", "named"]
    assert found(model="nobody", weights_digest="w9") == []


def test_a_rollup_moves_with_its_model(store: Store) -> None:
    """What replaces it under its id decides whose it is; nothing is added to what is read."""
    store.put_rollup(*summed("r", 3600, "phi:latest", "w1"))
    moved = summed("r", 3600, "qwen:1b", "w2")[1]
    store.put_rollup("r", moved)
    assert store.rollups(ollama_url=URL, model="phi:latest", weights_digest="w1") == []
    assert store.rollups(ollama_url=URL, model="qwen:1b") == [moved]


def test_rollups_are_not_measurements(store: Store) -> None:
    """The two share a place in MongoDB and are told apart."""
    store.put_rollup("r", {"ollama_url": URL, "model": "m", "hour_s": int(NOW_S)})
    store.add_measurements([measured("a", NOW_S, weights_digest="e" * 64)])
    assert [m.id for m in store.measurements(ollama_url=URL, since_s=0)] == ["a"]
    assert len(store.rollups(ollama_url=URL)) == 1
    assert store.rollups(ollama_url=URL, model="mistral:7b", weights_digest="e" * 64) == []


def test_a_rollup_may_nest_buckets_under_any_key(store: Store) -> None:
    """Log-bucket counts with negative numbers and names with dots as keys come back."""
    buckets = {"-3": 1, "12": 2, "llama3.2:1b": {"a.b": [1, 2.5, None, True]}, "$x": 1}
    store.put_rollup("r", {"ollama_url": URL, "model": "m", "hour_s": 0, "buckets": buckets})
    assert store.rollups(ollama_url=URL)[0]["buckets"] == buckets


# Usage


def test_a_usage_line_comes_back_as_it_was(store: Store) -> None:
    """With its user and details."""
    line = used("u", NOW_S + 0.5, user="ada", details={"previous": None, "seconds": 1.5})
    store.add_usage([line])
    assert store.usage(ollama_url=URL) == [line]


def test_usage_is_newest_first_and_pages_by_time(store: Store) -> None:
    """before_s is not included, so that the last line's time asks for the next page."""
    lines = [used(f"u{n}", NOW_S + n / 8) for n in range(5)]
    store.add_usage(lines)
    page = store.usage(ollama_url=URL, limit=2)
    assert page == [lines[4], lines[3]]
    assert store.usage(ollama_url=URL, limit=2, before_s=page[-1].created_at_s) == [lines[2], lines[1]]


def test_usage_may_be_asked_of_one_model(store: Store) -> None:
    """Other models, lines without a model and other servers are left out."""
    wanted = used("a", NOW_S)
    store.add_usage(
        [wanted, used("b", NOW_S, model="phi:latest"), used("c", NOW_S, model=None), used("d", NOW_S, ollama_url="x")]
    )
    assert store.usage(ollama_url=URL, model="mistral:7b") == [wanted]


def test_a_usage_line_is_inserted_once_by_its_id(store: Store) -> None:
    """Replaying a batch changes nothing."""
    store.add_usage([used("a", NOW_S)])
    store.add_usage([used("a", NOW_S, outcome="failed"), used("b", NOW_S + 1)])
    assert [(line.id, line.outcome) for line in store.usage(ollama_url=URL)] == [("b", "ok"), ("a", "ok")]


# model_performance


def performed(id: str, at_s: float, **more: Any) -> dict[str, Any]:
    return {
        "_id": id,
        "model_name": "mistral",
        "model": "mistral:latest",
        "ollama_url": URL,
        "created_at_s": at_s,
        "timestamp": "2026-11-24T00:00:00Z",
        "performance": {"tokens_per_second": 31.5, "avg_latency_ms": None},
        **more,
    }


def test_a_performance_document_comes_back_as_it_was(store: Store) -> None:
    """Nothing is added to what is read."""
    store.add_performance(performed("p", NOW_S))
    assert store.performance(ollama_url=URL) == [performed("p", NOW_S)]


def test_a_performance_document_is_inserted_once(store: Store) -> None:
    """The first with an id stands, so that several processes may write the same hour."""
    store.add_performance(performed("p", NOW_S))
    store.add_performance(performed("p", NOW_S + 1))
    assert store.performance(ollama_url=URL) == [performed("p", NOW_S)]


def test_performance_is_newest_first_by_model(store: Store) -> None:
    """Asked by installed name; the limit keeps the newest."""
    for n in range(3):
        store.add_performance(performed(f"p{n}", NOW_S + n))
    store.add_performance(performed("q", NOW_S, model="phi:latest"))
    newest = store.performance(ollama_url=URL, model="mistral:latest", limit=2)
    assert [document["_id"] for document in newest] == ["p2", "p1"]


# Jobs


def test_a_job_id_is_created_once(store: Store) -> None:
    """The second gets False, and the first one's document stands."""
    assert store.create_job("j#1", job(1))
    assert not store.create_job("j#1", job(1, state="other"))
    assert store.newest_job("download", "u:m") == {"id": "j#1", **job(1)}


def test_writing_a_job_replaces_its_document(store: Store) -> None:
    """Fields that the new document lacks are gone; an `id` in it does not count."""
    store.create_job("j#1", job(1, note="x"))
    store.write_job("j#1", {"id": "other", **job(1, state="installed", live=False)})
    assert store.newest_job("download", "u:m") == {"id": "j#1", **job(1, state="installed", live=False)}


def test_a_job_that_was_never_created_can_be_written(store: Store) -> None:
    """A holder whose store was away when it began tells the end all the same."""
    store.write_job("j#1", job(1))
    assert store.newest_job("download", "u:m") == {"id": "j#1", **job(1)}


def test_the_newest_job_has_the_highest_number(store: Store) -> None:
    """By number, not by text or time; other subjects and kinds do not count."""
    for number in (9, 10, 2):
        store.create_job(f"j#{number}", job(number, updated_at_s=-number))
    store.create_job("k#99", job(99, subject="u:other"))
    store.create_job("l#99", job(99, kind="benchmark"))
    newest = store.newest_job("download", "u:m")
    assert newest is not None
    assert newest["id"] == "j#10"
    assert store.newest_job("download", "nobody") is None


def test_jobs_are_newest_first_of_one_kind_and_server(store: Store) -> None:
    """By `updated_at_s`, up to the limit."""
    for number in (1, 3, 2):
        store.create_job(f"j#{number}", job(number))
    store.create_job("k#9", job(9, kind="benchmark"))
    store.create_job("l#9", job(9, ollama_url="elsewhere"))
    assert [each["id"] for each in store.jobs("download", ollama_url="u")] == ["j#3", "j#2", "j#1"]
    assert [each["id"] for each in store.jobs("download", ollama_url="u", limit=1)] == ["j#3"]


def test_leases_and_cancel_requests_are_not_jobs(store: Store) -> None:
    """They share a place in MongoDB with the jobs and are not listed among them."""
    store.create_job("j#1", job(1))
    store.take_lease("j#1", owner="o", now_s=NOW_S, term_s=30)
    store.request_cancel("j#1", user=None, now_s=NOW_S)
    assert len(store.jobs("download", ollama_url="u")) == 1


def test_a_cancel_request_is_seen_by_everybody(store: Store, medium: Medium) -> None:
    """Asking twice is asking once; other jobs are not meant."""
    assert not store.cancel_requested("j#1")
    store.request_cancel("j#1", user="ada", now_s=NOW_S)
    store.request_cancel("j#1", user="bob", now_s=NOW_S)
    other = medium.open()
    assert other.cancel_requested("j#1")
    assert not other.cancel_requested("j#2")
    other.close()


# Leases


def test_a_lease_is_taken_once_while_it_lasts(store: Store) -> None:
    """The first attempt is 1; until its term has passed nobody else gets one."""
    assert store.take_lease("j", owner="a", now_s=100.0, term_s=30.0) == 1
    assert store.take_lease("j", owner="b", now_s=129.9, term_s=30.0) is None
    assert store.take_lease("j", owner="a", now_s=129.9, term_s=30.0) is None
    assert store.lease("j") == Lease("j", 1, "a", 130.0, False)


def test_an_expired_lease_goes_to_the_next_attempt(store: Store) -> None:
    """From `until_s` on another may take over, and the old holder is fenced."""
    store.take_lease("j", owner="a", now_s=100.0, term_s=30.0)
    assert store.take_lease("j", owner="b", now_s=130.0, term_s=30.0) == 2
    assert not store.renew_lease("j", attempt=1, owner="a", until_s=999.0)
    assert store.lease("j") == Lease("j", 2, "b", 160.0, False)


def test_a_renewed_lease_lasts_longer(store: Store) -> None:
    """Until the new time nobody else gets it."""
    store.take_lease("j", owner="a", now_s=100.0, term_s=30.0)
    assert store.renew_lease("j", attempt=1, owner="a", until_s=150.0)
    assert store.take_lease("j", owner="b", now_s=149.0, term_s=30.0) is None
    assert store.take_lease("j", owner="b", now_s=150.0, term_s=30.0) == 2


def test_a_released_lease_is_free_at_once(store: Store) -> None:
    """And cannot be renewed any more."""
    store.take_lease("j", owner="a", now_s=100.0, term_s=30.0)
    store.release_lease("j", attempt=1, owner="a")
    assert not store.renew_lease("j", attempt=1, owner="a", until_s=150.0)
    assert store.lease("j") == Lease("j", 1, "a", 130.0, True)
    assert store.take_lease("j", owner="b", now_s=101.0, term_s=30.0) == 2


def test_only_the_owner_renews_and_releases(store: Store) -> None:
    """Another owner's call changes nothing."""
    store.take_lease("j", owner="a", now_s=100.0, term_s=30.0)
    assert not store.renew_lease("j", attempt=1, owner="b", until_s=150.0)
    store.release_lease("j", attempt=1, owner="b")
    assert store.lease("j") == Lease("j", 1, "a", 130.0, False)


def test_a_job_without_a_lease_has_none(store: Store) -> None:
    """Leases are per job."""
    store.take_lease("j", owner="a", now_s=100.0, term_s=30.0)
    assert store.lease("k") is None
    assert not store.renew_lease("k", attempt=1, owner="a", until_s=150.0)


# Preferences


def test_the_highest_version_counts(store: Store) -> None:
    """By number, per key."""
    for version in (1, 2, 10):
        assert store.put_preference("k", version=version, value={"v": version}, now_s=float(version))
    store.put_preference("l", version=99, value={}, now_s=0.0)
    assert store.preference("k") == Preference("k", 10, {"v": 10}, 10.0)
    assert store.preference("nothing") is None


def test_a_version_is_inserted_once(store: Store) -> None:
    """The second gets False, and the first one's value stands."""
    assert store.put_preference("k", version=1, value={"v": "first"}, now_s=1.0)
    assert not store.put_preference("k", version=1, value={"v": "second"}, now_s=2.0)
    assert store.preference("k") == Preference("k", 1, {"v": "first"}, 1.0)


def test_a_version_that_was_swept_away_is_not_free(store: Store) -> None:
    """Somebody who slept through five changes does not think that theirs was stored."""
    for version in range(1, 9):
        store.put_preference("k", version=version, value={"v": version}, now_s=1.0)
    store.sweep(now_s=NOW_S, measurement_days=30, rollup_days=730)
    assert not store.put_preference("k", version=2, value={"v": "late"}, now_s=1.0)
    assert store.preference("k") == Preference("k", 8, {"v": 8}, 1.0)


def test_a_preference_may_be_any_json(store: Store) -> None:
    """Nested, with names that hold dots and quotes, and other alphabets."""
    value = {"model": "hf.co/a/b:Q4_K_M", "tasks": {"coding": None, "llama3.2:1b": [1, {"we'ird": "ü 東"}]}}
    store.put_preference("k", version=1, value=value, now_s=1.0)
    found = store.preference("k")
    assert found is not None
    assert found.value == value


# Cache


def test_a_cached_value_is_there_until_it_expires(store: Store) -> None:
    """Exactly as long as was said, and for the clock of the reader."""
    store.cache_put("model_perf_m", {"a": [1, None]}, now_s=NOW_S, ttl_s=100.0)
    assert store.cache_get("model_perf_m", now_s=NOW_S + 99) == {"a": [1, None]}
    assert store.cache_get("model_perf_m", now_s=NOW_S + 100) is None
    assert store.cache_get("other", now_s=NOW_S) is None


def test_a_cached_value_is_replaced(store: Store) -> None:
    """The newest value and its time count."""
    store.cache_put("k", 1, now_s=NOW_S, ttl_s=10.0)
    store.cache_put("k", 2, now_s=NOW_S, ttl_s=100.0)
    assert store.cache_get("k", now_s=NOW_S + 50) == 2


# Sweeping


def test_the_sweep_removes_old_measurements_and_keeps_rollups(store: Store) -> None:
    """Older than so many days; roll-ups, which are kept longer, stay."""
    store.add_measurements([measured("old", NOW_S - 2 * DAY_S - 1), measured("new", NOW_S - DAY_S)])
    store.put_rollup("r", {"ollama_url": URL, "model": "m", "hour_s": int(NOW_S - 3 * DAY_S)})
    store.sweep(now_s=NOW_S, measurement_days=2, rollup_days=730)
    assert [m.id for m in store.measurements(ollama_url=URL, since_s=0)] == ["new"]
    assert len(store.rollups(ollama_url=URL)) == 1


def test_the_sweep_removes_old_rollups_and_keeps_whole_lives(store: Store) -> None:
    """Hours, and days (which stand negated), of more than so many days ago; the sums of a whole life stay."""
    old, new = int(NOW_S - 5 * DAY_S) - 1, int(NOW_S - 5 * DAY_S) + 1
    for hour_s in (old, new, -old, -new, 0):
        store.put_rollup(f"r{hour_s}", {"ollama_url": URL, "model": "m", "hour_s": hour_s})
    store.sweep(now_s=NOW_S, measurement_days=30, rollup_days=5)
    assert [each["hour_s"] for each in store.rollups(ollama_url=URL, since_s=-NOW_S)] == [-new, 0, new]


def test_the_sweep_keeps_the_newest_five_versions(store: Store) -> None:
    """Of each key; the one in force is among them."""
    for version in range(1, 8):
        store.put_preference("k", version=version, value={}, now_s=1.0)
    store.put_preference("l", version=1, value={"only": True}, now_s=1.0)
    store.sweep(now_s=NOW_S, measurement_days=30, rollup_days=730)
    assert not any(store.put_preference("k", version=kept, value={}, now_s=1.0) for kept in (3, 4, 5, 6, 7))
    assert store.preference("l") == Preference("l", 1, {"only": True}, 1.0)


def test_the_sweep_keeps_the_newest_lease(store: Store) -> None:
    """Attempts go on from where they were, however many there have been."""
    for attempt in range(1, 13):
        assert store.take_lease("j", owner="a", now_s=100.0 * attempt, term_s=30.0) == attempt
    store.sweep(now_s=NOW_S, measurement_days=30, rollup_days=730)
    assert store.lease("j") == Lease("j", 12, "a", 1230.0, False)
    assert store.renew_lease("j", attempt=12, owner="a", until_s=1240.0)
    assert store.take_lease("j", owner="b", now_s=1240.0, term_s=30.0) == 13


def test_the_sweep_keeps_200_jobs_of_a_kind_and_what_still_runs(store: Store) -> None:
    """Removed are the oldest of each kind and server, with their leases and cancel requests; live ones never."""
    for number in range(205):
        store.create_job(f"j#{number}", job(number, live=number == 0))
    store.create_job("b#1", job(1, kind="benchmark"))
    store.take_lease("j#1", owner="a", now_s=NOW_S, term_s=30.0)
    store.request_cancel("j#1", user=None, now_s=NOW_S)
    store.request_cancel("j#100", user=None, now_s=NOW_S)
    store.sweep(now_s=NOW_S, measurement_days=30, rollup_days=730)
    left = [each["id"] for each in store.jobs("download", ollama_url="u", limit=500)]
    assert left == [f"j#{number}" for number in range(204, 4, -1)] + ["j#0"]
    assert store.lease("j#1") is None
    assert not store.cancel_requested("j#1")
    assert store.cancel_requested("j#100")
    assert len(store.jobs("benchmark", ollama_url="u")) == 1


def test_the_sweep_removes_wishes_of_jobs_that_are_over(store: Store) -> None:
    """A day after the last wish; what is wished of a running job stays, and so do choices of other names."""
    ended, gone, running = "download:u:m#1", "download:u:m#2", "download:u:m#3"
    store.create_job(ended, job(1, live=False))
    store.create_job(running, job(3, live=True))
    old, new = NOW_S - DAY_S - 1, NOW_S - DAY_S + 1
    for key, at_s in (
        (f"auto_switch@{ended}", old),
        (f"auto_switch@{gone}", old),
        (f"auto_switch@{running}", old),
        (f"other@{ended}", new),
        ("active_model@http://u:11434", old),
    ):
        store.put_preference(key, version=1, value={"user": None}, now_s=at_s)
    store.put_preference(f"other@{gone}", version=1, value={}, now_s=new)
    store.put_preference(f"other@{gone}", version=2, value={}, now_s=old)
    store.sweep(now_s=NOW_S, measurement_days=30, rollup_days=730)

    assert store.preference(f"auto_switch@{ended}") is None
    assert store.preference(f"auto_switch@{gone}") is None
    for kept in (f"auto_switch@{running}", f"other@{ended}", f"other@{gone}", "active_model@http://u:11434"):
        assert store.preference(kept) is not None


def test_the_sweep_keeps_the_newest_usage_lines(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as are kept (10,000, here 3)."""
    monkeypatch.setattr("elixi_models.store.rowsweeping.KEPT_USAGE_LINES", 3)
    monkeypatch.setattr("elixi_models.store.sweeping.KEPT_USAGE_LINES", 3)
    store.add_usage([used(f"u{n}", NOW_S + n) for n in range(5)])
    store.sweep(now_s=NOW_S, measurement_days=30, rollup_days=730)
    assert [line.id for line in store.usage(ollama_url=URL)] == ["u4", "u3", "u2"]


def test_the_sweep_removes_expired_cache(store: Store, medium: Medium) -> None:
    """What has expired is gone even for a clock that is behind; the rest stays."""
    store.cache_put("old", 1, now_s=NOW_S, ttl_s=10.0)
    store.cache_put("new", 2, now_s=NOW_S, ttl_s=100.0)
    store.sweep(now_s=NOW_S + 10, measurement_days=30, rollup_days=730)
    assert store.cache_get("old", now_s=NOW_S) is None
    assert store.cache_get("new", now_s=NOW_S) == 2


def test_sweeping_nothing_is_no_error(store: Store) -> None:
    """An empty store has nothing to remove."""
    store.sweep(now_s=NOW_S, measurement_days=30, rollup_days=730)


# Races


def take(store: Store, number: int) -> bool:
    return store.take_lease(f"j#{number}", owner=str(threading.get_ident()), now_s=1000.0, term_s=60.0) is not None


def choose(store: Store, number: int) -> bool:
    return store.put_preference("k", version=number + 1, value={}, now_s=1.0)


def create(store: Store, number: int) -> bool:
    return store.create_job(f"j#{number}", job(number))


@pytest.mark.parametrize("claim", [take, choose, create])
def test_of_many_threads_exactly_one_wins(store: Store, claim: Callable[[Store, int], bool]) -> None:
    """A lease, a version and a job id each go to one of eight threads, ten times over."""
    won: list[int] = []
    gate = threading.Barrier(8)

    def race() -> None:
        for number in range(10):
            gate.wait(30)
            if claim(store, number):
                won.append(number)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(10))


@pytest.mark.parametrize("what", ["lease", "preference", "job"])
def test_of_several_processes_exactly_one_wins(medium: Medium, what: str) -> None:
    """The same between four processes that have nothing in common but the medium."""
    if medium.recipe is None:
        pytest.skip("lives in one process")
    processes = [spawn(what, medium.recipe) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [int(line) for process in processes for line in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(won) == list(range(ROUNDS))


def test_what_a_killed_writer_was_told_is_stored_is_stored(medium: Medium) -> None:
    """kill -9 in the middle of writing loses nothing that was acknowledged."""
    if medium.recipe is None:
        pytest.skip("lives in one process")
    process = spawn("write", medium.recipe)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    acknowledged = [process.stdout.readline().strip() for _ in range(50)]
    process.kill()
    rest, _ = process.communicate()
    acknowledged += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    store = medium.open()
    stored = {m.id for m in store.measurements(ollama_url="u", since_s=0)}
    store.close()
    assert {each.strip() for each in acknowledged} <= stored
