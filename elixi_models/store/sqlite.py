"""The store in one SQLite file: durable on acknowledgement, shared by every process of a user."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import names
from ..errors import StoreUnavailable
from ..records import Measurement, UsageEvent
from .base import JsonObject, Lease, Preference, Store
from .connections import SqliteConnections
from .documents import job_document, read_records, record_document, storable
from .rowsweeping import sweep
from .schema import VERSION

FILE_NAME = "elixi-models.sqlite3"


class SqliteStore(Store):
    """A `Store` on the file at `path`, which is created with its folder on first use. Every verb may block 15 s."""

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        self._connections = SqliteConnections(path)

    def ping(self) -> None:
        with self._writing() as connection:
            connection.execute(f"PRAGMA user_version = {VERSION}")  # a real write that changes nothing

    def close(self) -> None:
        self._connections.close()

    def add_measurements(self, measurements: Iterable[Measurement]) -> None:
        rows = [(m.id, m.ollama_url, m.created_at_s, _text(record_document(m))) for m in measurements]
        with self._writing() as connection:
            connection.executemany("INSERT INTO measurements VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)

    def measurements(
        self, *, ollama_url: str, since_s: float, until_s: float | None = None, limit: int = 10_000
    ) -> list[Measurement]:
        newest = self._bodies(
            """SELECT body FROM measurements WHERE ollama_url = ? AND created_at_s >= ? AND created_at_s < ?
            ORDER BY created_at_s DESC, id DESC LIMIT ?""",
            (ollama_url, since_s, _or_never(until_s), limit),
        )
        return read_records(Measurement, reversed(newest))

    def put_rollup(self, rollup_id: str, rollup: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO rollups VALUES (?, ?, ?, ?, ?, ?)",
                (
                    rollup_id,
                    rollup["ollama_url"],
                    rollup["hour_s"],
                    _text(rollup),
                    names.key(rollup["model"]),
                    rollup.get("weights_digest"),
                ),
            )

    def rollups(
        self,
        *,
        ollama_url: str,
        since_s: float = 0.0,
        until_s: float | None = None,
        model: str | None = None,
        weights_digest: str | None = None,
    ) -> list[JsonObject]:
        within: tuple[Any, ...] = (ollama_url, since_s, _or_never(until_s))
        if model is None and weights_digest is None:
            return self._bodies(f"SELECT body FROM rollups WHERE {_WITHIN} ORDER BY hour_s, id", within)
        return self._bodies(_ROLLUPS_OF, (*within, model and names.key(model), *within, weights_digest))

    def add_usage(self, events: Iterable[UsageEvent]) -> None:
        rows = [(e.id, e.ollama_url, e.model, e.created_at_s, _text(record_document(e))) for e in events]
        with self._writing() as connection:
            connection.executemany("INSERT INTO usage VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)

    def usage(
        self, *, ollama_url: str, limit: int = 100, before_s: float | None = None, model: str | None = None
    ) -> list[UsageEvent]:
        lines = self._bodies(
            """SELECT body FROM usage WHERE ollama_url = ? AND created_at_s < ? AND (? IS NULL OR model = ?)
            ORDER BY created_at_s DESC, id DESC LIMIT ?""",
            (ollama_url, _or_never(before_s), model, model, limit),
        )
        return read_records(UsageEvent, lines)

    def add_performance(self, document: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO performance VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    document["_id"],
                    document["ollama_url"],
                    document.get("model"),
                    document["created_at_s"],
                    _text(document),
                ),
            )

    def performance(self, *, ollama_url: str, model: str | None = None, limit: int = 100) -> list[JsonObject]:
        return self._bodies(
            """SELECT body FROM performance WHERE ollama_url = ? AND (? IS NULL OR model = ?)
            ORDER BY created_at_s DESC, id DESC LIMIT ?""",
            (ollama_url, model, model, limit),
        )

    def create_job(self, job_id: str, job: Mapping[str, Any]) -> bool:
        with self._writing() as connection:
            inserted = connection.execute(f"INSERT INTO {_JOB_VALUES} ON CONFLICT DO NOTHING", _job_row(job_id, job))
            return inserted.rowcount == 1

    def write_job(self, job_id: str, job: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            connection.execute(f"INSERT OR REPLACE INTO {_JOB_VALUES}", _job_row(job_id, job))

    def newest_job(self, kind: str, subject: str) -> JsonObject | None:
        query = "SELECT id, body FROM jobs WHERE kind = ? AND subject = ? ORDER BY number DESC LIMIT 1"
        return next(iter(self._jobs(query, (kind, subject))), None)

    def jobs(self, kind: str, *, ollama_url: str, limit: int = 200) -> list[JsonObject]:
        query = """SELECT id, body FROM jobs WHERE kind = ? AND ollama_url = ?
            ORDER BY updated_at_s DESC, id DESC LIMIT ?"""
        return self._jobs(query, (kind, ollama_url, limit))

    def _jobs(self, query: str, parameters: tuple[Any, ...]) -> list[JsonObject]:
        return [{"id": job_id, **json.loads(body)} for job_id, body in self._rows(query, parameters)]

    def request_cancel(self, job_id: str, *, user: str | None, now_s: float) -> None:
        with self._writing() as connection:
            connection.execute("INSERT INTO cancels VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (job_id, user, now_s))

    def cancel_requested(self, job_id: str) -> bool:
        return bool(self._rows("SELECT 1 FROM cancels WHERE job_id = ?", (job_id,)))

    def take_lease(self, job_id: str, *, owner: str, now_s: float, term_s: float) -> int | None:
        with self._writing() as connection:
            newest = connection.execute(_NEWEST_LEASE, (job_id,)).fetchone()
            if newest is not None and _lease(newest).until_s > now_s and not _lease(newest).released:
                return None
            attempt = 1 if newest is None else _lease(newest).attempt + 1
            connection.execute("INSERT INTO leases VALUES (?, ?, ?, ?, 0)", (job_id, attempt, owner, now_s + term_s))
            return attempt

    def renew_lease(self, job_id: str, *, attempt: int, owner: str, until_s: float) -> bool:
        with self._writing() as connection:
            renewed = connection.execute(
                """UPDATE leases SET until_s = ? WHERE job_id = ? AND attempt = ? AND owner = ? AND released = 0
                AND attempt = (SELECT MAX(attempt) FROM leases WHERE job_id = ?)""",
                (until_s, job_id, attempt, owner, job_id),
            )
            return renewed.rowcount == 1

    def release_lease(self, job_id: str, *, attempt: int, owner: str) -> None:
        with self._writing() as connection:
            connection.execute(
                "UPDATE leases SET released = 1 WHERE job_id = ? AND attempt = ? AND owner = ?",
                (job_id, attempt, owner),
            )

    def lease(self, job_id: str) -> Lease | None:
        return next((_lease(row) for row in self._rows(_NEWEST_LEASE, (job_id,))), None)

    def preference(self, key: str) -> Preference | None:
        rows = self._rows(
            "SELECT version, value, created_at_s FROM preferences WHERE key = ? ORDER BY version DESC LIMIT 1", (key,)
        )
        return next((Preference(key, version, json.loads(value), at_s) for version, value, at_s in rows), None)

    def put_preference(self, key: str, *, version: int, value: Mapping[str, Any], now_s: float) -> bool:
        with self._writing() as connection:
            # A version so old that it was swept away would otherwise be inserted a second time.
            put = connection.execute(
                """INSERT INTO preferences SELECT ?, ?, ?, ?
                WHERE ? > (SELECT COALESCE(MAX(version), ?) FROM preferences WHERE key = ?)""",
                (key, version, _text(value), now_s, version, version - 1, key),
            )
            return put.rowcount == 1

    def cache_get(self, key: str, *, now_s: float) -> Any | None:
        rows = self._rows("SELECT value FROM cache WHERE key = ? AND expires_at_s > ?", (key, now_s))
        return next((json.loads(value) for (value,) in rows), None)

    def cache_put(self, key: str, value: Any, *, now_s: float, ttl_s: float) -> None:
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?)", (key, _text(value), now_s + ttl_s, now_s)
            )

    def sweep(self, *, now_s: float, measurement_days: int, rollup_days: int) -> None:
        with self._writing() as connection:
            sweep(connection, now_s=now_s, measurement_days=measurement_days, rollup_days=rollup_days)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start: what it reads cannot change under it."""
        with _explained(), self._connections.lend() as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                yield connection

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with _explained(), self._connections.lend() as connection:
            return connection.execute(query, parameters).fetchall()

    def _bodies(self, query: str, parameters: tuple[Any, ...]) -> list[JsonObject]:
        return [json.loads(body) for (body,) in self._rows(query, parameters)]


