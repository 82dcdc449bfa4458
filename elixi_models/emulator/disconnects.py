"""Noticing that a client has gone while its request is still being worked on."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator


class DisconnectWatch:
    """One thread that watches the connections of all requests under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[socket.socket, threading.Event] = {}
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="emulator-disconnects", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def watching(self, connection: socket.socket) -> Iterator[threading.Event]:
        """An event that is set once the other side is gone, or the server stops."""
        gone = threading.Event()
        with self._lock:
            self._watched[connection] = gone
        self._wake()
        try:
            yield gone
        finally:
            with self._lock:
                self._watched.pop(connection, None)
            self._wake()

    def abort_all(self) -> None:
        """Treat every client as gone."""
        with self._lock:
            for gone in self._watched.values():
                gone.set()

    def close(self) -> None:
        """Abort all, end the thread and close its sockets."""
        self.abort_all()
        self._stopped = True
        self._wake()
        self._thread.join()
        self._wake_in.close()
        self._wake_out.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_out.send(b"!")

    def _run(self) -> None:
        while not self._stopped:
            with self._lock:
                open_ones = [connection for connection, gone in self._watched.items() if not gone.is_set()]
            for connection in self._readable(open_ones):
                if connection is self._wake_in:
                    self._wake_in.recv(4096)
                elif _is_gone(connection):
                    self._tell(connection)

    def _readable(self, connections: list[socket.socket]) -> list[socket.socket]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_in, selectors.EVENT_READ)
            for connection in connections:
                with contextlib.suppress(ValueError, KeyError, OSError):
                    selector.register(connection, selectors.EVENT_READ)
            return [key.fileobj for key, _ in selector.select() if isinstance(key.fileobj, socket.socket)]

    def _tell(self, connection: socket.socket) -> None:
        with self._lock:
            gone = self._watched.get(connection)
            if gone:
                gone.set()


def _is_gone(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | getattr(socket, "MSG_DONTWAIT", 0)) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
