"""Reading a request's body off an http.server handler, never waiting for ever: its one thread serves everybody."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from ..errors import InvalidRequest
from .payloads import too_large

PATIENCE_S = 5.0

_DRAIN_BYTES = 8_388_608
_DRAIN_S = 1.0
_PIECE_BYTES = 65_536
_LONGEST_LINE = 1024
_LENGTH = re.compile(r"[0-9]{1,18}\Z")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}\Z")


class BodyReader:
    """Reads one body within a time and a size.

    Args:
        limit_bytes: the largest body.
        patience_s: how long the whole body may take.
    """

    def __init__(
        self,
        handler: BaseHTTPRequestHandler,
        *,
        limit_bytes: int,
        patience_s: float = PATIENCE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handler = handler
        self._limit_bytes = limit_bytes
        self._until = monotonic() + patience_s
        self._monotonic = monotonic

    def read(self) -> bytes:
        """The whole body, chunks decoded; empty when none is announced. The connection's timeout is changed.

        Raises:
            BodyTooLarge: over the limit; the rest is still on the connection.
            InvalidRequest: its length is no length, its chunks are no chunks, or it did not come in time. The
                connection cannot be used for another request.
        """
        headers = self._handler.headers
        lengths = {value.strip() for value in headers.get_all("Content-Length", [])}
        encodings = [value.strip().lower() for value in headers.get_all("Transfer-Encoding", [])]
        if encodings:
            if encodings != ["chunked"] or lengths:
                raise _unreadable("Transfer-Encoding must be chunked, without a Content-Length", "framing")
            return self._read_chunks()
        if not lengths:
            return b""
        length = lengths.pop()
        if lengths or not _LENGTH.match(length):
            raise _unreadable("Content-Length must be one whole number", "framing")
        if int(length) > self._limit_bytes:
            raise too_large(self._limit_bytes)
        return self._take(int(length))

    def _read_chunks(self) -> bytes:
        body = b""
        while True:
            size_text = self._line().partition(b";")[0].strip()
            if not _CHUNK_SIZE.match(size_text):
                raise _unreadable("The chunks of the body have no sizes", "framing")
            size = int(size_text, 16)
            if size == 0:
                break
            if len(body) + size > self._limit_bytes:
                raise too_large(self._limit_bytes)
            body += self._take(size)
            if self._line():
                raise _unreadable("The chunks of the body do not end where they should", "framing")
        while self._line():  # trailers mean nothing to us
            pass
        return body

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += self._receive(lambda: self._handler.rfile.read(1))
            if len(line) > _LONGEST_LINE:
                raise _unreadable("The chunks of the body have no sizes", "framing")
        return line.rstrip(b"\r\n")

    def _take(self, length: int) -> bytes:
        body = b""
        while len(body) < length:
            missing = length - len(body)
            body += self._receive(lambda wanted=missing: self._handler.rfile.read1(wanted))  # type: ignore[misc]
        return body

    def _receive(self, read: Callable[[], bytes]) -> bytes:
        left_s = self._until - self._monotonic()
        if left_s <= 0:
            raise _unreadable("The request body did not come in time", "timeout")
        try:
            self._handler.connection.settimeout(left_s)
            piece = read()
        except TimeoutError as exc:
            raise _unreadable("The request body did not come in time", "timeout") from exc
        except OSError as exc:
            raise _unreadable("The request body broke off", "incomplete") from exc
        if not piece:
            raise _unreadable("The request body broke off", "incomplete")
        return piece


def _unreadable(message: str, reason: str) -> InvalidRequest:
    return InvalidRequest(message, field="body", reason=reason)


def drain(connection: socket.socket, *, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Let a client that is still sending see the answer: say that nothing more comes, read on a little, then let go.

    Closing with unread bytes would reset the connection, and the client would get an error instead of the answer.
    Reads at most 8 MB and 1 s.
    """
    until = monotonic() + _DRAIN_S
    seen_bytes = 0
    try:
        connection.shutdown(socket.SHUT_WR)
        while seen_bytes < _DRAIN_BYTES and (left_s := until - monotonic()) > 0:
            connection.settimeout(left_s)
            piece = connection.recv(_PIECE_BYTES)
            if not piece:
                return
            seen_bytes += len(piece)
    except OSError:
        # The client has gone or is silent: nobody is left to see the answer.
        return