_JOB_VALUES = "jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_WITHIN = "ollama_url = ? AND hour_s >= ? AND hour_s < ?"
# Two searches, each in its own index: of an OR SQLite would read the whole time of all models.
_ROLLUPS_OF = f"""SELECT body FROM rollups WHERE rowid IN
    (SELECT rowid FROM rollups WHERE {_WITHIN} AND model_key = ?
    UNION SELECT rowid FROM rollups WHERE {_WITHIN} AND weights_digest = ?) ORDER BY hour_s, id"""
_NEWEST_LEASE = """SELECT job_id, attempt, owner, until_s, released FROM leases WHERE job_id = ?
    ORDER BY attempt DESC LIMIT 1"""


def _job_row(job_id: str, job: Mapping[str, Any]) -> tuple[Any, ...]:
    columns = (job[name] for name in ("kind", "subject", "number", "ollama_url", "live", "updated_at_s"))
    return (job_id, *columns, _text(job_document(job)))


def _lease(row: tuple[Any, ...]) -> Lease:
    job_id, attempt, owner, until_s, released = row
    return Lease(job_id, attempt, owner, until_s, bool(released))


def _text(value: Any) -> str:
    return json.dumps(storable(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _or_never(at_s: float | None) -> float:
    return math.inf if at_s is None else at_s


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """SQLite's and the file system's failures as ours, in words that say what to do and name no path."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise  # a defect of ours says nothing about the file
    except (sqlite3.Error, OSError) as exc:
        raise StoreUnavailable(_remedy(exc)) from exc


def _remedy(exc: sqlite3.Error | OSError) -> str:
    said = str(exc).lower()
    if getattr(exc, "errno", None) == errno.ENOSPC or "full" in said:
        return "The disk of the data folder is full. Free some space; nothing else is needed."
    if "locked" in said or "busy" in said:
        return "The data file is in use by another program for too long. Close it or try again."
    if "malformed" in said or "not a database" in said:
        return "The data file is damaged. Move it away or restore a copy; a new one is made by itself."
    return (
        "The data folder cannot be written. Make it writable for this user, or set ELIXI_MODELS_DATA_DIR to a folder "
        "that is."
    )
