"""The mounts over a real service and an emulated Ollama: nothing waits, nothing is left."""

from __future__ import annotations

import gc
import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask import Flask
from flask.testing import FlaskClient

from elixi_models import ElixiModels, attach, create_blueprint
from elixi_models.testing import OllamaEmulator

REQUESTS = 500


class Brain:
    """As much of the host's OllamaAIBrain as we touch."""

    def __init__(self, url: str) -> None:
        self.api_url, self.model, self.timeout = url, "llama3.2:1b", 8

    def is_available(self) -> bool:
        return True

    def generate_reply(self, prompt: str, context: str = "", timeout: float | None = None) -> str | None:
        return "the brain's own reply"


@pytest.fixture
def brain(ollama: OllamaEmulator) -> Brain:
    return Brain(ollama.url)


@pytest.fixture
def ollama(ollama_emulators: Callable[..., OllamaEmulator]) -> OllamaEmulator:
    """Two chat models; loads take a second, pulls many."""
    return ollama_emulators(models=["llama3.2:1b", "qwen2.5:0.5b"], pull_seconds=30.0, load_seconds=1.0)


class Client:
    """JSON over one port, a connection per request as fetch from a page does it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, Any]:
        return self.send("GET", path)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        return self.send("POST", path, body)

    def until(self, path: str, holds: Callable[[Any], bool], patience_s: float = 20.0) -> Any:
        """Poll until the data is so."""
        until, pause = time.monotonic() + patience_s, threading.Event()
        while True:
            _, body = self.get(path)
            if body["success"] and holds(body["data"]):
                return body["data"]
            assert time.monotonic() < until, body
            pause.wait(0.02)


@pytest.fixture
def host(ollama: OllamaEmulator, brain: Brain) -> Iterator[tuple[Client, ElixiModels]]:
    """A single-threaded http.server host with a chat route of its own, and our two lines."""

    class ElixiHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"success": self.path == "/system-status"}, 200 if self.path == "/system-status" else 404)

        def do_POST(self) -> None:
            prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
            # The documented line.
            self._send(models.manager.chat(prompt), 200)

        def _send(self, data: Any, status: int) -> None:
            body = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    models = attach(ElixiHandler, brain=lambda: brain, ollama_url=ollama.url, settings={"registry_url": ollama.url})
    server = HTTPServer(("127.0.0.1", 0), ElixiHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield Client(server.server_port), models
    server.shutdown()
    server.server_close()
    thread.join(5)
    models.close()


def test_nothing_waits_in_a_single_threaded_host(
    host: tuple[Client, ElixiModels], brain: Brain, record_property: Callable[[str, object], None]
) -> None:
    """During a slow pull and a slow load 500 requests to the host's routes and to ours all succeed, at once."""
    client, _ = host
    client.until("/ai/model-status", lambda data: data["reachable"])
    assert client.post("/ai/download-model", {"model_name": "mistral:7b"})[0] == 202
    began = time.perf_counter()
    status, body = client.post("/ai/switch-model", {"model_name": "qwen2.5:0.5b"})
    switch_s = time.perf_counter() - began
    assert (status, body["data"]["status"]) == (202, "loading")

    paths = ["/system-status", "/ai/model-status", "/ai/download-status?model_name=mistral:7b", "/ai/health?x=1"]
    took_ms = []
    for number in range(REQUESTS):
        began = time.perf_counter()
        status, body = client.get(paths[number % len(paths)])
        took_ms.append((time.perf_counter() - began) * 1000)
        assert (status, body["success"]) == (200, True)

    took_ms.sort()
    p50, p99 = statistics.median(took_ms), took_ms[int(REQUESTS * 0.99)]
    record_property("p50_ms", p50)
    record_property("p99_ms", p99)
    print(f"\n{REQUESTS} requests: p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {took_ms[-1]:.1f} ms")
    print(f"switch acknowledged in {switch_s:.3f} s")
    assert switch_s < 1.0
    assert p99 < 1000
    client.until("/ai/model-status", lambda data: data["current_model"] == "qwen2.5:0.5b")
    assert brain.model == "qwen2.5:0.5b"
    assert client.get("/ai/download-status?model_name=mistral:7b")[1]["data"]["status"] == "downloading"
    assert client.post("/ai/cancel-download", {"model_name": "mistral:7b"})[1]["data"]["status"] == "cancelled"


