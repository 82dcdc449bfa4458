"""A real server, asked beside us by the plainest means, and left as it was found."""

from __future__ import annotations

import json
import os
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elixi_models import ModelManager, ModelService, Settings
from elixi_models.settings import normalise_url

HOST = os.environ.get("ELIXI_TEST_OLLAMA_HOST", "")
MONGODB = os.environ.get("ELIXI_TEST_MONGODB_URI", "")
PATIENCE_S = 30.0


class Server:
    """The server's own word, without any of our code."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """The JSON of one request."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def installed(self) -> dict[str, str]:
        """Name → digest."""
        return {model["name"]: model["digest"] for model in self.ask("/api/tags")["models"]}

    def loaded(self) -> set[str]:
        """Names of the models in memory."""
        return {model["name"] for model in self.ask("/api/ps")["models"] or ()}

    def chat_models(self) -> list[str]:
        """Those that complete text, the smallest file first."""
        sizes = {model["name"]: model["size"] for model in self.ask("/api/tags")["models"]}
        able = [
            name for name in sizes if "completion" in self.ask("/api/show", {"model": name}).get("capabilities", ())
        ]
        return sorted(able, key=lambda name: sizes[name])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The real server; what is pulled or loaded by the tests is gone afterwards."""
    if not HOST:
        pytest.skip("ELIXI_TEST_OLLAMA_HOST names no server")
    found = Server(normalise_url(HOST))
    installed, loaded = found.installed(), found.loaded()
    yield found
    for name in set(found.installed()) - set(installed):
        found.ask("/api/delete", {"model": name}, "DELETE")
    for name in found.loaded() - loaded:
        found.ask("/api/generate", {"model": name, "keep_alive": 0})
    assert found.installed() == installed


class Brain:
    """As the host's."""

    def __init__(self, model: str, api_url: str) -> None:
        self.model = model
        self.api_url = api_url
        self.timeout = 120

    def generate_reply(self, prompt: str, context: str = "", timeout: float | None = None) -> str | None:
        return None

    def is_available(self) -> bool:
        return False


@pytest.fixture
def brain(server: Server) -> Brain:
    """A brain with the smallest chat model."""
    return Brain(two_chat_models(server)[0], server.url)


@pytest.fixture
def manager(server: Server, brain: Brain, tmp_path: Path) -> Iterator[ModelManager]:
    """A manager over the server; it stores in the MongoDB of ELIXI_TEST_MONGODB_URI when one is given."""
    database = f"elixi_live_{uuid.uuid4().hex[:12]}"
    store = {"mongodb_uri": MONGODB, "mongodb_db": database} if MONGODB else {}
    settings = Settings.load(
        {},
        ollama_url=server.url,
        data_dir=tmp_path,
        switch_wait_s=30.0,
        observe_active_s=0.5,
        chat_max_tokens=32,
        **store,
    )
    service = ModelService(settings, brain=brain)
    service.start()
    service.parts.observer.refresh(PATIENCE_S)
    try:
        yield ModelManager(brain, service=service)
    finally:
        service.close()
        if MONGODB:
            drop(database)


def drop(database: str) -> None:
    from pymongo import MongoClient

    with MongoClient(MONGODB) as client:
        client.drop_database(database)


def two_chat_models(server: Server) -> list[str]:
    """The two smallest, or a reason to skip."""
    names = server.chat_models()[:2]
    if len(names) < 2:
        pytest.skip(f"the server has fewer than two models that chat: {names}")
    return names


@pytest.fixture
def pair(server: Server) -> list[str]:
    """Two chat models."""
    return two_chat_models(server)


@pytest.fixture
def pullable(server: Server) -> Iterator[str]:
    """A name that is not installed and is removed afterwards: ELIXI_TEST_PULL, else `all-minilm`."""
    name = os.environ.get("ELIXI_TEST_PULL", "all-minilm")
    full = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    if full in server.installed():
        pytest.skip(f"{name} is installed already; name another in ELIXI_TEST_PULL")
    yield full
    if full in server.installed():
        server.ask("/api/delete", {"model": full}, "DELETE")


@pytest.fixture
def follow(manager: ModelManager, eventually: Callable[..., Any]) -> Callable[[str], list[dict[str, Any]]]:
    """Poll a download to its end and give all that was seen; skips where the registry cannot be reached."""

    def poll(name: str) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []

        def ended() -> bool:
            seen.append(manager.get_download_status(name))
            return seen[-1]["status"] in ("installed", "failed", "cancelled")

        eventually(ended, 600.0)
        if seen[-1]["error_code"] in ("REGISTRY_UNREACHABLE", "REGISTRY_DENIED", "MODEL_NOT_FOUND"):
            pytest.skip(f"the server cannot pull {name}: {seen[-1]['error_code']}")
        return seen

    return poll
