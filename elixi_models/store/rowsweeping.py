"""Removing from the SQLite file what has had its time, in one transaction of the caller's."""

from __future__ import annotations

import sqlite3

from .documents import KEPT_LEASES, KEPT_USAGE_LINES, KEPT_VERSIONS, spent_wishes, superseded_jobs

_DAY_S = 86_400.0


def sweep(connection: sqlite3.Connection, *, now_s: float, measurement_days: int, rollup_days: int) -> None:
    """Sweep all tables; what is kept is in `Store.sweep`.

    Raises:
        sqlite3.Error.
    """
    connection.execute("DELETE FROM measurements WHERE created_at_s < ?", (now_s - measurement_days * _DAY_S,))
    connection.execute("DELETE FROM rollups WHERE hour_s <> 0 AND ABS(hour_s) < ?", (now_s - rollup_days * _DAY_S,))
    connection.execute("DELETE FROM cache WHERE expires_at_s <= ?", (now_s,))
    connection.execute(
        """DELETE FROM usage WHERE id IN
        (SELECT id FROM usage ORDER BY created_at_s DESC, id DESC LIMIT -1 OFFSET ?)""",
        (KEPT_USAGE_LINES,),
    )
    connection.execute(
        """DELETE FROM preferences WHERE version <= ? +
        (SELECT MAX(version) FROM preferences AS newest WHERE newest.key = preferences.key)""",
        (-KEPT_VERSIONS,),
    )
    connection.execute(
        """DELETE FROM leases WHERE attempt <= ? +
        (SELECT MAX(attempt) FROM leases AS newest WHERE newest.job_id = leases.job_id)""",
        (-KEPT_LEASES,),
    )
    _sweep_jobs(connection)
    _sweep_wishes(connection, now_s)


def _sweep_jobs(connection: sqlite3.Connection) -> None:
    jobs = connection.execute("SELECT id, kind, ollama_url, live FROM jobs ORDER BY updated_at_s DESC, id DESC")
    superseded = [(job_id,) for job_id in superseded_jobs(jobs)]
    for statement in (
        "DELETE FROM jobs WHERE id = ?",
        "DELETE FROM leases WHERE job_id = ?",
        "DELETE FROM cancels WHERE job_id = ?",
    ):
        connection.executemany(statement, superseded)


def _sweep_wishes(connection: sqlite3.Connection, now_s: float) -> None:
    versions = connection.execute("SELECT key, created_at_s FROM preferences").fetchall()
    live = {job_id for (job_id,) in connection.execute("SELECT id FROM jobs WHERE live")}
    spent = spent_wishes(versions, live, now_s=now_s)
    connection.executemany("DELETE FROM preferences WHERE key = ?", [(key,) for key in spent])
