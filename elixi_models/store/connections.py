"""Connections to one SQLite file: few, lent to one thread at a time, never carried into a forked child."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from .schema import migrate

MOST_CONNECTIONS = 4
BUSY_TIMEOUT_S = 15.0
_FORK_WAIT_S = 5.0
_RETRY_S = 0.01
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600


class _Pool:
    """The connections of one process. At most four are lent; idle ones are kept open."""

    def __init__(self) -> None:
        self.permits = threading.BoundedSemaphore(MOST_CONNECTIONS)
        #: Cleared while a fork waits, so that busy threads do not keep taking the permits it needs.
        self.admitted = threading.Event()
        self.admitted.set()
        self.idle: list[tuple[sqlite3.Connection, tuple[int, int]]] = []
        self.generation = 0

    def close_idle(self) -> None:
        """Close what nobody uses."""
        while self.idle:
            connection, _ = self.idle.pop()
            connection.close()


class SqliteConnections:
    """Opens the file on first use, with its folder (mode 0700), its tables, WAL and synchronous NORMAL.

    SQLite's locks and mutexes must not be copied by a fork while they are held, nor may a child touch its parent's
    connections: a fork waits for running operations, finds every connection closed, and the child starts afresh.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pools: dict[int, _Pool] = {}
        _living.add(self)

    @contextlib.contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """A connection in autocommit mode for the block; waits for a free one. Closed if the block raises.

        Raises:
            sqlite3.Error, OSError: the file cannot be opened.
            StoreUnavailable: the file is of a later version.
        """
        pool = self._pool()
        pool.admitted.wait()
        with pool.permits:
            generation = pool.generation
            connection, identity = self._take(pool)
            sound = False
            try:
                yield connection
                sound = True
            finally:
                if sound and pool.generation == generation:
                    pool.idle.append((connection, identity))
                else:
                    connection.close()

    def close(self) -> None:
        """Close idle connections now and lent ones when they come back; the next use opens new ones."""
        pool = self._pool()
        pool.generation += 1
        pool.close_idle()

    def quiesce(self) -> Callable[[], None] | None:
        """Before a fork: wait (bounded) until nothing runs, hold up what would start, close everything.

        Gives what ends this, or None where nothing was ever opened.
        """
        pool = self._pools.get(os.getpid())
        if pool is None:
            return None
        pool.admitted.clear()
        held = 0
        while held < MOST_CONNECTIONS and pool.permits.acquire(timeout=_FORK_WAIT_S):
            held += 1
        pool.close_idle()

        def resume() -> None:
            for _ in range(held):
                pool.permits.release()
            pool.admitted.set()

        return resume

    def _pool(self) -> _Pool:
        # Keyed by process: what a child inherits stays referenced and untouched.
        pid = os.getpid()
        return self._pools.get(pid) or self._pools.setdefault(pid, _Pool())

    def _take(self, pool: _Pool) -> tuple[sqlite3.Connection, tuple[int, int]]:
        identity = self._identity()
        while pool.idle:
            connection, opened = pool.idle.pop()
            if opened == identity:
                return connection, opened
            connection.close()  # somebody has moved or deleted the file: what we would write there is lost
        return self._open()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _open(self) -> tuple[sqlite3.Connection, tuple[int, int]]:
        self._path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, _FILE_MODE))
        found = os.stat(self._path)
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        with contextlib.ExitStack() as unless_ready:
            unless_ready.callback(connection.close)
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            migrate(connection)
            unless_ready.pop_all()
        return connection, (found.st_dev, found.st_ino)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Put the file into WAL mode. SQLite does not wait by itself for others who open a new file at the same moment."""
    gives_up_at = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > gives_up_at:
                raise
        threading.Event().wait(_RETRY_S)


_living: weakref.WeakSet[SqliteConnections] = weakref.WeakSet()
_forking = threading.Lock()
_resumes: list[Callable[[], None]] = []


def _before_fork() -> None:
    _forking.acquire()
    for connections in list(_living):
        resume = connections.quiesce()
        if resume is not None:
            _resumes.append(resume)


def _after_fork() -> None:
    while _resumes:
        _resumes.pop()()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
