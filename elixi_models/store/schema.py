"""The tables of the SQLite file, and how an older file becomes a newer one."""

from __future__ import annotations

import sqlite3

from ..errors import StoreUnavailable

#: One tuple of statements per version; a released one is never edited, changes are appended.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE measurements (
            id TEXT PRIMARY KEY, ollama_url TEXT NOT NULL, created_at_s REAL NOT NULL, body TEXT NOT NULL)""",
        "CREATE INDEX measurements_by_time ON measurements (ollama_url, created_at_s)",
        """CREATE TABLE rollups (
            id TEXT PRIMARY KEY, ollama_url TEXT NOT NULL, hour_s INTEGER NOT NULL, body TEXT NOT NULL)""",
        "CREATE INDEX rollups_by_hour ON rollups (ollama_url, hour_s)",
        """CREATE TABLE usage (
            id TEXT PRIMARY KEY, ollama_url TEXT NOT NULL, model TEXT, created_at_s REAL NOT NULL,
            body TEXT NOT NULL)""",
        "CREATE INDEX usage_by_time ON usage (ollama_url, created_at_s)",
        """CREATE TABLE performance (
            id TEXT PRIMARY KEY, ollama_url TEXT NOT NULL, model TEXT, created_at_s REAL NOT NULL,
            body TEXT NOT NULL)""",
        "CREATE INDEX performance_by_time ON performance (ollama_url, created_at_s)",
        """CREATE TABLE jobs (
            id TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, number INTEGER NOT NULL,
            ollama_url TEXT NOT NULL, live INTEGER NOT NULL, updated_at_s REAL NOT NULL, body TEXT NOT NULL)""",
        "CREATE INDEX jobs_by_subject ON jobs (kind, subject, number)",
        "CREATE INDEX jobs_by_time ON jobs (kind, ollama_url, updated_at_s)",
        """CREATE TABLE leases (
            job_id TEXT NOT NULL, attempt INTEGER NOT NULL, owner TEXT NOT NULL, until_s REAL NOT NULL,
            released INTEGER NOT NULL, PRIMARY KEY (job_id, attempt)) WITHOUT ROWID""",
        "CREATE TABLE cancels (job_id TEXT PRIMARY KEY, asked_by TEXT, asked_at_s REAL NOT NULL) WITHOUT ROWID",
        """CREATE TABLE preferences (
            key TEXT NOT NULL, version INTEGER NOT NULL, value TEXT NOT NULL, created_at_s REAL NOT NULL,
            PRIMARY KEY (key, version)) WITHOUT ROWID""",
        """CREATE TABLE cache (
            key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at_s REAL NOT NULL, created_at_s REAL NOT NULL)""",
    ),
    (
        "ALTER TABLE rollups ADD COLUMN model_key TEXT",
        "ALTER TABLE rollups ADD COLUMN weights_digest TEXT",
        """UPDATE rollups SET model_key = lower(json_extract(body, '$.model')),
            weights_digest = json_extract(body, '$.weights_digest')""",
        "CREATE INDEX rollups_by_model ON rollups (ollama_url, model_key, hour_s)",
        "CREATE INDEX rollups_by_weights ON rollups (ollama_url, weights_digest, hour_s)",
    ),
)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this version's tables, whoever comes first; nearly free where they are there.

    Raises:
        StoreUnavailable: the file was written by a later version.
    """
    if _version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        found = _version(connection)
        if found > VERSION:
            raise StoreUnavailable(
                "The data file was written by a newer elixi-models. Upgrade this one, or set ELIXI_MODELS_DATA_DIR "
                "to another folder.",
                found_version=found,
                known_version=VERSION,
            )
        for statements in MIGRATIONS[found:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
