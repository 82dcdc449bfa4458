"""The queue of downloads: one job per model, whoever asks, in whatever process, for as long as it takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from .. import names
from ..errors import Cancelled, ElixiModelsError, NotFound, OllamaBusy
from ..names import ModelName
from ..records import DownloadJob
from ..settings import Settings
from ..store.base import Store
from ..store.following import StoreFollower
from ..upstream.gateway import OllamaGateway
from ..upstream.observer import Observer
from . import documents, policy
from .knowledge import Knowledge, age, presence
from .places import Places
from .tenure import Request, Tenancy, Tenure, answers
from .worker import Download

_LOG = logging.getLogger("elixi_models.downloads")
_LOOK_WAIT_S = 0.3
_CANCEL_WAIT_S = 0.3
#: How long a new job without a lease is left to the process that made it.
_GRACE_S = 5.0


class DownloadQueue:
    """Downloads of one server's models as jobs in the store, pulled by worker threads of whichever process is there.

    Requests read memory and start threads, and wait only for a new job's outcome. At most `max_pulls` jobs are
    pulled at once, those of other processes counted; the rest wait in their order.

    Args:
        owner: names this process in leases.
        on_finished: called in the worker's thread with each job that ended in this process.
    """

    def __init__(
        self,
        *,
        store: Store,
        follower: StoreFollower,
        gateway: OllamaGateway,
        observer: Observer,
        settings: Settings,
        owner: str,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        on_finished: Callable[[DownloadJob], None] | None = None,
    ) -> None:
        self._tenancy = Tenancy(store, follower, owner, settings.lease_s, clock, monotonic)
        self._store = store
        self._follower = follower
        self._gateway = gateway
        self._observer = observer
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._on_finished = on_finished
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: the parent's workers are the parent's; its jobs are followed like those of others."""
        self._lock = threading.Lock()
        self._knowledge = Knowledge(self._follower, self._settings.ollama_url)
        self._places = Places(
            pulls=self._settings.max_pulls,
            waiting=self._settings.max_queued_pulls,
            work=self._work,
            done=self._tell,
        )
        self._unwritten: list[Download] = []

    def start(
        self,
        name: ModelName,
        *,
        auto_switch: bool = False,
        restart: bool = False,
        update: bool = False,
        force: bool = False,
        user: str | None = None,
        wait_s: float,
    ) -> DownloadJob:
        """Download a model, or tell about the job that does or did; the same request again is its poll.

        A new job is waited for until its bytes flow, it has ended, or `wait_s` seconds are over.

        Args:
            auto_switch: whoever hears of the end (`on_finished`) is to switch to the model.
            restart: do not return a failed or cancelled job of the last 30 s, start anew.
            update: pull an installed model again.
            force: download although it will not fit; without a plan nothing is refused, so it changes nothing yet.

        Returns:
            The job; for a model that is installed one in state `installed`, stored nowhere if it never was.

        Raises:
            RegistryNotAllowed: before anything happens.
            OllamaBusy: `max_queued_pulls` jobs wait already.
            ModelNotFound, RegistryUnreachable, RegistryDenied, InsufficientStorage, DigestMismatch,
            OllamaUnavailable, OllamaError: when the new job failed so within the wait.
        """
        policy.check_allowed(name, self._settings)
        view = self._observer.ask(min(wait_s, _LOOK_WAIT_S))
        existing, model = self.find(name), view.find(name.installed)
        is_live = existing is not None and existing.live
        if model is not None and not update and not is_live:
            if existing is not None and existing.state == "installed":
                return existing
            return presence(model, ollama_url=self._settings.ollama_url, now_s=self._clock())
        request = Request(restart, update, view.as_of_s if view.reachable else None)
        if existing is not None and answers(existing, request, self._clock()):
            return self._join(existing, auto_switch, user)
        download = self._enqueue(name, request, auto_switch, user)
        if not self._places.is_waiting(name.key):
            download.settled.wait(wait_s)
        if download.error is not None:
            raise download.error
        return download.job

    def find(self, name: ModelName) -> DownloadJob | None:
        """The newest job of a model, in any process, or None; memory only."""
        return next((job for job in self.all() if names.key(job.model) == name.key), None)

    def all(self) -> list[DownloadJob]:
        """All jobs of this server, newest first; memory only."""
        return self._knowledge.all(download.job for download in self._places.all())

    def cancel(self, name: ModelName, *, user: str | None = None) -> DownloadJob:
        """Stop a download, in whichever process it runs; what has come stays on the server for a later pull.

        Returns:
            The job: `cancelled` when it ran here, still live for up to a second when it runs elsewhere, unchanged
            when it had ended.

        Raises:
            NotFound: there is no job of that model.
        """
        download = self._places.find(name.key)
        if download is not None:
            download.stop("cancelled")
            self._places.begin(name.key)
            download.ended.wait(_CANCEL_WAIT_S)
            return download.job
        job = self.find(name)
        if job is None:
            raise NotFound(f"There is no download of {name.shown}.", model_name=name.shown)
        if job.live:
            job_id, now_s = job.id, self._clock()
            self._follower.submit(lambda store: store.request_cancel(job_id, user=user, now_s=now_s))
        return job

    def resume(self) -> None:
        """Go on with jobs whose owner is gone, and store what ended while the store was away. Blocks for the store.

        Called again and again, by the one thread that may wait for the store.

        Raises:
            StoreUnavailable.
        """
        self._write_late()
        if self._follower.status.available:
            self._resume_abandoned()
        else:
            self._places.elsewhere = 0
        self._places.fill()

    def close(self) -> None:
        """Leave all jobs to other processes, or to the next start; waits at most 2 s. Idempotent."""
        self._places.close()

    def _enqueue(self, name: ModelName, request: Request, auto_switch: bool, user: str | None) -> Download:
        """The download of a model in this process: new, or there already."""
        now_s, url = self._clock(), self._settings.ollama_url
        job = DownloadJob(
            id=documents.job_id(url, name.installed, 0),
            ollama_url=url,
            model=name.installed,
            state="queued",
            created_at_s=now_s,
            updated_at_s=now_s,
            auto_switch=auto_switch,
            update=request.update,
            user=user,
        )
        download = self._places.add(name.key, lambda: self._make(job, request))
        if auto_switch:
            download.want_switch()
        self._places.fill()
        if self._places.is_waiting(name.key):
            # Stored right away, it outlives this process also while it waits.
            self._follower.submit(lambda store: self._enrol(download))
        return download

    def _make(self, job: DownloadJob, request: Request | None) -> Download:
        return Download(
            job,
            Tenure(self._tenancy, job, request),
            gateway=self._gateway,
            observer=self._observer,
            settings=self._settings,
            clock=self._clock,
            monotonic=self._monotonic,
        )

    def _enrol(self, download: Download) -> None:
        """Give a waiting job its number; it goes when another process has one that answers the same request."""
        other = download.tenure.enrol()
        if other is not None and self._places.remove(names.key(other.model)):
            download.give_way()

    def _work(self, download: Download) -> None:
        """Do one download and remember how it ended; in its thread."""
        try:
            download.run()
        finally:
            if not download.is_left:
                self._knowledge.note_end(download.job)
            if not download.is_written:
                with self._lock:
                    self._unwritten.append(download)

    def _tell(self, download: Download) -> None:
        job = download.job
        if self._on_finished is not None and not download.is_left:
            try:
                self._on_finished(job)
            except ElixiModelsError as exc:
                _LOG.info("after the download of %s: %s", job.model, exc.message)

    def _write_late(self) -> None:
        with self._lock:
            late, self._unwritten = self._unwritten, []
        for download in late:
            download.write_late()
            if download.is_written:
                self._knowledge.note_end(download.job)
        with self._lock:
            self._unwritten += [download for download in late if not download.is_written]

    def _join(self, job: DownloadJob, auto_switch: bool, user: str | None) -> DownloadJob:
        """The answer to a request that an existing job answers; the wish to switch is passed on to its holder."""
        if not auto_switch or not job.live or job.auto_switch:
            return job
        download = self._places.find(names.key(job.model))
        if download is not None:
            download.want_switch()
            return download.job
        self._follower.set_preference(documents.switch_key(job.id), {"user": user})
        return replace(job, auto_switch=True)

    def _resume_abandoned(self) -> None:
        """Take over what nobody pulls any more, as far as there are places: first what was begun, then what waits."""
        live = [job for job in self._knowledge.stored() if job.live and not self._places.find(names.key(job.model))]
        begun = [job for job in live if job.state != "queued"]
        abandoned = [job for job in begun if self._is_abandoned(job)]
        self._places.elsewhere = len(begun) - len(abandoned)
        queued = sorted((job for job in live if job.state == "queued"), key=age)
        for job in [*abandoned, *queued]:
            if self._places.free <= 0:
                return
            if job in abandoned or self._is_abandoned(job):
                self._take_over(job)

    def _is_abandoned(self, job: DownloadJob) -> bool:
        lease, now_s = self._store.lease(job.id), self._clock()
        if lease is None:
            return now_s - job.created_at_s >= _GRACE_S
        return lease.released or lease.until_s <= now_s

    def _take_over(self, job: DownloadJob) -> None:
        key = names.key(job.model)
        try:
            self._places.add(key, lambda: self._make(job, None))
        except (OllamaBusy, Cancelled):
            return
        self._places.begin(key)
