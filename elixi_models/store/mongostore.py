"""The store in MongoDB: which documents there are, and how inserts alone decide who wins.

Numbers (`…_s`) decide about time. Dates stand beside them for the TTL index, for people, and in the `cache`
collection, which is shared with the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import names
from ..records import Measurement, UsageEvent
from .base import JsonObject, Lease, Preference, Store
from .bson import (
    date_of,
    decoded,
    encoded,
    lease_id,
    newest_first,
    record_fields,
    rollup_subjects,
    seconds_of,
    span,
    stored_job,
    stored_record,
    without,
)
from .documents import KEPT_VERSIONS, job_document, read_records
from .mongo import MongoDatabase
from .sweeping import CACHE_PREFIX, sweep

#: None on `cache`: it is the host's too.
INDEXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "model_measurements": (
        ("ollama_url", "created_at_s"),
        ("ollama_url", "hour_s"),
        ("ollama_url", "model_key", "hour_s"),
        ("ollama_url", "weights_digest", "hour_s"),
    ),
    "model_usage": (("ollama_url", "created_at_s"),),
    "model_performance": (("ollama_url", "created_at_s"),),
    "model_jobs": (("kind", "subject", "number"), ("kind", "ollama_url", "updated_at_s"), ("lease_of", "attempt")),
    "model_preferences": (("key", "version"),),
}


class MongoStore(Store):
    """A `Store` in a MongoDB database. Connects on first use; every verb may block as long as the client waits.

    Args:
        database: a pymongo Database for this process; its client stays its owner's and is never closed here.
        reopen: gives the Database in a forked child, and here when `database` is None; default: `database` itself.
    """

    kind = "mongodb"

    def __init__(self, database: Any = None, *, reopen: Callable[[], Any] | None = None) -> None:
        self._mongo = MongoDatabase(database, reopen=reopen, indexes=INDEXES)

    @classmethod
    def connect(cls, uri: str, name: str) -> MongoStore:
        """A store with a client of its own in every process, which gives up on a server after 2 s."""
        store = cls()
        store._mongo = MongoDatabase.connect(uri, name, indexes=INDEXES)
        return store

    def ping(self) -> None:
        self._mongo.delete("model_preferences", {"_id": "ping"})  # a write that leaves nothing behind

    def close(self) -> None:
        self._mongo.close()

    def add_measurements(self, measurements: Iterable[Measurement]) -> None:
        self._mongo.insert_missing("model_measurements", [stored_record(each) for each in measurements])

    def measurements(
        self, *, ollama_url: str, since_s: float, until_s: float | None = None, limit: int = 10_000
    ) -> list[Measurement]:
        asked = {"ollama_url": ollama_url, "created_at_s": span(since_s, until_s)}
        newest = self._mongo.find("model_measurements", asked, newest_first("created_at_s"), limit=limit)
        return read_records(Measurement, (record_fields(document) for document in reversed(newest)))

    def put_rollup(self, rollup_id: str, rollup: Mapping[str, Any]) -> None:
        subject = {"model_key": names.key(rollup["model"])}
        self._mongo.replace("model_measurements", rollup_id, {**encoded(rollup), **subject})

    def rollups(
        self,
        *,
        ollama_url: str,
        since_s: float = 0.0,
        until_s: float | None = None,
        model: str | None = None,
        weights_digest: str | None = None,
    ) -> list[JsonObject]:
        asked = {"ollama_url": ollama_url, "hour_s": span(since_s, until_s)}
        found = [
            document
            for subject in rollup_subjects(model, weights_digest)
            for document in self._mongo.find("model_measurements", {**asked, **subject}, [("hour_s", 1), ("_id", 1)])
        ]
        found.sort(key=lambda document: (document["hour_s"], document["_id"]))
        return [decoded(without(document, "_id", "model_key")) for document in found]

    def add_usage(self, events: Iterable[UsageEvent]) -> None:
        self._mongo.insert_missing("model_usage", [stored_record(each) for each in events])

    def usage(
        self, *, ollama_url: str, limit: int = 100, before_s: float | None = None, model: str | None = None
    ) -> list[UsageEvent]:
        asked: JsonObject = {"ollama_url": ollama_url}
        if before_s is not None:
            asked["created_at_s"] = {"$lt": before_s}
        if model is not None:
            asked["model"] = model
        lines = self._mongo.find("model_usage", asked, newest_first("created_at_s"), limit=limit)
        return read_records(UsageEvent, (decoded(record_fields(line)) for line in lines))

    def add_performance(self, document: Mapping[str, Any]) -> None:
        self._mongo.insert("model_performance", {**encoded(document), "created_at": date_of(document["created_at_s"])})

    def performance(self, *, ollama_url: str, model: str | None = None, limit: int = 100) -> list[JsonObject]:
        asked = {"ollama_url": ollama_url} if model is None else {"ollama_url": ollama_url, "model": model}
        documents = self._mongo.find("model_performance", asked, newest_first("created_at_s"), limit=limit)
        return [decoded(without(document, "created_at")) for document in documents]

    def create_job(self, job_id: str, job: Mapping[str, Any]) -> bool:
        return self._mongo.insert("model_jobs", {"_id": job_id, **encoded(job_document(job))})

    def write_job(self, job_id: str, job: Mapping[str, Any]) -> None:
        self._mongo.replace("model_jobs", job_id, encoded(job_document(job)))

    def newest_job(self, kind: str, subject: str) -> JsonObject | None:
        asked = {"kind": kind, "subject": subject}
        return next(map(stored_job, self._mongo.find("model_jobs", asked, [("number", -1)], limit=1)), None)

    def jobs(self, kind: str, *, ollama_url: str, limit: int = 200) -> list[JsonObject]:
        asked = {"kind": kind, "ollama_url": ollama_url}
        return [
            stored_job(document)
            for document in self._mongo.find("model_jobs", asked, newest_first("updated_at_s"), limit=limit)
        ]

    def request_cancel(self, job_id: str, *, user: str | None, now_s: float) -> None:
        self._mongo.insert(
            "model_jobs", {"_id": f"cancel:{job_id}", "cancel_of": job_id, "asked_by": user, "asked_at_s": now_s}
        )

    def cancel_requested(self, job_id: str) -> bool:
        return self._mongo.get("model_jobs", f"cancel:{job_id}") is not None

    def take_lease(self, job_id: str, *, owner: str, now_s: float, term_s: float) -> int | None:
        newest = self.lease(job_id)
        if newest is not None and not newest.released and newest.until_s > now_s:
            return None
        attempt = newest.attempt + 1 if newest else 1
        document = {
            "_id": lease_id(job_id, attempt),
            "lease_of": job_id,
            "attempt": attempt,
            "owner": owner,
            "until_s": now_s + term_s,
            "released": False,
        }
        if not self._mongo.insert("model_jobs", document):
            return None
        latest = self.lease(job_id)
        if latest is None or latest.attempt != attempt:
            # A number that was swept away between our look and our insert was used a second time.
            self._mongo.delete("model_jobs", {"_id": lease_id(job_id, attempt)})
            return None
        return attempt

    def renew_lease(self, job_id: str, *, attempt: int, owner: str, until_s: float) -> bool:
        # First ours, then the look: a taker that came in between is seen.
        prolonged = self._update_lease(job_id, attempt, owner, {"until_s": until_s})
        latest = self.lease(job_id)
        return prolonged and latest is not None and latest.attempt == attempt

    def release_lease(self, job_id: str, *, attempt: int, owner: str) -> None:
        self._update_lease(job_id, attempt, owner, {"released": True})

    def lease(self, job_id: str) -> Lease | None:
        for found in self._mongo.find("model_jobs", {"lease_of": job_id}, [("attempt", -1)], limit=1):
            return Lease(job_id, found["attempt"], found["owner"], found["until_s"], found["released"])
        return None

    def _update_lease(self, job_id: str, attempt: int, owner: str, changes: JsonObject) -> bool:
        own = {"_id": lease_id(job_id, attempt), "owner": owner, "released": False}
        return self._mongo.update("model_jobs", own, changes)

    def preference(self, key: str) -> Preference | None:
        for found in self._mongo.find("model_preferences", {"key": key}, [("version", -1)], limit=1):
            return Preference(key, found["version"], decoded(found["value"]), found["created_at_s"])
        return None

    def put_preference(self, key: str, *, version: int, value: Mapping[str, Any], now_s: float) -> bool:
        version_id = f"{key}#{version}"
        document = {"_id": version_id, "key": key, "version": version, "value": encoded(value), "created_at_s": now_s}
        if not self._mongo.insert("model_preferences", document):
            return False
        newest = self.preference(key)
        if newest is not None and newest.version - version >= KEPT_VERSIONS:
            # So old a number had been used before and swept away.
            self._mongo.delete("model_preferences", {"_id": version_id})
            return False
        return True

    def cache_get(self, key: str, *, now_s: float) -> Any | None:
        found = self._mongo.get("cache", CACHE_PREFIX + key)
        return decoded(found["value"]) if found is not None and seconds_of(found["expires"]) > now_s else None

    def cache_put(self, key: str, value: Any, *, now_s: float, ttl_s: float) -> None:
        dates = {"expires": date_of(now_s + ttl_s), "created_at": date_of(now_s)}
        self._mongo.replace("cache", CACHE_PREFIX + key, {"key": key, "value": encoded(value), **dates})

    def sweep(self, *, now_s: float, measurement_days: int, rollup_days: int) -> None:
        self._mongo.expire("model_measurements", "created_at", measurement_days)
        sweep(self._mongo, now_s=now_s, measurement_days=measurement_days, rollup_days=rollup_days)
