"""The HTTP of the emulator: connections, bodies, streams, and the faults that happen to them."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import os
import socket
import socketserver
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import guard, routes
from .answers import JSON, Answer, Call, Json, Lines, Plain, Stream
from .disconnects import DisconnectWatch
from .errors import Refusal
from .faults import Cut, Failure
from .machine import Machine
from .scheduler import Aborted

_LOG = logging.getLogger(__name__)
_BUFFERED = 2048


class Received(NamedTuple):
    """A request as it came in; the body is the JSON value if it is one, else the text."""

    method: str
    path: str
    body: Any


class Gone(Exception):
    """The connection is to be closed without another word."""


class Server(http.server.ThreadingHTTPServer):
    """Listens on one port; `close` leaves no thread and no socket behind."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], machine: Machine, received: deque[Received], latency_s: float) -> None:
        self.machine = machine
        self.received = received
        self.latency_s = latency_s
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        super().__init__(address, Handler)
        self.watch = DisconnectWatch()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="emulator-accept", daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        """Bind without looking the machine's name up, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, which `close` knows of."""
        worker = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="emulator-connection", daemon=True
        )
        with self._lock:
            self._connections[request] = worker
        worker.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve until the connection ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error; everything else is logged."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            _LOG.exception("the emulator failed to answer")

    def close(self) -> None:
        """Refuse new connections, break those there are, and wait until every thread has ended."""
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        self.socket.close()
        self.watch.abort_all()
        with self._lock:
            open_ones = dict(self._connections)
        for connection in open_ones:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for worker in open_ones.values():
            worker.join()
        self.watch.close()


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def handle_any(self) -> None:
        """Answer one request."""
        path = self.path.partition("?")[0]
        try:
            raw = self._read_body()
        except ValueError:
            self.close_connection = True
            self._write_whole(400, b"400 Bad Request", "text/plain; charset=utf-8", {})
            return
        self.server.received.append(Received(self.command, path, _value(raw)))
        with self.server.watch.watching(self.connection) as abort:
            try:
                self._meet_faults(path, abort)
                self._write(self._answer(path, raw, abort), path)
            except (Gone, Aborted, ConnectionError):
                self.close_connection = True

    do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = do_PATCH = do_OPTIONS = handle_any

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept for tests to look at, not printed."""

    def _answer(self, path: str, raw: bytes, abort: threading.Event) -> Answer:
        failure = self.server.machine.faults.failure(path)
        if failure:
            return _failed(failure)
        if not guard.lets_in(self.headers):
            return Plain(status=403)
        way = routes.found(self.server.machine.version, self.command, path)
        if isinstance(way, Plain):
            return way
        try:
            return routes.answer(self.server.machine, way, Call(self.command, path, {}, abort), raw)
        except Refusal as refused:
            return Json({"error": refused.error}, refused.status)

    def _meet_faults(self, path: str, abort: threading.Event) -> None:
        if self.server.latency_s and abort.wait(self.server.latency_s):
            raise Gone
        hanging = self.server.machine.faults.hanging(path)
        while hanging and not hanging.wait(0.02):
            if abort.is_set():
                raise Gone

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(self._chunks())
        length = int(self.headers.get("Content-Length") or 0)
        if length < 0:
            raise ValueError(length)
        return self.rfile.read(length)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass

    def _write(self, answer: Answer, path: str) -> None:
        if isinstance(answer, Lines):
            self._write_lines(answer.lines, path)
        elif isinstance(answer, Json):
            self._write_whole(answer.status, _encoded(answer.value), answer.content_type, {})
        else:
            self._write_whole(answer.status, answer.body, answer.content_type, answer.headers)

    def _write_whole(self, status: int, body: bytes, content_type: str | None, headers: Mapping[str, str]) -> None:
        chunked = len(body) > _BUFFERED and (content_type or "").startswith("application/json")
        self._begin(status, content_type, headers, None if chunked else len(body))
        if self.command == "HEAD":
            return
        if chunked:
            self._write_chunk(body)
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body)

    def _write_lines(self, lines: Stream, path: str) -> None:
        with contextlib.closing(lines):
            try:
                first = next(lines)
            except Refusal as refused:
                self._write_whole(refused.status, _encoded({"error": refused.error}), JSON, {})
                return
            except StopIteration:
                # Only who left before the first word is told nothing at all.
                raise Gone from None
            self._begin(200, "application/x-ndjson", {}, None)
            cut = self.server.machine.faults.cut_of(path)
            for count, line in enumerate(_told_to_the_end(first, lines)):
                self._meet_cut(cut, count, line)
                self._write_chunk(_encoded(line) + b"\n")
            self.wfile.write(b"0\r\n\r\n")

    def _meet_cut(self, cut: Cut | None, count: int, line: Mapping[str, Any]) -> None:
        if cut is None or count < cut.lines:
            return
        if cut.how == "quiet":
            self.wfile.write(b"0\r\n\r\n")
        if cut.how == "half-line":
            text = _encoded(line)
            self._write_chunk(text[: len(text) // 2])
        raise Gone

    def _begin(self, status: int, content_type: str | None, headers: Mapping[str, str], length: int | None) -> None:
        self.send_response_only(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Date", self.date_time_string())
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _write_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))


def _told_to_the_end(first: Mapping[str, Any], rest: Stream) -> Stream:
    """The lines; a refusal among them is the last."""
    yield first
    try:
        yield from rest
    except Refusal as refused:
        yield {"error": refused.error}


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _value(raw: bytes) -> Any:
    text = raw.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _failed(failure: Failure) -> Answer:
    if failure.body is not None:
        return Plain(failure.body.encode(), failure.status, "text/html")
    if failure.error is None:
        return Plain(status=failure.status)
    return Json({"error": failure.error}, failure.status)
