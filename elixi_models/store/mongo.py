"""The store in MongoDB, by operations that every server of its family does right.

Inserts decide by the uniqueness of `_id`; everything else is plain reading, replacing and deleting by one writer.
Numbers (`…_s`) decide about time. Dates stand beside them for the TTL index, for people, and in the `cache`
collection, which is shared with the host.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..errors import StoreUnavailable
from ..records import Measurement, UsageEvent
from . import sweeping
from .base import JsonObject, Lease, Preference, Store
from .bson import date_of, lease_id, newest_first, record_fields, seconds_of, span, stored_job, stored_record, without
from .documents import KEPT_VERSIONS, job_document, read_records, storable

_log = logging.getLogger("elixi_models.store")
_OWN_CLIENT: Mapping[str, Any] = {"serverSelectionTimeoutMS": 2000, "connectTimeoutMS": 2000, "socketTimeoutMS": 10_000}
_DUPLICATE_KEY = 11000
_ASCENDING, _DESCENDING = 1, -1
#: None on `cache`: it is the host's too.
_INDEXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "model_measurements": (("ollama_url", "created_at_s"), ("ollama_url", "hour_s")),
    "model_usage": (("ollama_url", "created_at_s"),),
    "model_performance": (("ollama_url", "created_at_s"),),
    "model_jobs": (("kind", "subject", "number"), ("kind", "ollama_url", "updated_at_s"), ("lease_of", "attempt")),
    "model_preferences": (("key", "version"),),
    "cache": (),
}


class MongoStore(Store):
    """A `Store` in a MongoDB database. Connects on first use; every verb may block as long as the client waits.

    Args:
        database: a pymongo Database for this process; its client stays its owner's and is never closed here.
        reopen: gives the Database in a forked child, and here when `database` is None; default: `database` itself.
    """

    kind = "mongodb"

    def __init__(self, database: Any = None, *, reopen: Callable[[], Any] | None = None) -> None:
        self._databases: dict[int, Any] = {} if database is None else {os.getpid(): database}
        self._reopen = reopen or (lambda: database)
        self._indexed: set[tuple[int, str]] = set()
        self._owns_client = False

    @classmethod
    def connect(cls, uri: str, name: str) -> MongoStore:
        """A store with a client of its own in every process, which gives up on a server after 2 s."""

        def reopen() -> Any:
            from pymongo import MongoClient

            return MongoClient(uri, appname="elixi-models", **_OWN_CLIENT)[name]

        store = cls(reopen=reopen)
        store._owns_client = True
        return store

    def ping(self) -> None:
        with explained():
            self._collection("model_preferences").delete_one({"_id": "ping"})  # a write that leaves nothing behind

    def close(self) -> None:
        # Keyed by process: what a child inherits stays referenced and untouched.
        database = self._databases.pop(os.getpid(), None) if self._owns_client else None
        if database is not None:
            database.client.close()

    def add_measurements(self, measurements: Iterable[Measurement]) -> None:
        self._add_records("model_measurements", measurements)

    def measurements(
        self, *, ollama_url: str, since_s: float, until_s: float | None = None, limit: int = 10_000
    ) -> list[Measurement]:
        asked = {"ollama_url": ollama_url, "created_at_s": span(since_s, until_s)}
        newest = self._find("model_measurements", asked, newest_first("created_at_s"), limit)
        return read_records(Measurement, (record_fields(document) for document in reversed(newest)))

    def put_rollup(self, rollup_id: str, rollup: Mapping[str, Any]) -> None:
        self._replace("model_measurements", rollup_id, storable(rollup))

    def rollups(self, *, ollama_url: str, since_s: float = 0.0, until_s: float | None = None) -> list[JsonObject]:
        asked = {"ollama_url": ollama_url, "hour_s": span(since_s, until_s)}
        order = [("hour_s", _ASCENDING), ("_id", _ASCENDING)]
        return [without(document, "_id") for document in self._find("model_measurements", asked, order)]

    def add_usage(self, events: Iterable[UsageEvent]) -> None:
        self._add_records("model_usage", events)

    def usage(
        self, *, ollama_url: str, limit: int = 100, before_s: float | None = None, model: str | None = None
    ) -> list[UsageEvent]:
        asked: JsonObject = {"ollama_url": ollama_url}
        if before_s is not None:
            asked["created_at_s"] = {"$lt": before_s}
        if model is not None:
            asked["model"] = model
        lines = self._find("model_usage", asked, newest_first("created_at_s"), limit)
        return read_records(UsageEvent, map(record_fields, lines))

    def add_performance(self, document: Mapping[str, Any]) -> None:
        self._insert("model_performance", {**storable(document), "created_at": date_of(document["created_at_s"])})

    def performance(self, *, ollama_url: str, model: str | None = None, limit: int = 100) -> list[JsonObject]:
        asked = {"ollama_url": ollama_url} if model is None else {"ollama_url": ollama_url, "model": model}
        documents = self._find("model_performance", asked, newest_first("created_at_s"), limit)
        return [without(document, "created_at") for document in documents]

    def create_job(self, job_id: str, job: Mapping[str, Any]) -> bool:
        return self._insert("model_jobs", {"_id": job_id, **job_document(job)})

    def write_job(self, job_id: str, job: Mapping[str, Any]) -> None:
        self._replace("model_jobs", job_id, job_document(job))

    def newest_job(self, kind: str, subject: str) -> JsonObject | None:
        asked = {"kind": kind, "subject": subject}
        return next(map(stored_job, self._find("model_jobs", asked, [("number", _DESCENDING)], 1)), None)

    def jobs(self, kind: str, *, ollama_url: str, limit: int = 200) -> list[JsonObject]:
        asked = {"kind": kind, "ollama_url": ollama_url}
        return [
            stored_job(document) for document in self._find("model_jobs", asked, newest_first("updated_at_s"), limit)
        ]

    def request_cancel(self, job_id: str, *, user: str | None, now_s: float) -> None:
        self._insert(
            "model_jobs", {"_id": f"cancel:{job_id}", "cancel_of": job_id, "asked_by": user, "asked_at_s": now_s}
        )

    def cancel_requested(self, job_id: str) -> bool:
        with explained():
            return self._collection("model_jobs").find_one({"_id": f"cancel:{job_id}"}) is not None

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
        if not self._insert("model_jobs", document):
            return None
        latest = self.lease(job_id)
        if latest is None or latest.attempt != attempt:
            # A number that was swept away between our look and our insert was used a second time.
            self._delete("model_jobs", [lease_id(job_id, attempt)])
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
        for found in self._find("model_jobs", {"lease_of": job_id}, [("attempt", _DESCENDING)], 1):
            return Lease(job_id, found["attempt"], found["owner"], found["until_s"], found["released"])
        return None

    def _update_lease(self, job_id: str, attempt: int, owner: str, changes: JsonObject) -> bool:
        own = {"_id": lease_id(job_id, attempt), "owner": owner, "released": False}
        with explained():
            return bool(self._collection("model_jobs").update_one(own, {"$set": changes}).matched_count)

    def preference(self, key: str) -> Preference | None:
        for found in self._find("model_preferences", {"key": key}, [("version", _DESCENDING)], 1):
            return Preference(key, found["version"], found["value"], found["created_at_s"])
        return None

    def put_preference(self, key: str, *, version: int, value: Mapping[str, Any], now_s: float) -> bool:
        version_id = f"{key}#{version}"
        document = {"_id": version_id, "key": key, "version": version, "value": storable(value), "created_at_s": now_s}
        if not self._insert("model_preferences", document):
            return False
        newest = self.preference(key)
        if newest is not None and newest.version - version >= KEPT_VERSIONS:
            # So old a number had been used before and swept away.
            self._delete("model_preferences", [version_id])
            return False
        return True

    def cache_get(self, key: str, *, now_s: float) -> Any | None:
        with explained():
            found = self._collection("cache").find_one({"_id": sweeping.CACHE_PREFIX + key})
        return found["value"] if found is not None and seconds_of(found["expires"]) > now_s else None

    def cache_put(self, key: str, value: Any, *, now_s: float, ttl_s: float) -> None:
        dates = {"expires": date_of(now_s + ttl_s), "created_at": date_of(now_s)}
        self._replace("cache", sweeping.CACHE_PREFIX + key, {"key": key, "value": storable(value), **dates})

    def sweep(self, *, now_s: float, measurement_days: int) -> None:
        with explained():
            collections = {name: self._collection(name) for name in _INDEXES}
            sweeping.sweep(collections, now_s=now_s, now=date_of(now_s), measurement_days=measurement_days)

    def _collection(self, name: str) -> Any:
        """A collection with our own reading and writing rules, whatever the host set; indexed at the first use."""
        from pymongo import ReadPreference, WriteConcern
        from pymongo.errors import OperationFailure

        collection = self._database().get_collection(
            name, read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern()
        )
        if (os.getpid(), name) not in self._indexed:
            for fields in _INDEXES[name]:
                try:
                    collection.create_index([(field, _ASCENDING) for field in fields])
                except OperationFailure as exc:
                    _log.debug("no index on %s: %s", name, exc)  # slower, not wrong
            self._indexed.add((os.getpid(), name))
        return collection

    def _database(self) -> Any:
        database = self._databases.get(os.getpid())
        if database is None:
            database = self._reopen()
            if database is None:
                raise StoreUnavailable("The host gives no MongoDB database at the moment. Check that MongoDB runs.")
            database = self._databases.setdefault(os.getpid(), database)
        return database

    def _find(self, name: str, asked: JsonObject, order: list[tuple[str, int]], limit: int = 0) -> list[JsonObject]:
        with explained():
            return list(self._collection(name).find(asked).sort(order).limit(limit))

    def _insert(self, name: str, document: JsonObject) -> bool:
        from pymongo.errors import DuplicateKeyError

        with explained():
            try:
                self._collection(name).insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    def _add_records(self, name: str, records: Iterable[Measurement | UsageEvent]) -> None:
        from pymongo.errors import BulkWriteError

        documents = [stored_record(record) for record in records]
        if not documents:
            return
        with explained():
            try:
                self._collection(name).insert_many(documents, ordered=False)
            except BulkWriteError as exc:
                refused = exc.details.get("writeErrors", [])
                only_duplicates = all(error.get("code") == _DUPLICATE_KEY for error in refused)
                if not only_duplicates or exc.details.get("writeConcernErrors"):
                    raise

    def _replace(self, name: str, document_id: str, document: JsonObject) -> None:
        from pymongo.errors import DuplicateKeyError

        with explained(), contextlib.suppress(DuplicateKeyError):  # another's replacement came first: as good
            self._collection(name).replace_one({"_id": document_id}, {"_id": document_id, **document}, upsert=True)

    def _delete(self, name: str, ids: list[str]) -> None:
        with explained():
            self._collection(name).delete_many({"_id": {"$in": ids}})


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """The driver's failures as ours, in words that say what to do."""
    from pymongo.errors import PyMongoError

    try:
        yield
    except PyMongoError as exc:
        _log.debug("MongoDB: %s", exc)
        raise StoreUnavailable(
            "MongoDB does not answer or refuses. Check that it runs and that its address and rights are right."
        ) from exc
