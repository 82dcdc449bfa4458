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
from .history import ModelHistory, Span, history_of, scope_of

if TYPE_CHECKING:
    from ..store.base import Store
    from ..store.following import StoreFollower

_FRESH_S = 2.0
_REST_PER_WORK = 10.0
_MOST_KEPT = 64
_MOST_READINGS = 4


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
                self._readings[span] = self._follower.submit(lambda store: self._read(store, span))
            return self._readings[span]

    def _read(self, store: Store, span: Span) -> ModelHistory:
        began = self._monotonic()
        since_s, until_s = scope_of(span)
        rollups = store.rollups(ollama_url=self._ollama_url, since_s=since_s, until_s=until_s)
        history = history_of(span, rollups, now_s=self._clock())
        now = self._monotonic()
        self._keep(span, _Copy(history, now + max(_FRESH_S, _REST_PER_WORK * (now - began))))
        return history

    def _keep(self, span: Span, copy: _Copy) -> None:
        """Only the follower's thread does; readers see the old dict or the new one."""
        copies = {each: kept for each, kept in self._copies.items() if each != span}
        for oldest in list(copies)[: max(0, len(copies) + 1 - _MOST_KEPT)]:
            del copies[oldest]
        self._copies = {**copies, span: copy}


def _arrives(reading: Future[ModelHistory], wait_s: float) -> bool:
    try:
        return settled(reading, wait_s)
    except StoreUnavailable:
        return False
