"""What may be in a request: every wrong body and query is a 400 that names the field and the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from elixi_models.errors import InvalidRequest
from elixi_models.web import payloads
from elixi_models.web.schemas import check_object


def refusal(response: Any) -> tuple[int, str, str, str]:
    body = response.json
    assert body["success"] is False
    return response.status_code, body["error_code"], body["details"].get("field"), body["details"].get("reason")


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (b"[]", "body", "type"),
        (b"7", "body", "type"),
        (b"null", "body", "type"),
        (b'"x"', "body", "type"),
        (b"", "model_name", "missing"),
        (b"  \n", "model_name", "missing"),
        (b"{}", "model_name", "missing"),
        (b'{"model_name": "mist', "body", "syntax"),
        (b'{"model_name": NaN}', "body", "syntax"),
        (b'{"model_name": -Infinity}', "body", "syntax"),
        (b'{"model_name": ' + b"9" * 5000 + b"}", "body", "syntax"),
        (b'{"model_name": "\xff"}', "body", "encoding"),
        ('{"model_name": "m"}'.encode("utf-16"), "body", "encoding"),
        (b"[" * 1000 + b"]" * 1000, "body", "depth"),
        (b'{"model_name": "m", "x": ' + b"[" * 1000 + b"]" * 1000 + b"}", "body", "depth"),
        (b'{"model_name": "m", "x": ' + b"[" * 40 + b"]" * 40 + b"}", "body", "depth"),
        (b"[" * 100_000, "body", "depth"),
        (b'{"model_name": "a", "model_name": "b"}', "model_name", "duplicate"),
        (b'{"model_name": null}', "model_name", "missing"),
        (b'{"model_name": 7}', "model_name", "type"),
        (b'{"model_name": ["m"]}', "model_name", "type"),
        (b'{"model_name": ""}', "model_name", "empty"),
        (b'{"model_name": "   "}', "model_name", "empty"),
        (b'{"model_name": "' + b"m" * 400 + b'"}', "model_name", "length"),
        (b'{"model_name": "a b"}', "model_name", "syntax"),
        (b'{"model_name": "../../etc/passwd"}', "model_name", "syntax"),
        (b'{"model_name": "a\\u0000b"}', "model_name", "syntax"),
        (b'{"model_name": "a\\nb"}', "model_name", "syntax"),
        (b'{"model_name": "\\ud800"}', "model_name", "syntax"),
        (b'{"model_name": "m", "auto_pull": "false"}', "auto_pull", "type"),
        (b'{"model_name": "m", "auto_pull": 1}', "auto_pull", "type"),
        (b'{"model_name": "m", "auto_pull": null}', "auto_pull", "type"),
    ],
)
def test_a_wrong_body_names_field_and_reason(
    client: FlaskClient, service: Any, body: bytes, field: str, reason: str
) -> None:
    """The service is not asked, and the answer says what is wrong with what."""
    response = client.post("/ai/switch-model", data=body)

    assert refusal(response) == (400, "INVALID_REQUEST", field, reason)
    assert service.calls == []


@pytest.mark.parametrize("flag", ["auto_switch", "restart", "update", "force"])
def test_every_flag_of_a_download_is_true_or_false(client: FlaskClient, flag: str) -> None:
    """A string "false" would be true to Python."""
    response = client.post("/ai/download-model", json={"model_name": "m", flag: "false"})

    assert refusal(response)[2:] == (flag, "type")
    assert response.json["error"] == f"{flag} must be true or false"


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"num_prompts": 0}, "num_prompts", "range"),
        ({"num_prompts": 21}, "num_prompts", "range"),
        ({"num_prompts": True}, "num_prompts", "type"),
        ({"num_prompts": 2.5}, "num_prompts", "type"),
        ({"num_prompts": "3"}, "num_prompts", "type"),
        ({"test_prompts": []}, "test_prompts", "length"),
        ({"test_prompts": "Hi"}, "test_prompts", "type"),
        ({"test_prompts": ["Hi", 7]}, "test_prompts[1]", "type"),
        ({"test_prompts": [""]}, "test_prompts[0]", "length"),
        ({"test_prompts": [["Hi"]]}, "test_prompts[0]", "type"),
        ({"test_prompts": ["x"] * 21}, "test_prompts", "length"),
        ({"test_prompts": ["x" * 8_001]}, "test_prompts[0]", "length"),
        ({"suite": ""}, "suite", "choice"),
        ({"suite": "huge"}, "suite", "choice"),
        ({"suite": 3}, "suite", "type"),
    ],
)
def test_a_benchmark_s_fields_are_bounded(client: FlaskClient, fields: Any, field: str, reason: str) -> None:
    """Sizes are limited before the queue sees them."""
    response = client.post("/ai/benchmark-model", json={"model_name": "m", **fields})

    assert refusal(response) == (400, "INVALID_REQUEST", field, reason)


def test_a_prompt_that_is_no_text_is_refused(client: FlaskClient) -> None:
    """A lone surrogate can be written in JSON, and sent to no model."""
    response = client.post("/ai/recommend-model", data=b'{"prompt": "a\\ud800b"}')

    assert refusal(response)[2:] == ("prompt", "encoding")


@pytest.mark.parametrize(
    ("needs", "field", "reason"),
    [
        ("vision", "needs", "type"),
        (["vision"] * 6, "needs", "length"),
        ([7], "needs[0]", "type"),
        (["vision", "telepathy"], "needs[1]", "choice"),
    ],
)
def test_needs_are_a_short_list_of_known_capabilities(client: FlaskClient, needs: Any, field: str, reason: str) -> None:
    """Whatever else it is names the entry."""
    response = client.post("/ai/recommend-model", json={"needs": needs})

    assert refusal(response) == (400, "INVALID_REQUEST", field, reason)


def test_an_assignment_must_name_something(client: FlaskClient) -> None:
    """An empty change is a mistake; so is a task whose model is a number."""
    assert refusal(client.put("/ai/task-assignments", json={}))[2:] == ("body", "empty")
    assert refusal(client.put("/ai/task-assignments", json={"coding": 7}))[2:] == ("coding", "type")


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}]
)
def test_the_content_type_is_not_judged(client: FlaskClient, service: Any, headers: dict[str, str]) -> None:
    """curl sends a form's type by default; the host reads JSON whatever it is called, and so do we."""
    response = client.post("/ai/switch-model", data=b'{"model_name": "m", "unknown": [1]}', headers=headers)

    assert response.status_code == 200
    assert service.calls[0][0] == "switch"


