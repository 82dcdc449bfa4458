"""Doubles for the parts that switching stands on: a server, its observer, the store's follower, a brain."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from elixi_models.errors import Cancelled, ElixiModelsError
from elixi_models.inventory import InstalledModel, LoadedModel, ServerView
from elixi_models.settings import Settings
from elixi_models.store.base import Preference
from elixi_models.switching.active import ActiveChoice
from elixi_models.switching.loading import ModelSwitch

URL = "http://127.0.0.1:11434"
WAIT_S = 10.0
"""Longer than anything takes; a test that waits so long has failed."""


class Server:
    """Ollama as far as loading goes, and the observer that looks at it.

    Loads of names in `held` wait until `let(name)`; `errors` are raised by loads; a load pushes out `evicts[name]`.
    """

    def __init__(self, *names: str) -> None:
        self.models = {name: InstalledModel(name, f"sha256:{name}") for name in names}
        self.resident: set[str] = set()
        self.loads: list[str] = []
        self.aborted: list[str] = []
        self.errors: dict[str, ElixiModelsError] = {}
        self.evicts: dict[str, str] = {}
        self.most_at_once = 0
        self._at_once = 0
        self._gates: dict[str, threading.Event] = {}
        self._changed = threading.Condition()
        self.listeners: list[Callable[[ServerView], None]] = []

    def subscribe(self, listener: Callable[[ServerView], None]) -> None:
        self.listeners.append(listener)

    def look(self) -> None:
        for listener in self.listeners:
            listener(self.view)

    def hold(self, name: str) -> None:
        self._gates[name] = threading.Event()

    def let(self, name: str) -> None:
        self._gates.pop(name).set()

    def load(self, name: str, *, cancellation: Any = None) -> None:
        with self._changed:
            self.loads.append(name)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.resident.discard(self.evicts.get(name, ""))
            self._changed.notify_all()
        try:
            self._wait(name, cancellation)
            if name in self.errors:
                raise self.errors[name]
            self.resident.add(name)
        finally:
            with self._changed:
                self._at_once -= 1
                self._changed.notify_all()

    def _wait(self, name: str, cancellation: Any) -> None:
        gate = self._gates.get(name)
        if gate is not None:
            with cancellation.on_cancel(gate.set):
                assert gate.wait(WAIT_S)
        if cancellation.cancelled:
            self.aborted.append(name)
            raise Cancelled("called off")

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until something about the loads is so."""
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_S)

    def wait_loading(self, name: str) -> None:
        self.wait_for(lambda: name in self.loads)

    @property
    def view(self) -> ServerView:
        loaded = tuple(LoadedModel(name, f"sha256:{name}") for name in sorted(self.resident))
        return ServerView(URL, 1.0, True, installed=tuple(self.models.values()), loaded=loaded)

    def refresh(self, timeout_s: float = 5.0) -> ServerView:
        return self.view


class Shelf:
    """The stored preferences, shared by the followers of several processes."""

    def __init__(self) -> None:
        self.versions: list[Preference] = []
        self.followers: list[Follower] = []
        self.lock = threading.Lock()

    def put(self, key: str, value: dict[str, Any]) -> Preference:
        with self.lock:
            preference = Preference(key, len(self.versions) + 1, dict(value), 0.0)
            self.versions.append(preference)
            return preference

    @property
    def models(self) -> list[str]:
        return [preference.value["model"] for preference in self.versions]


class Follower:
    """What one process sees of the shelf; `look()` is a look at the store. While `away`, nothing gets there."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.first_read = threading.Event()
        self.away = False
        self._known: Preference | None = None
        self._listener: Callable[[Preference], None] | None = None

    def watch_preference(self, key: str, listener: Callable[[Preference], None] | None = None) -> None:
        self._listener = listener

    def preference(self, key: str) -> Preference | None:
        return self._known

    def set_preference(self, key: str, value: dict[str, Any]) -> Future[Preference]:
        future: Future[Preference] = Future()
        if not self.away:
            self._known = self.shelf.put(key, value)
            future.set_result(self._known)
        return future

    def look(self) -> None:
        if self.shelf.versions and self.shelf.versions[-1] != self._known:
            self._known = self.shelf.versions[-1]
            assert self._listener is not None
            self._listener(self._known)
        self.first_read.set()


class Brain:
    """The host's brain behind its link; made without a value there is none until one is assigned."""

    def __init__(self, value: str | None = None) -> None:
        self.value = value
        self.history: list[str] = []

    def model(self) -> str | None:
        return self.value

    def set_model(self, installed_name: str) -> None:
        if self.value is not None:
            self.value = installed_name
            self.history.append(installed_name)


class Process:
    """One process of the app: an active choice and a switch over shared doubles."""

    def __init__(self, server: Server, shelf: Shelf, clock: Callable[[], float], **given: Any) -> None:
        self.server, self.brain = server, given.get("brain", Brain())
        self.follower = Follower(shelf)
        self.switched: list[Any] = []
        self.told = threading.Event()
        self.settings = Settings(ollama_url=URL, configured_model=given.get("configured"))
        self.active = ActiveChoice(
            follower=self.follower,  # type: ignore[arg-type]
            observer=server,  # type: ignore[arg-type]
            brain=self.brain,
            settings=self.settings,
            clock=clock,
            on_switched=self._switched,
        )
        self.switch = ModelSwitch(
            gateway=server,  # type: ignore[arg-type]
            observer=server,  # type: ignore[arg-type]
            active=self.active,
            settings=self.settings,
            clock=clock,
            monotonic=clock,
        )

    def _switched(self, active: Any) -> None:
        self.switched.append(active)
        self.told.set()

    def to(self, name: str, wait_s: float = WAIT_S, **given: Any) -> Any:
        return self.switch.switch(self.server.models[name], wait_s=wait_s, **given)


@pytest.fixture
def clock() -> Callable[[], float]:
    """Seconds that go up by one with every look."""
    ticks = itertools.count(1_000)
    return lambda: float(next(ticks))


@pytest.fixture
def server() -> Server:
    """Three chat models, none loaded."""
    return Server("a:latest", "b:7b", "c:1b")


@pytest.fixture
def shelf() -> Shelf:
    """An empty store."""
    return Shelf()


@pytest.fixture
def start(server: Server, shelf: Shelf, clock: Callable[[], float]) -> Iterator[Callable[..., Process]]:
    """A function that starts a process: `start(configured=…, brain=…)`."""
    running: list[Process] = []

    def begin(**given: Any) -> Process:
        running.append(Process(server, shelf, clock, **given))
        return running[-1]

    yield begin
    for process in running:
        process.switch.close()


@pytest.fixture
def make_brain() -> type[Brain]:
    """The brain double's class."""
    return Brain


@pytest.fixture
def calls() -> dict[str, list[Any]]:
    """A place to write down what threads returned."""
    return defaultdict(list)
