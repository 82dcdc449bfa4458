"""What one model's calls added up to in the last 24 hours, by the minute. Pure but for its own state."""

from __future__ import annotations

import heapq
from collections import deque

from ..performance import first_token_s, response_s, token_gaps
from ..records import Measurement
from .rollups import is_request

WINDOW_S = 86_400
_MINUTE_S = 60
_RECENT = 200
MICROS = 1_000_000


class Sums:
    """Whole numbers only (microseconds, counts), so that what was added can be taken away again exactly."""

    __slots__ = ("cancelled", "eval_us", "failures", "gaps", "latencies", "latency_us", "requests", "ttft_us", "ttfts")

    def __init__(self) -> None:
        self.requests = self.failures = self.cancelled = 0
        self.gaps = self.eval_us = 0
        self.latencies = self.latency_us = 0
        self.ttfts = self.ttft_us = 0

    def add(self, other: Sums) -> None:
        """Count in what the other counted."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def subtract(self, other: Sums) -> None:
        """Take away what the other counted and was added before."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) - getattr(other, name))

    def count(self, measurement: Measurement) -> None:
        """Count one call; benchmarks and loads count for speed (tokens, first token) only."""
        if (gaps := token_gaps(measurement)) is not None:
            self.gaps += gaps[0]
            self.eval_us += round(gaps[1] * MICROS)
        if (ttft_s := first_token_s(measurement)) is not None:
            self.ttfts += 1
            self.ttft_us += round(ttft_s * MICROS)
        if not is_request(measurement):
            return
        self.requests += 1
        self.failures += measurement.failed
        self.cancelled += measurement.outcome == "cancelled"
        if (latency_s := response_s(measurement)) is not None:
            self.latencies += 1
            self.latency_us += round(latency_s * MICROS)


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
        self._minutes[minute].count(measurement)
        self.sums.count(measurement)
        self.recent.append(measurement)

    def expire(self, now_s: float) -> None:
        """Take out the minutes that are more than 24 hours ago."""
        oldest = (now_s - WINDOW_S) // _MINUTE_S
        while self._order and self._order[0] < oldest:
            self.sums.subtract(self._minutes.pop(heapq.heappop(self._order)))
            self.version += 1
        while self.recent and self.recent[0].created_at_s < now_s - WINDOW_S:
            self.recent.popleft()
