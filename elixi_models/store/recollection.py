"""Jobs in memory: what the store has, and this process's own writes at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from .base import JsonObject, Store

_MOST_NOTED = 500


class JobMemory:
    """Thread-safe. Only `refresh` talks to the store and blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._followed: dict[str, tuple[str, int]] = {}
        self._stored: dict[str, dict[str, JsonObject]] = {}
        self._noted: dict[str, JsonObject] = {}

    def watch(self, kind: str, ollama_url: str, *, newest: int) -> None:
        """Follow the newest jobs of a kind on a server from the next look on."""
        self._followed[kind] = (ollama_url, newest)

    def get(self, kind: str) -> tuple[JsonObject, ...]:
        """The jobs of a kind, newest `updated_at_s` first."""
        with self._lock:
            jobs = {**self._stored.get(kind, {}), **self._own(kind)}
        return tuple(sorted(jobs.values(), key=lambda job: (job["updated_at_s"], job["id"]), reverse=True))

    def note(self, job: Mapping[str, Any]) -> None:
        """Show a job as it is written now, until the store shows it at least as new."""
        with self._lock:
            self._noted.pop(job["id"], None)
            self._noted[job["id"]] = dict(job)
            while len(self._noted) > _MOST_NOTED:
                del self._noted[next(iter(self._noted))]

    def refresh(self, store: Store) -> None:
        """Read the followed kinds; blocks."""
        for kind, (ollama_url, newest) in list(self._followed.items()):
            stored = {job["id"]: job for job in store.jobs(kind, ollama_url=ollama_url, limit=newest)}
            with self._lock:
                self._stored[kind] = stored
                for job_id, own in self._own(kind).items():
                    if job_id in stored and stored[job_id]["updated_at_s"] >= own["updated_at_s"]:
                        del self._noted[job_id]

    def reset_after_fork(self) -> None:
        """In a forked child: what was noted is the parent's to write."""
        self._lock = threading.Lock()
        self._noted = {}

    def _own(self, kind: str) -> dict[str, JsonObject]:
        return {job_id: job for job_id, job in self._noted.items() if job["kind"] == kind}
