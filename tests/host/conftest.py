"""The host around the package: its brain, and managers and apps that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from elixi_models import ElixiModels, ModelManager, ModelService, Settings

PATIENCE_S = 20.0


class Brain:
    """The host's OllamaAIBrain: its attributes, its two methods, and the same canned reply on any failure."""

    def __init__(self, model: str = "mistral", api_url: str = "", timeout: float = 8.0) -> None:
        self.model = model
        self.api_url = api_url
        self.timeout = timeout

    def generate_reply(self, prompt: str, context: str = "", timeout: float | None = None) -> str | None:
        return "a canned reply"

    def is_available(self) -> bool:
        return True


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings for an address, quick in all that a test would wait for, in one data folder per test."""

    def make(url: str, **changes: Any) -> Settings:
        quick = {"observe_active_s": 0.1, "store_follow_s": 0.05, "switch_wait_s": 5.0, "data_dir": tmp_path}
        return Settings.load({}, ollama_url=url, **{**quick, **changes})

    return make


@pytest.fixture
def make_manager(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., ModelManager]]:
    """`make_manager(url, brain=…, mongodb=…, clock=…, **settings)`: a manager that is closed after the test.

    It has looked at the server once, however busy the machine is.
    """
    with ExitStack() as managers:

        def make(url: str, brain: Any = None, mongodb: Any = None, **settings: Any) -> ModelManager:
            more = {"clock": settings.pop("clock")} if "clock" in settings else {}
            service = ModelService(make_settings(url, **settings), brain=brain, mongodb=mongodb, **more)
            manager = ModelManager(brain, mongodb=mongodb, service=service)
            managers.callback(manager.close)
            service.start()
            service.parts.observer.refresh(PATIENCE_S)
            return manager

        yield make


@pytest.fixture
def make_client(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., FlaskClient]]:
    """`make_client(url, brain=…, **settings)`: a client of a Flask app with our routes under /ai."""
    with ExitStack() as apps:

        def make(url: str, brain: Any = None, **settings: Any) -> FlaskClient:
            app = Flask("host")
            extension = ElixiModels(app, brain=brain, settings=make_settings(url, **settings))
            apps.callback(extension.close)
            return app.test_client()

        yield make


@pytest.fixture
def make_brain() -> type[Brain]:
    """The class of the brain."""
    return Brain
