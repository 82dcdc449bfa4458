"""A service made by hand, so that the HTTP face can be tested without a server behind it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from elixi_models import create_blueprint
from elixi_models.assignments import Assignments
from elixi_models.catalogue.catalogue import CatalogueEntry
from elixi_models.inventory import InstalledModel
from elixi_models.metrics.history import HistoryPoint, ModelHistory, Span
from elixi_models.records import (
    Activation,
    ActiveModel,
    BenchmarkJob,
    Choice,
    DownloadJob,
    Failure,
    ModelSummary,
    Percentiles,
    Progress,
    ResourceSample,
    UsageEvent,
)
from elixi_models.reports import Deletion, HealthReport, Inventory, ModelCard, StatusReport, Unloading
from elixi_models.settings import Settings

URL = "http://127.0.0.1:11434"
NOW_S = 1_780_000_000.0
MODEL = InstalledModel("neural-chat:latest", "m1", 4_109_865_159, parameter_size="7B", capabilities=("completion",))
CARD = ModelCard(MODEL, "general", ModelSummary(tokens_per_second=45.3, latency_ms=220.0), None, True, True)
HISTORY_POINT = HistoryPoint(
    int(NOW_S) - 400,
    3,
    1,
    1 / 3,
    45.31,
    220.04,
    None,
    Percentiles(200.0, 240.0, 240.0),
    Percentiles(),
    Percentiles(),
    2_147_483_648,
    {"ok": 2, "timeout": 1},
    ("w1",),
)
ENTRY = CatalogueEntry("llama2", "Llama 2", "general", 5, "7B", 3_826_793_677, 4096, ("completion",), None, None, ())


def download_job(model: str, state: str, **changes: Any) -> DownloadJob:
    """A job of that state, 45 % done."""
    facts: dict[str, Any] = {"progress": Progress(0.45, 45, 100, 10.0, 5.5), **changes}
    return DownloadJob("j1", URL, model, state, NOW_S, NOW_S, **facts)  # type: ignore[arg-type]


class FakeService:
    """Answers every verb with a fixed record and remembers the calls; `failure` is raised instead when set."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings.load({}, **settings)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.failure: BaseException | None = None
        self.answers: dict[str, Any] = {
            "available": Inventory((CARD,), (ENTRY,), "neural-chat:latest", True, NOW_S, True),
            "status": StatusReport(
                state="active",
                active=ActiveModel("neural-chat:latest", since_s=NOW_S),
                card=CARD,
                residence=None,
                uptime_s=12.0,
                resources=ResourceSample(),
                supports=("general",),
                pending=None,
                last_failure=None,
                downloads=(),
                ollama_version="0.33.0",
                as_of_s=NOW_S,
                reachable=True,
                error_code=None,
            ),
            "health": HealthReport("ok", "0.1.0", {"reachable": True, "as_of_s": NOW_S}, {"kind": "sqlite"}, 0),
            "switch": Activation("active", "mistral:7b", "neural-chat:latest", "mistral:7b", load_ms=12.4),
            "download": download_job("llama2:7b", "downloading"),
            "download_status": download_job("llama2:7b", "failed", failure=Failure("MODEL_NOT_FOUND", "No.", NOW_S)),
            "downloads": [download_job("llama2:7b", "downloading")],
            "cancel_download": download_job("llama2:7b", "cancelled"),
            "unload": Unloading("mistral:7b", "unloaded"),
            "delete": Deletion("mistral:7b", "deleted", 4_100_000_000),
            "benchmark": BenchmarkJob("b1", URL, "mistral:7b", "quick", "running", NOW_S, NOW_S, 1, 5),
            "benchmark_status": BenchmarkJob("b1", URL, "mistral:7b", "quick", "ok", NOW_S, NOW_S, 5, 5),
            "benchmarks": [],
            "cancel_benchmark": BenchmarkJob("b1", URL, "mistral:7b", "quick", "cancelled", NOW_S, NOW_S),
            "assignments": Assignments({"coding": "codellama:latest", "general": None}),
            "assign": Assignments({"coding": "codellama:latest", "general": None}),
            "recommend": Choice("codellama:latest", "coding", "given", "only_candidate"),
            "model_history": ModelHistory(
                Span("mistral:7b", "w1", "hour", int(NOW_S) - 400, int(NOW_S) + 3_200),
                (HISTORY_POINT,),
                HISTORY_POINT,
                as_of_s=NOW_S,
            ),
            "usage_history": [UsageEvent("u1", NOW_S, URL, "switch", "mistral:7b", "ok")],
            "install_path": None,
        }
        self.events: list[str] = []

    def start(self) -> None:
        self.events.append("start")

    def close(self) -> None:
        self.events.append("close")

    def reset_after_fork(self) -> None:
        self.events.append("reset")

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if verb.startswith("_") or verb not in self.__dict__.get("answers", {}):
            raise AttributeError(verb)

        def answer(*arguments: Any, **options: Any) -> Any:
            self.calls.append((verb, arguments, options))
            if self.failure is not None:
                raise self.failure
            return self.answers[verb]

        return answer


@pytest.fixture
def service() -> FakeService:
    """The fake behind `client`."""
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> FlaskClient:
    """A client of an app with our blueprint at /ai, over the fake service."""
    return make_app(service).test_client()


def make_app(service: Any, **options: Any) -> Flask:
    """A host app with one route of its own and our blueprint."""
    app = Flask("host")
    app.add_url_rule("/", "home", lambda: "host")
    app.register_blueprint(create_blueprint(service=service, **options))
    return app


@pytest.fixture
def host_app() -> Callable[..., Flask]:
    """The function that makes a host app over a service."""
    return make_app


@pytest.fixture
def fake_service() -> Callable[..., FakeService]:
    """The function that makes a fake service with some settings."""
    return FakeService


@pytest.fixture(autouse=True)
def _no_quiet_500(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A last-resort answer hides a defect from a test that does not look: fail it, unless it asks for one."""
    with caplog.at_level(logging.ERROR, logger="elixi_models.web"):
        yield
    failed = [record for record in caplog.get_records("call") if record.getMessage() == "A request failed"]
    assert not failed or "expects_500" in request.fixturenames, failed


@pytest.fixture
def expects_500() -> None:
    """For tests of the last resort itself."""