def test_a_byte_order_mark_is_forgiven(client: FlaskClient) -> None:
    """Windows shells write one before UTF-8."""
    assert client.post("/ai/switch-model", data=b'\xef\xbb\xbf{"model_name": "m"}').status_code == 200


def test_a_body_over_the_limit_is_413(
    host_app: Callable[..., Any], fake_service: Callable[..., Any], service: Any
) -> None:
    """The limit is a setting; the answer names it. A body of exactly the limit is read."""
    client = host_app(fake_service(max_body_bytes=1024)).test_client()
    body = b'{"model_name": "m"}'

    assert client.post("/ai/switch-model", data=body.ljust(1024)).status_code == 200
    response = client.post("/ai/switch-model", data=body.ljust(1025))
    assert refusal(response)[:2] == (413, "BODY_TOO_LARGE")
    assert "ELIXI_MODELS_MAX_BODY_BYTES" in response.json["error"]
    assert client.post("/ai/switch-model", data=b"x" * 1_000_000).status_code == 413


def test_a_body_without_a_length_is_limited_too(host_app: Callable[..., Any], fake_service: Callable[..., Any]) -> None:
    """A server that ends the stream itself gives no length: no more than the limit is read."""
    import io

    client = host_app(fake_service(max_body_bytes=1024)).test_client()
    stream = io.BytesIO(b" " * 100_000)

    response = client.post("/ai/switch-model", input_stream=stream, environ_overrides={"wsgi.input_terminated": True})

    assert response.status_code == 413
    assert stream.tell() < 20_000


def test_the_host_s_own_limit_is_told_in_json(host_app: Callable[..., Any], service: Any) -> None:
    """MAX_CONTENT_LENGTH of the app makes Flask refuse the body: the answer is still ours."""
    app = host_app(service)
    app.config["MAX_CONTENT_LENGTH"] = 10
    app.register_error_handler(413, lambda exc: ("<h1>host</h1>", 413))

    response = app.test_client().post("/ai/switch-model", data=b'{"model_name": "mistral"}')

    assert refusal(response)[:2] == (413, "BODY_TOO_LARGE")


