"""Removing from MongoDB what has had its time, by plain finds and deletes by `_id`; any process may do it any time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from .documents import KEPT_LEASES, KEPT_USAGE_LINES, KEPT_VERSIONS, superseded_jobs

#: Ids of our documents in the `cache` collection, which the host uses too: its own are never touched.
CACHE_PREFIX = "elixi-models:"
_CACHE_END = "elixi-models;"
_DAY_S = 86_400.0
_NEWEST_FIRST, _ID_DESCENDING = -1, ("_id", -1)


def sweep(collections: Mapping[str, Any], *, now_s: float, now: datetime, measurement_days: int) -> None:
    """Sweep all collections, given by name; `now` is the same moment as `now_s`. Raises what the driver raises."""
    oldest_s = now_s - measurement_days * _DAY_S
    collections["model_measurements"].delete_many({"created_at_s": {"$lt": oldest_s}})
    collections["cache"].delete_many({"_id": {"$gte": CACHE_PREFIX, "$lt": _CACHE_END}, "expires": {"$lte": now}})
    _sweep_usage(collections["model_usage"])
    _sweep_versions(collections["model_preferences"], {}, "key", "version", KEPT_VERSIONS)
    _sweep_versions(collections["model_jobs"], {"lease_of": {"$exists": True}}, "lease_of", "attempt", KEPT_LEASES)
    _sweep_jobs(collections["model_jobs"])


def _sweep_usage(usage: Any) -> None:
    newest_first = usage.find({}, {"created_at_s": 1}).sort([("created_at_s", _NEWEST_FIRST), _ID_DESCENDING])
    for last_kept in newest_first.skip(KEPT_USAGE_LINES - 1).limit(1):
        usage.delete_many({"created_at_s": {"$lt": last_kept["created_at_s"]}})


def _sweep_versions(collection: Any, asked: Mapping[str, Any], group: str, number: str, kept: int) -> None:
    newest: dict[str, int] = {}
    found = list(collection.find(asked, {group: 1, number: 1}))
    for document in found:
        newest[document[group]] = max(document[number], newest.get(document[group], 0))
    _delete(collection, (each["_id"] for each in found if each[number] <= newest[each[group]] - kept))


def _sweep_jobs(jobs: Any) -> None:
    fields = ("_id", "kind", "ollama_url", "live")
    newest_first = jobs.find({"kind": {"$exists": True}}, dict.fromkeys(fields[1:], 1)).sort(
        [("updated_at_s", _NEWEST_FIRST), _ID_DESCENDING]
    )
    superseded = superseded_jobs([tuple(job[field] for field in fields) for job in newest_first])
    _delete(jobs, superseded)
    _delete(jobs, (f"cancel:{job_id}" for job_id in superseded))
    if superseded:
        jobs.delete_many({"lease_of": {"$in": superseded}})


def _delete(collection: Any, ids: Iterable[str]) -> None:
    doomed = list(ids)
    if doomed:
        collection.delete_many({"_id": {"$in": doomed}})
