"""A model over time: which hours or days are meant, and what their roll-ups add up to."""

from __future__ import annotations

import math
import random

import pytest

from elixi_models.errors import InvalidRequest
from elixi_models.metrics.history import Gathering, ModelHistory, Span, benchmarks_within, piece_of, scope_of, span_of
from elixi_models.metrics.rollups import LIFETIME, RollupBook
from elixi_models.records import BenchmarkJob, Percentiles

from .conftest import NOON_S, URL

DAY_S = 86_400
MIDNIGHT_S = int(NOON_S // DAY_S) * DAY_S
NOON = int(NOON_S)


def asked(**given):
    question = {"from_s": None, "to_s": None, "bucket": None, "now_s": NOON_S + 90, **given}
    return span_of("a:1b", "w1", **question)


def rolled(*calls, owner="me"):
    book = RollupBook(URL, owner)
    for one in calls:
        book.add(one)
    return [rollup for _, rollup in book.changed()]


def within(span, rollups):
    """What a store would give for that span."""
    since_s, until_s = scope_of(span)
    return [rollup for rollup in rollups if since_s <= rollup["hour_s"] < until_s]


def history_of(span, rollups, *, now_s):
    """The history of roll-ups that came in all at once."""
    gathering = Gathering(span)
    gathering.add(rollups)
    return gathering.history(now_s=now_s)


class TestSpan:
    """Which hours or days a question means."""

    def test_by_default_the_last_24_hours_by_the_hour(self):
        """Whole hours, the one under way included."""
        assert asked() == Span("a:1b", "w1", "hour", NOON - DAY_S, NOON + 3_600)

    def test_an_end_alone_means_the_24_hours_before_it(self):
        """Widened to whole hours."""
        assert asked(to_s=NOON - 1_800.0) == Span("a:1b", "w1", "hour", NOON - DAY_S - 3_600, NOON)

    def test_beyond_a_week_it_goes_by_the_day(self):
        """Unless hours are asked for."""
        week = {"from_s": NOON_S - 7 * DAY_S, "to_s": NOON_S}
        assert asked(**week).bucket == "hour"
        assert asked(from_s=week["from_s"] - 1, to_s=NOON_S).bucket == "day"
        assert asked(from_s=week["from_s"] - 1, to_s=NOON_S, bucket="hour").bucket == "hour"

    def test_days_are_whole_days_in_utc(self):
        """From the midnight before the beginning to the one after the end."""
        assert asked(from_s=NOON_S - DAY_S, bucket="day") == Span(
            "a:1b", "w1", "day", MIDNIGHT_S - DAY_S, MIDNIGHT_S + DAY_S
        )

    @pytest.mark.parametrize(("bucket", "points", "width_s"), [("hour", 336, 3_600), ("day", 366, DAY_S)])
    @pytest.mark.parametrize("from_s", [0.0, -62_135_596_800.0, 1e9])
    def test_a_range_of_years_is_shortened_to_the_newest(self, bucket, points, width_s, from_s):
        """14 days by the hour or 366 by the day, and it says so."""
        span = asked(from_s=from_s, bucket=bucket)

        assert span.until_s == math.ceil((NOON_S + 90) / width_s) * width_s
        assert span.until_s - span.from_s == points * width_s
        assert span.shortened

    def test_the_future_has_nothing(self):
        """An end in the future is now; a range that lies there is empty."""
        assert asked(to_s=NOON_S + 1e9, from_s=NOON_S) == Span("a:1b", "w1", "hour", NOON, NOON + 3_600)
        assert (empty := asked(from_s=NOON_S + 7_200, to_s=2e11)).from_s == empty.until_s == NOON + 7_200

    @pytest.mark.parametrize("bucket", ["hour", "day"])
    def test_a_range_of_no_length_is_empty(self, bucket):
        """Also in the middle of an hour."""
        span = asked(from_s=NOON_S - 1_800, to_s=NOON_S - 1_800, bucket=bucket)

        assert span.from_s == span.until_s
        assert scope_of(span)[0] >= scope_of(span)[1]

    def test_an_end_before_the_beginning_is_refused(self):
        """Naming the field; also when both are in the future."""
        with pytest.raises(InvalidRequest) as refused:
            asked(from_s=NOON_S + 9, to_s=NOON_S + 8)

        assert refused.value.details == {"field": "from", "reason": "range"}

    def test_times_before_1970_are_none(self):
        """A range that lies there is empty, one that begins there begins in 1970: every time in it can be written."""
        empty = asked(from_s=-62_135_650_000.0, to_s=-62_135_600_000.0)
        assert (empty.from_s, empty.until_s) == (0, 0)
        assert asked(from_s=-7_200.0, to_s=7_200.0).from_s == 0
        assert asked(now_s=-9.0).until_s == 0

    def test_thirty_years_are_not_looked_through(self):
        """A hundred thousand hours asked for are 336 hours, ten thousand days are 366."""
        decades = {"from_s": NOON_S - 30 * 366 * DAY_S, "to_s": NOON_S}
        for bucket, most in (("hour", 14 * DAY_S), ("day", 366 * DAY_S)):
            span = asked(**decades, bucket=bucket)
            assert (span.until_s - span.from_s, span.shortened) == (most, True)

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("field", ["from", "to"])
    def test_what_is_no_time_is_refused(self, field, bad):
        """Naming the field."""
        with pytest.raises(InvalidRequest) as refused:
            asked(**{f"{field}_s": bad})

        assert refused.value.details == {"field": field, "reason": "range"}

    @pytest.mark.parametrize("bucket", ["week", "", "HOUR", 1, ["hour"]])
    def test_an_unknown_bucket_is_refused(self, bucket):
        """Naming those that there are."""
        with pytest.raises(InvalidRequest) as refused:
            asked(bucket=bucket)

        assert refused.value.details == {"field": "bucket", "reason": "choice", "allowed": ["hour", "day"]}

    def test_a_clock_near_1970_never_reads_whole_lives(self):
        """Those stand where the first hour would."""
        for bucket in ("hour", "day"):
            since_s, until_s = scope_of(asked(now_s=10_000.0, from_s=0.0, bucket=bucket))
            assert not since_s <= LIFETIME < until_s


def test_the_points_of_some_hours(call):
    """Two owners' figures of an hour are one point; hours without calls have none; the total is over all."""
    first = rolled(
        call(created_at_s=NOON_S - 7_000, duration_s=1.0, ttft_s=0.25, tokens=65, eval_s=2.0),
        call(created_at_s=NOON_S - 6_000, outcome="timeout"),
    )
    second = rolled(
        call(created_at_s=NOON_S - 5_000, duration_s=3.0, tokens=65, eval_s=2.0),
        call(created_at_s=NOON_S, outcome="cancelled"),
        owner="other",
    )
    span = asked()
    history = history_of(span, within(span, first + second), now_s=NOON_S)

    one, two = history.points
    assert (one.start_s, one.requests, one.failures, one.error_rate) == (NOON - 7_200, 3, 1, 1 / 3)
    assert (one.tokens_per_second, one.latency_ms, one.ttft_ms) == (32.0, 2_000.0, 250.0)
    assert one.latency_percentiles.p50 == pytest.approx(1_000, rel=0.01)
    assert one.latency_percentiles.p99 == pytest.approx(3_000, rel=0.01)
    assert one.ttft_percentiles.p95 == pytest.approx(250, rel=0.01)
    assert one.token_percentiles.p50 == pytest.approx(31.25, rel=0.01)
    assert (one.outcomes, one.weights_digests) == ({"ok": 2, "timeout": 1}, ("w1",))
    assert (two.start_s, two.requests, two.error_rate, two.latency_ms) == (NOON, 1, None, None)
    assert two.latency_percentiles == Percentiles()
    assert history.total is not None
    assert (history.total.start_s, history.total.requests, history.total.tokens_per_second) == (span.from_s, 4, 32.0)
    assert (history.as_of_s, history.pending) == (NOON_S, False)


def test_days_are_read_from_the_sums_of_days(call):
    """A day is one roll-up of each owner, however many hours it had; both ends are whole days."""
    calls = [call(created_at_s=MIDNIGHT_S + hour * 3_600.0) for hour in (-25, -1, 0, 5, 12)]
    span = asked(from_s=MIDNIGHT_S - 1.0, bucket="day")
    rollups = within(span, rolled(*calls))
    history = history_of(span, rollups, now_s=NOON_S)

    assert len(rollups) == 2
    assert [(point.start_s, point.requests) for point in history.points] == [(MIDNIGHT_S - DAY_S, 1), (MIDNIGHT_S, 3)]


def test_the_weights_that_answered_are_told(call):
    """Of a point those of its calls, where they are known; of the total all."""
    rollups = rolled(
        call(weights_digest="w1", created_at_s=NOON_S - 3_600),
        call(weights_digest=None),
        call(model="mine:latest", weights_digest="w1"),
        call(weights_digest="w0"),
    )
    history = history_of(asked(), within(asked(), rollups), now_s=NOON_S)

    assert [point.weights_digests for point in history.points] == [("w1",), ("w0", "w1")]
    assert history.total is not None
    assert (history.total.requests, history.total.weights_digests) == (4, ("w0", "w1"))


@pytest.mark.parametrize("bucket", ["hour", "day"])
@pytest.mark.parametrize("buckets", [1, 3, 1_000])
def test_pieces_make_up_the_whole(call, bucket, buckets):
    """Read in pieces of any length a history is the same as read at once, and no piece is read twice."""
    draw = random.Random(6)
    calls = [
        call(created_at_s=NOON_S - draw.uniform(0, 9 * DAY_S), duration_s=draw.uniform(0.1, 9), tokens=9, eval_s=1.0)
        for _ in range(100)
    ]
    span = asked(from_s=NOON_S - 9 * DAY_S, bucket=bucket)
    rollups = rolled(*calls)
    gathering, next_s, read = Gathering(span), span.from_s, 0
    while next_s < span.until_s:
        piece = piece_of(span, next_s, buckets)
        gathering.add(found := within(piece, rollups))
        next_s, read = piece.until_s, read + len(found)
    whole = history_of(span, within(span, rollups), now_s=NOON_S)
    pieced = gathering.history(now_s=NOON_S)

    assert read == len(within(span, rollups))
    assert pieced.points == whole.points
    assert pieced.total == whole.total


def test_nothing_has_no_points_and_no_total():
    """An empty list, not zeros."""
    assert history_of(asked(), [], now_s=NOON_S) == ModelHistory(asked(), as_of_s=NOON_S)


def test_the_largest_footprint_counts(call):
    """Of all owners that saw one; roll-ups of an earlier version, which know none, change nothing."""
    rollups = [rolled(call(), owner=owner)[0] for owner in ("one", "two", "three")]
    rollups[0]["memory_bytes"], rollups[1]["memory_bytes"] = 5, 7
    del rollups[2]["memory_bytes"]

    assert history_of(asked(), rollups, now_s=NOON_S).points[0].memory_bytes == 7


def test_the_benchmarks_of_a_span():
    """Those of the model that measured something and ended in it, oldest first."""

    def job(number, at_s, model="a:1b", report={"benchmarks": {}}):  # noqa: B006
        return BenchmarkJob(f"j#{number}", URL, model, "quick", "ok", 0.0, 0.0, finished_at_s=at_s, report=report)

    wanted = [job(1, NOON_S), job(2, NOON_S - 60, model="A:1b")]
    others = [
        job(3, NOON_S - 2 * DAY_S),
        job(4, NOON_S, report=None),
        job(5, None),
        job(6, NOON_S, model="b:1b"),
        job(7, NOON_S + 3_600),
    ]

    assert benchmarks_within(asked(), wanted + others) == (wanted[1], wanted[0])
