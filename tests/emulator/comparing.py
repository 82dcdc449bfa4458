"""Whether two exchanges are alike: status, content type, keys, types, fixed words, and the order and form of lines."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

HEADERS = ("content-type", "allow")
WORDS = frozenset(
    {
        "error",
        "status",
        "done",
        "done_reason",
        "role",
        "object",
        "owned_by",
        "format",
        "name",
        "model",
        "id",
        "disabled",
        "source",
    }
)
"""Keys whose values are part of the contract; those of all others are figures, dates, digests or what a model wrote."""
SIZES = frozenset({"size", "size_vram"})
"""Figures that a server may not know, and then says 0."""
NAMED = ("name", "id", "model")
MASKS = (
    (re.compile(r"[0-9a-f]{64}"), "<digest>"),
    (re.compile(r"(?<=pulling )[0-9a-f]{12}"), "<layer>"),
    (re.compile(r"nonce=[\w-]+"), "nonce=<nonce>"),
    (re.compile(r"\d+\.\d+\.\d+\.\d+:\d+"), "<address>"),
    (re.compile(r"blk\.\d+\."), "blk.<block>."),
    (re.compile(r"\d{5,}"), "<figure>"),
)
CUT = "…"


def differences(recorded: dict[str, Any], received: dict[str, Any]) -> list[str]:
    """What is not alike, in words; nothing where the exchanges are."""
    found = [*_compared("answer", form_of(recorded["response"]), form_of(received["response"]))]
    asked, given = recorded.get("then", []), received.get("then", [])
    if len(asked) != len(given):
        found.append(f"then: {len(asked)} exchanges recorded, {len(given)} received")
    for number, (one, other) in enumerate(zip(asked, given, strict=False)):
        found += _compared(f"then[{number}]", form_of(one["response"]), form_of(other["response"]))
    return found


def form_of(response: dict[str, Any]) -> dict[str, Any]:
    """What two alike responses have in common."""
    if "failed" in response:
        return {"failed": True}
    form: dict[str, Any] = {"status": response["status"]}
    form["headers"] = {name: response["headers"].get(name) for name in HEADERS}
    if "lines" in response:
        form["headers"]["transfer-encoding"] = response["headers"].get("transfer-encoding")
        form["lines"] = list(_runs(response["lines"]))
    elif "text" in response:
        form["text"] = masked(response["text"])
    else:
        form["body"] = shape(response["body"])
    return form


def shape(value: Any, key: str = "") -> Any:
    """A JSON value without what may differ."""
    if isinstance(value, dict):
        return {name: shape(part, name) for name, part in sorted(value.items())}
    if isinstance(value, list):
        return _list_shape(value, key)
    if key in WORDS:
        return masked(value) if isinstance(value, str) else value
    if key in SIZES and type(value) is int:
        return "size" if value else "no size"
    return type(value).__name__


def masked(text: str) -> str:
    """A text with its figures, digests and addresses taken out."""
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return text


def _list_shape(values: list[Any], key: str) -> Any:
    if key == "capabilities":
        return values
    whole = [value for value in values if value != CUT]
    if whole and all(isinstance(value, dict) and any(name in value for name in NAMED) for value in whole):
        # Models of the same second come in no certain order.
        return sorted((shape(value, key) for value in whole), key=json.dumps) if key != "tensors" else shape(whole[0])
    kinds = {json.dumps(shape(value, key)) for value in whole}
    return [json.loads(kind) for kind in sorted(kinds)]


def _runs(lines: list[Any]) -> Iterator[Any]:
    """The forms of the lines, equal neighbours as one: how many there are is a matter of time."""
    told = [line[1] for line in lines if len(line) == 2]
    keyed = ((line.get("digest"), shape(line)) for line in told)
    for (_, form), _group in itertools.groupby(keyed, key=lambda pair: pair):
        yield form


def _compared(where: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if key not in one or key not in other:
                yield f"{where}.{key}: only {'recorded' if key in one else 'received'}"
            else:
                yield from _compared(f"{where}.{key}", one[key], other[key])
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _compared(f"{where}[{number}]", left, right)
    elif one != other or type(one) is not type(other):
        yield f"{where}: recorded {json.dumps(one)[:300]}, received {json.dumps(other)[:300]}"
