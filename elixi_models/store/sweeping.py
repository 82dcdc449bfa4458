"""Removing from MongoDB what has had its time, by plain finds and deletes by `_id`; any process may do it any time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .bson import date_of, newest_first
from .documents import KEPT_LEASES, KEPT_USAGE_LINES, KEPT_VERSIONS, spent_wishes, superseded_jobs
from .mongo import MongoDatabase

#: Ids of our documents in the `cache` collection, which the host uses too: its own are never touched.
CACHE_PREFIX = "elixi-models:"
_CACHE_END = "elixi-models;"
_DAY_S = 86_400.0


def sweep(mongo: MongoDatabase, *, now_s: float, measurement_days: int, rollup_days: int) -> None:
    """Sweep all collections; blocks.

    Raises:
        StoreUnavailable: the rest is for the next time.
    """
    mongo.delete("model_measurements", {"created_at_s": {"$lt": now_s - measurement_days * _DAY_S}})
    oldest_s = now_s - rollup_days * _DAY_S
    # Days stand negated; what is 0 is a whole life's.
    mongo.delete("model_measurements", {"hour_s": {"$gt": 0, "$lt": oldest_s}})
    mongo.delete("model_measurements", {"hour_s": {"$lt": 0, "$gt": -oldest_s}})
    mongo.delete("cache", {"_id": {"$gte": CACHE_PREFIX, "$lt": _CACHE_END}, "expires": {"$lte": date_of(now_s)}})
    _sweep_usage(mongo)
    _sweep_versions(mongo, "model_preferences", {}, "key", "version", KEPT_VERSIONS)
    _sweep_versions(mongo, "model_jobs", {"lease_of": {"$exists": True}}, "lease_of", "attempt", KEPT_LEASES)
    _sweep_jobs(mongo)
    _sweep_wishes(mongo, now_s)


def _sweep_usage(mongo: MongoDatabase) -> None:
    last_kept = mongo.find(
        "model_usage",
        {},
        newest_first("created_at_s"),
        skip=KEPT_USAGE_LINES - 1,
        limit=1,
        fields=("created_at_s",),
    )
    for line in last_kept:
        mongo.delete("model_usage", {"created_at_s": {"$lt": line["created_at_s"]}})


def _sweep_versions(
    mongo: MongoDatabase, name: str, asked: Mapping[str, Any], group: str, number: str, kept: int
) -> None:
    newest: dict[str, int] = {}
    doomed: list[str] = []
    for document in mongo.find(name, asked, [(number, -1)], fields=(group, number)):
        if document[number] <= newest.setdefault(document[group], document[number]) - kept:
            doomed.append(document["_id"])
    _delete(mongo, name, doomed)


def _sweep_jobs(mongo: MongoDatabase) -> None:
    fields = ("kind", "ollama_url", "live")
    jobs = mongo.find("model_jobs", {"kind": {"$exists": True}}, newest_first("updated_at_s"), fields=fields)
    superseded = superseded_jobs((job["_id"], job["kind"], job["ollama_url"], job["live"]) for job in jobs)
    _delete(mongo, "model_jobs", superseded)
    _delete(mongo, "model_jobs", [f"cancel:{job_id}" for job_id in superseded])
    if superseded:
        mongo.delete("model_jobs", {"lease_of": {"$in": superseded}})


def _sweep_wishes(mongo: MongoDatabase, now_s: float) -> None:
    versions = mongo.find("model_preferences", {}, [("version", 1)], fields=("key", "created_at_s"))
    jobs = mongo.find("model_jobs", {"live": True}, newest_first("updated_at_s"), fields=("live",))
    wishes = ((each["key"], each["created_at_s"]) for each in versions)
    spent = spent_wishes(wishes, {job["_id"] for job in jobs}, now_s=now_s)
    if spent:
        mongo.delete("model_preferences", {"key": {"$in": spent}})


def _delete(mongo: MongoDatabase, name: str, ids: list[str]) -> None:
    if ids:
        mongo.delete(name, {"_id": {"$in": ids}})
