"""Every route: its status, its envelope, and what reaches the service."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from elixi_models.errors import ElixiModelsError, ModelNotInstalled, OllamaUnavailable
from elixi_models.names import ModelName
from elixi_models.records import BenchmarkJob
from elixi_models.web.histories import texts_of
from elixi_models.web.routes import ENDPOINTS

from .conftest import NOW_S, URL

GETS = [
    ("available-models", "available"),
    ("model-status", "status"),
    ("health", "health"),
    ("usage-history", "usage_history"),
    ("model-history?model_name=mistral", "model_history"),
    ("downloads", "downloads"),
    ("download-status?model_name=llama2:7b", "download_status"),
    ("task-assignments", "assignments"),
    ("benchmarks", "benchmarks"),
    ("benchmark-status", "benchmark_status"),
]


@pytest.mark.parametrize(("path", "verb"), GETS)
def test_a_read_answers_200_from_one_verb(client: FlaskClient, service: Any, path: str, verb: str) -> None:
    """Each GET asks its verb once and answers with the envelope in the seed's order."""
    response = client.get(f"/ai/{path}")

    assert response.status_code == 200
    assert list(response.json) == ["success", "data", "message", "timestamp"]
    assert response.json["success"] is True
    assert [name for name, *_ in service.calls if name != "install_path"] == [verb]


@pytest.mark.parametrize(
    ("path", "verb", "state", "status"),
    [
        ("switch-model", "switch", None, 200),
        ("download-model", "download", None, 202),
        ("cancel-download", "cancel_download", None, 200),
        ("unload-model", "unload", None, 200),
        ("delete-model", "delete", None, 200),
        ("benchmark-model", "benchmark", None, 202),
    ],
)
def test_an_action_passes_the_parsed_name(
    client: FlaskClient, service: Any, path: str, verb: str, state: None, status: int
) -> None:
    """Each action with a model gives the service a ModelName, never the raw text."""
    response = client.post(f"/ai/{path}", json={"model_name": " Mistral:7b "})

    assert response.status_code == status
    name, arguments, options = service.calls[0]
    assert (name, arguments) == (verb, (ModelName.parse("Mistral:7b"),))
    assert options["user"] is None


def test_the_table_of_routes_is_the_design_s() -> None:
    """The routes are exactly those of the design that exist so far, with the right each demands."""
    assert {(endpoint.method, endpoint.path, endpoint.action) for endpoint in ENDPOINTS} == {
        ("GET", "available-models", "read"),
        ("GET", "model-status", "read"),
        ("GET", "downloads", "read"),
        ("GET", "download-status", "read"),
        ("GET", "benchmarks", "read"),
        ("GET", "benchmark-status", "read"),
        ("GET", "usage-history", "read"),
        ("GET", "model-history", "read"),
        ("GET", "task-assignments", "read"),
        ("GET", "health", "read"),
        ("POST", "recommend-model", "read"),
        ("POST", "switch-model", "operate"),
        ("POST", "download-model", "operate"),
        ("POST", "cancel-download", "operate"),
        ("POST", "unload-model", "operate"),
        ("POST", "benchmark-model", "operate"),
        ("POST", "cancel-benchmark", "operate"),
        ("PUT", "task-assignments", "operate"),
        ("POST", "delete-model", "admin"),
    }


def test_the_list_keeps_the_seed_s_fields_and_order(client: FlaskClient) -> None:
    """Keys are not sorted: a model's fields begin as the seed writes them."""
    data = client.get("/ai/available-models").json["data"]

    assert list(data)[:3] == ["installed", "available", "active_model"]
    assert list(data["installed"][0])[:6] == ["name", "size", "format", "type", "last_used", "performance"]
    assert data["active_model"] == data["installed"][0]["name"] == "neural-chat"


@pytest.mark.parametrize(("state", "status"), [("active", 200), ("loading", 202), ("downloading", 202)])
def test_switch_says_202_until_the_model_serves(client: FlaskClient, service: Any, state: Any, status: int) -> None:
    """200 only when the requested model is the active one."""
    from elixi_models.records import Activation

    service.answers["switch"] = Activation(state, "a:latest", None, "b:latest")

    response = client.post("/ai/switch-model", json={"model_name": "b", "auto_pull": True})

    assert response.status_code == status
    assert response.json["data"]["status"] == state
    assert service.calls[0][2]["auto_pull"] is True