def test_a_body_that_breaks_off_is_400(client: FlaskClient) -> None:
    """A client that promised more than it sent is told so, in JSON."""
    response = client.post(
        "/ai/switch-model", data=b"{", headers={"Content-Length": "100"}, environ_overrides={"CONTENT_LENGTH": "100"}
    )

    assert refusal(response) == (400, "INVALID_REQUEST", "body", "incomplete")


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("limit=0", "limit", "range"),
        ("limit=1001", "limit", "range"),
        ("limit=-1", "limit", "type"),
        ("limit=x", "limit", "type"),
        ("limit=", "limit", "type"),
        ("limit=%D9%A3", "limit", "type"),
        ("limit=99999999999999999999", "limit", "type"),
        ("limit=1&limit=2", "limit", "duplicate"),
        ("before=yesterday", "before", "syntax"),
        ("before=2026-01-31T12:00:00", "before", "syntax"),
        ("before=9999-99-99T00:00:00Z", "before", "syntax"),
        ("model_name=a%20b", "model_name", "syntax"),
        ("model_name=", "model_name", "empty"),
    ],
)
def test_a_wrong_query_names_field_and_reason(client: FlaskClient, query: str, field: str, reason: str) -> None:
    """Query strings are checked as bodies are."""
    assert refusal(client.get(f"/ai/usage-history?{query}")) == (400, "INVALID_REQUEST", field, reason)


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("", "model_name", "missing"),
        ("model_name=", "model_name", "empty"),
        ("model_name=m&from=yesterday", "from", "syntax"),
        ("model_name=m&from=", "from", "syntax"),
        ("model_name=m&to=2026-01-31T12:00:00", "to", "syntax"),
        ("model_name=m&to=-5", "to", "syntax"),
        ("model_name=m&from=nan", "from", "syntax"),
        ("model_name=m&from=1e9", "from", "syntax"),
        ("model_name=m&from=%D9%A3", "from", "syntax"),
        ("model_name=m&from=1780000000000", "from", "range"),
        ("model_name=m&from=9999999999999999999", "from", "syntax"),
        ("model_name=m&from=1&from=2", "from", "duplicate"),
        ("model_name=m&bucket=week", "bucket", "choice"),
        ("model_name=m&bucket=", "bucket", "choice"),
        ("model_name=m&bucket=" + "x" * 10_000, "bucket", "choice"),
    ],
)
def test_a_wrong_range_names_field_and_reason(client: FlaskClient, query: str, field: str, reason: str) -> None:
    """Nothing of a history is guessed at."""
    assert refusal(client.get(f"/ai/model-history?{query}")) == (400, "INVALID_REQUEST", field, reason)


def test_a_status_needs_its_model(client: FlaskClient) -> None:
    """download-status without a name cannot be answered."""
    assert refusal(client.get("/ai/download-status"))[2:] == ("model_name", "missing")


def test_unknown_query_fields_are_ignored(client: FlaskClient) -> None:
    """Cache busters and the like do no harm, also twice."""
    assert client.get("/ai/health?_=1&_=2").status_code == 200


SCHEMAS = {
    name: value for name, value in vars(payloads).items() if isinstance(value, dict) and value.get("type") == "object"
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
FIELDS = sorted({field for schema in SCHEMAS.values() for field in schema["properties"]})


@given(schema=st.sampled_from(sorted(SCHEMAS)), body=JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_the_checker_agrees_with_json_schema(schema: str, body: Any) -> None:
    """What our small checker admits is what the reference implementation admits, model names apart."""
    rules = json.loads(json.dumps(SCHEMAS[schema]).replace('"format": "model-name"', '"format": "none"'))
    # JSON Schema calls 2.0 an integer; we do not.
    text = json.dumps(body)
    if ".0" in text or "\\ud" in text:
        return

    try:
        check_object(body, rules)
        ours = True
    except InvalidRequest:
        ours = False

    assert ours == jsonschema.Draft202012Validator(rules).is_valid(body)


def test_every_schema_is_a_json_schema() -> None:
    """The same dicts go into the API document."""
    assert len(SCHEMAS) == 11
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
