"""A model over time, as points of an hour or a day, from roll-ups alone. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from .. import names
from ..errors import InvalidRequest
from ..performance import decode_rate
from ..records import BenchmarkJob, Percentiles
from .rollups import DAY_S, HOUR_S, Rollup, empty_rollup, merge, merge_into, percentiles

Bucket: TypeAlias = Literal["hour", "day"]

_WIDTHS: dict[Bucket, int] = {"hour": HOUR_S, "day": DAY_S}
_MOST_POINTS: dict[Bucket, int] = {"hour": 14 * 24, "day": 366}
_LONGEST_BY_HOURS_S = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked of which model: whole hours or days from `from_s` up to `until_s`.

    Calls count that went to this name, or to the weights that it stands for now. `shortened` when more was asked.
    """

    model: str
    weights_digest: str | None
    bucket: Bucket
    from_s: int
    until_s: int
    shortened: bool = False


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """What a model's calls added up to from `start_s` on, over an hour, a day (UTC) or the whole span.

    Figures follow `ModelSummary`; `outcomes` counts requests by how they ended, `memory_bytes` is the largest
    footprint seen, `weights_digests` are those that answered.
    """

    start_s: int
    requests: int
    failures: int
    error_rate: float | None
    tokens_per_second: float | None
    latency_ms: float | None
    ttft_ms: float | None
    latency_percentiles: Percentiles
    ttft_percentiles: Percentiles
    token_percentiles: Percentiles
    memory_bytes: int | None
    outcomes: dict[str, int]
    weights_digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelHistory:
    """The points of a span, oldest first, only of hours or days with calls; `total` is None without any.

    `pending` when the store did not answer in time: then this is the copy of `as_of_s`, or nothing yet (None).
    """

    span: Span
    points: tuple[HistoryPoint, ...] = ()
    total: HistoryPoint | None = None
    benchmarks: tuple[BenchmarkJob, ...] = ()
    as_of_s: float | None = None
    pending: bool = False


def span_of(
    model: str,
    weights_digest: str | None,
    *,
    from_s: float | None,
    to_s: float | None,
    bucket: Bucket | None,
    now_s: float,
) -> Span:
    """The span of a question: by default the last 24 hours, by the hour up to a week and by the day beyond.

    Never before 1970 nor beyond now, and at most the newest 14 days by the hour or 366 by the day.

    Raises:
        InvalidRequest: it ends before it begins, is not a number, or the bucket is unknown.
    """
    _check(from_s, to_s, bucket)
    end_s = max(0.0, now_s if to_s is None else min(to_s, now_s))
    start_s = max(0.0, end_s - DAY_S if from_s is None else from_s)
    bucket = bucket or ("hour" if end_s - start_s <= _LONGEST_BY_HOURS_S else "day")
    width_s = _WIDTHS[bucket]
    first = math.floor(start_s / width_s)
    last = math.ceil(end_s / width_s) if start_s < end_s else first
    shown_first = max(first, last - _MOST_POINTS[bucket])
    return Span(model, weights_digest, bucket, shown_first * width_s, last * width_s, shown_first > first)


def _check(from_s: float | None, to_s: float | None, bucket: str | None) -> None:
    if bucket is not None and bucket not in tuple(_WIDTHS):
        raise InvalidRequest("bucket must be hour or day", field="bucket", reason="choice", allowed=list(_WIDTHS))
    for field, at_s in (("from", from_s), ("to", to_s)):
        if at_s is not None and not math.isfinite(at_s):
            raise InvalidRequest(f"{field} must be a time", field=field, reason="range")
    if from_s is not None and to_s is not None and from_s > to_s:
        raise InvalidRequest("from must not be later than to", field="from", reason="range")


def scope_of(span: Span) -> tuple[int, int]:
    """`since_s` and `until_s` of the roll-ups of a span; those of days stand negated, hence in reverse."""
    if span.bucket == "day":
        return 1 - span.until_s, min(1 - span.from_s, 0)
    return max(span.from_s, HOUR_S), span.until_s


def piece_of(span: Span, from_s: int, buckets: int) -> Span:
    """So many hours or days of a span, from `from_s` on; fewer at its end."""
    return replace(span, from_s=from_s, until_s=min(span.until_s, from_s + buckets * _WIDTHS[span.bucket]))


class Gathering:
    """A history as its roll-ups come in; only their sums are kept. Not thread-safe."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._points: list[HistoryPoint] = []
        self._whole = empty_rollup()
        self._weights: set[str] = set()

    def add(self, rollups: Iterable[Rollup]) -> None:
        """Count in all roll-ups of the model in some hours or days, later ones than before."""
        by_start: dict[int, list[Rollup]] = defaultdict(list)
        for rollup in rollups:
            by_start[abs(rollup["hour_s"])].append(rollup)
        for start_s in sorted(by_start):
            whole = merge(by_start[start_s])
            weights = {str(each["weights_digest"]) for each in by_start[start_s] if each.get("weights_digest")}
            self._points.append(_point(start_s, whole, weights))
            merge_into(self._whole, whole)
            self._weights |= weights

    def history(self, *, now_s: float) -> ModelHistory:
        """The history of all that was added."""
        total = _point(self._span.from_s, self._whole, self._weights) if self._points else None
        return ModelHistory(self._span, tuple(self._points), total, as_of_s=now_s)


def benchmarks_within(span: Span, jobs: Iterable[BenchmarkJob]) -> tuple[BenchmarkJob, ...]:
    """The benchmarks of a model that measured something and ended within the span, oldest first."""
    found = [
        (job.finished_at_s, job)
        for job in jobs
        if job.report and job.finished_at_s is not None and names.key(job.model) == names.key(span.model)
    ]
    ended = [(at_s, job) for at_s, job in found if span.from_s <= at_s < span.until_s]
    return tuple(job for _, job in sorted(ended, key=lambda each: each[0]))


def _point(start_s: int, whole: Rollup, weights_digests: Iterable[str]) -> HistoryPoint:
    attempts = whole["requests"] - whole["cancelled"]
    buckets = whole["buckets"]
    return HistoryPoint(
        start_s=start_s,
        requests=whole["requests"],
        failures=whole["failures"],
        error_rate=whole["failures"] / attempts if attempts else None,
        tokens_per_second=decode_rate(whole["gaps"], whole["eval_s"]),
        latency_ms=_mean_ms(whole, "latency_s", "latencies"),
        ttft_ms=_mean_ms(whole, "ttft_s", "ttfts"),
        latency_percentiles=percentiles(buckets["latency_ms"]),
        ttft_percentiles=percentiles(buckets["ttft_ms"]),
        token_percentiles=percentiles(buckets["ms_per_token"]),
        memory_bytes=whole["memory_bytes"],
        outcomes=whole["outcomes"],
        weights_digests=tuple(sorted(weights_digests)),
    )


def _mean_ms(whole: dict[str, Any], total_s: str, count: str) -> float | None:
    return 1000 * whole[total_s] / whole[count] if whole[count] else None