def test_the_host_s_chat_is_answered_and_measured(host: tuple[Client, ElixiModels], brain: Brain) -> None:
    """The documented line answers from the selected model; enough tokens later their rate is a number."""
    client, models = host
    client.until("/ai/available-models", lambda data: len(data["installed"]) == 2)

    for _ in range(6):
        answer = client.post("/execute", {"prompt": "Tell me something long about the sea."})[1]
        assert answer["success"] is True
        assert answer["reply"]
    assert brain.generate_reply("Hello") != "the brain's own reply"

    name = answer["model"]
    client.post("/ai/switch-model", {"model_name": name})
    data = client.until("/ai/model-status", lambda data: data["current_model"] == name)
    assert data["performance"]["total_requests"] >= 6
    assert data["performance"]["tokens_per_second"] > 0
    assert models.manager.get_current_status()["current_model"] == name


def test_a_missing_model_is_told_at_once(host: tuple[Client, ElixiModels]) -> None:
    """A typo on a switch is 404; on a download 404 if the registry says so in time, else a job that says it."""
    client, _ = host
    client.until("/ai/model-status", lambda data: data["reachable"])

    status, body = client.post("/ai/switch-model", {"model_name": "no-such-model"})
    assert (status, body["error_code"]) == (404, "MODEL_NOT_INSTALLED")

    status, body = client.post("/ai/download-model", {"model_name": "no-such-model"})
    if status == 202:
        job = client.until("/ai/download-status?model_name=no-such-model", lambda data: data["status"] == "failed")
        assert job["error_code"] == "MODEL_NOT_FOUND"
    else:
        assert (status, body["error_code"]) == (404, "MODEL_NOT_FOUND")


def resources() -> tuple[set[str], int]:
    """Our threads, and the open sockets and files of this process."""
    process = psutil.Process()
    # Before psutil 6 it had another name.
    connections = getattr(process, "net_connections", None) or process.connections
    threads = {thread.name for thread in threading.enumerate() if thread.name.startswith("elixi-models")}
    return threads, len(connections()) + len(process.open_files())


def settled(check: Callable[[], bool], patience_s: float = 10.0) -> bool:
    until, pause = time.monotonic() + patience_s, threading.Event()
    while not check():
        if time.monotonic() > until:
            return False
        pause.wait(0.05)
    return True


def use(app: Flask) -> None:
    """A little of everything: status, a switch, a download that runs."""
    client = app.test_client()
    assert settled(lambda: client.get("/ai/model-status").json["data"]["reachable"])
    client.post("/ai/switch-model", json={"model_name": "llama3.2:1b"})
    client.post("/ai/download-model", json={"model_name": "mistral:7b"})


def make_app(ollama: OllamaEmulator, folder: Path) -> Flask:
    app = Flask("host")
    app.register_blueprint(
        create_blueprint(ollama_url=ollama.url, data_dir=folder, settings={"registry_url": ollama.url})
    )
    return app


@pytest.mark.parametrize("how", ["closed", "collected"])
def test_nothing_of_an_app_is_left(ollama: OllamaEmulator, tmp_path: Path, how: str) -> None:
    """Threads, sockets and files are gone when the app is closed, and also when it is merely dropped."""
    use(make_app(ollama, tmp_path / "warm"))  # what libraries keep for good is there from now on
    gc.collect()
    assert settled(lambda: not resources()[0])
    before = resources()

    app = make_app(ollama, tmp_path / "own")
    use(app)
    assert resources()[0]
    if how == "closed":
        app.extensions["elixi_models"]["elixi_models"].close()
    del app
    gc.collect()

    assert settled(lambda: not resources()[0]), resources()
    assert settled(lambda: resources()[1] <= before[1]), (before, resources())


def test_no_context_is_left(ollama: OllamaEmulator, tmp_path: Path) -> None:
    """No request or app context outlives its request, also after errors."""
    from flask import has_app_context, has_request_context

    app = make_app(ollama, tmp_path)
    client = app.test_client()
    for path in ("/ai/model-status", "/ai/nothing", "/ai/download-status", "/nothing"):
        client.get(path)
        assert not has_app_context()
        assert not has_request_context()
    app.extensions["elixi_models"]["elixi_models"].close()


