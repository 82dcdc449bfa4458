"""The envelope of every answer, as strict JSON in the seed's order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ..errors import ElixiModelsError
from ..units import timestamp

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer before it is bound to a web framework. `tag` is its ETag's text, without the time of day."""

    status: int
    body: bytes
    tag: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def ok(data: Any, message: str = "", status: int = 200, *, clock: Callable[[], float] = time.time) -> Answer:
    """`{success, data, message, timestamp}`; keys keep their order.

    Raises:
        ValueError: NaN or an infinity in the data; they are no JSON.
    """
    content = f'"data": {_json(data)}, "message": {_json(message)}'
    body = f'{{"success": true, {content}, "timestamp": {_json(timestamp(clock()))}}}\n'
    return Answer(status, body.encode(), tag=blake2b(content.encode(), digest_size=12).hexdigest())


def refused(error: ElixiModelsError, *, clock: Callable[[], float] = time.time) -> Answer:
    """`{success, data, error, error_code, message, details, timestamp}` with the error's own status."""
    body = {
        "success": False,
        "data": None,
        "error": error.message,
        "error_code": error.code,
        "message": error.message,
        "details": dict(error.details),
        "timestamp": timestamp(clock()),
    }
    return Answer(error.status, (_json(body) + "\n").encode())


def all_headers(answer: Answer, *, cacheable: bool) -> dict[str, str]:
    """The answer's headers with those that every one has: revalidate what was read, keep nothing of the rest."""
    return {
        "Content-Type": "application/json",
        "Cache-Control": "private, no-cache" if cacheable else "no-store",
        **SECURITY_HEADERS,
        **answer.headers,
    }


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
