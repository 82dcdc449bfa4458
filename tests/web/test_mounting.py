"""Where the routes are: prefixes, factories, several apps, several servers, and a host that stays as it was."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from elixi_models import ElixiModels, create_blueprint


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ai/nothing"),
        ("POST", "/ai/nothing"),
        ("GET", "/ai"),
        ("GET", "/ai/"),
        ("GET", "/ai/health/"),
        ("GET", "/ai//health"),
        ("GET", "/ai/dashboard.xyz"),
        ("GET", "/ai/%ff"),
        ("DELETE", "/ai/nothing/else"),
    ],
)
def test_an_unknown_path_under_the_prefix_is_404_in_json(client: Any, method: str, path: str) -> None:
    """No HTML, no redirect: the panel's `response.json()` must not trip over it."""
    response = client.open(path, method=method)

    assert (response.status_code, response.json["error_code"]) == (404, "NOT_FOUND")


def test_a_wrong_method_is_405_in_json_with_allow(client: Any) -> None:
    """The Allow header is kept, and told in the details."""
    response = client.get("/ai/switch-model")

    assert (response.status_code, response.json["error_code"]) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == "OPTIONS, POST"
    assert response.json["details"] == {"allowed": ["OPTIONS", "POST"]}
    assert client.delete("/ai/task-assignments").headers["Allow"] == "GET, HEAD, OPTIONS, PUT"


def test_options_names_the_methods_in_json(client: Any) -> None:
    """Also where one path has two methods in two rules."""
    response = client.options("/ai/task-assignments")

    assert response.status_code == 200
    assert response.json["data"]["methods"] == ["GET", "HEAD", "OPTIONS", "PUT"]
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS, PUT"


@pytest.mark.parametrize("early", [True, False])
def test_the_host_s_own_error_pages_stay(service: Any, early: bool) -> None:
    """Handlers that the host set before or after us answer everywhere but under our prefix."""
    app = Flask("host")

    def handlers() -> None:
        app.register_error_handler(404, lambda exc: ("host 404", 404))
        app.register_error_handler(405, lambda exc: ("host 405", 405))
        app.register_error_handler(Exception, lambda exc: ("host error", 500))

    if early:
        handlers()
    app.add_url_rule("/own", "own", lambda: "own", methods=["POST"])
    app.register_blueprint(create_blueprint(service=service))
    if not early:
        handlers()
    client = app.test_client()

    assert client.get("/nothing").data == b"host 404"
    assert client.get("/aix/health").data == b"host 404"
    assert client.get("/own").data == b"host 405"
    assert client.get("/ai/nothing").json["error_code"] == "NOT_FOUND"
    assert client.get("/ai/switch-model").json["error_code"] == "METHOD_NOT_ALLOWED"
    service.failure = LookupError("defect")
    assert client.get("/own").data == b"host 405"


def test_a_host_without_handlers_keeps_flask_s_pages(client: Any) -> None:
    """Outside the prefix Flask's own HTML answers as before."""
    response = client.get("/nothing")

    assert (response.status_code, response.mimetype) == (404, "text/html")


def test_the_host_s_own_routes_under_the_prefix_stay(service: Any) -> None:
    """A host may have more under /ai: his routes, his methods, his redirects."""
    app = Flask("host")
    app.register_blueprint(create_blueprint(service=service))
    app.add_url_rule("/ai/own", "own", lambda: "own", methods=["POST"])
    app.add_url_rule("/ai/folder/", "folder", lambda: "folder")
    client = app.test_client()

    assert client.post("/ai/own").data == b"own"
    assert (client.get("/ai/own").status_code, client.get("/ai/own").mimetype) == (405, "text/html")
    assert client.get("/ai/folder").status_code == 308


def test_our_errors_do_not_reach_the_host_s_handlers(service: Any, expects_500: None) -> None:
    """A catch-all of the host sees nothing of ours, not even a defect."""
    app = Flask("host")
    app.register_error_handler(Exception, lambda exc: ("host error", 500))
    app.register_error_handler(500, lambda exc: ("host error", 500))
    app.register_blueprint(create_blueprint(service=service))
    service.failure = LookupError("defect")

    assert app.test_client().get("/ai/health").json["error_code"] == "INTERNAL_ERROR"


