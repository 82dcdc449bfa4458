"""Who may change something: Host, Origin and the host's own authorize."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from flask import Response, abort, redirect
from flask.testing import FlaskClient

from elixi_models.web.guard import is_trusted

BODY = {"model_name": "m"}


def post(client: FlaskClient, host: str | None = "localhost", path: str = "/ai/switch-model", **headers: str) -> Any:
    overrides = {} if host is None else {"HTTP_HOST": host}
    return client.post(path, json=BODY, headers=headers, environ_overrides=overrides)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:5000",
        "localhost.",
        "app.localhost",
        "127.0.0.1:5000",
        "192.168.1.7",
        "[::1]:5000",
        "[fe80::1]",
        "",
    ],
)
def test_loopback_names_and_addresses_are_trusted(client: FlaskClient, host: str) -> None:
    """No name of the public DNS can be pointed at an address literal or at localhost."""
    assert post(client, host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "a, localhost",
        "x@localhost",
        "1.2.3",
    ],
)
def test_another_name_is_refused_and_the_setting_named(client: FlaskClient, service: Any, host: str) -> None:
    """DNS rebinding: a page of evil.example is same-origin with itself, so the Host must be known."""
    response = post(client, host, Origin=f"http://{host}")

    assert (response.status_code, response.json["error_code"]) == (403, "HOST_NOT_ALLOWED")
    assert "ELIXI_MODELS_TRUSTED_HOSTS" in response.json["error"]
    assert service.calls == []


def test_reading_is_open_to_any_name(client: FlaskClient) -> None:
    """Only what changes something is guarded."""
    response = client.get("/ai/health", environ_overrides={"HTTP_HOST": "evil.example"}, headers={"Origin": "null"})

    assert response.status_code == 200


def test_trusted_hosts_come_from_the_setting(host_app: Callable[..., Any], fake_service: Callable[..., Any]) -> None:
    """A name, and with a leading dot its subdomains."""
    client = host_app(fake_service(trusted_hosts="box.lan,.home.arpa")).test_client()

    assert post(client, "box.lan:5000").status_code == 200
    assert post(client, "a.home.arpa").status_code == 200
    assert post(client, "home.arpa").status_code == 200
    assert post(client, "a.box.lan").status_code == 403
    assert post(client, "evilhome.arpa").status_code == 403


def test_trusted_hosts_come_from_flask(host_app: Callable[..., Any], service: Any) -> None:
    """Flask's own TRUSTED_HOSTS counts as well."""
    app = host_app(service)
    app.config["TRUSTED_HOSTS"] = ["box.lan", "localhost"]

    assert post(app.test_client(), "box.lan").status_code == 200


@pytest.mark.skipif(version("flask") < "3.1", reason="this Flask knows no TRUSTED_HOSTS")
@pytest.mark.parametrize("path", ["/ai/health", "/ai/nothing"])
def test_flask_s_own_refusal_of_a_host_is_told_in_json(host_app: Callable[..., Any], service: Any, path: str) -> None:
    """TRUSTED_HOSTS makes Flask refuse reads too, in HTML: under our prefix it is JSON."""
    app = host_app(service)
    app.config["TRUSTED_HOSTS"] = ["box.lan"]

    response = app.test_client().get(path, environ_overrides={"HTTP_HOST": "evil.example"})

    assert (response.status_code, response.json["error_code"]) == (403, "HOST_NOT_ALLOWED")


def test_an_empty_entry_trusts_nobody() -> None:
    """A stray comma in the setting opens nothing, and a Host that is none is trusted by no rule."""
    assert not is_trusted("localhost:x", [])
    assert not is_trusted("evil.example", ["", "."])


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:5000", "http://localhost:5000"),
        ("localhost", "http://LOCALHOST:80"),
        ("localhost:80", "http://localhost"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_the_own_origin_may(client: FlaskClient, host: str, origin: str) -> None:
    """The dashboard's requests carry the page's own origin."""
    assert post(client, host, Origin=origin).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "https://localhost:5000",
        "http://localhost:5001",
        "http://localhost:x",
        "http://127.0.0.1:5000",
        "file://",
        "http://localhost:5000.evil.example",
    ],
)
def test_a_foreign_origin_is_refused(client: FlaskClient, service: Any, origin: str) -> None:
    """A web page needs no permission to send a POST that starts a 40 GB pull: it is refused here."""
    response = post(client, "localhost:5000", Origin=origin)

    assert (response.status_code, response.json["error_code"]) == (403, "ORIGIN_NOT_ALLOWED")
    assert response.json["details"] == {"setting": "ELIXI_MODELS_ALLOWED_ORIGINS"}
    assert service.calls == []


