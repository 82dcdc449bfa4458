"""What requests may carry: their schemas, and the reading of bodies and query strings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import BodyTooLarge, InvalidRequest
from ..moments import parse_moment
from ..records import BENCHMARK_SUITES, MAX_BENCHMARK_PROMPT_CHARS, MAX_BENCHMARK_PROMPTS, NEEDS
from .schemas import Schema, check_object

if TYPE_CHECKING:
    from flask import Request

MAX_DEPTH = 32

_NAME: Schema = {"type": "string", "format": "model-name", "maxLength": 256}
_FLAG: Schema = {"type": "boolean", "default": False}
_OPTIONAL_TEXT: Schema = {"type": ["string", "null"], "default": None}
_TIME: Schema = {"type": "string", "format": "date-time", "default": None}

NOTHING: Schema = {"type": "object", "properties": {}}
MODEL: Schema = {"type": "object", "required": ["model_name"], "properties": {"model_name": _NAME}}
OPTIONAL_MODEL: Schema = {"type": "object", "properties": {"model_name": _NAME}}
SWITCH: Schema = {
    "type": "object",
    "required": ["model_name"],
    "properties": {"model_name": _NAME, "auto_pull": _FLAG},
}
DOWNLOAD: Schema = {
    "type": "object",
    "required": ["model_name"],
    "properties": {"model_name": _NAME, "auto_switch": _FLAG, "restart": _FLAG, "update": _FLAG, "force": _FLAG},
}
DELETION: Schema = {
    "type": "object",
    "required": ["model_name"],
    "properties": {"model_name": _NAME, "force": _FLAG},
}
BENCHMARK: Schema = {
    "type": "object",
    "required": ["model_name"],
    "properties": {
        "model_name": _NAME,
        "suite": {"type": "string", "enum": list(BENCHMARK_SUITES), "default": "quick"},
        "num_prompts": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_BENCHMARK_PROMPTS, "default": None},
        "test_prompts": {
            "type": ["array", "null"],
            "minItems": 1,
            "maxItems": MAX_BENCHMARK_PROMPTS,
            "items": {"type": ["string", "object"], "minLength": 1, "maxLength": MAX_BENCHMARK_PROMPT_CHARS},
            "default": None,
        },
    },
}
RECOMMENDATION: Schema = {
    "type": "object",
    "properties": {
        "task_type": {**_OPTIONAL_TEXT, "maxLength": 64},
        "prompt": _OPTIONAL_TEXT,
        "needs": {
            "type": "array",
            "items": {"type": "string", "enum": list(NEEDS)},
            "maxItems": len(NEEDS),
            "default": [],
            "description": "Capabilities that the message takes.",
        },
    },
}
ASSIGNMENTS: Schema = {
    "type": "object",
    "minProperties": 1,
    "properties": {},
    "additionalProperties": {"type": ["string", "null"], "maxLength": 256},
    "description": "Task to model name, or null to let scores decide.",
}
HISTORY: Schema = {
    "type": "object",
    "properties": {
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
        "before": _TIME,
        "model_name": _NAME,
    },
}
MODEL_HISTORY: Schema = {
    "type": "object",
    "required": ["model_name"],
    "properties": {
        "model_name": _NAME,
        "from": _TIME,
        "to": _TIME,
        "bucket": {"type": "string", "enum": ["hour", "day"], "default": None},
    },
}


def read_body(request: Request, schema: Schema, limit_bytes: int) -> dict[str, Any]:
    """The fields of a JSON body, whatever its Content-Type says; no body at all is an empty object.

    Raises:
        BodyTooLarge: over `limit_bytes`; read no further than that.
        InvalidRequest: not UTF-8, no JSON, not an object, nested over 32 deep, a key twice, or against the schema.
    """
    return check_object(parse_json(_bytes_of(request, limit_bytes)), schema)


def _bytes_of(request: Request, limit_bytes: int) -> bytes:
    from werkzeug.exceptions import HTTPException

    if (request.content_length or 0) > limit_bytes:
        raise too_large(limit_bytes)
    raw = b""
    try:
        # One read may give less than there is.
        while piece := request.stream.read(limit_bytes + 1 - len(raw)):
            raw += piece
    except HTTPException as exc:
        if exc.code == 413:
            raise too_large(limit_bytes) from exc
        raise InvalidRequest("The request body broke off", field="body", reason="incomplete") from exc
    if len(raw) > limit_bytes:
        raise too_large(limit_bytes)
    return raw


def too_large(limit_bytes: int) -> BodyTooLarge:
    """The error for a body over the limit, with the setting that raises it."""
    return BodyTooLarge(
        f"The request body is larger than {limit_bytes} bytes (ELIXI_MODELS_MAX_BODY_BYTES).", limit_bytes=limit_bytes
    )


def parse_json(raw: bytes) -> Any:
    """A body's JSON; an empty one is an empty object.

    Raises:
        InvalidRequest: not UTF-8, no JSON (NaN and Infinity are none), nested over 32 deep, a key twice.
    """
    try:
        text = raw.decode("utf-8-sig")
        if not text.strip():
            return {}
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except RecursionError as exc:
        raise _too_deep() from exc
    except UnicodeDecodeError as exc:
        raise InvalidRequest("The body is not UTF-8", field="body", reason="encoding") from exc
    except ValueError as exc:
        raise InvalidRequest("The body is not JSON", field="body", reason="syntax") from exc
    # How deep the parser itself goes differs by Python version.
    if _is_deep(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The body is nested more than {MAX_DEPTH} deep", field="body", reason="depth")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidRequest(f"{twice[:100]} is there twice", field=twice[:100], reason="duplicate")
    return fields


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _is_deep(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [child for parent in layer for child in _children(parent)]
        if not layer:
            return False
    return True


def _children(value: Any) -> list[Any]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in children if isinstance(child, (dict, list))]


def read_query(request: Request, schema: Schema) -> dict[str, Any]:
    """The fields of a query string, numbers and times converted; times become seconds since the epoch.

    Raises:
        InvalidRequest: a field twice, or against the schema.
    """
    given: dict[str, Any] = {}
    rules: Mapping[str, Schema] = schema.get("properties", {})
    for name, values in request.args.lists():
        if name not in rules:
            continue
        if len(values) > 1:
            raise InvalidRequest(f"{name} is there twice", field=name, reason="duplicate")
        given[name] = _converted(values[0], rules[name], name)
    fields = check_object(given, schema, whole="query")
    for name, rule in rules.items():
        if rule.get("format") == "date-time" and fields[name] is not None:
            fields[name] = parse_moment(fields[name], name)
    return fields


def _converted(text: str, rule: Schema, field: str) -> Any:
    if rule.get("type") != "integer":
        return text
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidRequest(f"{field} must be a whole number", field=field, reason="type")
    return int(text)
