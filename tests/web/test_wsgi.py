"""The WSGI call inside a handler: applications that stream, fail, or are left by their client."""

from __future__ import annotations

import io
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from elixi_models.web.wsgi import WsgiCall, make_environ


class Handler(BaseHTTPRequestHandler):
    """A handler without a socket: what it writes is kept."""

    protocol_version = "HTTP/1.1"

    def __init__(self, command: str = "GET", break_after: int | None = None) -> None:
        self.command, self.request_version, self.requestline = command, "HTTP/1.1", ""
        self.close_connection = False
        self.break_after = break_after
        self.written: list[bytes] = []
        self.wfile: Any = self

    def write(self, data: bytes) -> None:
        if self.break_after is not None and len(self.written) >= self.break_after:
            raise BrokenPipeError
        self.written.append(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    @property
    def text(self) -> str:
        return b"".join(self.written).decode()


def application(blocks: Iterator[bytes], headers: tuple[tuple[str, str], ...] = (), status: str = "200 OK") -> Any:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response(status, list(headers))
        return blocks

    return app


def run(handler: Handler, app: Any) -> list[str]:
    """Run a call; the events that `fail` noted."""
    events: list[str] = []
    try:
        WsgiCall(handler, fail=lambda: events.append("fail")).run(app, {})
    except LookupError:
        events.append("raised")
    return events


def test_a_stream_without_a_length_ends_with_the_connection() -> None:
    """No length and no chunks: the only end mark left is the end."""
    handler = Handler()

    run(handler, application(iter([b"a", b"", b"b"])))

    assert "Connection: close\r\n" in handler.text
    assert handler.text.endswith("\r\n\r\nab")
    assert handler.close_connection is True


def test_an_answer_with_a_length_keeps_the_connection() -> None:
    """Date, Server and Connection are the handler's own and never written twice."""
    handler = Handler()

    run(handler, application(iter([b"ab"]), (("Content-Length", "2"), ("Date", "x"), ("Server", "y"))))

    assert handler.close_connection is False
    assert handler.text.count("Date: ") == handler.text.count("Server: ") == 1
    assert "Connection:" not in handler.text


def test_an_error_before_the_first_block_is_answered() -> None:
    """Nothing was sent yet, so the client can still be told; the error goes on to the server's log."""

    def blocks() -> Iterator[bytes]:
        yield b""
        raise LookupError

    handler = Handler()

    assert run(handler, application(blocks())) == ["fail", "raised"]
    assert handler.written == []
    assert handler.close_connection is True


def test_an_error_later_cuts_the_connection() -> None:
    """Half an answer cannot be taken back."""

    def blocks() -> Iterator[bytes]:
        yield b"half"
        raise LookupError

    handler = Handler()

    assert run(handler, application(blocks())) == ["raised"]
    assert handler.text.endswith("half")
    assert handler.close_connection is True


def test_a_client_that_has_gone_ends_the_stream() -> None:
    """The generator's cleanup runs, nobody is told of an error, and nothing more is asked of it."""
    events: list[str] = []

    def blocks() -> Iterator[bytes]:
        try:
            for number in range(100):
                events.append(f"block {number}")
                yield b"x"
        finally:
            events.append("closed")

    handler = Handler(break_after=2)

    assert run(handler, application(blocks())) == []
    assert events == ["block 0", "block 1", "closed"]
    assert handler.close_connection is True


def test_the_answer_is_closed_whatever_happens() -> None:
    """WSGI demands it: what the app opened for the answer is released, also when sending failed."""

    class Blocks:
        closed = 0

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            self.closed += 1

    for handler in (Handler(), Handler(break_after=0)):
        blocks: Any = Blocks()
        run(handler, application(blocks))
        assert blocks.closed == 1


def test_a_client_gone_before_an_empty_answer_is_no_error() -> None:
    """Also where only the head is to be sent."""
    handler = Handler(break_after=0)

    assert run(handler, application(iter([]), (), "204 No Content")) == []


@pytest.mark.parametrize(
    ("command", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")]
)
def test_answers_without_a_body_have_none(command: str, status: str) -> None:
    """HEAD, 204 and 304 end with the head, and keep the connection."""
    handler = Handler(command)

    run(handler, application(iter([b"body"]), (), status))

    assert handler.text.endswith("\r\n\r\n")
    assert handler.close_connection is False


def test_write_is_supported() -> None:
    """WSGI's old `write` callable sends at once."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])(b"early ")
        return [b"late"]

    handler = Handler()
    run(handler, app)

    assert handler.text.endswith("early late")


def test_an_error_page_may_replace_an_unsent_answer() -> None:
    """start_response with exc_info replaces what was not sent, and raises once something was."""
    failure = LookupError("late")

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        start_response("500 Broken", [], (LookupError, failure, None))
        yield b"sent"
        start_response("500 Broken", [], (LookupError, failure, None))

    handler = Handler()

    assert run(handler, app) == ["raised"]
    assert handler.text.startswith("HTTP/1.1 500 Broken")


def test_a_unix_socket_has_no_address() -> None:
    """Servers and clients without host and port give an environ all the same."""
    import email

    handler: Any = Handler()
    handler.server, handler.client_address, handler.connection = object(), "", io.BytesIO()
    handler.path, handler.headers = "/ai/x?y=1", email.message_from_string("X-A: 1\n\n")

    environ = make_environ(handler, b"")

    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == ("localhost", "80", "")
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_X_A"]) == ("/ai/x", "y=1", "1")
    assert environ["wsgi.url_scheme"] == "http"
