"""What one model's calls added up to in the last 24 hours, by the minute. Pure but for its own state."""

from __future__ import annotations

import heapq
from collections import Counter, deque

from ..performance import first_token_s, response_s, token_gaps
from ..records import Measurement
from .rollups import bucket_of, is_request

WINDOW_S = 86_400
_MINUTE_S = 60
_RECENT = 200
MICROS = 1_000_000


class Sums:
    """Whole numbers only (microseconds, counts), so that what was added can be taken away again exactly."""

    __slots__ = (
        "cancelled",
        "eval_us",
        "failures",
        "gaps",
        "latencies",
        "latency_buckets",
        "latency_us",
        "requests",
        "ttft_buckets",
        "ttft_us",
        "ttfts",
    )

    def __init__(self) -> None:
        self.requests = self.failures = self.cancelled = 0
        self.gaps = self.eval_us = 0
        self.latencies = self.latency_us = 0
        self.ttfts = self.ttft_us = 0
        #: How many times lie in which bucket of `rollups.bucket_of`; only counts above 0.
        self.latency_buckets: Counter[int] = Counter()
        self.ttft_buckets: Counter[int] = Counter()

    def add(self, other: Sums) -> None:
        """Count in what the other counted."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def subtract(self, other: Sums) -> None:
        """Take away what the other counted and was added before."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) - getattr(other, name))


def count(measurement: Measurement, *sums: Sums) -> None:
    """Count one call into each of the sums; benchmarks and loads count for speed (tokens, first token) only."""
    gaps, eval_s = token_gaps(measurement) or (0, 0.0)
    ttft_s = first_token_s(measurement)
    requested = is_request(measurement)
    latency_s = response_s(measurement) if requested else None
    for each in sums:
        each.gaps += gaps
        each.eval_us += round(eval_s * MICROS)
        if requested:
            each.requests += 1
            each.failures += measurement.failed
            each.cancelled += measurement.outcome == "cancelled"
    if ttft_s is not None:
        bucket, ttft_us = bucket_of(ttft_s * 1000), round(ttft_s * MICROS)
        for each in sums:
            each.ttfts += 1
            each.ttft_us += ttft_us
            each.ttft_buckets[bucket] = each.ttft_buckets.get(bucket, 0) + 1
    if latency_s is not None:
        bucket, latency_us = bucket_of(latency_s * 1000), round(latency_s * MICROS)
        for each in sums:
            each.latencies += 1
            each.latency_us += latency_us
            each.latency_buckets[bucket] = each.latency_buckets.get(bucket, 0) + 1


class Window:
    """The calls of one model name with one set of weights. Memory is bounded: 1,440 minutes and 200 recent calls.

    Not thread-safe. A call dated in the future counts as made now, so a wrong clock cannot keep it for ever.
    """

    def __init__(self, model_key: str, weights_digest: str | None) -> None:
        self.model_key = model_key
        self.weights_digest = weights_digest
        self.sums = Sums()
        self.recent: deque[Measurement] = deque(maxlen=_RECENT)
        self.last_used_at_s: float | None = None
        #: Rises with every call and every change of the sums.
        self.version = 0
        self._minutes: dict[int, Sums] = {}
        self._order: list[int] = []

    def add(self, measurement: Measurement, now_s: float) -> None:
        """Count a call, unless it is older than the window."""
        at_s = min(measurement.created_at_s, now_s)
        self.version += 1
        self.last_used_at_s = at_s if self.last_used_at_s is None else max(self.last_used_at_s, at_s)
        if at_s <= now_s - WINDOW_S:
            return
        minute = int(at_s // _MINUTE_S)
        if minute not in self._minutes:
            self._minutes[minute] = Sums()
            heapq.heappush(self._order, minute)
        count(measurement, self._minutes[minute], self.sums)
        self.recent.append(measurement)

    def expire(self, now_s: float) -> None:
        """Take out the minutes that are more than 24 hours ago."""
        oldest = (now_s - WINDOW_S) // _MINUTE_S
        while self._order and self._order[0] < oldest:
            self.sums.subtract(self._minutes.pop(heapq.heappop(self._order)))
            self.version += 1
        while self.recent and self.recent[0].created_at_s < now_s - WINDOW_S:
            self.recent.popleft()
