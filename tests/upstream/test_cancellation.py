"""A cancellation stops work from any thread, once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from elixi_models.upstream.cancellation import Cancellation, Deadline, SocketStop


def test_cancel_runs_what_is_registered_once() -> None:
    """Every registered stopper runs at the first `cancel`, none at the second."""
    cancellation, ran = Cancellation(), []
    with cancellation.on_cancel(lambda: ran.append("a")), cancellation.on_cancel(lambda: ran.append("b")):
        assert not cancellation.cancelled
        cancellation.cancel()
        cancellation.cancel()
    assert ran == ["a", "b"]
    assert cancellation.cancelled


def test_a_stopper_is_forgotten_after_its_block() -> None:
    """Work that ended is not stopped."""
    cancellation, ran = Cancellation(), []
    with cancellation.on_cancel(lambda: ran.append("a")):
        pass
    cancellation.cancel()
    assert ran == []


def test_a_late_stopper_runs_at_once() -> None:
    """Who registers after the cancellation is stopped before the work begins."""
    cancellation, ran = Cancellation(), []
    cancellation.cancel()
    with cancellation.on_cancel(lambda: ran.append("a")):
        assert ran == ["a"]


def test_waiting_ends_with_the_cancellation() -> None:
    """`wait` is true as soon as it was cancelled and false after its time."""
    cancellation = Cancellation()
    assert cancellation.wait(0) is False
    waited: list[bool] = []
    waiting = threading.Thread(target=lambda: waited.append(cancellation.wait(60)))
    waiting.start()
    cancellation.cancel()
    waiting.join(10)
    assert waited == [True]


def test_a_deadline_cancels_itself() -> None:
    """Once armed it happens by itself."""
    deadline = Deadline(0.01)
    assert not deadline.cancelled
    deadline.arm()
    assert deadline.wait(10)
    deadline.close()


def test_a_deadline_counts_from_its_making() -> None:
    """Armed late it has only the rest of its time, and none when that is over."""
    now = [100.0]
    deadline = Deadline(60, monotonic=lambda: now[0])
    now[0] += 61
    deadline.arm()
    assert deadline.wait(10)
    deadline.close()


def test_a_closed_deadline_leaves_no_thread() -> None:
    """`arm` starts one thread however often it is called, `close` ends it."""
    before = threading.active_count()
    deadline = Deadline(60)
    deadline.close()
    deadline.arm()
    deadline.arm()
    assert threading.active_count() == before + 1
    deadline.close()
    deadline._timer.join(10)
    assert not deadline.cancelled


class Stream:
    def __init__(self, connection: socket.socket | None) -> None:
        self.connection = connection

    def get_extra_info(self, info: str) -> Any:
        return self.connection if info == "socket" else None


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_stop_wakes_a_reader(pair: tuple[socket.socket, socket.socket]) -> None:
    """A thread that waits for data gets the end of the stream."""
    stop, received = SocketStop(), []
    stop.trace("connection.connect_tcp.complete", {"return_value": Stream(pair[0])})
    reading = threading.Thread(target=lambda: received.append(pair[0].recv(1)))
    reading.start()
    stop.stop()
    reading.join(10)
    assert received == [b""]


def test_stop_before_the_connection_ends_it_when_it_comes(pair: tuple[socket.socket, socket.socket]) -> None:
    """A cancellation while the connection is being made is not lost."""
    stop = SocketStop()
    stop.stop()
    stop.trace("connection.connect_tcp.complete", {"return_value": Stream(pair[0])})
    assert pair[1].recv(1) == b""


def test_the_newest_socket_counts(pair: tuple[socket.socket, socket.socket]) -> None:
    """TLS replaces the socket of the connection; other events say nothing about it."""
    stop = SocketStop()
    stop.trace("connection.connect_tcp.complete", {"return_value": Stream(None)})
    stop.trace("connection.start_tls.complete", {"return_value": Stream(pair[0])})
    stop.trace("http11.send_request_headers.complete", {"return_value": None})
    stop.stop()
    assert pair[1].recv(1) == b""


def test_stop_after_the_end_is_harmless(pair: tuple[socket.socket, socket.socket]) -> None:
    """A request that ended by itself meanwhile has closed its socket."""
    stop = SocketStop()
    stop.connected(Stream(pair[0]))
    pair[0].close()
    stop.stop()
    stop.stop()