def test_every_changing_route_is_guarded(client: FlaskClient) -> None:
    """No POST or PUT is forgotten."""
    from elixi_models.web.routes import ENDPOINTS

    for endpoint in ENDPOINTS:
        if endpoint.method != "GET":
            response = client.open(f"/ai/{endpoint.path}", method=endpoint.method, headers={"Origin": "http://evil"})
            assert response.status_code == 403, endpoint.path


def test_allowed_origins_may(host_app: Callable[..., Any], fake_service: Callable[..., Any]) -> None:
    """An origin that the setting names is let in, and still gets no CORS headers."""
    client = host_app(fake_service(allowed_origins="https://ui.example:8443")).test_client()

    response = post(client, Origin="https://ui.example:8443")

    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers
    assert post(client, Origin="https://ui.example").status_code == 403


def test_null_is_never_allowed(host_app: Callable[..., Any], fake_service: Callable[..., Any]) -> None:
    """Any sandboxed frame has the origin `null`: even a setting that names it opens nothing."""
    client = host_app(fake_service(allowed_origins="null")).test_client()

    assert post(client, Origin="null").status_code == 403


def test_the_origin_is_judged_behind_a_prefix(host_app: Callable[..., Any], service: Any) -> None:
    """SCRIPT_NAME is part of no origin."""
    client = host_app(service).test_client()

    response = client.post(
        "/ai/switch-model", json=BODY, base_url="http://localhost/base", headers={"Origin": "http://localhost"}
    )

    assert response.status_code == 200


@pytest.mark.parametrize(("answer", "user"), [(None, None), (True, None), ("ada", "ada"), (7, "7")])
def test_the_user_goes_to_the_service(host_app: Callable[..., Any], service: Any, answer: Any, user: Any) -> None:
    """What authorize gives is who did it."""
    client = host_app(service, authorize=lambda action: answer).test_client()

    post(client)

    assert service.calls[0][2]["user"] == user


def test_each_action_is_asked_for(host_app: Callable[..., Any], service: Any) -> None:
    """read, operate and admin are told apart."""
    asked: list[str] = []
    client = host_app(service, authorize=asked.append).test_client()

    client.get("/ai/health")
    post(client)
    post(client, path="/ai/delete-model")
    client.get("/ai/dashboard")
    client.post("/ai/recommend-model")

    assert asked == ["read", "operate", "admin", "read", "read"]


@pytest.mark.parametrize(
    "refuse",
    [
        lambda action: abort(403),
        lambda action: abort(401),
        lambda action: abort(redirect("/login")),
        lambda action: False,
    ],
)
def test_a_refusal_is_403_in_json(host_app: Callable[..., Any], service: Any, refuse: Any) -> None:
    """However the host refuses, a program is told in JSON, and the service is not asked."""
    client = host_app(service, authorize=refuse).test_client()

    response = post(client)

    assert (response.status_code, response.json["error_code"]) == (403, "FORBIDDEN")
    assert response.json["details"] == {"action": "operate"}
    assert service.calls == []


def test_a_permission_error_refuses(host_app: Callable[..., Any], service: Any) -> None:
    """PermissionError is Python's own word for it."""

    def refuse(action: str) -> None:
        raise PermissionError(action)

    assert post(host_app(service, authorize=refuse).test_client()).json["error_code"] == "FORBIDDEN"


def test_a_defect_in_authorize_lets_nobody_in(host_app: Callable[..., Any], service: Any, expects_500: None) -> None:
    """An unexpected error is a 500, and the service is not asked."""
    client = host_app(service, authorize=lambda action: {}["x"]).test_client()

    assert post(client).status_code == 500
    assert service.calls == []


def test_the_page_may_send_to_the_login(host_app: Callable[..., Any], service: Any) -> None:
    """A person at the dashboard gets the host's redirect or page; without one the JSON refusal."""
    to_login = host_app(service, authorize=lambda action: abort(redirect("/login"))).test_client()
    asks = host_app(service, authorize=lambda action: abort(Response("Who?", 401, {"WWW-Authenticate": "Basic"})))
    plain = host_app(service, authorize=lambda action: abort(403)).test_client()

    assert to_login.get("/ai/dashboard").headers["Location"] == "/login"
    assert asks.test_client().get("/ai/dashboard").headers["WWW-Authenticate"] == "Basic"
    assert plain.get("/ai/dashboard").json["error_code"] == "FORBIDDEN"