def test_two_servers_in_one_app_behind_a_prefix(
    ollama: OllamaEmulator, ollama_emulators: Callable[..., OllamaEmulator], tmp_path: Path
) -> None:
    """Two blueprints, two Ollamas, one app factory under SCRIPT_NAME: each lists and switches its own."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.test import Client as WsgiClient

    second = ollama_emulators(models=["mistral:7b"], load_seconds=0.01)

    def create_app() -> Flask:
        app = make_app(ollama, tmp_path)
        app.register_blueprint(
            create_blueprint(ollama_url=second.url, data_dir=tmp_path, name="second", url_prefix="/second")
        )
        return app

    app = create_app()
    client = WsgiClient(DispatcherMiddleware(Flask("outer"), {"/base": app}))

    def installed(prefix: str) -> set[str]:
        body = client.get(f"/base{prefix}/available-models").json
        return {model["name"] for model in body["data"]["installed"]} if body["success"] else set()

    assert settled(lambda: installed("/ai") == {"llama3.2:1b", "qwen2.5:0.5b"})
    assert settled(lambda: installed("/second") == {"mistral:7b"})
    assert client.post("/base/second/switch-model", json={"model_name": "mistral:7b"}).status_code == 200
    assert client.post("/base/ai/switch-model", json={"model_name": "mistral:7b"}).status_code == 404
    for state in app.extensions["elixi_models"].values():
        state.close()


def test_a_server_that_is_down_is_told(tmp_path: Path) -> None:
    """Nothing listens: status answers 200 offline, the list 503, an action 503 with a remedy, the page is there."""
    app = Flask("host")
    app.register_blueprint(create_blueprint(ollama_url="http://127.0.0.1:9", data_dir=tmp_path))
    client = app.test_client()

    assert settled(lambda: client.get("/ai/model-status").json["data"]["status"] == "offline")
    assert client.get("/ai/available-models").json["error_code"] == "OLLAMA_UNAVAILABLE"
    response = client.post("/ai/switch-model", json={"model_name": "m"})
    assert (response.status_code, response.json["error_code"]) == (503, "OLLAMA_UNAVAILABLE")
    assert client.get("/ai/health").json["data"]["status"] == "down"
    assert client.get("/ai/dashboard").status_code == 200
    app.extensions["elixi_models"]["elixi_models"].close()


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[FlaskClient]:
    """An app over an empty store, without a server."""
    app = Flask("host")
    models = ElixiModels(app, settings={"ollama_url": "http://127.0.0.1:9", "data_dir": str(tmp_path)})
    yield app.test_client()
    models.close()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("model_name=never-seen", {"model_name": "never-seen", "bucket": "hour", "shortened": False}),
        ("model_name=hf.co/Some-One/a.b:Q4_K_M", {"model_name": "hf.co/Some-One/a.b:Q4_K_M"}),
        ("model_name=M&from=1993-01-01T00:00:00Z&to=2023-01-01T00:00:00Z", {"bucket": "day", "shortened": True}),
        (
            "model_name=m&from=2011-01-01T00:00:00Z&to=2023-01-01T00:00:00Z&bucket=hour",
            {"from": "2022-12-18T00:00:00Z", "to": "2023-01-01T00:00:00Z", "shortened": True},
        ),
        ("model_name=m&from=0&to=253402300799", {"bucket": "day", "shortened": True}),
        ("model_name=m&from=9999-12-31T23:59:59Z&to=9999-12-31T23:59:59Z", {"bucket": "hour", "shortened": False}),
        (
            "model_name=m&from=0001-01-01T00:00:00%2B14:00&to=0001-01-02T00:00:00%2B14:00",
            {"from": "1970-01-01T00:00:00Z", "to": "1970-01-01T00:00:00Z"},
        ),
    ],
)
def test_a_history_that_has_nothing_is_empty(lonely: FlaskClient, query: str, told: dict[str, Any]) -> None:
    """Of an unknown model, over decades, by 100,000 hours, in the future or before 1970: always an answer."""
    answer = lonely.get(f"/ai/model-history?{query}")
    data = answer.json["data"]
    assert (answer.status_code, data["points"], data["total"]) == (200, [], None)
    assert {name: data[name] for name in told} == told


@pytest.mark.parametrize(
    "name", ["a b", "a%00", "%F0%9F%A6%99", "../../etc", "a" * 300, "a:b:c", "%25", "'; DROP TABLE x"]
)
def test_a_history_of_what_is_no_name_is_refused(lonely: FlaskClient, name: str) -> None:
    """Naming the field."""
    answer = lonely.get(f"/ai/model-history?model_name={name}")
    assert (answer.status_code, answer.json["details"]["field"]) == (400, "model_name")


@pytest.mark.parametrize(
    "query", ["from=2&to=1", "bucket=week", "from=nan", "to=1e400", "from=-1", "from=1780000000000"]
)
def test_a_history_of_what_is_no_time_is_refused(lonely: FlaskClient, query: str) -> None:
    """Naming the field."""
    answer = lonely.get(f"/ai/model-history?model_name=m&{query}")
    assert (answer.status_code, answer.json["details"]["field"]) == (400, query.partition("=")[0])
