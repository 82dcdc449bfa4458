"""Documents as MongoDB has them: with `_id`, dates, and keys that every server takes. Pure, without the driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from .. import names
from ..records import Measurement, UsageEvent
from .base import JsonObject
from .documents import record_document, storable

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def date_of(at_s: float) -> datetime:
    """The moment in UTC, to the millisecond, which is all that BSON keeps."""
    return _EPOCH + timedelta(milliseconds=int(at_s * 1000))


def seconds_of(date: datetime) -> float:
    """The moment in seconds since the epoch; a date without a zone, as some clients give it, is UTC."""
    aware = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    return (aware - _EPOCH).total_seconds()


def encoded(value: Any) -> Any:
    """Plain JSON with `.`, `$` and `%` in keys percent-encoded: FerretDB refuses the first two."""
    return _with_keys(storable(value), _encoded_key)


def decoded(value: Any) -> Any:
    """What was given to `encoded`."""
    return _with_keys(value, _decoded_key)


def _with_keys(value: Any, renamed: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {renamed(key): _with_keys(item, renamed) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_keys(item, renamed) for item in value]
    return value


def _encoded_key(key: str) -> str:
    return key.replace("%", "%25").replace(".", "%2E").replace("$", "%24")


def _decoded_key(key: str) -> str:
    return key.replace("%24", "$").replace("%2E", ".").replace("%25", "%") if "%" in key else key


def stored_record(record: Measurement | UsageEvent) -> JsonObject:
    """A record under its id, with a date beside its time."""
    document = encoded(record_document(record))
    return {"_id": document.pop("id"), **document, "created_at": date_of(record.created_at_s)}


def record_fields(document: Mapping[str, Any]) -> JsonObject:
    """The fields of a stored record."""
    fields = {name: value for name, value in document.items() if name not in ("_id", "created_at")}
    return {"id": document["_id"], **fields}


def stored_job(document: Mapping[str, Any]) -> JsonObject:
    """A job with its id under `id`."""
    return {"id": document["_id"], **decoded(without(document, "_id"))}


def without(document: Mapping[str, Any], *fields: str) -> JsonObject:
    """A copy without some fields."""
    return {name: value for name, value in document.items() if name not in fields}


def rollup_subjects(model: str | None, weights_digest: str | None) -> list[JsonObject]:
    """The conditions for roll-ups of a name and of some weights, of all when neither is given: one for each find.

    Not one find with `$or`: some servers read everything for that.
    """
    if model is None:
        return [{} if weights_digest is None else {"weights_digest": weights_digest}]
    named = {"model_key": names.key(model)}
    if weights_digest is None:
        return [named]
    return [named, {"weights_digest": weights_digest, "model_key": {"$ne": named["model_key"]}}]


def span(since_s: float, until_s: float | None) -> JsonObject:
    """The condition since_s <= x < until_s."""
    return {"$gte": since_s} if until_s is None else {"$gte": since_s, "$lt": until_s}


def newest_first(field: str) -> list[tuple[str, int]]:
    """The order by a time, and by id where times are equal."""
    return [(field, -1), ("_id", -1)]


def lease_id(job_id: str, attempt: int) -> str:
    """The id that only one taker can insert."""
    return f"lease:{job_id}#{attempt}"
