"""What is known of downloads without asking anybody: this process's own, its last ended ones, and those of others."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from .. import names
from ..inventory import InstalledModel
from ..records import DownloadJob, Progress
from ..store.following import StoreFollower
from . import documents, progress

_MOST_ENDED = 200


class Knowledge:
    """The jobs of one server in memory. Thread-safe; nothing here blocks."""

    def __init__(self, follower: StoreFollower, ollama_url: str) -> None:
        self._follower = follower
        self._ollama_url = ollama_url
        self._lock = threading.Lock()
        self._ended: dict[str, DownloadJob] = {}
        follower.watch_jobs(documents.KIND, ollama_url)

    def note_end(self, job: DownloadJob) -> None:
        """Remember how a job ended here, whether or not the store has heard of it."""
        key = names.key(job.model)
        with self._lock:
            self._ended.pop(key, None)
            self._ended[key] = job
            while len(self._ended) > _MOST_ENDED:
                del self._ended[next(iter(self._ended))]

    def stored(self) -> list[DownloadJob]:
        """The jobs that the store was last seen to have, of any process."""
        read = (documents.read(stored) for stored in self._follower.jobs(documents.KIND))
        return [job for job in read if job is not None and job.ollama_url == self._ollama_url]

    def all(self, own: Iterable[DownloadJob]) -> list[DownloadJob]:
        """Every job once, newest first.

        Args:
            own: the jobs that this process works on, which know more than what is stored of them.
        """
        jobs = {job.id: job for job in self.stored()}
        with self._lock:
            ended = list(self._ended.values())
        for job in [*ended, *own]:
            if job.id not in jobs or age(job) >= age(jobs[job.id]):
                jobs[job.id] = job
        return sorted(jobs.values(), key=age, reverse=True)


def age(job: DownloadJob) -> tuple[float, int, float]:
    """Orders jobs, and states of one job, from old to new."""
    return (job.created_at_s, job.attempt, job.updated_at_s)


def presence(model: InstalledModel, *, ollama_url: str, now_s: float) -> DownloadJob:
    """A job for a model that is there without a download of ours; stored nowhere."""
    return DownloadJob(
        id=documents.job_id(ollama_url, model.name, 0),
        ollama_url=ollama_url,
        model=model.name,
        state="installed",
        created_at_s=now_s,
        updated_at_s=now_s,
        progress=progress.installed(Progress(), model.size_bytes),
        finished_at_s=now_s,
    )
