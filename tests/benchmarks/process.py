"""One process of the product, as far as benchmarks go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elixi_models.benchmarks.jobs import BenchmarkQueue
from elixi_models.chatting import Chat
from elixi_models.inventory import InstalledModel
from elixi_models.records import BenchmarkJob, Measurement
from elixi_models.settings import Settings
from elixi_models.store.following import StoreFollower
from elixi_models.store.sqlite import SqliteStore
from elixi_models.testing import OllamaEmulator
from elixi_models.upstream.gateway import OllamaGateway
from elixi_models.upstream.observer import Observer

WAIT_S = 20.0


class Process:
    """What one process has: gateway, observer, store, follower, chat and the queue."""

    def __init__(self, ollama: OllamaEmulator, path: Path, owner: str, **options: Any) -> None:
        wishes = {"lease_s": 30.0, "observe_active_s": 0.1, **options.pop("settings", {})}
        self.ollama = ollama
        self.settings = Settings(ollama_url=ollama.url, **wishes)
        self.gateway = OllamaGateway(self.settings)
        self.observer = Observer(self.gateway, self.settings)
        self.store = SqliteStore(path)
        self.follower = StoreFollower(self.store, self.settings)
        self.measured: list[Measurement] = []
        self.finished: list[BenchmarkJob] = []
        self.ended = threading.Event()
        self.chat = Chat(
            gateway=self.gateway,
            observer=self.observer,
            settings=self.settings,
            record=self.measured.append,
            monotonic=options.pop("chat_monotonic", time.monotonic),
        )
        self.queue = BenchmarkQueue(
            store=options.pop("store", self.store),
            follower=self.follower,
            gateway=self.gateway,
            observer=self.observer,
            chat=self.chat,
            settings=self.settings,
            owner=owner,
            on_finished=self._finish,
            **options,
        )
        self.follower.start()
        self.observer.ask(WAIT_S)

    def _finish(self, job: BenchmarkJob) -> None:
        self.finished.append(job)
        self.ended.set()

    def model(self, name: str) -> InstalledModel:
        model = self.observer.view.find(name)
        assert model is not None
        return model

    def start(self, name: str, **wishes: Any) -> BenchmarkJob:
        return self.queue.start(self.model(name), **wishes)

    def end(self) -> BenchmarkJob:
        """Wait until the benchmark has ended and the server is tidied up."""
        assert self.ended.wait(WAIT_S)
        job = self.queue.find()
        assert job is not None
        return job

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so, looking every 10 ms."""
        until = threading.Event()
        for _ in range(int(WAIT_S / 0.01)):
            if condition():
                return
            until.wait(0.01)
        raise AssertionError("it did not come about")

    def close(self) -> None:
        for part in (self.queue, self.observer, self.follower, self.gateway, self.store):
            part.close()