def test_a_download_passes_its_flags(client: FlaskClient, service: Any) -> None:
    """All four flags reach the service, absent ones as false."""
    client.post("/ai/download-model", json={"model_name": "llama2:7b", "restart": True, "auto_switch": True})

    flags = service.calls[0][2]
    assert flags == {"auto_switch": True, "restart": True, "update": False, "force": False, "user": None}


def test_a_finished_download_is_200(client: FlaskClient, service: Any) -> None:
    """POST download-model is also the poll: it answers 200 once the job has ended."""
    service.answers["download"] = service.answers["cancel_download"]

    assert client.post("/ai/download-model", json={"model_name": "llama2:7b"}).status_code == 200


def test_a_recommendation_has_the_name_and_why(client: FlaskClient, service: Any) -> None:
    """`data.model_name` and `data.why` are what callers rely on."""
    response = client.post("/ai/recommend-model", json={"task_type": "coding", "prompt": "def f", "needs": ["vision"]})

    assert response.json["data"]["model_name"] == "codellama"
    assert response.json["data"]["why"]["chosen"] == "codellama"
    assert service.calls == [("recommend", ("coding", "def f"), {"needs": ["vision"]})]


def test_a_recommendation_needs_nothing(client: FlaskClient, service: Any) -> None:
    """No body at all asks for the best model for no task in particular."""
    assert client.post("/ai/recommend-model").status_code == 200
    assert service.calls == [("recommend", (None, None), {"needs": []})]


def test_assignments_are_put_as_they_are(client: FlaskClient, service: Any) -> None:
    """Tasks are the body's own keys; null clears; the service judges which tasks exist."""
    response = client.put("/ai/task-assignments", json={"coding": "codellama", "general": None})

    assert response.status_code == 200
    assert service.calls == [("assign", ({"coding": "codellama", "general": None},), {"user": None})]


def test_assignments_that_are_not_stored_yet_are_202(client: FlaskClient, service: Any) -> None:
    """While the store is away the change holds in memory only, and the status says so."""
    from elixi_models.assignments import Assignments

    service.answers["assign"] = Assignments({"coding": None}, pending=True)

    assert client.put("/ai/task-assignments", json={"coding": None}).status_code == 202


def test_history_takes_its_page(client: FlaskClient, service: Any) -> None:
    """`limit`, `before` and `model_name` are converted and passed on."""
    client.get("/ai/usage-history?limit=5&before=2026-05-28T20:26:40Z&model_name=mistral")

    assert service.calls == [
        ("usage_history", (), {"limit": 5, "before_s": 1_780_000_000.0, "model": ModelName.parse("mistral")})
    ]


def test_a_model_s_history_takes_its_range(client: FlaskClient, service: Any) -> None:
    """Times in ISO 8601 or in seconds since 1970; what is not given is None."""
    client.get("/ai/model-history?model_name=mistral:7b&from=2026-05-28T20:26:40Z&to=1780003600.5&bucket=day")
    client.get("/ai/model-history?model_name=mistral:7b")

    assert [(arguments, options) for _, arguments, options in service.calls] == [
        ((ModelName.parse("mistral:7b"),), {"from_s": 1_780_000_000.0, "to_s": 1_780_003_600.5, "bucket": "day"}),
        ((ModelName.parse("mistral:7b"),), {"from_s": None, "to_s": None, "bucket": None}),
    ]


def test_a_model_s_history_is_points_and_their_total(client: FlaskClient) -> None:
    """Figures as everywhere; unknown is null, the time of a point is its beginning."""
    data = client.get("/ai/model-history?model_name=mistral:7b").json["data"]

    unknown = {"p50": None, "p95": None, "p99": None}
    point = {
        "requests": 3,
        "failures": 1,
        "error_rate": 0.3333,
        "outcomes": {"ok": 2, "timeout": 1},
        "tokens_per_second": 45.3,
        "avg_latency_ms": 220.0,
        "time_to_first_token_ms": None,
        "percentiles": {
            "latency_ms": {"p50": 200.0, "p95": 240.0, "p99": 240.0},
            "time_to_first_token_ms": unknown,
            "ms_per_token": unknown,
        },
        "memory_mb": 2048,
        "memory_efficiency": {
            "gb_per_1000_tokens_per_second": 47.395,
            "quality_per_gib": None,
            "footprint_per_file_byte": None,
        },
        "weights_digests": ["w1"],
    }
    assert data == {
        "model_name": "mistral:7b",
        "bucket": "hour",
        "from": "2026-05-28T20:20:00Z",
        "to": "2026-05-28T21:20:00Z",
        "shortened": False,
        "points": [{"at": "2026-05-28T20:20:00Z", **point}],
        "total": point,
        "benchmarks": [],
        "as_of": "2026-05-28T20:26:40Z",
        "pending": False,
    }


