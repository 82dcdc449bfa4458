"""attach: our routes beside those of an http.server handler, by raw bytes on a socket."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

import pytest

from elixi_models import ElixiModels, attach


class Host(BaseHTTPRequestHandler):
    """A host like ELIXI's: exact paths, JSON 404, no do_OPTIONS."""

    seen_headers: list[str] = []

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/host" else 404)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        self._answer(200 if self.path in ("/host", "/ai/own") else 404)

    def _answer(self, status: int) -> None:
        body = json.dumps({"host": self.path}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header("X-Host", "yes")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        self.seen_headers.append(format % args)


Start = Callable[..., tuple[str, int]]


class Running:
    """A server over a fresh subclass of Host with our routes, and raw conversations with it."""

    def __init__(self, service: Any, protocol: str, server_class: type[HTTPServer], **options: Any) -> None:
        self.handler = type("FreshHost", (Host,), {"protocol_version": protocol, "seen_headers": []})
        self.errors: list[str] = []
        self.models: ElixiModels = attach(self.handler, service=service, **options)

        class Server(server_class):  # type: ignore[misc,valid-type]
            daemon_threads = True

            def handle_error(server, request: Any, client_address: Any) -> None:
                import traceback

                self.errors.append(traceback.format_exc())

        self.server = Server(("127.0.0.1", 0), self.handler)
        self.port = self.server.server_port
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(5)
        self.models.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def say(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        """One request as bytes, the connection then read to its end."""
        with self.connect() as connection:
            connection.sendall(raw)
            return receive(connection)


def receive(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and the rest until the server closes."""
    data = b""
    while piece := connection.recv(65_536):
        data += piece
    return parse(data)


def parse(data: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, body


def post(path: str, body: bytes, *headers: str, version: str = "1.0") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    if version == "1.1":
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@pytest.fixture
def run(service: Any) -> Iterator[Callable[..., Running]]:
    """Starts hosts; all end with the test."""
    running: list[Running] = []

    def start(
        protocol: str = "HTTP/1.0", server_class: type[HTTPServer] = HTTPServer, service: Any = service, **options: Any
    ) -> Running:
        running.append(Running(service, protocol, server_class, **options))
        return running[-1]

    yield start
    for host in running:
        host.close()
        assert not host.errors


@pytest.fixture(params=["HTTP/1.0", "HTTP/1.1"])
def host(request: pytest.FixtureRequest, run: Callable[..., Running]) -> Running:
    """A single-threaded host, once per protocol."""
    return run(request.param)


def test_our_route_is_answered(host: Running) -> None:
    """A GET of ours goes to Flask, by the host's own send_response, end_headers and log."""
    status, headers, body = host.say(b"GET /ai/health HTTP/1.0\r\n\r\n")

    assert status == 200
    assert json.loads(body)["data"]["status"] == "ok"
    assert headers["X-Host"] == "yes"
    assert host.handler.seen_headers == ['"GET /ai/health HTTP/1.0" 200 -']


def test_a_query_string_is_passed_on(host: Running, service: Any) -> None:
    """The host compares whole paths; ours are matched without the query."""
    status, _, _ = host.say(b"GET /ai/usage-history?limit=7&x=1 HTTP/1.0\r\n\r\n")

    assert status == 200
    assert service.calls[0][2]["limit"] == 7


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /host HTTP/1.0\r\n\r\n", 200),
        (b"GET /host?x=1 HTTP/1.0\r\n\r\n", 404),
        (b"GET /ai/unknown HTTP/1.0\r\n\r\n", 404),
        (b"GET /ai HTTP/1.0\r\n\r\n", 404),
        (b"GET /aix/health HTTP/1.0\r\n\r\n", 404),
        (b"GET http://localhost/ai/health HTTP/1.0\r\n\r\n", 404),
        (b"POST /ai/own HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", 200),
    ],
)
def test_everything_else_is_the_host_s(host: Running, raw: bytes, status: int) -> None:
    """The routes decide, not the prefix: the host's own paths under it, and unknown ones, stay his."""
    answer, _, body = host.say(raw)

    assert answer == status
    assert list(json.loads(body)) == ["host"]


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "HEAD"])
def test_a_method_the_host_lacks_stays_unsupported(run: Callable[..., Running], method: str) -> None:
    """Where the host has no do_X and the path is not ours, the stock 501 answers as before."""
    status, _, body = run().say(f"{method} /host HTTP/1.0\r\n\r\n".encode())

    assert status == 501
    assert (b"Unsupported method" in body) == (method != "HEAD")


