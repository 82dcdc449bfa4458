"""AppState: one service per mount, built once, again after a failure, anew in a forked child."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakSet

import pytest

from elixi_models.errors import ManagerUnavailable
from elixi_models.settings import Settings
from elixi_models.web.options import Options
from elixi_models.web.state import AppState


class Built:
    """A service that only knows what happened to it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def start(self) -> None:
        self.events.append("start")

    def close(self) -> None:
        self.events.append("close")

    def reset_after_fork(self) -> None:
        self.events.append("reset")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Built]:
    """All services that were built, in order."""
    services: list[Built] = []

    def build(self: Options, settings: Settings) -> Built:
        services.append(Built())
        return services[-1]

    monkeypatch.setattr(Options, "build_service", build)
    return services


def test_many_threads_get_one_service(built: list[Built]) -> None:
    """The first twenty requests build once."""
    state = AppState(Options(), {})
    barrier, seen = threading.Barrier(20), []

    def ask() -> None:
        barrier.wait()
        seen.append(state.service)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(built) == 1
    assert set(seen) == {built[0]}


def test_nothing_is_built_before_it_is_needed(built: list[Built]) -> None:
    """Making the state reads no settings and builds nothing."""
    AppState(Options(settings={"switch_wait_s": "soon"}), {})

    assert built == []


@pytest.mark.parametrize("failure", [OSError("disk"), ImportError("no driver"), KeyError("x")])
def test_a_failed_build_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """Whatever goes wrong is MANAGER_UNAVAILABLE without its text; the next call builds anew."""
    service = Built()
    outcomes: list[Any] = [failure, service]

    def build(self: Options, settings: Settings) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(Options, "build_service", build)
    state = AppState(Options(), {})

    with pytest.raises(ManagerUnavailable, match="the next request tries again") as caught:
        _ = state.service
    assert caught.value.__cause__ is failure
    assert state.service is service


def test_an_unknown_setting_is_told_without_a_name(built: list[Built]) -> None:
    """A misspelt field of `settings` cannot be named as a variable; the log has it."""
    with pytest.raises(ManagerUnavailable, match="a setting has a value"):
        _ = AppState(Options(settings={"no_such": 1}), {}).settings


def test_settings_come_from_everywhere_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Environment, then the app's config, then the arguments."""
    monkeypatch.setenv("ELIXI_MODELS_MAX_PULLS", "3")
    monkeypatch.setenv("ELIXI_MODELS_PULL_RETRIES", "3")
    config = {"ELIXI_MODELS_PULL_RETRIES": 4, "ELIXI_MODELS_KEEP_ALIVE": "1h"}
    options = Options(ollama_url="localhost:1", data_dir=tmp_path, settings={"keep_alive": "2h"})

    settings = AppState(options, config).settings

    assert (settings.max_pulls, settings.pull_retries, settings.keep_alive) == (3, 4, "2h")
    assert (settings.ollama_url, settings.data_dir) == ("http://127.0.0.1:1", tmp_path)


def test_a_settings_object_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither environment nor config changes it; the explicit arguments do."""
    monkeypatch.setenv("ELIXI_MODELS_MAX_PULLS", "3")
    given = Settings.load({}, registries=("a", "b"), max_pulls=5)

    settings = Options(settings=given, ollama_url="localhost:1").read_settings({"ELIXI_MODELS_MAX_PULLS": 7})

    assert (settings.max_pulls, settings.registries, settings.ollama_url) == (5, ("a", "b"), "http://127.0.0.1:1")


def test_a_real_service_is_built_without_starting_it(tmp_path: Any) -> None:
    """Building opens no file, connection or thread."""
    before = threading.active_count()
    state = AppState(Options(data_dir=tmp_path / "new"), {})

    assert state.service.settings.data_dir == tmp_path / "new"
    assert threading.active_count() == before
    assert not (tmp_path / "new").exists()
    state.close()


def test_waking_starts_once_and_does_not_wait(built: list[Built]) -> None:
    """The first wake starts the service on a thread; the others do nothing."""
    state, prepared = AppState(Options(), {}), threading.Event()

    state.wake(prepared.set)
    state.wake()
    for thread in threading.enumerate():
        if thread.name == "elixi-models-start":
            thread.join(5)

    assert prepared.is_set()
    assert [service.events for service in built] == [["start"]]


def test_waking_never_raises(monkeypatch: pytest.MonkeyPatch, built: list[Built]) -> None:
    """Neither a bad setting nor a machine without threads disturbs the host's request."""
    AppState(Options(settings={"switch_wait_s": "soon"}), {}).wake()

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    AppState(Options(), {}).wake()

    assert built == []


def test_closing_ends_what_was_built(built: list[Built]) -> None:
    """The service is closed once; afterwards every use says so."""
    state = AppState(Options(), {})
    _ = state.service

    state.close()
    state.close()

    assert built[0].events == ["close"]
    with pytest.raises(ManagerUnavailable, match="was closed"):
        _ = state.service
    state.wake()
    assert len(built) == 1


def test_closing_during_the_start_leaves_nothing_running(built: list[Built]) -> None:
    """A service that starts while the state closes is closed again."""
    state = AppState(Options(), {})
    _ = state.service
    built[0].start = state.close  # type: ignore[method-assign]

    state._start(lambda: None)

    assert built[0].events == ["close", "close"]


def test_a_given_service_is_not_ours_to_close(service: Any) -> None:
    """Who made it closes it."""
    state = AppState(Options(service=service), {})
    assert state.service is service

    state.close()

    assert service.events == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_starts_anew(built: list[Built]) -> None:
    """The child's lock is free though the parent's is held, and its service forgot the parent's threads."""
    state = AppState(Options(), {})
    _ = state.service
    state.wake()
    for thread in threading.enumerate():
        if thread.name == "elixi-models-start":
            thread.join(5)
    read_end, write_end = os.pipe()
    state.lock.acquire()
    child = os.fork()
    if child == 0:
        free = state.lock.acquire(blocking=False)
        os.write(write_end, f"{free} {state._awake} {built[0].events}".encode())
        os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    told = os.read(read_end, 1000).decode()
    os.close(read_end)
    state.lock.release()

    assert told == "True False ['start', 'reset']"
    assert built[0].events == ["start"]


def test_the_reset_frees_the_lock_and_the_service(built: list[Built], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a child does, done here: a new lock, a service without threads, and another start to come."""
    from elixi_models.web import state as module

    monkeypatch.setattr(module, "_states", WeakSet())
    fresh, used = AppState(Options(), {}), AppState(Options(), {})
    _ = used.service
    locks = [fresh.lock, used.lock]

    module._reset_all()

    assert [fresh.lock, used.lock] != locks
    assert [service.events for service in built] == [["reset"]]


def test_everything_is_closed_at_exit(built: list[Built], monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are given back when the interpreter ends, so that another process goes on at once."""
    from elixi_models.web import state as module

    monkeypatch.setattr(module, "_states", WeakSet())
    state = AppState(Options(), {})
    _ = state.service

    module._close_all()

    assert built[0].events == ["close"]
