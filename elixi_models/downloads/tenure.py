"""A job's place in the store while this process works on it: its number, its lease, its document."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import StoreUnavailable
from ..records import DownloadJob
from ..store.base import Store
from ..store.following import StoreFollower
from ..store.leasing import HeldLease
from . import documents, policy

_LOG = logging.getLogger("elixi_models.downloads")


@dataclass(frozen=True, slots=True)
class Tenancy:
    """Where jobs are stored, who works on them here, how long a lease runs, and by which clocks."""

    store: Store
    follower: StoreFollower
    owner: str
    term_s: float
    clock: Callable[[], float]
    monotonic: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Request:
    """What decides whether a stored job answers: see `policy.answers`."""

    restart: bool = False
    update: bool = False
    seen_s: float | None = None


def answers(job: DownloadJob, request: Request, now_s: float) -> bool:
    """Whether a job is the answer to a request; see `policy.answers`."""
    return policy.answers(job, now_s=now_s, restart=request.restart, update=request.update, seen_s=request.seen_s)


class Tenure:
    """One job's place in the store, for the worker that does the job. All methods may block for the store.

    While the store is away the work goes on without a lease, and what happened is written when the store is back;
    should another process have taken the job over by then, this one has to stop.

    Args:
        request: what the job was asked for with; None for a job that is stored already.
    """

    def __init__(self, tenancy: Tenancy, job: DownloadJob, request: Request | None) -> None:
        self._tenancy = tenancy
        self._request = request
        self._lock = threading.Lock()
        self._lease: HeldLease | None = None
        #: The job as stored, or as it will be; its id is final once `enrol` has worked. Another process's job where
        #: that answers the request.
        self.job = job

    def enrol(self) -> DownloadJob | None:
        """Give the job its number in the store.

        Returns:
            The stored job that answers the same request and was there first, or None when this one is stored.

        Raises:
            StoreUnavailable.
        """
        store, job, number = self._tenancy.store, self.job, 0
        with self._lock:
            while self._request is not None:
                stored = store.newest_job(documents.KIND, documents.subject(job.ollama_url, job.model))
                newest = documents.read(stored) if stored is not None else None
                if newest is not None and answers(newest, self._request, self._tenancy.clock()):
                    self._note(newest)
                    self.job = newest
                    return newest
                number = max(number, documents.number_of(newest) if newest is not None else 0) + 1
                job = replace(job, id=documents.job_id(job.ollama_url, job.model, number))
                if store.create_job(job.id, documents.document(job)):
                    self.job, self._request = job, None
                    self._note(job)
        return None

    def hold(self) -> bool:
        """Take the lease, or find it still held; False when another process works on the job: stop at once."""
        if self._lease is not None and not self._lease.lost.is_set():
            return True
        if not self._tenancy.follower.status.available:
            return True
        try:
            return self._take()
        except StoreUnavailable:
            return True

    def write(self, job: DownloadJob) -> bool:
        """Store the job as it is now; False when that was not possible (no lease, store away)."""
        if self._lease is None or self._lease.lost.is_set():
            return False
        try:
            self._tenancy.store.write_job(job.id, documents.document(job))
        except StoreUnavailable:
            return False
        self._note(job)
        return True

    def finish(self, job: DownloadJob) -> bool:
        """Write the last state and give the lease back; False when that has to be tried again later."""
        if not self.hold():
            return True
        if not self.write(replace(job, id=self.job.id, attempt=self.job.attempt)):
            return False
        self.release()
        return True

    def release(self) -> None:
        """Give the lease back, so that another process may go on at once."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def is_cancelled(self) -> bool:
        """Whether somebody, in any process, asked for the job to stop."""
        if self._lease is None:
            return False
        try:
            return self._tenancy.store.cancel_requested(self.job.id)
        except StoreUnavailable:
            return False

    def is_switch_wanted(self) -> bool:
        """Whether somebody in another process asked to switch to the model when it is there."""
        if self._lease is None:
            return False
        try:
            return self._tenancy.store.preference(documents.switch_key(self.job.id)) is not None
        except StoreUnavailable:
            return False

    def _take(self) -> bool:
        self.release()
        other = self.enrol()
        if other is not None:
            if not other.live:
                return False
            self._request = None
        tenancy = self._tenancy
        self._lease = HeldLease.take(
            tenancy.store,
            self.job.id,
            owner=tenancy.owner,
            term_s=tenancy.term_s,
            clock=tenancy.clock,
            monotonic=tenancy.monotonic,
        )
        if self._lease is None:
            return False
        self.job = replace(self.job, attempt=self._lease.attempt)
        return True

    def _note(self, job: DownloadJob) -> None:
        self._tenancy.follower.note_job({"id": job.id, **documents.document(job)})