def test_options_of_ours_names_the_methods(host: Running) -> None:
    """OPTIONS works on our paths, though the host has no do_OPTIONS; its body is JSON too."""
    status, headers, body = host.say(b"OPTIONS /ai/switch-model HTTP/1.0\r\n\r\n")

    assert status == 200
    assert headers["Allow"] == "OPTIONS, POST"
    assert json.loads(body)["data"]["methods"] == ["OPTIONS", "POST"]


def test_a_wrong_method_is_405_in_json(host: Running) -> None:
    """A known path with a wrong method is ours; the answer says which would do."""
    status, headers, body = host.say(b"GET /ai/switch-model HTTP/1.0\r\n\r\n")

    assert (status, headers["Allow"]) == (405, "OPTIONS, POST")
    assert json.loads(body)["error_code"] == "METHOD_NOT_ALLOWED"


def test_head_has_no_body(host: Running) -> None:
    """HEAD of ours has the length and no byte of the body, though the host has no do_HEAD."""
    status, headers, body = host.say(b"HEAD /ai/health HTTP/1.0\r\n\r\n")

    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_a_304_has_no_body(host: Running) -> None:
    """Conditional polling works through the handler."""
    _, headers, _ = host.say(b"GET /ai/health HTTP/1.0\r\n\r\n")

    status, _, body = host.say(f"GET /ai/health HTTP/1.0\r\nIf-None-Match: {headers['ETag']}\r\n\r\n".encode())

    assert (status, body) == (304, b"")


def test_a_body_reaches_the_view(host: Running, service: Any) -> None:
    """A POST with a length is read whole."""
    status, _, _ = host.say(post("/ai/switch-model", b'{"model_name": "mistral:7b"}'))

    assert status == 200
    assert service.calls[0][0] == "switch"