@pytest.mark.parametrize("prefix", ["/ai", "/models/v1", "/a-b", "/"])
def test_any_prefix_works(service: Any, prefix: str) -> None:
    """The prefix is the mounter's; with none at all unknown paths are the host's."""
    app = Flask("host")
    app.register_blueprint(create_blueprint(service=service, url_prefix=prefix))
    client = app.test_client()
    base = prefix.rstrip("/")

    assert client.get(f"{base}/health").status_code == 200
    assert client.get(f"{base}/dashboard.css").status_code == 200
    assert client.get(f"{base}/switch-model").json["error_code"] == "METHOD_NOT_ALLOWED"
    unknown = client.get(f"{base}/nothing")
    assert (unknown.status_code, unknown.mimetype) == (404, "text/html" if prefix == "/" else "application/json")


def test_the_prefix_given_at_registration_wins(service: Any) -> None:
    """Flask's own way to say where a blueprint goes."""
    app = Flask("host")
    app.register_blueprint(create_blueprint(service=service), url_prefix="/elsewhere")

    assert app.test_client().get("/elsewhere/health").status_code == 200
    assert app.test_client().get("/elsewhere/x").json["error_code"] == "NOT_FOUND"


def test_it_nests_in_another_blueprint(service: Any) -> None:
    """A parent's prefix comes first, and its name too."""
    app, parent = Flask("host"), Blueprint("parent", "host", url_prefix="/parent")
    parent.register_blueprint(create_blueprint(service=service))
    app.register_blueprint(parent)
    client = app.test_client()

    assert client.get("/parent/ai/health").status_code == 200
    assert client.get("/parent/ai/x").json["error_code"] == "NOT_FOUND"
    assert list(app.extensions["elixi_models"]) == ["parent.elixi_models"]


def test_it_works_behind_script_name(service: Any) -> None:
    """Under a dispatcher the app sees its part of the path; answers and errors are the same."""
    app = Flask("host")
    app.register_blueprint(create_blueprint(service=service))
    client = Client(DispatcherMiddleware(Flask("outer"), {"/base": app}))

    assert client.get("/base/ai/health").status_code == 200
    assert client.get("/base/ai/x").json["error_code"] == "NOT_FOUND"
    assert client.post("/base/ai/switch-model", json={"model_name": "m"}).status_code == 200


def test_two_servers_in_one_app(fake_service: Callable[..., Any]) -> None:
    """Another name and another prefix: two services, told apart on every route."""
    one, two, app = fake_service(), fake_service(), Flask("host")
    app.register_blueprint(create_blueprint(service=one))
    app.register_blueprint(create_blueprint(service=two, name="gpu_box", url_prefix="/gpu"))
    client = app.test_client()

    client.post("/ai/switch-model", json={"model_name": "a"})
    client.post("/gpu/switch-model", json={"model_name": "b"})

    assert [name.model for _, (name,), _ in one.calls] == ["a"]
    assert [name.model for _, (name,), _ in two.calls] == ["b"]
    assert client.get("/gpu/x").json["error_code"] == "NOT_FOUND"
    assert app.extensions["elixi_models"]["gpu_box"].service is two


def test_one_blueprint_in_two_apps_has_two_services(tmp_path: Any) -> None:
    """Each app reads its own config and has its own state."""
    blueprint = create_blueprint()
    apps = []
    for port in (1, 2):
        app = Flask(f"host{port}")
        app.config.update(ELIXI_MODELS_OLLAMA_URL=f"http://127.0.0.1:{port}", ELIXI_MODELS_DATA_DIR=tmp_path)
        app.register_blueprint(blueprint)
        apps.append(app)

    states = [app.extensions["elixi_models"]["elixi_models"] for app in apps]

    assert [state.settings.ollama_url for state in states] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    assert states[0].service is not states[1].service
    for state in states:
        state.close()


def test_one_blueprint_twice_in_one_app_is_one_service(service: Any) -> None:
    """The same object under another name serves the same server."""
    app, blueprint = Flask("host"), create_blueprint(service=service)
    app.register_blueprint(blueprint)
    app.register_blueprint(blueprint, name="again", url_prefix="/again")

    assert app.test_client().get("/again/health").status_code == 200
    assert app.test_client().get("/again/x").json["error_code"] == "NOT_FOUND"
    assert len({id(state) for state in app.extensions["elixi_models"].values()}) == 1


