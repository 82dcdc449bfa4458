"""Doubles that the tests of the follower and of leases drive by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from elixi_models.errors import StoreUnavailable
from elixi_models.store.base import Preference
from elixi_models.store.sqlite import SqliteStore


class FakeTime:
    """A clock and a monotonic clock that move only when told."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        self.ticks = 50.0

    def clock(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.ticks += seconds


class FragileStore(SqliteStore):
    """A real store that can be taken away, and whose calls are counted by name."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.away = False
        self.calls: list[str] = []
        self.before: Callable[[str], None] = lambda verb: None

    def ping(self) -> None:
        self._called("ping")
        super().ping()

    def preference(self, key: str) -> Preference | None:
        self._called("preference")
        return super().preference(key)

    def put_preference(self, key: str, *, version: int, value: Mapping[str, Any], now_s: float) -> bool:
        self._called("put_preference")
        return super().put_preference(key, version=version, value=value, now_s=now_s)

    def jobs(self, kind: str, *, ollama_url: str, limit: int = 200) -> list[dict[str, Any]]:
        self._called("jobs")
        return super().jobs(kind, ollama_url=ollama_url, limit=limit)

    def renew_lease(self, job_id: str, *, attempt: int, owner: str, until_s: float) -> bool:
        self._called("renew_lease")
        return super().renew_lease(job_id, attempt=attempt, owner=owner, until_s=until_s)

    def release_lease(self, job_id: str, *, attempt: int, owner: str) -> None:
        self._called("release_lease")
        super().release_lease(job_id, attempt=attempt, owner=owner)

    def _called(self, verb: str) -> None:
        self.calls.append(verb)
        self.before(verb)
        if self.away:
            raise StoreUnavailable("away for the test")


def run_in_thread(action: Callable[[], object]) -> threading.Thread:
    """A thread that has been started."""
    thread = threading.Thread(target=action)
    thread.start()
    return thread
