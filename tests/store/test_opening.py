"""Which store serves, for each form of `mongodb`; nothing is connected, called or truth-tested too early."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.settings import Settings
from elixi_models.store.mongostore import MongoStore
from elixi_models.store.opening import open_store
from elixi_models.store.sqlite import SqliteStore

from .media import LockedDatabase

DEAD = "mongodb://127.0.0.1:9"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def unconnected() -> Iterator[Any]:
    """A real Database whose truth test raises, of a client that was never connected."""
    with pymongo.MongoClient(DEAD, connect=False, serverSelectionTimeoutMS=50) as client:
        database = client["elixi"]
        with pytest.raises(NotImplementedError):
            bool(database)
        yield database


class Wrapper:
    """What the host hands to some of its analysers."""

    def __init__(self, database: Any) -> None:
        self.db = database


def choose(store: Any) -> None:
    """Use the store once."""
    store.put_preference("k", version=1, value={"a": 1}, now_s=1.0)


def test_without_mongodb_the_file_serves(settings: Settings) -> None:
    """In the data folder, made on first use."""
    store = open_store(settings)
    assert isinstance(store, SqliteStore)
    assert not settings.data_dir.exists()
    choose(store)
    assert (settings.data_dir / "elixi-models.sqlite3").exists()
    store.close()


@pytest.mark.parametrize("how", ["setting", "argument"])
def test_a_uri_makes_a_client_of_its_own(tmp_path: Path, how: str) -> None:
    """Opening it connects to nothing; a dead server is StoreUnavailable in two seconds."""
    settings = Settings(data_dir=tmp_path, mongodb_uri=DEAD if how == "setting" else None)
    store = open_store(settings, DEAD if how == "argument" else None)
    assert isinstance(store, MongoStore)
    assert store.kind == "mongodb"
    with pytest.raises(StoreUnavailable):
        store.ping()
    store.close()


def test_an_invalid_uri_is_told_at_the_first_use(settings: Settings) -> None:
    """Not by whatever the driver raises."""
    store = open_store(settings, "mongodb://")
    with pytest.raises(StoreUnavailable):
        store.ping()


@pytest.mark.parametrize("form", ["database", "wrapper", "callable", "callable wrapper"])
def test_a_database_serves_in_every_form(settings: Settings, form: str) -> None:
    """The same data behind each; the file is not made."""
    database = LockedDatabase()
    given = {
        "database": database,
        "wrapper": Wrapper(database),
        "callable": lambda: database,
        "callable wrapper": lambda: Wrapper(database),
    }[form]
    store = open_store(settings, given)
    assert store.kind == "undecided"
    choose(store)
    assert store.kind == "mongodb"
    assert MongoStore(database).preference("k") is not None
    assert not settings.data_dir.exists()
    store.close()


def test_a_real_database_is_never_truth_tested(settings: Settings, unconnected: Any) -> None:
    """It raises on that; what is raised here is that no server answers."""
    for given in (unconnected, Wrapper(unconnected), lambda: unconnected):
        store = open_store(settings, given)
        with pytest.raises(StoreUnavailable):
            store.ping()
        assert store.kind == "mongodb"


def test_a_database_handed_in_is_never_closed(settings: Settings, unconnected: Any) -> None:
    """Its client is its owner's."""
    store = open_store(settings, unconnected)
    with pytest.raises(StoreUnavailable):
        store.ping()
    store.close()
    with pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
        unconnected.command("ping")


def test_a_callable_is_called_at_the_first_use_and_once(settings: Settings) -> None:
    """The host's getter makes a new client every time."""
    calls: list[int] = []
    database = LockedDatabase()

    def get_db() -> LockedDatabase:
        calls.append(1)
        return database

    store = open_store(settings, get_db)
    store.close()
    assert calls == []
    choose(store)
    store.preference("k")
    assert calls == [1]


def test_a_callable_that_gives_none_leaves_it_to_the_settings(settings: Settings) -> None:
    """The host has no MongoDB configured: the file serves, and goes on to serve."""
    answers: list[Any] = [None, LockedDatabase()]
    store = open_store(settings, lambda: answers.pop(0))
    choose(store)
    assert store.kind == "sqlite"
    assert store.preference("k") is not None
    assert len(answers) == 1
    store.close()


def test_a_callable_that_gives_none_does_not_hide_a_configured_mongodb(tmp_path: Path) -> None:
    """Its server is down, not absent: never a file instead."""
    store = open_store(Settings(data_dir=tmp_path / "data", mongodb_uri=DEAD), lambda: None)
    with pytest.raises(StoreUnavailable):
        store.ping()
    assert store.kind == "mongodb"
    assert not (tmp_path / "data").exists()
    store.close()


@pytest.mark.parametrize("failure", [RuntimeError("boom"), pymongo.errors.ConfigurationError("no dnspython")])
def test_a_callable_that_fails_is_asked_again(settings: Settings, failure: Exception) -> None:
    """Nothing is decided by a failure."""
    answers: list[Any] = [failure, LockedDatabase()]

    def get_db() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    store = open_store(settings, get_db)
    with pytest.raises(StoreUnavailable) as caught:
        store.ping()
    assert "boom" not in caught.value.message
    assert store.kind == "undecided"
    choose(store)
    assert store.kind == "mongodb"


def test_opening_loads_no_driver(tmp_path: Path) -> None:
    """pymongo costs 40 ms and 7 MB: it is loaded at the first use of MongoDB."""
    code = """
import sys
from elixi_models.settings import Settings
from elixi_models.store.opening import open_store
for mongodb in (None, "mongodb://127.0.0.1:9", lambda: None):
    open_store(Settings(), mongodb)
assert "pymongo" not in sys.modules
"""
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
