"""The figures of 24 hours and of all time, in memory."""

from __future__ import annotations

import math
import threading

import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.inventory import InstalledModel
from elixi_models.metrics import summaries as summaries_module
from elixi_models.metrics.rollups import RollupBook, bucket_of
from elixi_models.metrics.summaries import Summaries
from elixi_models.records import ModelSummary, Percentiles

from .conftest import NOON_S, URL, AwayStore

A = InstalledModel("a:1b", "d1", weights_digest="w1")
DAY_S = 86_400


@pytest.fixture
def summaries(clock):
    return Summaries(URL, clock)


def test_a_model_that_was_never_asked_has_no_figures(summaries):
    """Unknown is None, and there were no requests."""
    assert summaries.summary(A) == ModelSummary()


def test_the_figures_of_a_model(summaries, call, clock):
    """Rate over all tokens, mean response without load, first token, share of failures, count, last use."""
    summaries.add(call(duration_s=3.0, load_s=1.0, ttft_s=1.25, tokens=33, eval_s=0.5))
    summaries.add(call(duration_s=4.0, ttft_s=0.75, tokens=97, eval_s=1.5))
    clock.now_s += 5
    summaries.add(call(outcome="timeout", duration_s=60.0))

    assert summaries.summary(A) == ModelSummary(
        tokens_per_second=64.0,
        latency_ms=3_000.0,
        ms_per_token=15.625,
        ttft_ms=500.0,
        error_rate=1 / 3,
        requests=3,
        total_requests=3,
        last_used_at_s=NOON_S + 5,
        latency_percentiles=spread(2_000, 4_000, 4_000),
        ttft_percentiles=spread(250, 750, 750),
    )


def spread(*times_ms: float) -> Percentiles:
    """Percentiles as they are known: the middle of the bucket of each."""
    return Percentiles(*(1.02 ** (bucket_of(time_ms) + 0.5) for time_ms in times_ms))


def test_percentiles_leave_with_the_calls_that_made_them(summaries, call, clock):
    """After 24 hours a slow call is in no percentile any more; a failure never was."""
    summaries.add(call(duration_s=50.0))
    clock.now_s += DAY_S - 60
    for duration_s in (1.0, 2.0):
        summaries.add(call(duration_s=duration_s))
    summaries.add(call(duration_s=9.0, outcome="timeout"))
    assert summaries.summary(A).latency_percentiles == spread(2_000, 50_000, 50_000)

    clock.now_s += 120
    assert summaries.summary(A).latency_percentiles == spread(1_000, 2_000, 2_000)
    assert summaries.summary(A).ttft_percentiles == Percentiles()


def test_the_rate_is_none_until_64_gaps_were_seen(summaries, call):
    """63 gaps give no rate, the next one does."""
    summaries.add(call(tokens=64, eval_s=1.0))
    assert summaries.summary(A).tokens_per_second is None

    summaries.add(call(tokens=2, eval_s=1.0))
    assert summaries.summary(A).tokens_per_second == 32.0


def test_a_cancelled_call_is_no_error_and_no_success(summaries, call):
    """Cancelled calls leave the error rate alone; alone they give none."""
    summaries.add(call(outcome="cancelled"))
    assert summaries.summary(A).error_rate is None

    summaries.add(call(outcome="empty"))
    assert summaries.summary(A).error_rate == 1.0
    assert summaries.summary(A).requests == 2


def test_a_benchmark_shows_in_speed_and_not_in_requests(summaries, call):
    """After a benchmark alone the rate is known, and nobody has asked anything."""
    summaries.add(call(source="benchmark", tokens=65, eval_s=2.0, ttft_s=0.5))

    summary = summaries.summary(A)

    assert (summary.tokens_per_second, summary.ttft_ms) == (32.0, 500.0)
    assert (summary.requests, summary.total_requests, summary.latency_ms, summary.error_rate) == (0, 0, None, None)
    assert summary.last_used_at_s == NOON_S


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, 1e9])
def test_figures_that_cannot_be_true_are_dropped(summaries, call, bad):
    """Such durations count as a request and nowhere else."""
    summaries.add(call(duration_s=bad, ttft_s=bad, load_s=bad, tokens=500, eval_s=bad))

    summary = summaries.summary(A)

    assert (summary.requests, summary.latency_ms, summary.ttft_ms, summary.tokens_per_second) == (1, None, None, None)