def test_a_later_look_at_the_same_history_is_no_news(client: FlaskClient, service: Any) -> None:
    """304; unless the store did not answer, then its age is what there is to tell."""
    history = service.answers["model_history"]
    path = "/ai/model-history?model_name=mistral:7b"
    tag = client.get(path).headers["ETag"]
    service.answers["model_history"] = replace(history, as_of_s=NOW_S + 60)
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304

    service.answers["model_history"] = replace(history, pending=True)
    pending = client.get(path, headers={"If-None-Match": tag})
    assert (pending.status_code, pending.json["data"]["pending"]) == (200, True)


def test_a_history_that_changed_is_never_told_from_an_older_text(client: FlaskClient, service: Any) -> None:
    """However many others were asked for meanwhile; texts that are kept are bounded."""
    history = service.answers["model_history"]
    for number in range(40):
        span = replace(history.span, model=f"m{number}:1b")
        service.answers["model_history"] = replace(history, span=span)
        assert client.get("/ai/model-history?model_name=m").json["data"]["model_name"] == f"m{number}:1b"
    service.answers["model_history"] = replace(history, points=())
    assert client.get("/ai/model-history?model_name=m").json["data"]["points"] == []

    assert len(texts_of(service)._kept) == 32


def test_a_history_tells_of_its_benchmarks(client: FlaskClient, service: Any) -> None:
    """When they ended and how they scored; a model without calls has no total."""
    scores = {"general_purpose": 60.0}
    job = BenchmarkJob(
        "b", URL, "m:1b", "quick", "ok", NOW_S, NOW_S, finished_at_s=NOW_S, report={"benchmarks": scores}
    )
    history = service.answers["model_history"]
    service.answers["model_history"] = replace(history, points=(), total=None, benchmarks=(job,))
    data = client.get("/ai/model-history?model_name=m:1b").json["data"]

    assert (data["points"], data["total"]) == ([], None)
    assert data["benchmarks"] == [
        {
            "at": "2026-05-28T20:26:40Z",
            "suite": "quick",
            "status": "ok",
            "benchmarks": scores,
            "task_suitability": None,
        }
    ]


def test_a_benchmark_passes_what_it_measures(client: FlaskClient, service: Any) -> None:
    """Suite, number and prompts reach the service."""
    client.post("/ai/benchmark-model", json={"model_name": "m", "num_prompts": 3, "test_prompts": ["Hi"]})

    assert service.calls[0][2] == {"suite": "quick", "num_prompts": 3, "test_prompts": ["Hi"], "user": None}


def test_a_benchmark_status_may_name_a_model(client: FlaskClient, service: Any) -> None:
    """Without a name the newest of all is meant."""
    client.get("/ai/benchmark-status?model_name=mistral")
    client.get("/ai/benchmark-status")

    assert [call[1] for call in service.calls] == [(ModelName.parse("mistral"),), (None,)]


def test_cancelling_the_benchmark_needs_no_body(client: FlaskClient) -> None:
    """There is at most one, so nothing need be named."""
    assert client.post("/ai/cancel-benchmark").json["data"]["status"] == "cancelled"


def test_an_error_has_the_whole_envelope(client: FlaskClient, service: Any) -> None:
    """Errors keep `success` and `data`, and add `error`, `error_code`, `message`, `details`."""
    service.failure = ModelNotInstalled("Model x is not installed.", model_name="x")

    response = client.post("/ai/switch-model", json={"model_name": "x"})

    assert response.status_code == 404
    body = response.json
    assert list(body) == ["success", "data", "error", "error_code", "message", "details", "timestamp"]
    assert (body["success"], body["data"], body["error_code"]) == (False, None, "MODEL_NOT_INSTALLED")
    assert body["error"] == body["message"] == "Model x is not installed."
    assert body["details"] == {"model_name": "x"}


def every_error() -> list[type[ElixiModelsError]]:
    found: list[type[ElixiModelsError]] = []
    pending = [ElixiModelsError]
    while pending:
        kind = pending.pop()
        found.append(kind)
        pending += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", every_error())
