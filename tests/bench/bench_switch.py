"""How soon a switch is answered: warm, and while a load takes a minute."""

from __future__ import annotations

import itertools
import json
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from elixi_models import ElixiModels, Settings, attach
from elixi_models.testing import OllamaEmulator

pytestmark = pytest.mark.bench

NAMES = [f"model{number}:7b" for number in range(6)]


def test_warm_switch(app: Any, row: Callable[..., None], median_ms: Callable[..., list[float]]) -> None:
    """Between two models that are in memory."""
    client = app.test_client()
    targets = itertools.cycle(("model0:7b", "model1:7b"))

    def switch() -> None:
        answer = client.post("/ai/switch-model", json={"model_name": next(targets)})
        assert answer.get_json()["data"]["status"] == "active"

    empty, ours = median_ms(lambda: client.get("/empty"), switch, times=50)
    row("warm switch, over an empty route", "ms", empty, ours, "50 ms")


def test_acknowledged_in_flask(row: Callable[..., None], tmp_path: Path) -> None:
    """The slowest answer to six switches, one after the other, each of which would load for a minute."""
    from flask import Flask

    with OllamaEmulator(NAMES, load_seconds=60.0) as ollama:
        host = Flask("host")
        models = ElixiModels(host, settings=Settings.load({}, ollama_url=ollama.url, data_dir=tmp_path))
        models.service.start()
        models.service.parts.observer.refresh(20.0)
        client = host.test_client()
        try:
            slowest = max(timed(lambda name=name: acknowledge(client, name)) for name in NAMES)
        finally:
            models.close()
    row("switch acknowledged, load of 60 s, Flask, slowest of 6", "s", None, slowest, "0.95 s")


def acknowledge(client: Any, name: str) -> None:
    answer = client.post("/ai/switch-model", json={"model_name": name})
    assert answer.get_json()["data"]["status"] == "loading"


class Handler(BaseHTTPRequestHandler):
    """A host with nothing of its own."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def test_acknowledged_under_attach(row: Callable[..., None], tmp_path: Path) -> None:
    """The same beside a handler whose one thread serves everybody, over sockets."""
    with OllamaEmulator(NAMES, load_seconds=60.0) as ollama, HTTPServer(("127.0.0.1", 0), Handler) as server:
        models = attach(Handler, settings=Settings.load({}, ollama_url=ollama.url, data_dir=tmp_path))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        models.service.start()
        models.service.parts.observer.refresh(20.0)
        url = f"http://127.0.0.1:{server.server_address[1]}/ai/switch-model"
        try:
            post(url, NAMES[0])
            slowest = max(timed(lambda name=name: post(url, name)) for name in NAMES)
        finally:
            models.close()
            server.shutdown()
            thread.join()
    row("switch acknowledged, load of 60 s, attach, slowest of 6", "s", None, slowest, "0.1 s")


def post(url: str, name: str) -> None:
    request = urllib.request.Request(url, json.dumps({"model_name": name}).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.loads(answer.read())["data"]["status"] == "loading"


def timed(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
