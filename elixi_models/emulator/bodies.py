"""Request bodies, and the words in which a Go server refuses them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .errors import Refusal

_STRUCTS = {
    "generate": "GenerateRequest",
    "chat": "ChatRequest",
    "embed": "EmbedRequest",
    "show": "ShowRequest",
    "pull": "PullRequest",
    "delete": "DeleteRequest",
    "copy": "CopyRequest",
    "create": "CreateRequest",
}
_FIELDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "model": (str, "string"),
    "name": (str, "string"),
    "source": (str, "string"),
    "destination": (str, "string"),
    "from": (str, "string"),
    "prompt": (str, "string"),
    "system": (str, "string"),
    "template": (str, "string"),
    "stream": (bool, "bool"),
    "insecure": (bool, "bool"),
    "raw": (bool, "bool"),
    "verbose": (bool, "bool"),
    "messages": (list, "[]api.Message"),
    "tools": (list, "api.Tools"),
    "options": (dict, "map[string]interface {}"),
    "parameters": (dict, "map[string]interface {}"),
}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SPAN = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
_INTEGERS = frozenset(
    {
        "num_ctx",
        "num_batch",
        "num_gpu",
        "main_gpu",
        "num_thread",
        "num_keep",
        "seed",
        "num_predict",
        "top_k",
        "repeat_last_n",
    }
)
_FLOATS = frozenset(
    {
        "top_p",
        "min_p",
        "typical_p",
        "temperature",
        "repeat_penalty",
        "presence_penalty",
        "frequency_penalty",
    }
)
_BOOLEANS = frozenset({"use_mmap"})
_RUNNER_OPTIONS = ("num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread")


def body_of(task: str, raw: bytes) -> dict[str, Any]:
    """The JSON object of a request; whatever else it is raises the `Refusal` that the server would give."""
    if not raw:
        raise Refusal(400, "missing request body")
    try:
        text = raw.decode("utf-8", "replace").lstrip()
        value, _ = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as problem:
        raise Refusal(400, _syntax_error(problem)) from None
    except RecursionError:
        raise Refusal(400, "exceeded max depth") from None
    if not isinstance(value, dict):
        raise Refusal(400, f"json: cannot unmarshal {_kind(value)} into Go value of type api.{_STRUCTS[task]}")
    _check_fields(task, value)
    return value


def seconds_of(keep_alive: Any) -> float | None:
    """A `keep_alive` in seconds, below 0 for ever; None where none is given."""
    if keep_alive is None:
        return None
    if isinstance(keep_alive, str):
        return _duration(keep_alive)
    if isinstance(keep_alive, (int, float)) and not isinstance(keep_alive, bool):
        return -1.0 if keep_alive < 0 else float(keep_alive)
    raise Refusal(400, f"Unsupported type: '{_go_type(keep_alive)}'")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse an option of the wrong type; one that is not known is let through."""
    for name, value in options.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name in _INTEGERS and not number:
            raise Refusal(500, f'option "{name}" must be of type integer')
        if name in _FLOATS and not number:
            raise Refusal(500, f'option "{name}" must be of type float32')
        if name in _BOOLEANS and not isinstance(value, bool):
            raise Refusal(500, f'option "{name}" must be of type boolean')
        if name == "stop" and not isinstance(value, list):
            raise Refusal(500, f'option "{name}" must be of type array')


def runner_options(options: Mapping[str, Any]) -> tuple[tuple[str, object], ...]:
    """The options that belong to a loaded model: another value loads it again."""
    return tuple((name, options[name]) for name in _RUNNER_OPTIONS if name in options)


def _check_fields(task: str, body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        kind, go_kind = _FIELDS.get(name, (object, ""))
        if value is not None and not isinstance(value, kind):
            raise _wrong_type(value, f"{_STRUCTS[task]}.{name}", go_kind)
    for message in body.get("messages") or ():
        if not isinstance(message, dict):
            raise _wrong_type(message, f"{_STRUCTS[task]}.messages", "api.Message")


def _wrong_type(value: Any, field: str, go_kind: str) -> Refusal:
    return Refusal(400, f"json: cannot unmarshal {_kind(value)} into Go struct field {field} of type {go_kind}")


def _syntax_error(problem: json.JSONDecodeError) -> str:
    text, at = problem.doc, problem.pos
    if at >= len(text) or problem.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    where = "object key string" if problem.msg.startswith("Expecting property name") else "value"
    if problem.msg.startswith("Expecting ',' delimiter"):
        return f"invalid character '{text[at]}' after {_container(text, at)}"
    if problem.msg.startswith("Expecting ':' delimiter"):
        return f"invalid character '{text[at]}' after object key"
    return f"invalid character '{text[at]}' looking for beginning of {where}"


def _container(text: str, at: int) -> str:
    return "array element" if text.rfind("[", 0, at) > text.rfind("{", 0, at) else "object key:value pair"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "null" if value is None else "object"


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "[]interface {}" if isinstance(value, list) else "map[string]interface {}"


def _duration(text: str) -> float:
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    spans = list(_SPAN.finditer(rest))
    if spans and "".join(span[0] for span in spans) == rest:
        seconds = sign * sum(float(span[1]) * _UNITS[span[2]] for span in spans)
        return -1.0 if seconds < 0 else seconds
    if re.fullmatch(r"\d+\.?\d*", rest):
        raise Refusal(400, f'time: missing unit in duration "{text}"')
    raise Refusal(400, f'time: invalid duration "{text}"')
