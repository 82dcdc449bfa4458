"""What the contract of the store is tried on: each medium opens any number of stores on the same data."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from elixi_models.store.base import Store
from elixi_models.store.mongostore import MongoStore
from elixi_models.store.sqlite import SqliteStore

SERVER_URI = os.environ.get("ELIXI_TEST_MONGODB_URI")
_START_S = 20.0


@dataclass(frozen=True)
class Medium:
    """`recipe` opens the same data from another process (see `racing.py`); None where there is no other process."""

    kind: str
    recipe: tuple[str, ...] | None
    database: Any = None

    def open(self) -> Store:
        """A new store on this medium, as another process would have it."""
        return MongoStore(self.database) if self.recipe is None else open_recipe(self.recipe)


def open_recipe(recipe: tuple[str, ...]) -> Store:
    """A store from what `Medium.recipe` says."""
    if recipe[0] == "sqlite":
        return SqliteStore(Path(recipe[1]))
    return MongoStore.connect(recipe[1], recipe[2])


class LockedCollection:
    """mongomock's collections are not thread-safe: one call at a time, and a find is read to its end in it."""

    def __init__(self, collection: Any, lock: threading.RLock) -> None:
        self._collection = collection
        self._lock = lock

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._collection, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                return method(*args, **kwargs)

        return call

    def find(self, *args: Any, **kwargs: Any) -> LockedCursor:
        return LockedCursor(self._collection.find(*args, **kwargs), self._lock)


class LockedCursor:
    """The three cursor methods that the store uses, and reading at once."""

    def __init__(self, cursor: Any, lock: threading.RLock) -> None:
        self._cursor = cursor
        self._lock = lock

    def sort(self, order: Any) -> LockedCursor:
        self._cursor = self._cursor.sort(order)
        return self

    def skip(self, count: int) -> LockedCursor:
        self._cursor = self._cursor.skip(count)
        return self

    def limit(self, count: int) -> LockedCursor:
        self._cursor = self._cursor.limit(count)
        return self

    def __iter__(self) -> Iterator[Any]:
        with self._lock:
            return iter(list(self._cursor))


class LockedDatabase:
    """A mongomock database behind a lock."""

    def __init__(self) -> None:
        import mongomock

        self._database = mongomock.MongoClient().get_database("elixi")
        self._lock = threading.RLock()

    def get_collection(self, name: str, **options: Any) -> LockedCollection:
        with self._lock:
            return LockedCollection(self._database.get_collection(name, **options), self._lock)

    def list_collection_names(self) -> list[str]:
        return list(self._database.list_collection_names())


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[Medium]:
    """A file of its own."""
    yield Medium("sqlite", ("sqlite", str(folder / "data" / "elixi-models.sqlite3")))


@contextlib.contextmanager
def mongomock(folder: Path) -> Iterator[Medium]:
    """A database of its own, in this process only."""
    pytest.importorskip("mongomock", reason="mongomock is not installed")
    yield Medium("mongodb", None, LockedDatabase())


@contextlib.contextmanager
def fresh_database(uri: str) -> Iterator[Medium]:
    """A database of a new name on a real server, dropped afterwards."""
    import pymongo

    name = f"elixi_models_test_{uuid.uuid4().hex[:12]}"
    client: Any = pymongo.MongoClient(uri, serverSelectionTimeoutMS=5000)
    try:
        yield Medium("mongodb", ("mongodb", uri, name), client[name])
    finally:
        client.drop_database(name)
        client.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def nx_server(folder: Path, port: int) -> Iterator[str]:
    """An nx-27017 of our own, killed at the end; gives its URI. The folder keeps its data for the next one."""
    pytest.importorskip("nx_27017", reason="nx-27017 is not installed")
    command = [sys.executable, "-c", "from nx_27017.nx_27017 import main; main()", "-p", str(port)]
    places = ["--data-dir", str(folder), "--log-file", str(folder / "log"), "--pid-file", str(folder / "pid")]
    with subprocess.Popen([*command, *places], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(port, server)
            yield f"mongodb://127.0.0.1:{port}"
        finally:
            server.kill()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    import pymongo

    uri = f"mongodb://127.0.0.1:{port}"
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=int(_START_S * 1000)) as client:
        client.admin.command("ping")
    assert server.poll() is None
