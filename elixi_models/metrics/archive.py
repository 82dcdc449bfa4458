"""Histories for views, which may not wait for a store: read on the follower's thread, kept in memory for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errands import settled
from ..errors import StoreUnavailable
from ..settings import Settings
from .history import Gathering, ModelHistory, Span, piece_of, scope_of

if TYPE_CHECKING:
    from ..store.base import Store
    from ..store.following import StoreFollower

_FRESH_S = 2.0
_REST_PER_WORK = 10.0
_MOST_KEPT = 64
_MOST_READINGS = 4
#: A reading takes at least so many hours or days before others have their turn, and as many as it reads in so long.
_FEWEST_BUCKETS = 25
_TURN_S = 0.03
_MOST_GROWTH = 2


@dataclass(frozen=True, slots=True)
class _Copy:
    history: ModelHistory
    fresh_until: float


class HistoryArchive:
    """The histories asked for lately, at most 64. Thread-safe.

    One that took long to read is fresh for ten times as long: polling cannot keep the store's thread busy.
    """

    def __init__(
        self,
        *,
        follower: StoreFollower,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._follower = follower
        self._ollama_url = settings.ollama_url
        self._clock = clock
        self._monotonic = monotonic
        self._copies: Mapping[Span, _Copy] = {}
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: what is being read is read by the parent; copies stay good."""
        self._lock = threading.Lock()
        self._readings: dict[Span, Future[ModelHistory]] = {}

    def recall(self, span: Span, *, wait_s: float) -> ModelHistory:
        """The history of a span: a fresh copy, else the store's answer within `wait_s`, else the last copy, pending."""
        copy = self._copies.get(span)
        if copy is not None and self._monotonic() < copy.fresh_until:
            return copy.history
        reading = self._begin(span)
        if reading is not None and _arrives(reading, wait_s):
            return reading.result()
        return replace(copy.history if copy is not None else ModelHistory(span), pending=True)

    def _begin(self, span: Span) -> Future[ModelHistory] | None:
        """The reading of a span, started unless it is under way; None while too many are."""
        with self._lock:
            self._readings = {each: future for each, future in self._readings.items() if not future.done()}
            if span not in self._readings:
                if len(self._readings) >= _MOST_READINGS:
                    return None
                reading = _Reading(span, self._follower, self._ollama_url, keep=self._keep, monotonic=self._monotonic)
                self._readings[span] = reading.outcome
                reading.go_on()
            return self._readings[span]

    def _keep(self, gathered: Gathering, took_s: float) -> ModelHistory:
        """Only the follower's thread does; readers see the old dict or the new one."""
        history = gathered.history(now_s=self._clock())
        copies = {each: kept for each, kept in self._copies.items() if each != history.span}
        for oldest in list(copies)[: max(0, len(copies) + 1 - _MOST_KEPT)]:
            del copies[oldest]
        copy = _Copy(history, self._monotonic() + max(_FRESH_S, _REST_PER_WORK * took_s))
        self._copies = {**copies, history.span: copy}
        return history


class _Reading:
    """The reading of one span on the follower's thread, in as many turns as it takes.

    Args:
        keep: makes the history when all is gathered, told how long that took.
    """

    def __init__(
        self,
        span: Span,
        follower: StoreFollower,
        ollama_url: str,
        *,
        keep: Callable[[Gathering, float], ModelHistory],
        monotonic: Callable[[], float],
    ) -> None:
        self.outcome: Future[ModelHistory] = Future()
        self._span = span
        self._follower = follower
        self._ollama_url = ollama_url
        self._keep = keep
        self._monotonic = monotonic
        self._gathering = Gathering(span)
        self._next_s = span.from_s
        self._buckets = _FEWEST_BUCKETS
        self._took_s = 0.0

    def go_on(self) -> None:
        """Take the next turn, after what others have in line."""
        self._follower.submit(self._take_turn).add_done_callback(self._after_turn)

    def _take_turn(self, store: Store) -> ModelHistory | None:
        """Read the next piece; the history when it was the last one."""
        began = self._monotonic()
        piece = piece_of(self._span, self._next_s, self._buckets)
        since_s, until_s = scope_of(piece)
        subject = {"model": self._span.model, "weights_digest": self._span.weights_digest}
        self._gathering.add(store.rollups(ollama_url=self._ollama_url, since_s=since_s, until_s=until_s, **subject))
        took_s = self._monotonic() - began
        self._took_s += took_s
        self._next_s = piece.until_s
        fitting = self._buckets * min(_MOST_GROWTH, _TURN_S / took_s if took_s > 0 else _MOST_GROWTH)
        self._buckets = max(_FEWEST_BUCKETS, round(fitting))
        return self._keep(self._gathering, self._took_s) if self._next_s >= self._span.until_s else None

    def _after_turn(self, turn: Future[ModelHistory | None]) -> None:
        error = turn.exception()
        if error is not None:
            self.outcome.set_exception(error)
        elif (history := turn.result()) is not None:
            self.outcome.set_result(history)
        else:
            self.go_on()


def _arrives(reading: Future[ModelHistory], wait_s: float) -> bool:
    try:
        return settled(reading, wait_s)
    except StoreUnavailable:
        return False
