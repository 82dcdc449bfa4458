"""A benchmark's place in the store: its number, its lease, its document. One benchmark runs on a server at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import names
from ..errors import BenchmarkRunning, Cancelled, StoreUnavailable
from ..records import BenchmarkJob, Failure
from ..store.base import JsonObject, Store
from . import documents

if TYPE_CHECKING:
    from ..store.following import StoreFollower
    from ..store.leasing import HeldLease


@dataclass(frozen=True, slots=True)
class Office:
    """Where jobs are stored, who works on them here, how long a lease runs, and by which clocks."""

    store: Store
    follower: StoreFollower
    owner: str
    term_s: float
    clock: Callable[[], float]
    monotonic: Callable[[], float]


def already_running(job: BenchmarkJob) -> BenchmarkRunning:
    """The error that names the benchmark which is in the way."""
    shown = names.shown(job.model)
    return BenchmarkRunning(
        f"A benchmark of {shown} is running on this server. Wait for it, or cancel it first.",
        model_name=shown,
        suite=job.suite,
        status=job.state,
        done_items=job.done_items,
        total_items=job.total_items,
    )


class Docket:
    """For the thread that does the job; all methods may block for the store.

    While the store is away a benchmark goes on, and what came of it is written when the store is back.
    """

    def __init__(self, office: Office, job: BenchmarkJob) -> None:
        self._office = office
        self._lease: HeldLease | None = None
        self._enrolled = False
        #: The job's id, final once it is stored.
        self.id = job.id

    @property
    def taken_over(self) -> bool:
        """True when the lease is lost although the store can be reached: somebody else may hold it."""
        return self._lease is not None and self._lease.lost.is_set() and self._office.follower.status.available

    def enrol(self, job: BenchmarkJob) -> None:
        """Give the job its number and take its lease.

        Raises:
            BenchmarkRunning: another benchmark runs on this server.
            StoreUnavailable: nothing is known.
        """
        from ..store.leasing import HeldLease

        office = self._office
        while not self._enrolled:
            newest = office.store.newest_job(documents.KIND, job.ollama_url)
            running = documents.read(newest) if newest is not None and newest["live"] else None
            if running is not None and not bury(office, running):
                raise already_running(running)
            self._insert(job, newest)
        self._lease = HeldLease.take(
            office.store,
            self.id,
            owner=office.owner,
            term_s=office.term_s,
            clock=office.clock,
            monotonic=office.monotonic,
        )

    def write(self, job: BenchmarkJob) -> None:
        """Store how far the job is, if that is possible now."""
        if self._lease is None or self._lease.lost.is_set():
            return
        with suppress(StoreUnavailable):
            self._write(job)

    def cancel_requested(self) -> bool:
        """Whether somebody, in any process, asked for the job to stop.

        Raises:
            StoreUnavailable: nothing is known.
        """
        return self._enrolled and self._office.store.cancel_requested(self.id)

    def finish(self, job: BenchmarkJob) -> bool:
        """Store how the job ended and give the lease back; False when that has to be tried again later."""
        try:
            return self._finish(job)
        except StoreUnavailable:
            return False

    def _finish(self, job: BenchmarkJob) -> bool:
        store, lease = self._office.store, self._lease
        held = lease is not None and not lease.lost.is_set()
        if held:
            self._write(job)
        if lease is not None:
            lease.release()
            self._lease = None
        if held:
            return True
        while not self._enrolled:
            self._insert(job, store.newest_job(documents.KIND, job.ollama_url))
        return write_fenced(self._office, replace(job, id=self.id))

    def _insert(self, job: BenchmarkJob, newest: JsonObject | None) -> None:
        number = 1 + (newest["number"] if newest is not None else 0)
        numbered = replace(job, id=documents.job_id(job.ollama_url, number))
        self._enrolled = self._office.store.create_job(numbered.id, documents.document(numbered))
        if self._enrolled:
            self.id = numbered.id

    def _write(self, job: BenchmarkJob) -> None:
        numbered = replace(job, id=self.id)
        self._office.store.write_job(self.id, documents.document(numbered))
        self._office.follower.note_job({"id": self.id, **documents.document(numbered)})


def bury(office: Office, job: BenchmarkJob) -> bool:
    """End a job whose owner died: its lease ran out. It is not started again; what it measured is kept.

    Returns:
        True when the job does not run any more, False when it does.

    Raises:
        StoreUnavailable: nothing is known.
    """
    stored = office.store.newest_job(documents.KIND, job.ollama_url)
    if stored is None or stored["id"] != job.id or not stored["live"]:
        return True
    job = documents.read(stored) or job
    lease, now_s = office.store.lease(job.id), office.clock()
    held_until_s = job.updated_at_s + office.term_s if lease is None or lease.released else lease.until_s
    if held_until_s > now_s:
        return False
    ended = replace(
        job,
        state="partial" if _has_answers(job) else "failed",
        reason="owner_died",
        remaining_s=None,
        failure=Failure(Cancelled.code, "The program that ran this benchmark ended. Start it again.", now_s),
        updated_at_s=now_s,
        finished_at_s=now_s,
    )
    return write_fenced(office, ended)


def write_fenced(office: Office, job: BenchmarkJob) -> bool:
    """Take a job's lease for one write and give it back; False while somebody else has it.

    Raises:
        StoreUnavailable: it may or may not be written; writing it again is right.
    """
    store = office.store
    attempt = store.take_lease(job.id, owner=office.owner, now_s=office.clock(), term_s=office.term_s)
    if attempt is None:
        return False
    store.write_job(job.id, documents.document(job))
    store.release_lease(job.id, attempt=attempt, owner=office.owner)
    office.follower.note_job({"id": job.id, **documents.document(job)})
    return True


def _has_answers(job: BenchmarkJob) -> bool:
    items = (job.report or {}).get("items", ())
    return any(item["outcome"] == "ok" and item["kind"] not in ("cold", "warm_up") for item in items)
