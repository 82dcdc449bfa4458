"""attach: all routes of the package beside the routes of an existing http.server handler class."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BodyTooLarge, ElixiModelsError, InternalError, InvalidRequest, ManagerUnavailable
from ..settings import Settings
from .bodies import PATIENCE_S, BodyReader, drain
from .extension import ElixiModels
from .options import Action, Options
from .responses import all_headers, refused
from .state import AppState
from .wsgi import Application, WsgiCall, make_environ, path_info

if TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

    from ..service import ModelService

#: Where one thread serves everybody, nobody may wait long for a switch.
LONGEST_WAIT_S = 0.05

_MARK = "_elixi_models"
_FAILED = "Something went wrong inside elixi-models; the log has the details."
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def attach(
    handler_class: type[BaseHTTPRequestHandler],
    *,
    brain: object = None,
    mongodb: object = None,
    ollama_url: str | None = None,
    data_dir: str | Path | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    authorize: Callable[[Action], object] | None = None,
    wrap_brain: bool = True,
    url_prefix: str = "/ai",
    service: ModelService | None = None,
) -> ElixiModels:
    """Answer our routes from an `http.server` handler class; every other request goes to its own methods as before.

    `attach(ElixiHandler, brain=get_ollama_brain, mongodb=get_db)` before the server is made. The arguments are
    those of `create_blueprint`. Which requests are ours is decided by the routes, not by the prefix, so the host's
    own paths under it stay his. No request of ours keeps the handler's thread waiting: a switch or a download
    answers within 0.05 s, a body that does not come is given up after 5 s. Nothing heavy is imported, opened or
    started before the first request.

    Returns:
        The ElixiModels, whose `manager` needs no app context, and whose `close` also takes the routes away again.

    Raises:
        RuntimeError: the class is attached already.
    """
    if getattr(handler_class, _MARK, None) is not None:
        raise RuntimeError(
            f"{handler_class.__name__} has the routes already. Call attach once per class, or close() the first one."
        )
    options = Options(
        brain, mongodb, ollama_url, data_dir, settings, authorize, wrap_brain, service, longest_wait_s=LONGEST_WAIT_S
    )
    return AttachedModels(handler_class, AppState(options, {}), url_prefix.rstrip("/"))


class AttachedModels(ElixiModels):
    """The routes beside those of one handler class. Made by `attach`."""

    def __init__(self, handler_class: type[BaseHTTPRequestHandler], state: AppState, url_prefix: str) -> None:
        super().__init__()
        self._handler_class = handler_class
        self._attached = state
        self._url_prefix = url_prefix
        self._built: tuple[Application, MapAdapter] | None = None
        self._own_methods = {name: vars(handler_class).get(name) for name in map("do_{}".format, _METHODS)}
        for name in self._own_methods:
            setattr(handler_class, name, self._taking_over(getattr(handler_class, name, None)))
        setattr(handler_class, _MARK, self)

    def close(self) -> None:
        """Stop the threads, close the connections, and give the handler class its own methods back; idempotent."""
        self._attached.close()
        if vars(self._handler_class).get(_MARK) is not self:
            return
        delattr(self._handler_class, _MARK)
        for name, method in self._own_methods.items():
            if method is None:
                delattr(self._handler_class, name)
            else:
                setattr(self._handler_class, name, method)

    def _state(self) -> AppState:
        return self._attached

    def _taking_over(self, original: Callable[[Any], None] | None) -> Callable[[Any], None]:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            self._attached.wake(self._application)
            if self._owns(handler):
                self._answer(handler)
            elif original is not None:
                original(handler)
            else:
                handler.send_error(HTTPStatus.NOT_IMPLEMENTED, f"Unsupported method ({handler.command!r})")

        return answer

    def _owns(self, handler: BaseHTTPRequestHandler) -> bool:
        path = path_info(handler.path)
        if not path.startswith(f"{self._url_prefix}/"):
            return False
        from werkzeug.exceptions import HTTPException, NotFound

        try:
            self._application()[1].match(path.encode("latin-1").decode("utf-8", "replace"), handler.command)
        except NotFound:
            return False
        except HTTPException:
            # A wrong method, or a doubled slash that the router would redirect: our app tells both in JSON.
            return True
        return True

    def _application(self) -> tuple[Application, MapAdapter]:
        """The private Flask app and its routes, built at the first request."""
        built = self._built
        if built is None:
            with self._attached.lock:
                built = self._built
                if built is None:
                    built = self._built = self._build()
        return built

    def _build(self) -> tuple[Application, MapAdapter]:
        from flask import Flask

        from .blueprint import build_blueprint

        app = Flask(__package__, static_folder=None)
        app.register_blueprint(build_blueprint("elixi_models", self._url_prefix or "/", lambda config: self._attached))
        return app, app.url_map.bind("localhost")

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        connection = handler.connection
        patience_s = connection.gettimeout()
        with contextlib.suppress(OSError):  # a Unix socket knows no TCP
            # Head and body go out in two pieces: without this the second waits 40 ms for the client's ACK.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        try:
            body = BodyReader(handler, limit_bytes=self._attached.settings.max_body_bytes).read()
            connection.settimeout(PATIENCE_S)
            call = WsgiCall(handler, fail=lambda: _refuse(handler, InternalError(_FAILED)))
            call.run(self._application()[0], make_environ(handler, body))
        except (BodyTooLarge, InvalidRequest, ManagerUnavailable) as exc:
            _refuse(handler, exc)
            drain(connection)
        finally:
            connection.settimeout(patience_s)


def _refuse(handler: BaseHTTPRequestHandler, error: ElixiModelsError) -> None:
    answer = refused(error)
    headers = {**all_headers(answer, cacheable=False), "Content-Length": str(len(answer.body))}

    def application(environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(headers.items()))
        return [answer.body]

    handler.close_connection = True
    handler.connection.settimeout(PATIENCE_S)
    WsgiCall(handler, fail=lambda: None).run(application, {})
