"""The usage history: who did what to which model, when, and how it ended."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .. import names
from ..records import UsageEvent

if TYPE_CHECKING:
    from ..store.base import Store
    from ..store.following import StoreFollower

Action: TypeAlias = Literal["switch", "download", "benchmark", "delete", "unload", "assign"]
_FLUSH_S = 0.5
_REFRESH_S = 2.0
_REMEMBERED = 1_000
_PEEK = 50


class UsageHistory:
    """The newest 1,000 lines in memory, kept up with the store by the thread that follows it. Thread-safe."""

    def __init__(self, *, follower: StoreFollower, ollama_url: str, clock: Callable[[], float] = time.time) -> None:
        self._ollama_url = ollama_url
        self._clock = clock
        self._lock = threading.Lock()
        self._events: dict[str, UsageEvent] = {}
        self._waiting: deque[UsageEvent] = deque(maxlen=_REMEMBERED)
        self._unsent: list[UsageEvent] = []
        self._read = False
        follower.every(_FLUSH_S, self._flush, at_close=True)
        follower.every(_REFRESH_S, self._refresh)

    def record(
        self, action: Action, model: str | None, outcome: str, user: str | None = None, **details: Any
    ) -> UsageEvent:
        """Add a line; it is seen at once and stored within half a second. Does not block.

        Args:
            model: in installed form.
            details: plain JSON values.
        """
        event = UsageEvent(
            id=os.urandom(8).hex(),
            created_at_s=self._clock(),
            ollama_url=self._ollama_url,
            action=action,
            model=model,
            outcome=outcome,
            user=user,
            details=details,
        )
        self._remember([event])
        self._waiting.append(event)
        return event

    def recent(self, limit: int = 100, before_s: float | None = None, model: str | None = None) -> list[UsageEvent]:
        """The newest lines first, from memory; `model` in any spelling, only lines older than `before_s`."""
        wanted = None if model is None else names.key(model)
        with self._lock:
            events = list(self._events.values())
        events.sort(key=lambda event: event.created_at_s, reverse=True)
        chosen = (
            event
            for event in events
            if (before_s is None or event.created_at_s < before_s)
            and (wanted is None or (event.model is not None and names.key(event.model) == wanted))
        )
        return [event for _, event in zip(range(max(0, limit)), chosen, strict=False)]

    def reset_after_fork(self) -> None:
        """In a forked child: what waits is the parent's to write."""
        self._lock = threading.Lock()
        self._waiting = deque(maxlen=_REMEMBERED)
        self._unsent = []

    def _flush(self, store: Store) -> None:
        while self._waiting or self._unsent:
            while self._waiting:
                self._unsent.append(self._waiting.popleft())
            store.add_usage(self._unsent)
            self._unsent = []

    def _refresh(self, store: Store) -> None:
        limit = _PEEK if self._read else _REMEMBERED
        newest = store.usage(ollama_url=self._ollama_url, limit=limit)
        if len(newest) == limit == _PEEK and all(event.id not in self._events for event in newest):
            newest = store.usage(ollama_url=self._ollama_url, limit=_REMEMBERED)
        self._remember(newest)
        self._read = True

    def _remember(self, events: list[UsageEvent]) -> None:
        with self._lock:
            self._events.update({event.id: event for event in events})
            if len(self._events) > _REMEMBERED:
                newest = sorted(self._events.values(), key=lambda event: event.created_at_s)[-_REMEMBERED:]
                self._events = {event.id: event for event in newest}
