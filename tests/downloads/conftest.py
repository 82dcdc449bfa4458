"""Doubles for the server that downloads stand on; the store and its follower are real."""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elixi_models.downloads import policy, worker
from elixi_models.downloads.jobs import DownloadQueue
from elixi_models.errors import Cancelled, StoreUnavailable
from elixi_models.inventory import InstalledModel, ServerView
from elixi_models.names import ModelName
from elixi_models.records import DownloadJob, PullEvent
from elixi_models.settings import Settings
from elixi_models.store.following import StoreFollower
from elixi_models.store.sqlite import SqliteStore

URL = "http://127.0.0.1:11434"
WAIT_S = 10.0
"""Longer than anything takes; a test that waits so long has failed."""
MANIFEST = PullEvent("pulling manifest")
SUCCESS = PullEvent("success")


def layer(completed: int, total: int = 100_000_000, digest: str = "sha256:a") -> PullEvent:
    return PullEvent(f"pulling {digest[7:]}", digest, total, completed)


class Ollama:
    """A server that can be pulled from, and the observer that looks at it.

    `scripts[name]` has one list for each try: events, errors to raise, callables to run, or `HOLD`, which waits until
    `let(name)`. A try without a script is a small model at full speed. A pull that ends installs the model.
    """

    HOLD = object()

    def __init__(self) -> None:
        self.scripts: dict[str, list[list[Any]]] = defaultdict(list)
        self.pulls: list[str] = []
        self.cancelled: list[str] = []
        self.models: dict[str, InstalledModel] = {}
        self.as_of_s = 0.0
        self.reachable = True
        self.most_at_once = 0
        self._at_once = 0
        self._gates: dict[str, threading.Event] = defaultdict(threading.Event)
        self._changed = threading.Condition()

    def pull(self, name: str, *, cancellation: Any = None) -> Iterator[PullEvent]:
        with self._changed:
            self.pulls.append(name)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self._changed.notify_all()
        try:
            for step in self.scripts[name].pop(0) if self.scripts[name] else [MANIFEST, SUCCESS]:
                yield from self._do(name, step, cancellation)
            self.install(name)
        finally:
            with self._changed:
                self._at_once -= 1
                self._changed.notify_all()

    def _do(self, name: str, step: Any, cancellation: Any) -> Iterator[PullEvent]:
        if step is self.HOLD:
            gate = self._gates[name]
            with cancellation.on_cancel(gate.set):
                assert gate.wait(WAIT_S)
        elif isinstance(step, Exception):
            raise step
        elif callable(step):
            step()
        if cancellation.cancelled:
            with self._changed:
                self.cancelled.append(name)
                self._changed.notify_all()
            raise Cancelled("called off")
        if isinstance(step, PullEvent):
            yield step

    def let(self, name: str) -> None:
        self._gates[name].set()

    def install(self, name: str, size_bytes: int = 4_000_000_000) -> None:
        self.models[name] = InstalledModel(name, f"sha256:{name}", size_bytes=size_bytes)

    def wait_pulling(self, name: str, times: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.pulls.count(name) >= times, WAIT_S)

    def wait_cancelled(self, name: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: name in self.cancelled, WAIT_S)

    @property
    def view(self) -> ServerView:
        return ServerView(URL, self.as_of_s, self.reachable, installed=tuple(self.models.values()))

    def ask(self, wait_s: float = 0.3) -> ServerView:
        return self.view

    def refresh(self, timeout_s: float = 5.0) -> ServerView:
        return self.view


class Shop(SqliteStore):
    """The store; while `away` it cannot be reached. `writes` are the states that were written of jobs, `refused`
    counts who asked in vain."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.away = False
        self.refused = 0
        self.writes: list[str] = []
        self._written = threading.Condition()
        self._newest: dict[str, Any] = {}

    def __getattribute__(self, name: str) -> Any:
        if name in ("_writing", "_rows", "ping") and self.away:
            self.refused += 1
            raise StoreUnavailable("away")
        return super().__getattribute__(name)

    def write_job(self, job_id: str, job: Any) -> None:
        super().write_job(job_id, job)
        with self._written:
            self.writes.append(job["state"])
            self._newest = dict(job)
            self._written.notify_all()

    def wait_written(self, fraction: float) -> None:
        """Wait until a job was written with that progress."""
        with self._written:
            done = self._written.wait_for(lambda: self._newest.get("progress", {}).get("fraction") == fraction, WAIT_S)
            assert done


class Process:
    """One process of the app, with a queue of downloads and its own view of the store."""

    def __init__(self, ollama: Ollama, store: Shop, owner: str, **given: Any) -> None:
        self.store, self.ollama, self.owner = store, ollama, owner
        self.finished: queue.Queue[DownloadJob] = queue.Queue()
        self.clock = given.pop("clock", time.time)
        monotonic = given.pop("monotonic", time.monotonic)
        on_finished = given.pop("on_finished", None)
        self.settings = Settings(ollama_url=URL, **given)
        self.later_s = 0.0
        self.follower = StoreFollower(store, self.settings, monotonic=lambda: time.monotonic() + self.later_s)
        self.queue = DownloadQueue(
            store=store,
            follower=self.follower,
            gateway=ollama,  # type: ignore[arg-type]
            observer=ollama,  # type: ignore[arg-type]
            settings=self.settings,
            owner=owner,
            clock=self.clock,
            monotonic=monotonic,
            on_finished=on_finished or self.finished.put,
        )

    def start(self, name: str, *, wait_s: float = WAIT_S, **given: Any) -> DownloadJob:
        return self.queue.start(ModelName.parse(name), wait_s=wait_s, **given)

    def find(self, name: str) -> DownloadJob | None:
        return self.queue.find(ModelName.parse(name))

    def cancel(self, name: str, **given: Any) -> DownloadJob:
        return self.queue.cancel(ModelName.parse(name), **given)

    def end(self) -> DownloadJob:
        """The next job that ends here."""
        return self.finished.get(timeout=WAIT_S)

    def look(self) -> None:
        """Let the follower do what it was asked to, and see what others stored."""
        self.follower.refresh_jobs().result(WAIT_S)

    def notice_store(self) -> None:
        """Let the follower find out whether the store is there, however long it would pause before asking again."""
        self.later_s += 60.0
        self.follower.turn()

    def stored(self, name: str) -> dict[str, Any] | None:
        return self.store.newest_job("download", f"{URL}:{ModelName.parse(name).key}")


@pytest.fixture
def ollama() -> Ollama:
    """A server with nothing installed."""
    return Ollama()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Shop]:
    """A store in a file of its own."""
    shop = Shop(tmp_path / "elixi.db")
    yield shop
    shop.away = False
    shop.close()


@pytest.fixture
def begin(ollama: Ollama, store: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Process]]:
    """A function that starts a process: `begin(owner, max_pulls=…)`. Pauses and ticks are short."""
    monkeypatch.setattr(worker, "_TICK_S", 0.01)
    monkeypatch.setattr(worker, "_WRITE_S", 0.0)
    monkeypatch.setattr(policy, "_FIRST_PAUSE_S", 0.001)
    running: list[Process] = []

    def start(owner: str = "one", **given: Any) -> Process:
        running.append(Process(ollama, store, owner, **given))
        return running[-1]

    yield start
    for process in running:
        process.queue.close()
        process.follower.close()
