"""Hourly sums: what counts, how they merge, and that no owner overwrites what it wrote."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elixi_models.metrics import rollups
from elixi_models.metrics.rollups import LIFETIME, RollupBook, add_measurement, empty_rollup, merge, percentiles
from elixi_models.records import Percentiles

URL = "http://127.0.0.1:11434"
DAY_S = 86_400


def rolled(*measurements):
    rollup = empty_rollup()
    for measurement in measurements:
        add_measurement(rollup, measurement)
    return rollup


def test_a_rollup_counts_requests_outcomes_and_sums(call):
    """A success, a failure and a cancelled call: three requests, one failure, sums over the success alone."""
    rollup = rolled(
        call(duration_s=3.0, load_s=1.0, ttft_s=1.5, tokens=11, eval_s=0.5),
        call(outcome="timeout", duration_s=60.0),
        call(outcome="cancelled"),
    )

    assert (rollup["requests"], rollup["failures"], rollup["cancelled"]) == (3, 1, 1)
    assert rollup["outcomes"] == {"ok": 1, "timeout": 1, "cancelled": 1}
    assert (rollup["latency_s"], rollup["latencies"]) == (2.0, 1)
    assert (rollup["ttft_s"], rollup["ttfts"]) == (0.5, 1)
    assert (rollup["gaps"], rollup["eval_s"]) == (10, 0.5)


def test_a_benchmarks_calls_count_for_speed_only(call):
    """A benchmark is nobody's request; its tokens are evidence all the same."""
    rollup = rolled(call(source="benchmark", tokens=65, eval_s=1.0, ttft_s=0.2))

    assert (rollup["requests"], rollup["latencies"], rollup["outcomes"]) == (0, 0, {})
    assert (rollup["gaps"], rollup["ttfts"]) == (64, 1)


def test_merging_is_the_same_as_counting_together(call):
    """Two halves merged equal the whole, in any order, buckets included."""
    draw = random.Random(5)
    calls = [
        call(
            duration_s=draw.uniform(0.1, 9),
            ttft_s=0.05,
            tokens=draw.randint(2, 90),
            eval_s=draw.uniform(0.1, 4),
            outcome=draw.choice(["ok", "timeout"]),
            created_at_s=1e9 + number,
        )
        for number in range(200)
    ]
    whole, parts = rolled(*calls), [rolled(*calls[:70]), rolled(*calls[70:])]

    for merged in (merge(parts), merge(reversed(parts))):
        assert merged["buckets"] == whole["buckets"]
        assert merged["outcomes"] == whole["outcomes"]
        assert merged["last_used_at_s"] == whole["last_used_at_s"] == 1e9 + 199
        assert merged["latency_s"] == pytest.approx(whole["latency_s"])


def test_percentiles_of_merged_buckets_are_within_one_percent(call):
    """The median, the 95th and the 99th percentile of 2,000 times, counted in two roll-ups."""
    draw = random.Random(7)
    times = [draw.lognormvariate(0.5, 1.0) for _ in range(2_000)]
    halves = [rolled(*[call(duration_s=time) for time in half]) for half in (times[:900], times[900:])]
    found = percentiles(merge(halves)["buckets"]["latency_ms"])

    for figure, rank in ((found.p50, 1_000), (found.p95, 1_900), (found.p99, 1_980)):
        assert figure == pytest.approx(sorted(times)[rank - 1] * 1000, rel=0.0101)