def test_the_first_request_of_any_route_starts_the_service(host_app: Any, service: Any) -> None:
    """Also one that has nothing to do with models, and only once; registration itself starts nothing."""
    started = threading.Event()
    service.start = lambda: (service.events.append("start"), started.set())
    app = host_app(service)
    assert service.events == []

    assert app.test_client().get("/").data == b"host"
    assert started.wait(5)
    app.test_client().get("/nothing")

    assert service.events == ["start"]


def test_a_service_that_cannot_be_built_leaves_the_host_standing(host_app: Any, monkeypatch: Any) -> None:
    """The host answers as ever; ours is a 503 in JSON that names the setting, and recovers by itself."""
    app = host_app(None, settings={})
    app.config["ELIXI_MODELS_SWITCH_WAIT_S"] = "soon"
    client = app.test_client()

    assert client.get("/").data == b"host"
    response = client.get("/ai/health")
    assert (response.status_code, response.json["error_code"]) == (503, "MANAGER_UNAVAILABLE")
    assert "ELIXI_MODELS_SWITCH_WAIT_S" in response.json["error"]
    assert "soon" not in response.json["error"]
    app.config["ELIXI_MODELS_SWITCH_WAIT_S"] = "0.5"
    assert app.extensions["elixi_models"]["elixi_models"].settings.switch_wait_s == 0.5


def test_a_collected_app_closes_its_service(monkeypatch: Any) -> None:
    """An app factory's tests make and drop apps: what they started ends with them."""
    from elixi_models.web import options

    closed = threading.Event()

    class Service:
        settings = None

        def close(self) -> None:
            closed.set()

    monkeypatch.setattr(options.Options, "build_service", lambda self, settings: Service())
    app = Flask("host")
    app.register_blueprint(create_blueprint())
    assert app.extensions["elixi_models"]["elixi_models"].service.settings is None
    gone = weakref.ref(app)

    del app
    gc.collect()

    assert gone() is None
    assert closed.wait(5)


def test_init_app_is_the_same_mount(service: Any) -> None:
    """The extension adds the blueprint, keeps the state in app.extensions, and has the manager at hand."""
    app, models = Flask("host"), ElixiModels(service=service)
    models.init_app(app)

    assert app.test_client().get("/ai/health").status_code == 200
    assert models.service is app.extensions["elixi_models"]["elixi_models"].service is service
    assert models.manager.service is service
    assert models.manager is models.manager


def test_the_app_may_be_given_at_once(service: Any) -> None:
    """ElixiModels(app) is ElixiModels() and init_app(app)."""
    app = Flask("host")
    ElixiModels(app, service=service, url_prefix="/m")

    assert app.test_client().get("/m/health").status_code == 200


def test_a_second_init_app_says_what_to_do(service: Any) -> None:
    """The same app twice under one name is a mistake; another name is a second server."""
    app, models = Flask("host"), ElixiModels(service=service)
    models.init_app(app)

    with pytest.raises(RuntimeError, match=r"Call init_app once per app.*another name and prefix"):
        models.init_app(app)
    with pytest.raises(RuntimeError, match="has 'elixi_models' already"):
        ElixiModels(service=service).init_app(app)
    ElixiModels(service=service, name="second", url_prefix="/second").init_app(app)


def test_without_an_app_the_manager_is_not_to_be_had(service: Any) -> None:
    """The error says what is missing."""
    with pytest.raises(RuntimeError, match="Call init_app"):
        _ = ElixiModels(service=service).manager


def test_with_several_apps_the_running_one_counts(fake_service: Any) -> None:
    """Outside of an app context nobody can know which one is meant."""
    models, apps = ElixiModels(service=fake_service()), [Flask("a"), Flask("b")]
    for app in apps:
        models.init_app(app)

    with pytest.raises(RuntimeError, match="several apps"):
        _ = models.service
    with apps[1].app_context():
        assert models.service is models._states[apps[1]].service
    models.close()
    assert apps[0].test_client().get("/ai/health").json["error_code"] == "MANAGER_UNAVAILABLE"


def test_authorize_runs_inside_the_request(host_app: Any, service: Any) -> None:
    """The host's sessions and headers are at hand."""
    client = host_app(service, authorize=lambda action: request.headers["X-User"]).test_client()

    client.post("/ai/switch-model", json={"model_name": "m"}, headers={"X-User": "ada"})

    assert service.calls[0][2]["user"] == "ada"
