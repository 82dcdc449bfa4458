"""One WSGI call from inside an http.server handler, by the handler's own methods for status, headers and log.

`wsgiref`'s handlers are not used: they put the process environment into the WSGI environ, where HTTP_PROXY
becomes a request header, and go past the host's `send_response`, `end_headers` and log.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import unquote_to_bytes

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# Told by keys of their own, or settled on the connection already; `Proxy` would read as the variable HTTP_PROXY.
_LEFT_OUT = frozenset({"content-type", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy"})
_WRITTEN_BY_HANDLER = frozenset({"date", "server", "connection"})


def path_info(path: str) -> str:
    """The decoded path of a request line, in WSGI's form: bytes as Latin-1 characters."""
    return unquote_to_bytes(path.partition("?")[0].encode("latin-1", "replace")).decode("latin-1")


def make_environ(handler: BaseHTTPRequestHandler, body: bytes) -> Environ:
    """The WSGI environ of a handler's request; nothing of the process environment is in it.

    Names with an underscore are left out, as they would pose as the same name with a dash; repeated headers are
    joined with commas, cookies with semicolons. `elixi_models.handler` is the handler itself.
    """
    server: Any = handler.server
    client: Any = handler.client_address
    environ: Environ = {
        "REQUEST_METHOD": handler.command,
        "SCRIPT_NAME": "",
        "PATH_INFO": path_info(handler.path),
        "QUERY_STRING": handler.path.partition("?")[2],
        "SERVER_NAME": str(getattr(server, "server_name", "localhost")),
        "SERVER_PORT": str(getattr(server, "server_port", 80)),
        "SERVER_PROTOCOL": handler.request_version,
        "REMOTE_ADDR": client[0] if isinstance(client, tuple) and client else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if hasattr(handler.connection, "getpeercert") else "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": isinstance(server, ThreadingMixIn),
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(body)),
        "elixi_models.handler": handler,
    }
    content_type = handler.headers.get("Content-Type")
    if content_type is not None:
        environ["CONTENT_TYPE"] = content_type
    for name, value in handler.headers.items():
        lowered = name.lower()
        if "_" in name or lowered in _LEFT_OUT:
            continue
        key = f"HTTP_{name.upper().replace('-', '_')}"
        joint = "; " if lowered == "cookie" else ","
        environ[key] = f"{environ[key]}{joint}{value}" if key in environ else value
    return environ


class WsgiCall:
    """One call of an application, answered through a handler.

    The body goes out as it comes. Without a Content-Length the connection ends with it. A client that has gone is
    no error. An error of the application is: before the first byte `fail` answers, later the connection is cut;
    in both cases the error goes on to the server's own log.
    """

    def __init__(self, handler: BaseHTTPRequestHandler, *, fail: Callable[[], None]) -> None:
        self._handler = handler
        self._fail = fail
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._started = False
        self._client_gone = False

    def run(self, application: Application, environ: Environ) -> None:
        """Call the application and send what it answers; closes its iterable whatever happens."""
        finished = False
        blocks: Iterable[bytes] = ()
        try:
            blocks = application(environ, self._start_response)
            for block in blocks:
                if block and not self._client_gone:
                    self._send(block)
                if self._client_gone:
                    break
            if not self._started and not self._client_gone:
                self._send(b"")
            finished = True
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()
            if not finished:
                self._handler.close_connection = True
                if not self._started:
                    self._fail()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if self._started and exc_info is not None:
            raise exc_info[1].with_traceback(exc_info[2])
        self._status, self._headers = status, headers
        return self._send

    def _send(self, block: bytes) -> None:
        try:
            if not self._started:
                self._started = True
                self._send_head()
            if block and self._has_body():
                self._handler.wfile.write(block)
        except (ConnectionError, TimeoutError):
            self._client_gone = True
            self._handler.close_connection = True

    def _send_head(self) -> None:
        handler = self._handler
        code, _, reason = self._status.partition(" ")
        handler.send_response(int(code), reason)
        for name, value in self._headers:
            if name.lower() not in _WRITTEN_BY_HANDLER:
                handler.send_header(name, value)
        if self._has_body() and not any(name.lower() == "content-length" for name, _ in self._headers):
            # The end of the connection is the only end mark that every client understands.
            handler.close_connection = True
        if handler.close_connection:
            handler.send_header("Connection", "close")
        handler.end_headers()

    def _has_body(self) -> bool:
        code = int(self._status.partition(" ")[0])
        return self._handler.command != "HEAD" and code >= 200 and code not in (204, 304)
