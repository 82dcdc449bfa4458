"""create_blueprint: all routes of the package for one Ollama server, to be registered under any prefix."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, finalize

from flask import Blueprint, Flask, Response, current_app, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException, NotFound, SecurityError

from ..errors import ElixiModelsError, Forbidden
from ..settings import Settings
from . import commands, dashboard, guard, payloads
from .endpoint import Call, Endpoint
from .errors import render
from .options import Action, Options
from .responses import Answer, all_headers, ok
from .routes import ENDPOINTS
from .state import AppState

if TYPE_CHECKING:
    from ..service import ModelService

EXTENSION = "elixi_models"
_PATHS = frozenset(endpoint.path for endpoint in ENDPOINTS) | frozenset(dashboard.PAGES)


def create_blueprint(
    brain: object = None,
    mongodb: object = None,
    ollama_url: str | None = None,
    data_dir: str | Path | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    authorize: Callable[[Action], object] | None = None,
    wrap_brain: bool = True,
    *,
    name: str = EXTENSION,
    url_prefix: str = "/ai",
    service: ModelService | None = None,
) -> Blueprint:
    """A blueprint with every route, the dashboard and the `flask elixi-models` commands.

    Nothing is opened or started before the app's first request. Each app that it is registered in gets a service of
    its own, found at `app.extensions["elixi_models"][name].service`, which ends with the app. A second server in
    one app takes a second blueprint with another `name` and `url_prefix`.

    Args:
        brain: the host's OllamaAIBrain, or a callable that gives it.
        mongodb: a Database, a wrapper with `.db`, a callable giving either, a URI, or None for SQLite.
        ollama_url: the server; default ELIXI_MODELS_OLLAMA_URL, OLLAMA_API_URL, http://127.0.0.1:11434.
        data_dir: folder of the SQLite file; default ELIXI_MODELS_DATA_DIR, ~/.elixi-models.
        settings: a Settings, or fields by name, which win over the environment and `app.config`.
        authorize: called with "read", "operate" or "admin" inside each request. It gives the user's name, or None
            for nobody in particular; it refuses by `abort`, PermissionError or False.
        wrap_brain: measure the brain's own replies by sending them through our gateway.
        service: a ready ModelService instead of one built from the rest; it is then not closed by us.
    """
    options = Options(brain, mongodb, ollama_url, data_dir, settings, authorize, wrap_brain, service)
    return build_blueprint(name, url_prefix, partial(AppState, options))


def build_blueprint(name: str, url_prefix: str, make_state: Callable[[Mapping[str, Any]], AppState]) -> Blueprint:
    """The blueprint over a way to make the state of an app from its config."""
    blueprint = Blueprint(
        name,
        __package__,
        template_folder="templates",
        url_prefix=url_prefix,
        cli_group=name.replace("_", "-"),
    )
    mounting = _Mounting(make_state)
    for endpoint in ENDPOINTS:
        view = partial(_view, mounting, endpoint)
        blueprint.add_url_rule(f"/{endpoint.path}", endpoint.name, view, methods=[endpoint.method])
    for path, page in dashboard.PAGES.items():
        blueprint.add_url_rule(f"/{path}", path.replace(".", "_"), partial(_page, mounting, page))
    blueprint.before_request(_answer_options)
    blueprint.register_error_handler(Exception, lambda exc: send(render(exc)))
    blueprint.record(mounting.register)
    for command in commands.commands_for(lambda: mounting.state().service):
        blueprint.cli.add_command(commands.inside_app(command))
    return blueprint


class _Mounting:
    """Gives each app that the blueprint is registered in its state and its hook."""

    def __init__(self, make_state: Callable[[Mapping[str, Any]], AppState]) -> None:
        self._make_state = make_state
        self._states: WeakKeyDictionary[Flask, AppState] = WeakKeyDictionary()

    def state(self) -> AppState:
        """The state of the running app."""
        return self._states[current_app._get_current_object()]  # type: ignore[attr-defined]

    def register(self, setup: BlueprintSetupState) -> None:
        app = setup.app
        assert isinstance(app, Flask)
        state = self._states.get(app)
        if state is None:
            state = self._states[app] = self._make_state(app.config)
            # In a thread of its own: the collector may run in one of the threads that closing waits for.
            finalize(app, _close_soon, state).atexit = False
        name = f"{setup.name_prefix}.{setup.name}".lstrip(".")
        app.extensions.setdefault(EXTENSION, {})[name] = state
        app.before_request(partial(_before_any_request, state, (setup.url_prefix or "").rstrip("/")))


def _close_soon(state: AppState) -> None:
    threading.Thread(target=state.close, name="elixi-models-close", daemon=True).start()


def _before_any_request(state: AppState, prefix: str) -> Response | None:
    """Start the service at the first request of all, and answer unknown paths and wrong methods under our prefix.

    Here and not in error handlers of the app: those are the host's, who may set his own before or after ours.
    """
    state.wake()
    failure = request.routing_exception
    if failure is None or not _is_ours(request.path, prefix, failure):
        return None
    return send(render(failure))


def _is_ours(path: str, prefix: str, failure: HTTPException) -> bool:
    if not path.startswith(f"{prefix}/"):
        return bool(prefix) and path == prefix and isinstance(failure, NotFound)
    if isinstance(failure, (NotFound, SecurityError)):
        return bool(prefix)
    # The host may have methods and redirects of his own under our prefix; a doubled slash before one of our paths
    # would be answered by a redirect in HTML.
    return path[len(prefix) :].lstrip("/") in _PATHS


def _answer_options() -> Response | None:
    if request.method != "OPTIONS":
        return None
    allow = current_app.make_default_options_response().headers["Allow"]
    methods = sorted(part.strip() for part in allow.split(","))
    answer = ok({"methods": methods})
    return send(Answer(answer.status, answer.body, headers={"Allow": ", ".join(methods)}))


def _view(mounting: _Mounting, endpoint: Endpoint) -> Response:
    try:
        return send(_answer(endpoint, mounting.state()))
    except ElixiModelsError as exc:
        return send(render(exc))


def _page(mounting: _Mounting, page: Callable[[], Answer]) -> Response:
    try:
        guard.authorise(mounting.state().options.authorize, "read")
    except Forbidden as exc:
        # A person may be sent to the host's login page; a program is always told in JSON.
        refusal = getattr(exc.__cause__, "response", None)
        return refusal if isinstance(refusal, Response) else send(render(exc))
    return send(page())


def _answer(endpoint: Endpoint, state: AppState) -> Answer:
    settings = state.settings
    guard.check_source(
        request,
        trusted_hosts=(*settings.trusted_hosts, *(current_app.config.get("TRUSTED_HOSTS") or ())),
        allowed_origins=settings.allowed_origins,
    )
    user = guard.authorise(state.options.authorize, endpoint.action)
    if endpoint.method == "GET":
        fields = payloads.read_query(request, endpoint.schema)
    else:
        fields = payloads.read_body(request, endpoint.schema, settings.max_body_bytes)
    return endpoint.answer(Call(state.service, fields, user))


def send(answer: Answer) -> Response:
    """An answer as Flask's; 304 when the client has it already."""
    reading = request.method in ("GET", "HEAD") and answer.tag is not None
    response = Response(answer.body, answer.status, all_headers(answer, cacheable=reading))
    if reading and answer.tag is not None:
        response.set_etag(answer.tag, weak=True)
        response.make_conditional(request)
    return response
