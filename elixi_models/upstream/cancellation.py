"""Stopping blocking work from another thread: by a person, a newer request, a deadline or a shutdown."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Protocol


class NetworkStream(Protocol):
    """What a connection shows of itself while it is traced; anything with `get_extra_info("socket")`."""

    def get_extra_info(self, info: str) -> Any:
        """The socket below the connection, or None."""


class Traced(Protocol):
    """The part of an httpx request that is used here."""

    extensions: MutableMapping[str, Any]


class Cancellation:
    """A switch that goes from off to on once. All methods may be called from any thread; none blocks but `wait`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._stops: dict[int, Callable[[], None]] = {}
        self._next_key = 0

    @property
    def cancelled(self) -> bool:
        """True from the first `cancel()` on, for ever."""
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Sleep until cancelled, at most `timeout_s` seconds; True when it was cancelled."""
        return self._event.wait(timeout_s)

    def cancel(self) -> None:
        """Cancel, and run what `on_cancel` registered, in this thread; a second call does nothing."""
        with self._lock:
            self._event.set()
            stops, self._stops = list(self._stops.values()), {}
        for stop in stops:
            stop()

    @contextlib.contextmanager
    def on_cancel(self, stop: Callable[[], None]) -> Iterator[None]:
        """Run `stop` (short, must not raise) if cancelled while the block runs; at once if that already happened."""
        with self._lock:
            key, self._next_key = self._next_key, self._next_key + 1
            registered = not self.cancelled
            if registered:
                self._stops[key] = stop
        if not registered:
            stop()
        try:
            yield
        finally:
            with self._lock:
                self._stops.pop(key, None)


class Deadline(Cancellation):
    """A cancellation that happens by itself `after_s` seconds from now, once `arm()` was called; close it after use."""

    def __init__(self, after_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._ends_at = monotonic() + after_s
        self._timer: threading.Timer | None = None

    def arm(self) -> None:
        """Start the clock's thread; the second call and later ones do nothing."""
        if self._timer is None:
            self._timer = threading.Timer(max(0.0, self._ends_at - self._monotonic()), self.cancel)
            self._timer.name = "elixi-models-deadline"
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """End the clock's thread."""
        if self._timer is not None:
            self._timer.cancel()


class SocketStop:
    """Ends one request from another thread by shutting its socket down.

    Closing a connection does not wake a thread that reads from it; a shutdown does, within milliseconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._stopped = False

    def watch(self, request: Traced) -> None:
        """Learn of the connection that a request is about to make; an event hook of httpx."""
        request.extensions["trace"] = self.trace

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Follow a connection being made (httpx's `trace` extension) and keep its socket."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self.connected(info["return_value"])

    def connected(self, stream: NetworkStream) -> None:
        """Note the connection's present socket; shuts it down at once if `stop` came first."""
        with self._lock:
            self._socket = stream.get_extra_info("socket")
            stopped = self._stopped
        if stopped:
            self.stop()

    def stop(self) -> None:
        """Shut the socket down, now or as soon as there is one. Does not block, never raises."""
        with self._lock:
            self._stopped = True
            connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):  # the request may have ended by itself
                connection.shutdown(socket.SHUT_RDWR)
