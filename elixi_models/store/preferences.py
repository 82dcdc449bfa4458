"""Preferences in memory: what the store has under the followed keys, and this process's changes on their way to it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..errors import StoreUnavailable
from .base import JsonObject, Preference, Store
from .documents import storable

_log = logging.getLogger("elixi_models.store")
_MOST_ATTEMPTS = 100

Listener = Callable[[Preference], None]


@dataclass(eq=False, slots=True)
class _Change:
    """A value to be stored as the next version. `base` is the version it was made over, None when none was ever read.

    A change is held once the store was away for it: its caller has gone on, so it no longer overrides what others
    stored meanwhile.
    """

    key: str
    value: JsonObject
    created_at_s: float
    base: int | None
    held: bool = False
    future: Future[Preference] = field(default_factory=Future)

    @property
    def preference(self) -> Preference:
        """What the change looks like until it is stored."""
        return Preference(self.key, (self.base or 0) + 1, self.value, self.created_at_s)

    def overtaken(self, newest: Preference) -> bool:
        """Whether somebody stored a newer choice while this one was held."""
        if not self.held:
            return False
        return newest.created_at_s > self.created_at_s if self.base is None else newest.version > self.base

    def is_stored_as(self, newest: Preference) -> bool:
        """Whether the store took it although it seemed to fail."""
        return newest.created_at_s == self.created_at_s and newest.value == self.value


class PreferenceMemory:
    """Thread-safe. Only `flush`, `refresh` and `tell` are for the one thread that talks to the store."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._stored: dict[str, Preference | None] = {}
        self._changes: dict[str, deque[_Change]] = {}
        self._told: dict[str, Preference] = {}

    @property
    def pending(self) -> int:
        """How many changes are not in the store."""
        with self._lock:
            return sum(len(changes) for changes in self._changes.values())

    def watch(self, key: str, listener: Listener | None) -> None:
        """Follow a key from the next look on."""
        with self._lock:
            self._listeners.setdefault(key, []).extend([listener] if listener else [])

    def get(self, key: str) -> Preference | None:
        """The value in force: this process's newest change, else what was last read."""
        with self._lock:
            return self._get(key)

    def _get(self, key: str) -> Preference | None:
        changes = self._changes.get(key)
        return changes[-1].preference if changes else self._stored.get(key)

    def change(self, key: str, value: Mapping[str, Any], *, now_s: float) -> Future[Preference]:
        """Put a value in force and in line for the store; the future has the stored version."""
        with self._lock:
            stored = self._stored.get(key)
            base = (stored.version if stored else 0) if key in self._stored else None
            change = _Change(key, storable(value), now_s, base)
            change.future.set_running_or_notify_cancel()
            self._changes.setdefault(key, deque()).append(change)
        return change.future

    def hold(self) -> None:
        """The store is away: complete every waiting change from memory, and keep the newest of each key for later."""
        with self._lock:
            waiting = [change for changes in self._changes.values() for change in changes]
            for changes in self._changes.values():
                for change in changes:
                    change.held, change.base = True, changes[0].base
                while len(changes) > 1:
                    changes.popleft()
        for change in waiting:
            if not change.future.done():
                change.future.set_result(change.preference)

    def flush(self, store: Store) -> None:
        """Store all changes in their order; blocks.

        Raises:
            StoreUnavailable: the rest waits on.
        """
        while (change := self._next_change()) is not None:
            stored = _insert(store, change)
            with self._lock:
                self._stored[change.key] = stored
                changes = self._changes[change.key]
                if changes and changes[0] is change:
                    changes.popleft()
                for later in changes:
                    later.base = stored.version
            if not change.future.done():
                change.future.set_result(stored)

    def _next_change(self) -> _Change | None:
        with self._lock:
            return next((changes[0] for changes in self._changes.values() if changes), None)

    def refresh(self, store: Store) -> None:
        """Read what is stored under every followed key; blocks."""
        for key in list(self._listeners):
            newest = store.preference(key)
            with self._lock:
                self._stored[key] = newest

    def tell(self) -> list[tuple[Listener, Preference]]:
        """Whom to call with what, each value in force once."""
        news: list[tuple[Listener, Preference]] = []
        with self._lock:
            for key, listeners in self._listeners.items():
                preference = self._get(key)
                if preference is not None and preference != self._told.get(key):
                    self._told[key] = preference
                    news.extend((listener, preference) for listener in listeners)
        return news

    def reset_after_fork(self) -> None:
        """In a forked child: changes on their way are the parent's to store."""
        stored = self._stored
        self._forget()
        self._stored.update(stored)


def _insert(store: Store, change: _Change) -> Preference:
    """Store a change as the version after the newest; gives what is in force then."""
    for _ in range(_MOST_ATTEMPTS):
        newest = store.preference(change.key)
        if newest is not None and change.is_stored_as(newest):
            return newest
        if newest is not None and change.overtaken(newest):
            _log.warning(
                "%s was changed elsewhere while the store was away; the newer choice stands, not the one made here",
                change.key,
            )
            return newest
        version = 1 if newest is None else newest.version + 1
        if store.put_preference(change.key, version=version, value=change.value, now_s=change.created_at_s):
            return Preference(change.key, version, change.value, change.created_at_s)
    raise StoreUnavailable("The store gives no place for a change because others change it all the time. Try again.")
