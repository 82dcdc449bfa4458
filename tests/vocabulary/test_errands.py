"""Work that a request starts and may not wait for."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from elixi_models.errands import Errand, settled
from elixi_models.errors import OllamaUnavailable


def test_a_quick_outcome_is_returned() -> None:
    """The result is there within the wait."""
    assert Errand("test", lambda: 7).outcome(5) == 7


def test_a_slow_one_is_none_and_goes_on() -> None:
    """The request is not held up, and the work is not dropped."""
    go, done = threading.Event(), threading.Event()
    errand = Errand("test", lambda: go.wait(5) and done.set())
    assert errand.outcome(0) is None
    go.set()
    assert done.wait(5)


def test_an_error_of_the_work_is_raised_to_the_one_who_waits() -> None:
    """Nothing is swallowed, a timeout of the work itself included."""

    def fail() -> None:
        raise OllamaUnavailable("down")

    def run_out() -> None:
        raise TimeoutError("its own")

    with pytest.raises(OllamaUnavailable, match="down"):
        Errand("test", fail).outcome(5)
    with pytest.raises(TimeoutError, match="its own"):
        Errand("test", run_out).outcome(5)


def test_a_future_without_result_is_not_settled() -> None:
    """Waiting nothing for a pending future says so."""
    future: Future[int] = Future()
    assert settled(future, 0) is False
    future.set_result(1)
    assert settled(future, 0) is True