def test_a_call_counts_once(summaries, call):
    """The same id, from the recorder and again from the store, is one call."""
    one = call()
    summaries.add(one)
    summaries.add(one)

    assert summaries.summary(A).total_requests == 1


def test_the_memory_of_ids_is_bounded(summaries, call, monkeypatch):
    """At least the newest so many ids are remembered, at most twice as many."""
    monkeypatch.setattr(summaries_module, "_REMEMBERED_IDS", 4)
    calls = [call() for _ in range(9)]
    for one in [*calls, *calls[-4:]]:
        summaries.add(one)

    assert summaries.summary(A).requests == 9
    assert len(summaries._seen) + len(summaries._seen_before) <= 8


def test_a_call_leaves_the_window_after_24_hours(summaries, call, clock):
    """To the minute; what it counted is taken away exactly, and the total stays."""
    summaries.add(call(duration_s=1.1, outcome="ok"))
    clock.now_s += DAY_S - 60
    summaries.add(call(outcome="timeout"))
    assert summaries.summary(A).requests == 2

    clock.now_s += 120
    assert summaries.summary(A).requests == 1
    assert summaries.summary(A).latency_ms is None
    assert summaries.summary(A).error_rate == 1.0
    assert summaries.summary(A).total_requests == 2
    assert len(summaries.recent(A)) == 1


def test_names_that_share_weights_share_evidence(summaries, call):
    """An alias is as fast as what it stands for; another model with the same name but other weights is not."""
    summaries.add(call(model="a:1b", duration_s=2.0))
    alias = InstalledModel("mine:latest", "d2", weights_digest="w1")
    update = InstalledModel("a:1b", "d3", weights_digest="w2")

    assert summaries.summary(alias).latency_ms == 2_000.0
    assert summaries.summary(alias).last_used_at_s is None
    assert summaries.summary(update).latency_ms is None


def test_an_update_does_not_make_a_model_unused(summaries, call):
    """New weights start without evidence, but the requests to that name were made."""
    summaries.add(call(weights_digest="w1"))
    update = InstalledModel("A:1B", "d3", weights_digest="w2")

    summary = summaries.summary(update)

    assert (summary.requests, summary.total_requests, summary.last_used_at_s) == (0, 1, NOON_S)


def test_calls_with_unknown_weights_count_for_their_name(summaries, call):
    """Before the digest is known the name decides, on both sides."""
    summaries.add(call(weights_digest=None, duration_s=2.0))
    assert summaries.summary(A).latency_ms == 2_000.0

    summaries.add(call(weights_digest="w1", duration_s=4.0))
    assert summaries.summary(A).latency_ms == 3_000.0
    assert summaries.summary(InstalledModel("a:1b", "d1")).latency_ms == 3_000.0
    assert summaries.summary(InstalledModel("b:1b", "d9")).requests == 0


@pytest.mark.parametrize("look", ["summary", "recent", "load", "settle"])
def test_what_was_added_is_counted_at_the_next_look(summaries, call, store, look):
    """Not on the thread of the call; whoever looks first counts it, once."""
    summaries.add(call())
    assert len(summaries._added) == 1
    given = {"load": [store], "settle": []}.get(look, [A])
    getattr(summaries, look)(*given)
    assert len(summaries._added) == 0

    assert (summaries.summary(A).requests, summaries.summary(A).total_requests) == (1, 1)


