"""Measurements to order, a clock to set, and a follower that runs its work when told to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.records import Measurement
from elixi_models.settings import Settings
from elixi_models.store.sqlite import SqliteStore

URL = "http://127.0.0.1:11434"
NOON_S = 1_800_014_400.0
"""The start of an hour, far from any other test's."""


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now_s = NOON_S

    def __call__(self) -> float:
        return self.now_s


class Follower:
    """Runs periodic work when told to; with `away`, the store is."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.away = False
        self.starts = 0
        self.work: list[tuple[float, Callable[[Any], None], bool]] = []

    def start(self) -> None:
        self.starts += 1

    def every(self, interval_s: float, action: Callable[[Any], None], *, at_close: bool = False) -> None:
        self.work.append((interval_s, action, at_close))

    def run(self, interval_s: float | None = None) -> None:
        """Do the work of that interval, or all."""
        for every_s, action, _ in self.work:
            if interval_s in (None, every_s):
                action(self._store())

    def submit(self, action: Callable[[Any], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(action(self._store()))
        except StoreUnavailable as exc:
            future.set_exception(exc)
        return future

    def _store(self) -> Any:
        return AwayStore() if self.away else self.store


class AwayStore:
    """A store that cannot be reached."""

    def __getattr__(self, verb: str) -> Any:
        def refuse(*args: Any, **named: Any) -> Any:
            raise StoreUnavailable("away")

        return refuse


class Machine:
    """A machine of 8,000 MiB on which the weights w1 took 2,000 of them, at a quarter of its load."""

    ram_total_bytes = 8_388_608_000

    def memory_bytes(self, weights_digest: str | None) -> int | None:
        return 2_097_152_000 if weights_digest == "w1" else None

    def cpu_percent(self, weights_digest: str | None, hour_s: int) -> float | None:
        return 25.0 if weights_digest == "w1" else None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings() -> Settings:
    return Settings(ollama_url=URL)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "metrics.db")
    yield opened
    opened.close()


@pytest.fixture
def follower(store: SqliteStore) -> Follower:
    return Follower(store)


@pytest.fixture
def call(clock: Clock) -> Callable[..., Measurement]:
    """Make a measurement: a chat of `a:1b` that went well, at the clock's time, changed by what is given."""
    numbers = itertools.count(1)

    def make(**changes: Any) -> Measurement:
        given = {
            "id": f"{next(numbers):016x}",
            "created_at_s": clock.now_s,
            "ollama_url": URL,
            "model": "a:1b",
            "source": "chat",
            "outcome": "ok",
            "duration_s": 2.0,
            "weights_digest": "w1",
        }
        return Measurement(**{**given, **changes})

    return make
