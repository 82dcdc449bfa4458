"""What a route gives back, before it is written to a connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json; charset=utf-8"
PLAIN_JSON = "application/json"

Stream = Generator[Mapping[str, Any], None, None]
"""Lines of JSON; closing it ends the work behind them."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as a route sees it. `abort` is set once the client is gone."""

    method: str
    path: str
    body: Mapping[str, Any]
    abort: threading.Event


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON answer."""

    value: Any
    status: int = 200
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Plain:
    """An answer of bytes; without a content type it has no such header."""

    body: bytes = b""
    status: int = 200
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lines:
    """An answer in lines of JSON. What fails before the first line has a status of its own, later it is a last line."""

    lines: Stream


Answer = Json | Plain | Lines
Route = Callable[[Any, Call], Answer]
