"""A server that answers whatever bytes a test wants, for what no real Ollama should ever say."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest


class RawServer:
    """Answers each connection with `reply` and closes it.

    With `hold` it keeps the connection open until the client is gone, with `drip` it sends that again and again.
    """

    def __init__(self) -> None:
        self.reply = b""
        self.hold = False
        self.drip = b""
        self.requests: list[tuple[bytes, dict[bytes, bytes], bytes]] = []
        self.arrived = threading.Event()
        self.client_left = threading.Event()
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def answer(self, body: Any, *, status: str = "200 OK", kind: str = "application/json") -> None:
        """Reply with a whole HTTP answer; anything but bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        )
        self.reply = head.encode() + content

    def stream(self, *lines: Any, ended: bool = True) -> None:
        """Reply with chunked lines, ended properly or cut off."""
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        for line in lines:
            content = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
            reply += b"%x\r\n%s\r\n" % (len(content), content)
        self.reply = reply + (b"0\r\n\r\n" if ended else b"")

    def close(self) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader, contextlib.suppress(OSError):
            request_line = reader.readline()
            headers = {}
            while (line := reader.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                headers[name.lower()] = value.strip()
            body = reader.read(int(headers.get(b"content-length", b"0")))
            self.requests.append((request_line, headers, body))
            self.arrived.set()
            connection.sendall(self.reply)
            while self.drip:
                connection.sendall(self.drip)
                self._closing.wait(0.02)
            if self.hold:
                reader.read()
                self.client_left.set()


@pytest.fixture
def raw_server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()