def test_every_error_class_has_its_status(client: FlaskClient, service: Any, kind: type[ElixiModelsError]) -> None:
    """Whatever the service raises is told under its own code and status."""
    service.failure = kind("Words.")

    response = client.get("/ai/available-models")

    assert (response.status_code, response.json["error_code"]) == (kind.status, kind.code)


def test_an_unexpected_error_tells_nothing(client: FlaskClient, service: Any, expects_500: None) -> None:
    """The last resort is JSON without a trace, a path or the exception's text; the log has it."""
    service.failure = KeyError("/home/somebody/secret")

    response = client.get("/ai/model-status")

    assert response.status_code == 500
    assert response.json["error_code"] == "INTERNAL_ERROR"
    assert b"secret" not in response.data
    assert b"Traceback" not in response.data


def test_data_that_json_cannot_carry_is_an_error_of_ours(client: FlaskClient, service: Any, expects_500: None) -> None:
    """NaN never leaves as bare NaN, which JSON.parse refuses."""
    service.answers["usage_history"][0].details["x"] = float("nan")

    assert client.get("/ai/usage-history").json["error_code"] == "INTERNAL_ERROR"


def test_a_read_is_revalidated_by_its_tag(client: FlaskClient, service: Any) -> None:
    """The same data answers 304 without a body; new data answers 200 with another tag."""
    first = client.get("/ai/available-models")
    tag = first.headers["ETag"]

    second = client.get("/ai/available-models", headers={"If-None-Match": tag})

    assert (second.status_code, second.data) == (304, b"")
    assert second.headers["ETag"] == tag
    service.answers["available"] = service.answers["available"].__class__((), (), None, False, None, False)
    third = client.get("/ai/available-models", headers={"If-None-Match": tag})
    assert third.status_code == 200
    assert third.headers["ETag"] != tag


def test_the_tag_does_not_know_the_time_of_day() -> None:
    """Two answers that differ in `timestamp` alone have one tag."""
    from elixi_models.web.responses import Content

    early, late = Content.of({"a": 1}).answer(clock=lambda: 1.0), Content.of({"a": 1}).answer(clock=lambda: 2.0)

    assert early.body != late.body
    assert early.tag == late.tag


def test_what_may_be_kept(client: FlaskClient, service: Any) -> None:
    """Reads are kept but revalidated; actions and errors are not kept."""
    assert client.get("/ai/health").headers["Cache-Control"] == "private, no-cache"
    action = client.post("/ai/switch-model", json={"model_name": "m"})
    assert action.headers["Cache-Control"] == "no-store"
    assert "ETag" not in action.headers
    service.failure = OllamaUnavailable("Down.")
    assert client.get("/ai/health").headers["Cache-Control"] == "no-store"


def test_every_answer_has_the_security_headers(client: FlaskClient) -> None:
    """No sniffing, no framing, no foreign embedding, and no CORS."""
    for response in (client.get("/ai/health"), client.get("/ai/nothing"), client.get("/ai/dashboard")):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert not [name for name, _ in response.headers if name.startswith("Access-Control-")]


def test_head_is_get_without_the_body(client: FlaskClient) -> None:
    """HEAD has the headers of GET."""
    response = client.head("/ai/health")

    assert (response.status_code, response.data) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0


def test_a_newer_look_at_the_same_lists_is_no_news(client: FlaskClient, service: Any) -> None:
    """`as_of` moves every two seconds; while the server answers, that alone changes no tag."""
    from dataclasses import replace

    for path, verb in (("/ai/available-models", "available"), ("/ai/model-status", "status")):
        tag = client.get(path).headers["ETag"]
        service.answers[verb] = replace(service.answers[verb], as_of_s=1.0)

        again = client.get(path, headers={"If-None-Match": tag})
        assert again.status_code == 304
        assert client.get(path).json["data"]["as_of"] == "1970-01-01T00:00:01Z"

        service.answers[verb] = replace(service.answers[verb], reachable=False)
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_the_kept_list_follows_every_change(client: FlaskClient, service: Any) -> None:
    """Neither the models nor the catalogue are ever served from an older list."""
    from dataclasses import replace

    before = client.get("/ai/available-models").json["data"]
    service.answers["available"] = replace(service.answers["available"], catalogue=())
    without = client.get("/ai/available-models").json["data"]
    service.answers["available"] = replace(service.answers["available"], cards=())
    nothing = client.get("/ai/available-models").json["data"]

    assert [entry["name"] for entry in before["available"]] == ["llama2"]
    assert (without["available"], without["installed"]) == ([], before["installed"])
    assert (nothing["available"], nothing["installed"]) == ([], [])