@pytest.mark.parametrize(
    "chunks",
    [
        b'5\r\n{"mod\r\n17;x=y\r\nel_name": "mistral:7b"}\r\n0\r\n\r\n',
        b'1c\r\n{"model_name": "mistral:7b"}\r\n0\r\nTrailer: x\r\n\r\n',
    ],
)
def test_a_chunked_body_is_decoded(host: Running, service: Any, chunks: bytes) -> None:
    """http.server decodes no chunks; without us the view would see nothing."""
    head = (
        b"POST /ai/switch-model HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    status, _, body = host.say(head + chunks)

    assert status == 200, body
    assert service.calls[0][1][0].installed == "mistral:7b"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: -5",
        b"Content-Length: +5",
        b"Content-Length: abc",
        b"Content-Length: 2\r\nContent-Length: 3",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
    ],
)
def test_a_length_that_is_none_is_400_and_the_end(host: Running, head: bytes) -> None:
    """What cannot be framed is refused, and the connection closed, so that nothing is taken for a second request."""
    status, headers, body = host.say(b"POST /ai/switch-model HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n{}")

    assert (status, headers["Connection"]) == (400, "close")
    assert json.loads(body)["details"] == {"field": "body", "reason": "framing"}


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"-1\r\n", b"2\r\n{}x\r\n", b"\r\n", b"1" * 2000])
def test_chunks_that_are_none_are_400(host: Running, chunks: bytes) -> None:
    """Broken chunk framing ends the connection with a JSON answer."""
    status, _, body = host.say(
        b"POST /ai/switch-model HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    )

    assert status == 400
    assert json.loads(body)["details"]["reason"] == "framing"


def test_the_same_length_twice_is_one_length(host: Running) -> None:
    """Two equal Content-Lengths say the same thing."""
    raw = b"POST /ai/recommend-model HTTP/1.0\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"

    assert host.say(raw)[0] == 200


def test_a_body_over_the_limit_is_seen_to_be_refused(host: Running, service: Any) -> None:
    """A client that is still sending 4.5 MB gets its 413 and not a broken pipe."""
    status, headers, body = host.say(post("/ai/switch-model", b"x" * 4_500_000))

    assert (status, headers["Connection"]) == (413, "close")
    assert json.loads(body)["error_code"] == "BODY_TOO_LARGE"
    assert service.calls == []


def test_chunks_over_the_limit_are_refused(host: Running) -> None:
    """The limit holds for chunked bodies as well."""
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"

    status, _, body = host.say(
        b"POST /ai/switch-model HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + piece * 5 + b"0\r\n\r\n"
    )

    assert status == 413, body


def test_a_body_that_never_comes_does_not_hold_the_host(run: Callable[..., Running], monkeypatch: Any) -> None:
    """The one thread is free again after the patience, and the waiting client is told."""
    from elixi_models.web import bodies

    monkeypatch.setattr(
        bodies.BodyReader.__init__,
        "__kwdefaults__",
        {
            **bodies.BodyReader.__init__.__kwdefaults__,
            "patience_s": 0.2,
        },
    )
    host = run()
    with host.connect() as waiting:
        waiting.sendall(b"POST /ai/switch-model HTTP/1.0\r\nContent-Length: 10\r\n\r\n{")
        began = time.monotonic()
        assert host.say(b"GET /host HTTP/1.0\r\n\r\n")[0] == 200
        assert time.monotonic() - began < 5

        status, _, body = receive(waiting)

    assert (status, json.loads(body)["details"]["reason"]) == (400, "timeout")


def test_a_client_that_breaks_off_leaves_no_trace(host: Running) -> None:
    """A body that ends early is nobody's error."""
    with host.connect() as connection:
        connection.sendall(b"POST /ai/switch-model HTTP/1.0\r\nContent-Length: 10\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        status, _, body = receive(connection)

    assert (status, json.loads(body)["details"]["reason"]) == (400, "incomplete")
    assert host.say(b"GET /host HTTP/1.0\r\n\r\n")[0] == 200


def test_a_client_gone_before_the_answer_is_no_error(host: Running) -> None:
    """A reset connection ends the request quietly; the next one is served."""
    for _ in range(5):
        connection = host.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.sendall(b"GET /ai/available-models HTTP/1.0\r\n\r\n")
        connection.close()

    assert host.say(b"GET /ai/health HTTP/1.0\r\n\r\n")[0] == 200


def test_two_requests_use_one_connection(run: Callable[..., Running], service: Any) -> None:
    """On HTTP/1.1 ours keep the connection, and no byte of a body is taken for the next request."""
    host = run("HTTP/1.1")
    body = b'{"model_name": "mistral:7b"}'
    head = f"POST /ai/switch-model HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    last = b"GET /ai/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    with host.connect() as connection:
        connection.sendall(head + body + b"GET /host HTTP/1.1\r\nHost: x\r\n\r\n" + head + body + last)
        data = b""
        while piece := connection.recv(65_536):
            data += piece

    assert data.count(b"HTTP/1.1 200") == 4
    assert [name for name, *_ in service.calls] == ["switch", "switch", "health"]


def test_a_kept_connection_does_not_wait_for_the_ack(run: Callable[..., Running]) -> None:
    """Nagle against delayed ACK would cost 40 ms per request: 25 of ours take far less than 1 s."""
    host = run("HTTP/1.1")
    with host.connect() as connection:
        began = time.monotonic()
        for _ in range(25):
            connection.sendall(b"GET /ai/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            data = b""
            while b"\r\n\r\n" not in data or not data.endswith(b"}\n"):
                data += connection.recv(65_536)
        took_s = time.monotonic() - began

    assert took_s < 0.8


def environ_of(host: Running, raw: bytes) -> dict[str, Any]:
    """The WSGI environ that our app saw for a request."""
    seen: list[dict[str, Any]] = []
    app: Any = host.models._application()[0]  # type: ignore[attr-defined]
    original = app.wsgi_app
    app.wsgi_app = lambda environ, start: (seen.append(dict(environ)), original(environ, start))[1]
    host.say(raw)
    return seen[0]


def test_the_process_environment_stays_out(host: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY of the process is no request header, and neither is a header `Proxy`."""
    monkeypatch.setenv("HTTP_PROXY", "http://evil")
    monkeypatch.setenv("HTTP_X_EVIL", "1")

    environ = environ_of(host, b"GET /ai/health HTTP/1.0\r\nProxy: http://evil\r\n\r\n")

    assert not {"HTTP_PROXY", "HTTP_X_EVIL", "PATH", "HOME"} & set(environ)
    assert "HTTP_X_EVIL" in os.environ


def test_headers_with_underscores_are_dropped(host: Running) -> None:
    """`X_User` must not pose as `X-User`; repeated headers are joined, cookies with semicolons."""
    environ = environ_of(
        host,
        b"GET /ai/health HTTP/1.0\r\nX_User: evil\r\nX-A: 1\r\nX-A: 2\r\nCookie: a=1\r\nCookie: b=2\r\n"
        b"Content-Type: text/x\r\n\r\n",
    )

    assert "HTTP_X_USER" not in environ
    assert environ["HTTP_X_A"] == "1,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/x", "0")
    assert environ["wsgi.multithread"] is False
    assert environ["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("path", "info"),
    [
        (b"/ai/he%61lth", "/ai/health"),
        (b"/ai/dashboard.cs%73?x=%2F", "/ai/dashboard.css"),
    ],
)
def test_an_encoded_path_is_decoded_once(host: Running, path: bytes, info: str) -> None:
    """PATH_INFO is the decoded path, the query string stays as it was sent."""
    environ = environ_of(host, b"GET " + path + b" HTTP/1.0\r\n\r\n")

    assert environ["PATH_INFO"] == info
    assert environ["QUERY_STRING"] == ("x=%2F" if b"?" in path else "")


@pytest.mark.parametrize("path", [b"/ai/a%2Fb", b"/ai/%C3%A9", "/ai/é".encode(), b"/ai/%ff"])
def test_a_path_that_is_not_ours_stays_the_host_s(host: Running, path: bytes) -> None:
    """Odd spellings are matched without harm, and go to the host untouched."""
    status, _, body = host.say(b"GET " + path + b" HTTP/1.0\r\n\r\n")

    assert (status, list(json.loads(body))) == (404, ["host"])


def test_a_doubled_slash_is_told_in_json(host: Running) -> None:
    """The router would redirect it in HTML, also with a method that no redirect fits."""
    for raw in (b"GET /ai//health HTTP/1.0\r\n\r\n", post("/ai//switch-model", b"{}")):
        status, _, body = host.say(raw)

        assert (status, json.loads(body)["error_code"]) == (404, "NOT_FOUND")


def test_attaching_twice_is_refused(run: Callable[..., Running], service: Any) -> None:
    """A second attach on one class would wrap the first: it says what to do instead."""
    host = run()

    with pytest.raises(RuntimeError, match="FreshHost has the routes already"):
        attach(host.handler, service=service)


@pytest.mark.parametrize("raw", [b"GET /ai/health HTTP/1.1\r\nHost: x\r\n\r\n", post("/ai/recommend-model", b"{}")])
def test_the_connection_s_own_timeout_is_put_back(run: Callable[..., Running], raw: bytes) -> None:
    """Our patience ends with our answer: the host's next request on the connection has the host's timeout."""
    host, seen = run("HTTP/1.1"), []
    host.handler.timeout = 77
    host.handler.finish = lambda self: (seen.append(self.connection.gettimeout()), BaseHTTPRequestHandler.finish(self))

    host.say(raw.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1).replace(b"HTTP/1.0", b"HTTP/1.1"))

    assert seen == [77]


def test_closing_gives_the_class_back(run: Callable[..., Running], service: Any) -> None:
    """After close the handler class is as it was, and can be attached again."""
    host = run()
    assert host.say(b"GET /ai/health HTTP/1.0\r\n\r\n")[0] == 200

    host.models.close()
    host.models.close()

    assert not [name for name in vars(host.handler) if name.startswith("do_")]
    assert host.say(b"GET /ai/health HTTP/1.0\r\n\r\n")[0] == 404
    attach(host.handler, service=service).close()


def test_closing_keeps_own_methods(service: Any) -> None:
    """Methods that the class itself defines come back as the same functions."""
    handler = type("OwnMethods", (BaseHTTPRequestHandler,), {"do_GET": lambda self: None})
    own = vars(handler)["do_GET"]

    attach(handler, service=service).close()

    assert vars(handler)["do_GET"] is own
    assert not hasattr(handler, "do_POST")


def test_the_first_request_of_any_route_starts_the_service(run: Callable[..., Running], service: Any) -> None:
    """A host's own route is enough, and it does not wait for the start."""
    started = threading.Event()
    service.start = started.set
    host = run()

    host.say(b"GET /host HTTP/1.0\r\n\r\n")

    assert started.wait(5)


def test_a_threading_server_works_too(run: Callable[..., Running]) -> None:
    """The routes do not depend on the server being single-threaded, and tell Flask which it is."""
    host = run("HTTP/1.1", ThreadingHTTPServer)

    assert environ_of(host, b"GET /ai/health HTTP/1.0\r\n\r\n")["wsgi.multithread"] is True


def test_authorize_can_look_at_the_handler(run: Callable[..., Running]) -> None:
    """The host's own handler is in the environ, so that its sessions can be used."""
    from flask import request

    seen: list[object] = []
    host = run(authorize=lambda action: seen.append(request.environ["elixi_models.handler"]))

    host.say(b"GET /ai/health HTTP/1.0\r\n\r\n")

    assert isinstance(seen[0], host.handler)


def test_a_setting_that_cannot_be_used_is_503(run: Callable[..., Running]) -> None:
    """The host goes on; our routes say which setting is wrong, without its value."""
    host = run(service=None, settings={"ollama_url": "ftp://user:secret@x"})

    status, _, body = host.say(post("/ai/switch-model", b"{}"))

    assert status == 503
    assert json.loads(body)["error_code"] == "MANAGER_UNAVAILABLE"
    assert b"ELIXI_MODELS_OLLAMA_URL" in body
    assert b"secret" not in body
    assert host.say(b"GET /host HTTP/1.0\r\n\r\n")[0] == 200


def test_another_prefix_works(run: Callable[..., Running]) -> None:
    """The prefix is the mounter's."""
    host = run(url_prefix="/models/")

    assert host.say(b"GET /models/health HTTP/1.0\r\n\r\n")[0] == 200
    assert host.say(b"GET /ai/health HTTP/1.0\r\n\r\n")[0] == 404


def test_waits_are_capped(service: Any) -> None:
    """One thread serves everybody: a switch waits at most 0.05 s, less when the setting says less."""
    from elixi_models.web.options import Options

    assert Options(longest_wait_s=0.05).read_settings({}).switch_wait_s == 0.05
    assert Options(longest_wait_s=0.05, settings={"switch_wait_s": 0.01}).read_settings({}).switch_wait_s == 0.01
