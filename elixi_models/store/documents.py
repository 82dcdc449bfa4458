"""Records as the plain JSON that both stores keep, and which documents have had their time: pure."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, cast

from ..records import Measurement, UsageEvent
from .base import JsonObject

KEPT_USAGE_LINES = 10_000
KEPT_VERSIONS = 5
KEPT_JOBS = 200
KEPT_LEASES = 8
#: How long what was wished of a job stays after the wish, once the job is over.
KEPT_WISH_S = 86_400.0
#: A preference of a job: what stands behind the @ ends as the ids of jobs do.
_JOB_KEY = re.compile(r"[^@]+@(?P<id>.+#\d+)\Z")

_Record = TypeVar("_Record", Measurement, UsageEvent)
_FIELDS = {record: tuple(spec.name for spec in fields(record)) for record in (Measurement, UsageEvent)}


def storable(value: Any) -> Any:
    """A copy that JSON and BSON both take: lists for tuples, dicts with string keys, None for NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): storable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value]
    return value


def record_document(record: Measurement | UsageEvent) -> JsonObject:
    """A record's fields without those that are unknown."""
    given = ((name, getattr(record, name)) for name in _FIELDS[type(record)])
    return {name: storable(value) for name, value in given if value is not None}


def read_record(kind: type[_Record], document: Mapping[str, Any]) -> _Record | None:
    """The record of a document; fields of later versions are ignored, None when one that must be there is missing."""
    for known in (document, {name: document[name] for name in _FIELDS[kind] if name in document}):
        try:
            return kind(**known)
        except TypeError:
            continue
    return None


def read_records(kind: type[_Record], documents: Iterable[Mapping[str, Any]]) -> list[_Record]:
    """The records of documents in their order, without those that cannot be read."""
    records = (read_record(kind, document) for document in documents)
    return [record for record in records if record is not None]


def job_document(job: Mapping[str, Any]) -> JsonObject:
    """A job as it is kept: its id stands beside it, not in it."""
    return {name: value for name, value in cast(JsonObject, storable(job)).items() if name != "id"}


def superseded_jobs(jobs: Iterable[tuple[str, str, str, bool]]) -> list[str]:
    """The ids of jobs to remove: all but the newest 200 of each kind and server; what still runs stays.

    Args:
        jobs: `(id, kind, ollama_url, live)`, newest first.
    """
    seen: dict[tuple[str, str], int] = defaultdict(int)
    superseded = []
    for job_id, kind, ollama_url, live in jobs:
        seen[kind, ollama_url] += 1
        if seen[kind, ollama_url] > KEPT_JOBS and not live:
            superseded.append(job_id)
    return superseded


def spent_wishes(versions: Iterable[tuple[str, float]], live: Container[str], *, now_s: float) -> list[str]:
    """The keys of preferences that were wishes of a job which is over: `<what>@<job id>`, not touched for a day.

    Args:
        versions: `(key, created_at_s)` of every version of every preference.
        live: the ids of the jobs that are not over.
    """
    newest: dict[str, float] = {}
    for key, created_at_s in versions:
        newest[key] = max(created_at_s, newest.get(key, created_at_s))
    return [
        key
        for key, created_at_s in newest.items()
        if created_at_s < now_s - KEPT_WISH_S and (job := _JOB_KEY.match(key)) and job["id"] not in live
    ]