def test_calls_that_nobody_looks_at_do_not_fill_memory(summaries, call, monkeypatch):
    """The caller whose call is one too many counts them all."""
    monkeypatch.setattr(summaries_module, "_MOST_UNCOUNTED", 3)
    for _ in range(7):
        summaries.add(call())
    assert len(summaries._added) == 1

    assert summaries.summary(A).requests == 7


def test_a_child_counts_what_was_added_before_the_fork(summaries, call):
    """In its 24 hours; as a request ever it is the parent's, whose sums tell of it."""
    summaries.add(call())
    summaries.reset_after_fork()

    assert (summaries.summary(A).requests, summaries.summary(A).total_requests) == (1, 0)


@pytest.mark.parametrize("ahead_s", [3_600, 400 * DAY_S])
def test_a_clock_that_was_ahead_for_a_while_leaves_new_calls_right(summaries, call, clock, ahead_s):
    """By hours or by more than a year: what comes after its return is counted, and leaves after a day."""
    summaries.add(call())
    clock.now_s += ahead_s
    summaries.add(call(created_at_s=clock.now_s))
    assert summaries.summary(A).total_requests == 2
    clock.now_s = NOON_S + 60
    summaries.add(call(created_at_s=clock.now_s, duration_s=2.0))
    summary = summaries.summary(A)
    assert summary.requests >= 1
    assert summary.total_requests == 3
    clock.now_s += DAY_S + 60

    assert summaries.summary(A).latency_percentiles.p50 in (None, pytest.approx(2_000, rel=0.01))


def test_a_clock_that_jumps_back_loses_nothing(summaries, call, clock):
    """After an hour back, earlier calls are still there and new ones are counted."""
    summaries.add(call())
    clock.now_s -= 3_600
    summaries.add(call())

    assert summaries.summary(A).requests == 2


def test_a_call_from_the_future_leaves_24_hours_after_it_came(summaries, call, clock):
    """A wrong clock elsewhere cannot keep a call in the window for a year."""
    summaries.add(call(created_at_s=clock.now_s + 365 * DAY_S))
    assert summaries.summary(A).last_used_at_s == NOON_S

    clock.now_s += DAY_S + 60
    assert summaries.summary(A).requests == 0


def test_memory_is_bounded_by_minutes_not_by_calls(summaries, call, clock):
    """3,000 calls in one hour are some 60 sums and the 200 newest calls."""
    for number in range(3_000):
        summaries.add(call(created_at_s=clock.now_s - number * 1.2))

    window = next(iter(summaries._windows.values()))

    assert summaries.summary(A).requests == 3_000
    assert len(window._minutes) <= 61
    assert len(summaries.recent(A)) == 200


def test_the_number_of_models_is_bounded(summaries, call, clock, monkeypatch):
    """With too many names the one used longest ago is given up; all-time totals stay."""
    monkeypatch.setattr(summaries_module, "_MOST_WINDOWS", 3)
    for number in range(4):
        clock.now_s += 1
        summaries.add(call(model=f"m{number}:1b", weights_digest=f"w{number}"))

    oldest, newest = (InstalledModel(f"m{number}:1b", "d", weights_digest=f"w{number}") for number in (0, 3))

    assert (summaries.summary(oldest).requests, summaries.summary(oldest).total_requests) == (0, 1)
    assert summaries.summary(newest).requests == 1


def test_recent_calls_come_oldest_first(summaries, call, clock):
    """Also when they belong to two names of the same weights."""
    first = call(model="a:1b")
    clock.now_s += 1
    second = call(model="mine:latest")
    summaries.add(second)
    summaries.add(first)

    assert summaries.recent(A) == (first, second)


def test_the_same_summary_is_given_while_nothing_changes(summaries, call):
    """It is not computed anew for every look."""
    summaries.add(call())

    assert summaries.summary(A) is summaries.summary(A)


