"""The observer: one thread, one view, looked at often only while somebody asks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from elixi_models.errors import LoadFailed, OllamaBusy, OllamaError, OllamaTimeout, OllamaUnavailable
from elixi_models.inventory import InstalledModel, LoadedModel, ServerView
from elixi_models.settings import Settings
from elixi_models.upstream.observer import Observer

WEIGHTS = "ab" * 32


class Server:
    """A gateway in memory: lists to serve, errors to raise, looks counted, and a gate that holds a look."""

    def __init__(self) -> None:
        self.models = [InstalledModel("a:latest", "d1"), InstalledModel("b:latest", "d2")]
        self.resident = [LoadedModel("a:latest", "d1", 5)]
        self.errors: dict[str, Exception] = {}
        self.looks = 0
        self.shown: list[str] = []
        self.looked = threading.Condition()
        self.gate = threading.Event()
        self.gate.set()
        self.on_show: Callable[[], None] = lambda: None

    def _answer(self, what: str, value: Any) -> Any:
        if what in self.errors:
            raise self.errors[what]
        return value

    def version(self) -> str:
        with self.looked:
            self.looks += 1
            self.looked.notify_all()
        assert self.gate.wait(10)
        return self._answer("version", "0.33.0")

    def installed(self) -> list[InstalledModel]:
        return self._answer("installed", list(self.models))

    def loaded(self) -> list[LoadedModel]:
        return self._answer("loaded", list(self.resident))

    def complete(self, model: InstalledModel) -> InstalledModel:
        self.shown.append(model.name)
        self.on_show()
        self._answer(f"show {model.name}", None)
        return InstalledModel(
            model.name, model.digest, weights_digest=WEIGHTS, capabilities=("completion",), context_length=8192
        )

    def wait_for_look(self, number: int) -> None:
        with self.looked:
            assert self.looked.wait_for(lambda: self.looks >= number, 10)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def monotonic() -> Clock:
    return Clock()


@pytest.fixture
def observer(server: Server, monotonic: Clock) -> Iterator[Observer]:
    observer = Observer(server, Settings(), clock=lambda: 5000.0, monotonic=monotonic)
    yield observer
    server.gate.set()
    observer.close()


def test_first_question_is_answered_with_the_whole_view(server: Server, observer: Observer) -> None:
    """`ask` starts the thread and waits for the first look: lists, version, time, and what show knows."""
    view = observer.ask(10)
    model = view.find("a")
    assert (view.ollama_url, view.as_of_s, view.reachable, view.error_code) == (
        "http://127.0.0.1:11434",
        5000.0,
        True,
        None,
    )
    assert view.version == "0.33.0"
    assert view.loaded == (LoadedModel("a:latest", "d1", 5),)
    assert model == InstalledModel(
        "a:latest", "d1", weights_digest=WEIGHTS, capabilities=("completion",), context_length=8192
    )
    assert observer.view is view


def test_nothing_runs_before_somebody_asks(server: Server, observer: Observer) -> None:
    """Building an observer reads nothing; its view says that nothing is known."""
    assert observer.view == ServerView("http://127.0.0.1:11434")
    assert server.looks == 0


def test_a_slow_first_look_is_waited_for_only_so_long(server: Server, observer: Observer) -> None:
    """With a server that hangs, `ask(0.01)` gives the empty view."""
    server.gate.clear()
    assert observer.ask(0.01).as_of_s is None


def test_later_questions_do_not_wait(server: Server, observer: Observer) -> None:
    """Once there was a look, `ask` gives the last view at once although the server hangs."""
    first = observer.ask(10)
    server.gate.clear()
    observer.hurry()
    server.wait_for_look(2)
    assert observer.ask(10) is first


@pytest.mark.parametrize(
    ("watched_s", "expected_s"), [(0.0, 2.0), (9.9, 2.0), (10.1, 30.0)], ids=["now", "just now", "long ago"]
)
def test_cadence_follows_the_questions(
    server: Server, observer: Observer, monotonic: Clock, watched_s: float, expected_s: float
) -> None:
    """Two seconds between looks while the last question is under ten seconds old, else thirty."""
    observer.ask(10)
    looked_at = monotonic.now
    monotonic.now += watched_s
    assert observer._due_at() - looked_at == expected_s


def test_a_question_after_a_quiet_time_brings_a_look_at_once(
    server: Server, observer: Observer, monotonic: Clock
) -> None:
    """The thread sleeps for thirty seconds; a question wakes it when the last look is older than two."""
    observer.ask(10)
    monotonic.now += 20
    observer.ask()
    server.wait_for_look(2)
    assert server.looks == 2


def test_hurry_looks_again_without_waiting(server: Server, observer: Observer) -> None:
    """`hurry` returns while the look it asked for still hangs."""
    observer.ask(10)
    server.gate.clear()
    observer.hurry()
    server.wait_for_look(2)
    assert observer.view.version == "0.33.0"


def test_refresh_waits_for_a_look_that_began_after_it(server: Server, observer: Observer) -> None:
    """A look under way may have read the lists before our action: `refresh` waits for the one after it."""
    observer.ask(10)
    server.gate.clear()
    observer.hurry()
    server.wait_for_look(2)
    views: list[ServerView] = []
    waiting = threading.Thread(target=lambda: views.append(observer.refresh(10)))
    waiting.start()
    server.models = [InstalledModel("c:latest", "d3")]
    server.gate.set()
    waiting.join(10)
    assert [model.name for model in views[0].installed] == ["c:latest"]
    assert server.looks == 3


def test_refresh_gives_the_last_view_after_its_timeout(server: Server, observer: Observer) -> None:
    """A server that hangs does not hold a worker for longer than it wants to wait."""
    first = observer.ask(10)
    server.gate.clear()
    assert observer.refresh(0.01) is first


def test_show_is_asked_once_per_digest(server: Server, observer: Observer) -> None:
    """An alias has the same digest; a second look asks for nothing, a new digest for itself alone."""
    server.models.append(InstalledModel("alias:latest", "d1"))
    observer.ask(10)
    observer.refresh(10)
    server.models[1] = InstalledModel("b:latest", "d9")
    view = observer.refresh(10)
    assert server.shown == ["a:latest", "b:latest", "b:latest"]
    assert [model.capabilities for model in view.installed] == [("completion",)] * 3


def test_a_model_that_cannot_be_shown_stays_listed_and_is_asked_for_later(
    server: Server, observer: Observer, monotonic: Clock
) -> None:
    """Its capabilities are unknown until `show` works again, a minute later."""
    server.errors["show a:latest"] = LoadFailed("broken")
    assert observer.ask(10).find("a") == InstalledModel("a:latest", "d1")
    observer.refresh(10)
    assert server.shown == ["a:latest", "b:latest"]
    del server.errors["show a:latest"]
    monotonic.now += 60
    model = observer.refresh(10).find("a")
    assert model is not None
    assert model.can_chat is True


def test_a_busy_server_is_asked_again_soon(server: Server, observer: Observer, monotonic: Clock) -> None:
    """Where `show` met a full queue, five seconds are waited, not a minute."""
    server.errors["show a:latest"] = OllamaBusy("full")
    observer.ask(10)
    monotonic.now += 5
    observer.refresh(10)
    assert server.shown == ["a:latest", "b:latest", "a:latest"]


def test_many_models_are_learnt_in_several_looks(server: Server, observer: Observer, monotonic: Clock) -> None:
    """A look spends 1.5 s on `show` at most; the next one follows at once and goes on."""

    def take_some_time() -> None:
        monotonic.now += 0.8

    server.on_show = take_some_time
    server.models = [InstalledModel(f"m{number}", f"d{number}") for number in range(5)]
    observer.ask(10)
    server.wait_for_look(3)
    assert all(model.can_chat for model in observer.refresh(10).installed)
    assert len(server.shown) == 5


def test_the_list_is_there_before_every_model_was_asked_for(server: Server, observer: Observer) -> None:
    """While `show` hangs, the first question already gets the names."""
    release = threading.Event()
    reached = threading.Event()

    def hang() -> None:
        reached.set()
        assert release.wait(10)

    server.on_show = hang
    observer.hurry()
    assert reached.wait(10)
    view = observer.ask(0.01)
    release.set()
    assert [model.name for model in view.installed] == ["a:latest", "b:latest"]
    assert view.installed[0].capabilities is None


@pytest.mark.parametrize("error", [OllamaTimeout("slow"), OllamaError("odd")])
def test_an_unanswered_ps_means_unknown(server: Server, observer: Observer, error: Exception) -> None:
    """The last list of loaded models stays and the server does not count as down."""
    observer.ask(10)
    server.errors["loaded"] = error
    server.resident = []
    view = observer.refresh(10)
    assert view.reachable is True
    assert view.loaded == (LoadedModel("a:latest", "d1", 5),)


def test_a_server_without_a_version_still_lists(server: Server, observer: Observer) -> None:
    """The version is unknown, the rest is there."""
    server.errors["version"] = OllamaError("404")
    view = observer.ask(10)
    assert (view.reachable, view.version, len(view.installed)) == (True, None, 2)


@pytest.mark.parametrize("failing", ["version", "installed", "loaded"])
def test_down_keeps_the_last_copy_and_says_why(server: Server, observer: Observer, failing: str) -> None:
    """A dead server leaves the lists with their age; `reachable` and `error_code` tell."""
    first = observer.ask(10)
    server.errors[failing] = OllamaUnavailable("gone")
    view = observer.refresh(10)
    assert (view.reachable, view.error_code) == (False, "OLLAMA_UNAVAILABLE")
    assert (view.as_of_s, view.installed, view.loaded) == (first.as_of_s, first.installed, first.loaded)


def test_recovery_needs_no_help(server: Server, observer: Observer) -> None:
    """The next look at a server that came back makes the view whole again."""
    server.errors["version"] = OllamaUnavailable("not yet")
    assert observer.ask(10).as_of_s is None
    server.errors.clear()
    view = observer.refresh(10)
    assert (view.reachable, view.error_code, view.as_of_s) == (True, None, 5000.0)


def test_listeners_hear_of_every_look_before_it_counts(server: Server, observer: Observer) -> None:
    """A failed look is told as well; when `refresh` returns the listeners have been called."""
    heard: list[bool] = []
    observer.subscribe(lambda view: heard.append(view.reachable))
    observer.ask(10)
    server.errors["version"] = OllamaUnavailable("gone")
    observer.refresh(10)
    assert heard == [True, False]


def test_disabled_reads_nothing(server: Server) -> None:
    """With OLLAMA_ENABLED=false every method answers at once and no thread starts."""
    observer = Observer(server, Settings(ollama_enabled=False))
    assert observer.ask(10).error_code == "OLLAMA_DISABLED"
    assert observer.refresh(10) is observer.view
    observer.hurry()
    observer.close()
    assert server.looks == 0


def test_close_ends_the_thread_and_is_idempotent(server: Server, observer: Observer) -> None:
    """After it nothing looks at the server any more, whoever asks."""
    observer.ask(10)
    observer.close()
    observer.close()
    assert "elixi-models-observer" not in {thread.name for thread in threading.enumerate()}
    observer.ask(10)
    observer.refresh(10)
    assert server.looks == 1


def test_close_releases_those_who_wait(server: Server, observer: Observer) -> None:
    """A worker in `refresh` does not wait out its timeout for a look that will not come."""
    observer.ask(10)
    server.gate.clear()
    waiting = threading.Thread(target=lambda: observer.refresh(60))
    waiting.start()
    server.wait_for_look(2)
    with observer._changed:
        observer._closed = True
        observer._changed.notify_all()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_listener_may_close_the_observer(server: Server, observer: Observer) -> None:
    """Closing from the observer's own thread does not wait for itself."""
    closed = threading.Event()

    def close(view: ServerView) -> None:
        observer.close()
        closed.set()

    observer.subscribe(close)
    observer.ask(10)
    assert closed.wait(10)


def in_child(check: Callable[[], bool]) -> bool:
    """Whether `check` holds in a forked child of this process."""
    child = os.fork()
    if child == 0:
        held = False
        try:
            held = check()
        finally:
            os._exit(0 if held else 1)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_keeps_the_view_and_looks_for_itself(server: Server, observer: Observer) -> None:
    """After `reset_after_fork` the copy is still there, and the next question starts a thread in the child."""
    first = observer.ask(10)

    def check() -> bool:
        observer.reset_after_fork()
        return observer.ask() is first and observer.refresh(10) is not first

    assert in_child(check)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forked_during_the_first_look_makes_its_own(server: Server, observer: Observer) -> None:
    """The parent's look never ends in the child: the child's first question waits for one of its own."""
    server.gate.clear()
    observer.ask(0.01)
    server.wait_for_look(1)

    def check() -> bool:
        observer.reset_after_fork()
        server.gate.set()
        return observer.ask(10).as_of_s == 5000.0

    assert in_child(check)
