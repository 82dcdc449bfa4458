"""Work that a request starts and may not wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Generic, TypeVar

T = TypeVar("T")


class Errand(Generic[T]):
    """One action on a daemon thread of its own, whose outcome may be waited for a little.

    A daemon thread, because a pool's threads would hold up the interpreter's exit for as long as a server hangs.
    """

    def __init__(self, name: str, action: Callable[[], T]) -> None:
        self._future: Future[T] = Future()
        self._action = action
        threading.Thread(target=self._run, name=f"elixi-models-{name}", daemon=True).start()

    def _run(self) -> None:
        fulfil(self._future, self._action)

    def outcome(self, wait_s: float) -> T | None:
        """The result, or None when it is not there within `wait_s` seconds; raises what the action raised."""
        return self._future.result() if settled(self._future, wait_s) else None


def fulfil(future: Future[T], action: Callable[[], T]) -> None:
    """Run an action and put its result, or whatever it raised, into the future; never raises."""
    # The future carries whatever happened to the thread that waits; nothing is swallowed here.
    try:
        future.set_result(action())
    except BaseException as exc:  # noqa: BLE001
        future.set_exception(exc)


def settled(future: Future[T], wait_s: float) -> bool:
    """Whether a future has its result within `wait_s` seconds; raises what it raised."""
    try:
        future.result(wait_s)
    except FutureTimeout:
        if future.done():
            raise
        return False
    return True