class TestLoading:
    """What other processes, and earlier ones, left in the store."""

    def put(self, store, owner, *calls):
        book = RollupBook(URL, owner)
        store.add_measurements(calls)
        for one in calls:
            book.add(one)
        for rollup_id, rollup in book.changed():
            store.put_rollup(rollup_id, rollup)

    def test_a_restart_brings_the_window_and_the_totals_back(self, summaries, store, call, clock):
        """24 hours of calls, and every request ever, also those whose records are gone."""
        self.put(store, "earlier", call(created_at_s=clock.now_s - 40 * DAY_S), call(created_at_s=clock.now_s - 60))
        summaries.load(store)

        assert (summaries.summary(A).requests, summaries.summary(A).total_requests) == (1, 2)
        assert summaries.summary(A).last_used_at_s == NOON_S - 60

    def test_what_others_add_joins_later(self, summaries, store, call, clock):
        """A call that another process stored is in the window and in the total at the next look, once."""
        summaries.load(store)
        clock.now_s += 2
        self.put(store, "other", call(created_at_s=clock.now_s - 1))
        for _ in range(3):
            summaries.load(store)

        assert (summaries.summary(A).requests, summaries.summary(A).total_requests) == (1, 1)

    def test_what_others_stored_late_joins_too(self, summaries, store, call, clock):
        """A call dated before our last look, by another's clock or delay, is found by the next."""
        summaries.load(store)
        clock.now_s += 2
        self.put(store, "other", call(created_at_s=clock.now_s - 25))
        summaries.load(store)

        assert summaries.summary(A).requests == 1

    def test_own_calls_are_not_counted_twice(self, summaries, store, call, clock):
        """They come back from the store as records and as roll-ups of the owner, and stay one request."""
        own = call()
        summaries.add(own)
        self.put(store, "me", own)
        summaries.load(store, owner="me")
        clock.now_s += 301
        summaries.load(store, owner="me")

        assert (summaries.summary(A).requests, summaries.summary(A).total_requests) == (1, 1)

    def test_totals_are_read_again_from_time_to_time(self, summaries, store, call, clock):
        """After five minutes the others' own count replaces what was counted along."""
        summaries.load(store)
        clock.now_s += 301
        self.put(store, "other", call(created_at_s=clock.now_s - 10 * DAY_S), call(created_at_s=clock.now_s - 1))
        summaries.load(store)

        assert (summaries.summary(A).requests, summaries.summary(A).total_requests) == (1, 2)

    def test_an_outage_is_caught_up_with(self, summaries, store, call, clock):
        """What others stored while this process could not read is read afterwards."""
        summaries.load(store)
        clock.now_s += 600
        with pytest.raises(StoreUnavailable):
            summaries.load(AwayStore())
        self.put(store, "other", call(created_at_s=clock.now_s - 500))
        summaries.load(store)

        assert summaries.summary(A).requests == 1

    def test_a_clock_that_jumped_back_still_finds_new_calls(self, summaries, store, call, clock):
        """Reading goes on from the earlier time."""
        summaries.load(store)
        clock.now_s -= 7_200
        self.put(store, "other", call())
        summaries.load(store)

        assert summaries.summary(A).requests == 1

    def test_a_forked_child_reads_its_parents_requests(self, summaries, store, call, clock):
        """The parent's own count is another process's for the child: it comes from the store."""
        summaries.add(one := call())
        summaries.load(store, owner="parent")
        summaries.reset_after_fork()
        self.put(store, "parent", one)
        summaries.load(store, owner="child")

        assert (summaries.summary(A).requests, summaries.summary(A).total_requests) == (1, 1)


def test_threads_may_add_and_look_at_once(summaries, call):
    """Eight threads, no call lost."""
    calls = [[call() for _ in range(300)] for _ in range(8)]

    def work(mine):
        for one in mine:
            summaries.add(one)
            summaries.summary(A)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert summaries.summary(A).total_requests == 2_400
