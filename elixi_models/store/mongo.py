"""The driver: a MongoDB database by the few operations that every server of its family does right.

Inserts decide by the uniqueness of `_id`; everything else is plain reading, replacing and deleting by one writer.
Every failure of the driver is a StoreUnavailable here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import StoreUnavailable
from .base import JsonObject

_log = logging.getLogger("elixi_models.store")
_OWN_CLIENT: Mapping[str, Any] = {"serverSelectionTimeoutMS": 2000, "connectTimeoutMS": 2000, "socketTimeoutMS": 30_000}
_DUPLICATE_KEY = 11000
_DAY_S = 86_400
_TTL_NAME = "elixi_models_ttl"

Order = list[tuple[str, int]]


class MongoDatabase:
    """One database, in every process that uses it. Connects on first use; every method but `close` may block as long
    as the client waits.

    Args:
        database: a pymongo Database for this process; its client stays its owner's and is never closed here.
        reopen: gives the Database in a forked child, and here when `database` is None; default: `database` itself.
        indexes: the fields of the indexes of each collection, made at its first use where the server lets us.
    """

    def __init__(
        self,
        database: Any = None,
        *,
        reopen: Callable[[], Any] | None = None,
        indexes: Mapping[str, tuple[tuple[str, ...], ...]],
    ) -> None:
        # Keyed by process: what a child inherits, a held lock too, stays referenced and untouched.
        self._databases: dict[int, Any] = {} if database is None else {os.getpid(): database}
        self._opening: dict[int, threading.Lock] = {}
        self._reopen = reopen or (lambda: database)
        self._indexes = indexes
        self._indexed: set[tuple[int, str]] = set()
        self._owns_client = False

    @classmethod
    def connect(cls, uri: str, name: str, *, indexes: Mapping[str, tuple[tuple[str, ...], ...]]) -> MongoDatabase:
        """A database with a client of its own in every process, which gives up on a server after 2 s."""

        def reopen() -> Any:
            from pymongo import MongoClient

            return MongoClient(uri, appname="elixi-models", **_OWN_CLIENT)[name]

        database = cls(reopen=reopen, indexes=indexes)
        database._owns_client = True
        return database

    def close(self) -> None:
        """Close this process's own client, if it is ours; the next use opens another."""
        database = self._databases.pop(os.getpid(), None) if self._owns_client else None
        if database is not None:
            database.client.close()

    def find(
        self,
        name: str,
        asked: Mapping[str, Any],
        order: Order,
        *,
        limit: int = 0,
        skip: int = 0,
        fields: tuple[str, ...] | None = None,
    ) -> list[JsonObject]:
        """Documents in order; `limit` 0 is none, `fields` names what is wanted beside `_id`."""
        projection = None if fields is None else dict.fromkeys(fields, 1)
        with explained():
            return list(self._collection(name).find(asked, projection).sort(order).skip(skip).limit(limit))

    def get(self, name: str, document_id: str) -> JsonObject | None:
        """The document of an id."""
        with explained():
            found: JsonObject | None = self._collection(name).find_one({"_id": document_id})
            return found

    def insert(self, name: str, document: JsonObject) -> bool:
        """Insert a document; False when its id exists."""
        from pymongo.errors import DuplicateKeyError

        with explained():
            try:
                self._collection(name).insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    def insert_missing(self, name: str, documents: list[JsonObject]) -> None:
        """Insert all documents whose ids do not exist."""
        from pymongo.errors import BulkWriteError

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

    def replace(self, name: str, document_id: str, document: Mapping[str, Any]) -> None:
        """Write a document whole, be it there or not; for its one writer, or where any writer's will do."""
        from pymongo.errors import DuplicateKeyError

        with explained(), contextlib.suppress(DuplicateKeyError):  # another's came first: as good
            self._collection(name).replace_one({"_id": document_id}, {"_id": document_id, **document}, upsert=True)

    def update(self, name: str, asked: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
        """Set fields of the one document that its only writer means; False when it is not there."""
        with explained():
            return bool(self._collection(name).update_one(asked, {"$set": changes}).matched_count)

    def delete(self, name: str, asked: Mapping[str, Any]) -> None:
        """Delete all that is asked for."""
        with explained():
            self._collection(name).delete_many(asked)

    def expire(self, name: str, field: str, days: int) -> None:
        """Have the server itself delete documents so long after the date in a field, where it knows how to."""
        from pymongo.errors import OperationFailure

        options = {"name": _TTL_NAME, "expireAfterSeconds": days * _DAY_S}
        with explained():
            collection = self._collection(name)
            try:
                collection.create_index([(field, 1)], **options)
            except OperationFailure as exc:
                _log.debug("no TTL index on %s: %s", name, exc)
                # One with another number of days, which would delete too early for ours, must not stay.
                if _TTL_NAME in collection.index_information():
                    collection.drop_index(_TTL_NAME)

    def _collection(self, name: str) -> Any:
        """A collection with our own reading and writing rules, whatever the host set; indexed at the first use."""
        from pymongo import ReadPreference, WriteConcern
        from pymongo.errors import OperationFailure

        collection = self._database().get_collection(
            name, read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern()
        )
        if (os.getpid(), name) not in self._indexed:
            for fields in self._indexes.get(name, ()):
                try:
                    collection.create_index([(field, 1) for field in fields])
                except OperationFailure as exc:
                    _log.debug("no index on %s: %s", name, exc)  # slower, not wrong
            self._indexed.add((os.getpid(), name))
        return collection

    def _database(self) -> Any:
        pid = os.getpid()
        with self._opening.setdefault(pid, threading.Lock()):
            if pid not in self._databases:
                database = self._reopen()
                if database is None:
                    raise StoreUnavailable("The host gives no MongoDB database at the moment. Check that MongoDB runs.")
                self._databases[pid] = database
            return self._databases[pid]


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
