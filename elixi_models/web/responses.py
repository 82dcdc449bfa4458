"""The envelope of every answer, as strict JSON in the seed's order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Fragment:
    """JSON that is kept because making it costs more than sending it; stands for a value of `data`."""

    text: str
    digest: str

    @classmethod
    def of(cls, value: Any) -> Fragment:
        """The JSON of a value."""
        text = _json(value)
        return cls(text, _digest(text))

    @classmethod
    def of_all(cls, values: Iterable[Any]) -> Fragment:
        """The JSON array of values that are made one after the other: all at once they take ten times the room."""
        text = f"[{', '.join(map(_json, values))}]"
        return cls(text, _digest(text))


@dataclass(frozen=True, slots=True)
class Content:
    """What an answer says, without the time of day: the same content has the same tag.

    `pieces` are JSON one after the other, so that a fragment is not kept twice.
    """

    pieces: Sequence[str]
    tag: str

    @classmethod
    def of(cls, data: Mapping[str, Any], message: str = "", *, untagged: Collection[str] = ()) -> Content:
        """The JSON of data and message; keys keep their order.

        Args:
            untagged: keys of `data` whose change alone is no news.

        Raises:
            ValueError: NaN or an infinity in the data; they are no JSON.
        """
        parts = {
            key: value if isinstance(value, Fragment) else Fragment(_json(value), "") for key, value in data.items()
        }
        pieces = [piece for key, part in parts.items() for piece in (", ", _json(key), ": ", part.text)]
        news = [part.digest or part.text for key, part in parts.items() if key not in untagged]
        end = f'}}, "message": {_json(message)}'
        return cls(('"data": {', *pieces[1:], end), _digest("\n".join([*news, message])))

    def answer(self, status: int = 200, *, clock: Callable[[], float] = time.time) -> Answer:
        """`{success, data, message, timestamp}` as of now."""
        end = f', "timestamp": {_json(timestamp(clock()))}}}\n'
        return Answer(status, "".join(['{"success": true, ', *self.pieces, end]).encode(), tag=self.tag)


def ok(data: Mapping[str, Any], message: str = "", status: int = 200, *, untagged: Collection[str] = ()) -> Answer:
    """`{success, data, message, timestamp}`; arguments and errors as `Content.of`."""
    return Content.of(data, message, untagged=untagged).answer(status)


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


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=12).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