@given(
    times_ms=st.lists(st.floats(0.001, 6e8), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_any_merge_has_the_percentiles_of_the_whole_within_one_percent(times_ms, cuts):
    """However the times lie and are split: buckets merge to those of all, and each percentile is within 1 % of a time
    of that rank."""
    ends = [0, *sorted(min(cut, len(times_ms)) for cut in cuts), len(times_ms)]
    parts = [counted(times_ms[start:end]) for start, end in itertools.pairwise(ends)]
    whole = merge(parts)["buckets"]["latency_ms"]
    assert whole == counted(times_ms)["buckets"]["latency_ms"]

    found, ordered = percentiles(whole), sorted(times_ms)
    for figure, part in ((found.p50, 0.5), (found.p95, 0.95), (found.p99, 0.99)):
        # The smallest rank of which at least that part of all lie at or below.
        rank = next(rank for rank in range(1, len(ordered) + 1) if rank >= part * len(ordered))
        assert figure == pytest.approx(ordered[rank - 1], rel=0.01)


def counted(times_ms):
    """A roll-up of just these times."""
    rollup = empty_rollup()
    for time_ms in times_ms:
        buckets = rollup["buckets"]["latency_ms"]
        index = str(rollups.bucket_of(time_ms))
        buckets[index] = buckets.get(index, 0) + 1
    return rollup


def test_there_is_no_percentile_of_nothing():
    """An empty count has no median, nor has one of zeros."""
    assert percentiles({}) == percentiles({"7": 0}) == Percentiles()


def test_percentiles_of_one_time_are_that_time():
    """All three are the middle of its bucket, whether buckets are numbers or digits."""
    assert percentiles({"0": 1}) == percentiles({0: 1}) == Percentiles(*[1.02**0.5] * 3)


def test_percentiles_order_buckets_by_number():
    """Bucket 9 is below bucket 10, also as digits, and -1 below both."""
    found = percentiles({"10": 1, "9": 48, "-1": 51})

    assert found == Percentiles(1.02**-0.5, 1.02**9.5, 1.02**9.5)


def test_a_time_of_zero_has_a_bucket(call):
    """A time below the clock's resolution is counted as very small, not refused."""
    assert sum(rolled(call(duration_s=0.0))["buckets"]["latency_ms"].values()) == 1


def test_a_rollup_that_lacks_fields_merges_as_nothing():
    """What an older version wrote does not break the sum."""
    assert merge([{"requests": 2}])["requests"] == 2


def test_the_book_has_an_hour_a_day_and_a_whole_life_for_each_model(call):
    """Ids name server, model, weights, scope and owner; a day stands negated, the whole life is 0 without buckets."""
    book = RollupBook(URL, "me")
    book.add(call(created_at_s=93_605.0))

    written = dict(book.changed())

    assert list(written) == [f"{URL}|a:1b@w1|93600|me", f"{URL}|a:1b@w1|-86400|me", f"{URL}|a:1b@w1|0|me"]
    hour, day, life = written.values()
    assert (hour["hour_s"], day["hour_s"], life["hour_s"]) == (93_600, -86_400, LIFETIME)
    assert {name: hour[name] for name in ("model", "ollama_url", "weights_digest", "owner", "requests")} == {
        "model": "a:1b",
        "ollama_url": URL,
        "weights_digest": "w1",
        "owner": "me",
        "requests": 1,
    }
    assert day["buckets"] == hour["buckets"] != {}
    assert "buckets" not in life


def test_what_was_written_comes_again_only_when_it_changed(call):
    """Written roll-ups are quiet until a call is added; then they come with everything they ever counted."""
    book = RollupBook(URL, "me")
    book.add(call())
    assert not book.is_written
    for rollup_id, _ in book.changed():
        book.written(rollup_id)
    assert book.is_written
    assert book.changed() == []

    book.add(call())

    assert [rollup["requests"] for _, rollup in book.changed()] == [2, 2, 2]


def test_an_hour_that_was_let_go_of_is_never_written_over(call, monkeypatch):
    """When the clock goes back behind a dropped hour, that hour gets an id of its own."""
    monkeypatch.setattr(rollups, "_FEW_ROLLUPS", 2)
    book = RollupBook(URL, "me")
    book.add(call(created_at_s=3_600.0))
    for rollup_id, _ in book.changed():
        book.written(rollup_id)
    book.add(call(created_at_s=36_000.0))
    book.add(call(created_at_s=36_000.0))

    book.add(call(created_at_s=3_600.0))

    requests = {rollup_id: rollup["requests"] for rollup_id, rollup in book.changed()}
    assert requests[f"{URL}|a:1b@w1|3600|me~1"] == 1
    assert f"{URL}|a:1b@w1|3600|me" not in requests
    assert requests[f"{URL}|a:1b@w1|0|me"] == 4


def test_with_the_store_away_for_weeks_the_oldest_hours_are_given_up(call, monkeypatch):
    """At most so many unwritten hours wait in memory; the whole life stays."""
    monkeypatch.setattr(rollups, "_FEW_ROLLUPS", 2)
    monkeypatch.setattr(rollups, "_MOST_OVER", 5)
    book = RollupBook(URL, "me")
    for hour in range(1, 21):
        book.add(call(created_at_s=DAY_S + hour * 3_600.0))

    waiting = [rollup["hour_s"] for _, rollup in book.changed()]

    assert waiting == [-DAY_S, LIFETIME, *(DAY_S + hour * 3_600 for hour in range(12, 21))]


def test_a_day_is_kept_until_none_of_its_hours_can_change(call, monkeypatch):
    """However many roll-ups there are: one that is let go of and opened again would write over what was stored."""
    monkeypatch.setattr(rollups, "_FEW_ROLLUPS", 2)
    book = RollupBook(URL, "me")
    for hour in (0, 23, 26, 27):
        book.add(call(created_at_s=DAY_S + hour * 3_600.0))
        for rollup_id, _ in book.changed():
            book.written(rollup_id)
        kept = f"{URL}|a:1b@w1|-{DAY_S}|me" in book._rollups
        assert kept == (hour < 27)
