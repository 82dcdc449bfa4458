"""What only the SQLite file has: its folder, its versions, its failures, its connections."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.records import Measurement
from elixi_models.store import connections, schema, sqlite
from elixi_models.store.sqlite import SqliteStore

from .doubles import run_in_thread


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "elixi" / "data.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


def choose(store: SqliteStore, version: int = 1) -> bool:
    return store.put_preference("k", version=version, value={"v": version}, now_s=1.0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_folder_and_file_are_the_users_only(store: SqliteStore, path: Path) -> None:
    """0700 and 0600, the files beside it included: they hold who did what."""
    choose(store)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_the_file_is_in_wal_mode(store: SqliteStore, path: Path) -> None:
    """Readers do not wait for a writer."""
    choose(store)
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert plain.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    plain.close()


def test_an_older_file_is_brought_up_to_date(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds stays."""
    choose(store)
    store.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE more (id TEXT)",)))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    assert store._rows("SELECT COUNT(*) FROM more", ()) == [(0,)]
    assert store.preference("k") is not None


def test_sums_of_an_older_file_are_found_by_their_model(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first version did not say whose they are; bringing the file up to date reads it from each."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        patch.setattr(schema, "VERSION", 1)
        choose(store)
        store.close()
    rollup = {"ollama_url": "u", "model": "Phi:Latest", "weights_digest": "w1", "hour_s": 3600}
    with sqlite3.connect(path) as plain:
        plain.execute("INSERT INTO rollups VALUES ('r', 'u', 3600, ?)", (json.dumps(rollup),))
        plain.execute("INSERT INTO rollups VALUES ('s', 'u', 3600, ?)", (json.dumps({"model": "qwen:1b"}),))
    plain.close()
    assert store.rollups(ollama_url="u", model="phi") == [rollup]
    assert store.rollups(ollama_url="u", weights_digest="w1") == [rollup]
    assert store.rollups(ollama_url="u", model="qwen:1b") == [{"model": "qwen:1b"}]


def test_one_models_sums_are_searched_for_in_their_own_indexes(store: SqliteStore) -> None:
    """What other models have is not looked at: by name and by weights, each in its own order of time."""
    asked = ("u", 0, 1, "m", "u", 0, 1, "w")
    plan = " ".join(str(row) for row in store._rows(f"EXPLAIN QUERY PLAN {sqlite._ROLLUPS_OF}", asked))
    assert "rollups_by_model (ollama_url=? AND model_key=? AND hour_s>? AND hour_s<?)" in plan
    assert "rollups_by_weights (ollama_url=? AND weights_digest=? AND hour_s>? AND hour_s<?)" in plan
    assert "SCAN rollups" not in plan


def test_a_failed_migration_leaves_the_file_as_it_was(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it or nothing."""
    choose(store)
    store.close()
    broken = (*schema.MIGRATIONS, ("CREATE TABLE more (id TEXT)", "nonsense"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", broken)
        patch.setattr(schema, "VERSION", schema.VERSION + 1)
        with pytest.raises(StoreUnavailable):
            store.ping()
    assert store._rows("SELECT COUNT(*) FROM sqlite_master WHERE name = 'more'", ()) == [(0,)]
    assert store.preference("k") is not None


def test_a_file_of_a_later_version_is_refused(store: SqliteStore, path: Path) -> None:
    """Not read as if it were ours; the message says what to do."""
    choose(store)
    store.close()
    with sqlite3.connect(path) as plain:
        plain.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    plain.close()
    with pytest.raises(StoreUnavailable, match="newer elixi-models") as caught:
        store.preference("k")
    assert caught.value.details == {"found_version": schema.VERSION + 1, "known_version": schema.VERSION}


def refusal(store: SqliteStore, verb: Callable[[], Any] | None = None) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        (verb or store.ping)()
    return caught.value.message


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """With what to do and without the path."""
    (tmp_path / "file").write_text("")
    message = refusal(SqliteStore(tmp_path / "file" / "sub" / "data.sqlite3"))
    assert "ELIXI_MODELS_DATA_DIR" in message
    assert str(tmp_path) not in message


def test_a_read_only_file_is_told(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading goes on; writing, and ping, say what to do."""
    choose(store)
    store.close()

    def read_only(target: Path, **options: Any) -> sqlite3.Connection:
        return sqlite3.Connection(f"file:{target}?mode=ro", uri=True, **options)

    monkeypatch.setattr(connections.sqlite3, "connect", read_only)
    assert "Make it writable" in refusal(store)
    assert "Make it writable" in refusal(store, lambda: choose(store, 2))
    assert store.preference("k") is not None


def test_a_full_disk_is_told_and_comes_back(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored stays readable, and with space again everything works."""
    choose(store)
    with monkeypatch.context() as patch:
        store.close()

        def small(target: Path, **options: Any) -> sqlite3.Connection:
            connection = sqlite3.Connection(target, **options)
            connection.execute("PRAGMA max_page_count = 1")
            return connection

        patch.setattr(connections.sqlite3, "connect", small)
        big = {"text": "x" * 100_000}
        message = refusal(store, lambda: store.put_preference("k", version=2, value=big, now_s=1.0))
        assert "full" in message
        assert store.preference("k") is not None
        store.close()
    assert choose(store, 2)


def test_no_space_for_the_folder_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system's word for it, too."""
    monkeypatch.setattr(Path, "mkdir", lambda *args, **more: (_ for _ in ()).throw(OSError(28, "No space left")))
    assert "full" in refusal(SqliteStore(path))


def test_a_damaged_file_is_told(store: SqliteStore, path: Path) -> None:
    """Nothing is deleted by us."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database" * 1000)
    assert "damaged" in refusal(store)
    assert path.read_bytes().startswith(b"not a database")


def test_a_file_locked_for_too_long_is_told(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another program, after the busy time."""
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_S", 0.05)
    store.preference("k")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "in use" in refusal(store)
    assert store.preference("k") is None
    other.close()
    store.ping()


def test_a_refused_batch_leaves_no_half(store: SqliteStore) -> None:
    """Nothing of it is stored, a defect is not taken for an outage, and the store goes on."""
    sound = Measurement("a", 1.0, "u", "m", "chat", "ok", 1.0)
    with pytest.raises(sqlite3.IntegrityError):
        store.add_measurements([sound, replace(sound, id="b", ollama_url=None)])  # type: ignore[arg-type]
    assert store.measurements(ollama_url="u", since_s=0) == []
    store.add_measurements([sound])
    assert store.measurements(ollama_url="u", since_s=0) == [sound]


def test_many_open_a_new_file_at_once(path: Path) -> None:
    """The first moment of a file, when it changes to WAL, is no failure for those who come second."""
    for number in range(20):
        stores = [SqliteStore(path.with_name(f"{number}.sqlite3")) for _ in range(6)]
        gate = threading.Barrier(len(stores))
        won: list[int] = []

        def race(store: SqliteStore, gate: threading.Barrier = gate, won: list[int] = won) -> None:
            gate.wait(30)
            if choose(store):
                won.append(1)

        threads = [run_in_thread(functools.partial(race, store)) for store in stores]
        for thread in threads:
            thread.join()
        for store in stores:
            store.close()
        assert won == [1]


def test_a_new_file_that_stays_locked_is_told(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for WAL mode ends, too."""
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_S", 0.05)
    path.parent.mkdir(parents=True)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert "in use" in refusal(store)
    other.close()
    store.ping()


def test_a_deleted_file_is_made_anew(store: SqliteStore, path: Path) -> None:
    """What is acknowledged afterwards is in a file that exists, not in one that has no name any more."""
    choose(store)
    for file in path.parent.iterdir():
        file.unlink()
    assert store.preference("k") is None
    assert choose(store)
    assert SqliteStore(path).preference("k") is not None


def test_connections_are_few_and_closed(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many short-lived threads share at most four; close() closes them all."""
    opened: list[sqlite3.Connection] = []

    def connect(target: Path, **options: Any) -> sqlite3.Connection:
        opened.append(sqlite3.Connection(target, **options))
        return opened[-1]

    monkeypatch.setattr(connections.sqlite3, "connect", connect)
    for thread in [run_in_thread(lambda: store.preference("k")) for _ in range(40)]:
        thread.join()
    assert 1 <= len(opened) <= connections.MOST_CONNECTIONS
    store.close()
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError):
            connection.execute("SELECT 1")


def test_a_connection_lent_during_close_is_closed_when_it_comes_back(path: Path) -> None:
    """close() does not wait for it, and it does not stay open."""
    lender = connections.SqliteConnections(path)
    with lender.lend() as lent:
        lender.close()
        lent.execute("SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError):
        lent.execute("SELECT 1")


def test_a_connection_is_not_used_again_after_an_error(path: Path) -> None:
    """Whatever state it is in, the next one is fresh."""
    lender = connections.SqliteConnections(path)
    with pytest.raises(ZeroDivisionError), lender.lend() as lent:
        raise ZeroDivisionError
    with lender.lend() as following:
        assert following is not lent
    lender.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_in_the_middle_of_an_operation_waits_only_so_long(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operation that hangs does not keep the process from forking."""
    monkeypatch.setattr(connections, "_FORK_WAIT_S", 0.05)
    choose(store)
    gate, entered = threading.Event(), threading.Event()

    def hang() -> None:
        with store._connections.lend():
            entered.set()
            gate.wait(20)

    thread = run_in_thread(hang)
    assert entered.wait(10)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.preference("k") is not None
    gate.set()
    thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_opens_its_own_connections(store: SqliteStore) -> None:
    """Parent and child both write afterwards, and each sees the other's."""
    choose(store)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if choose(store, 2) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not choose(store, 2)
    assert choose(store, 3)
