"""The last known performance figures of each model, for 24 hours, where the host's own cache keeps such things."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from .. import names
from ..settings import DEFAULT_URL, Settings
from .base import JsonObject, Store
from .documents import storable
from .following import StoreFollower

_READ_S = 1.0
_WRITE_S = 60.0
_HOUR_S = 3600.0
_MOST_ASKED = 500


class PerformanceCache:
    """Figures by model in memory, read from the store once and written to it at most once a minute.

    Thread-safe; nothing blocks, the follower's thread reads and writes. Every value carries `as_of_s`, the epoch
    seconds at which it was noted.
    """

    def __init__(self, *, follower: StoreFollower, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._url = settings.ollama_url
        self._ttl_s = settings.cache_hours * _HOUR_S
        self._clock = clock
        self._figures: dict[str, JsonObject] = {}
        self.reset_after_fork()
        follower.every(_READ_S, self._read)
        follower.every(_WRITE_S, self._write, at_close=True)

    def reset_after_fork(self) -> None:
        """In a forked child: what is to be written is the parent's to write."""
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._looked_up: set[str] = set(self._figures)
        self._unwritten: dict[str, JsonObject] = {}

    def figures(self, model: str) -> JsonObject | None:
        """What is known of a model (installed name) and not older than `cache_hours`; None where nothing is.

        A model that is asked for the first time is looked up in the store within about a second.
        """
        key = self.key(model)
        with self._lock:
            if key not in self._looked_up and len(self._asked) < _MOST_ASKED:
                self._asked.add(key)
            figures = self._figures.get(key)
        return dict(figures) if figures is not None and self._expires_in_s(figures) > 0 else None

    def note(self, model: str, figures: Mapping[str, Any]) -> None:
        """Remember newer figures (plain JSON) of a model (installed name)."""
        key, noted = self.key(model), {**storable(figures), "as_of_s": self._clock()}
        with self._lock:
            self._looked_up.add(key)
            self._figures[key] = self._unwritten[key] = noted

    def key(self, model: str) -> str:
        """`model_perf_<shown name>`, with `@<server>` for any but the default server."""
        key = f"model_perf_{names.shown(model)}"
        return key if self._url == DEFAULT_URL else f"{key}@{self._url}"

    def _expires_in_s(self, figures: JsonObject) -> float:
        return float(figures["as_of_s"]) + self._ttl_s - self._clock()

    def _read(self, store: Store) -> None:
        with self._lock:
            asked = list(self._asked)
        for key in asked:
            stored = store.cache_get(key, now_s=self._clock())
            with self._lock:
                self._asked.discard(key)
                self._looked_up.add(key)
                if isinstance(stored, dict) and isinstance(stored.get("as_of_s"), (int, float)):
                    self._figures.setdefault(key, stored)

    def _write(self, store: Store) -> None:
        with self._lock:
            unwritten = dict(self._unwritten)
        for key, figures in unwritten.items():
            store.cache_put(key, figures, now_s=self._clock(), ttl_s=self._expires_in_s(figures))
            with self._lock:
                if self._unwritten.get(key) is figures:
                    del self._unwritten[key]
