"""Shared fixtures: nothing a test starts may outlive it, and some markers may be demanded."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from elixi_models.testing import ollama_emulator, ollama_emulators

__all__ = ["ollama_emulator", "ollama_emulators"]

_LEAVE_S = 5.0
_PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """Fail a test whose threads are still there some seconds after it ended."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and not _is_foreign(thread)]
    for thread in left:
        # A thread that is only about to start cannot be joined yet.
        with contextlib.suppress(RuntimeError):
            thread.join(_LEAVE_S)
    alive = [thread.name for thread in left if thread.is_alive()]
    assert not alive, f"threads left behind: {alive}"


def _is_foreign(thread: threading.Thread) -> bool:
    """Threads of libraries that end by themselves some time after their object is gone."""
    return thread.name.startswith(("pymongo", "asyncio_", "QueueFeederThread"))


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads the developer's settings or writes into their data folder."""
    for variable in list(os.environ):
        if variable.startswith(("OLLAMA_", "MONGODB_", "ELIXI_MODELS_")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("ELIXI_MODELS_DATA_DIR", str(tmp_path_factory.mktemp("data")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """A skipped test of a marker named in ELIXI_TEST_REQUIRE is a failed one."""
    report = yield
    required = os.environ.get("ELIXI_TEST_REQUIRE", "").split()
    if report.skipped and not hasattr(report, "wasxfail") and any(item.get_closest_marker(name) for name in required):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and ELIXI_TEST_REQUIRE does not allow that: {report.longrepr}"
    return report


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """`eventually(condition)` waits until the condition gives something true and returns that; at most 20 s."""

    def wait(condition: Callable[[], Any], patience_s: float = _PATIENCE_S) -> Any:
        pause, until = threading.Event(), time.monotonic() + patience_s
        while not (found := condition()):
            assert time.monotonic() < until, "it never came true"
            pause.wait(0.01)
        return found

    return wait
