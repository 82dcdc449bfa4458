"""One job being pulled: tried, watched, taken up again, ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from .. import names
from ..errands import Errand
from ..errors import Cancelled, ElixiModelsError, InternalError, RegistryUnreachable
from ..records import DownloadJob, DownloadState, Failure
from ..settings import Settings
from ..upstream.cancellation import Cancellation
from ..upstream.gateway import OllamaGateway
from ..upstream.observer import Observer
from . import policy, progress
from .tenure import Tenure

_LOG = logging.getLogger("elixi_models.downloads")
_TICK_S = 0.25
_FIRST_TICK_S = 0.02
_WRITE_S = 0.2


class Download:
    """A job that this process is responsible for, from the queue to its end.

    `run` does the work in a thread of its own and reads the server in a second one, so that stalls, cancels and a
    lost lease are noticed while no line comes. Everything else may be called from any thread and does not block.

    Attributes:
        settled: set when a request need not wait any longer: bytes flow, or the job has ended.
        ended: set when `run` is over.
        error: why the job failed, None while it has not.
        is_left: True when `run` ended without ending the job: another process has it, or this one shuts down.
        is_written: False when the job's end could not be stored yet.
    """

    def __init__(
        self,
        job: DownloadJob,
        tenure: Tenure,
        *,
        gateway: OllamaGateway,
        observer: Observer,
        settings: Settings,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.tenure = tenure
        self._gateway = gateway
        self._observer = observer
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._job = job
        self._pull = progress.begin(job.progress, monotonic())
        self._is_pulling = False
        self._is_heard = False
        self._is_flowing = False
        self._changed_at_s = job.updated_at_s
        self._cancellation = Cancellation()
        self._stopping = threading.Event()
        self._reason: Literal["cancelled", "closing", "taken"] | None = None
        self._written_at = float("-inf")
        self._written: DownloadJob | None = None
        self.settled = threading.Event()
        self.ended = threading.Event()
        self.error: ElixiModelsError | None = None
        self.is_left = False
        self.is_written = True

    @property
    def job(self) -> DownloadJob:
        """The job as it is to be shown: never ahead of the store, or a process that takes over would seem to go back.

        While nothing can be stored it is as it is at this moment.
        """
        with self._lock:
            now, written = self._now(), self._written
            if written is None or not self._is_pulling or not now.live:
                return now
            return replace(written, id=now.id, attempt=now.attempt, auto_switch=now.auto_switch)

    def _now(self) -> DownloadJob:
        """The job at this moment; the lock is held."""
        stored = self.tenure.job
        job = replace(self._job, id=stored.id, attempt=stored.attempt)
        if not self._is_pulling or not job.live:
            return job
        shown = progress.measure(self._pull)
        return replace(job, state=self._pull.phase, progress=shown, updated_at_s=self._changed_at_s)

    def want_switch(self) -> None:
        """Have the model switched to when it is there."""
        with self._lock:
            self._job = replace(self._job, auto_switch=True)

    def stop(self, reason: Literal["cancelled", "closing", "taken"]) -> None:
        """End the work: `cancelled` ends the job too, after the other two another process may go on."""
        with self._lock:
            self._reason = self._reason or reason
            self._stopping.set()
            cancellation = self._cancellation
        cancellation.cancel()

    def give_way(self) -> None:
        """End before `run`: another process has a job that answers the same request, which `job` is from now on."""
        with self._lock:
            self._job, self.is_left = self.tenure.job, True
        self.settled.set()
        self.ended.set()

    def run(self) -> None:
        """Do the job; blocks until it has ended or is left to others."""
        try:
            self._work()
        finally:
            if self.job.live and not self.is_left:
                self._end("failed", InternalError("The download failed by a defect of ours; the log has the reason."))
            self.settled.set()
            self.ended.set()

    def write_late(self) -> None:
        """Try once more to store how the job ended; blocks for the store."""
        self.is_written = self.tenure.finish(self.job)

    def _work(self) -> None:
        if not self.tenure.hold():
            self.stop("taken")
            self._leave()
            return
        self._begin()
        tries = policy.Tries()
        while not self._stopping.is_set():
            before = progress.measure(self._pull).completed_bytes or 0
            try:
                self._pull_once()
            except ElixiModelsError as exc:
                error = exc
            else:
                self._end("installed")
                return
            if self._stopping.is_set():
                break
            _LOG.debug("pull of %s: %s", self._job.model, error)
            moved = (progress.measure(self._pull).completed_bytes or 0) > before
            tries, pause_s = policy.take_up_again(tries, error, moved=moved, retries=self._settings.pull_retries)
            if pause_s is None or (policy.is_absence(error) and not self._is_heard):
                self._end("failed", error)
                return
            self._pause(pause_s)
        if self._reason == "cancelled":
            self._end("cancelled")
        else:
            self._leave()

    def _begin(self) -> None:
        """Start from what is stored: another worker's progress is the floor of ours."""
        with self._lock:
            stored = self.tenure.job
            self._job = replace(stored, auto_switch=self._job.auto_switch or stored.auto_switch)
            self._pull = progress.begin(stored.progress, self._monotonic())
            # A job that was pulled before is not given up because the server is away at this moment.
            self._is_heard = stored.attempt > 1
            self._changed_at_s = self._clock()
            self._is_pulling = not self._stopping.is_set()
        self._tend()

    def _pull_once(self) -> None:
        cancellation = Cancellation()
        with self._lock:
            self._cancellation = cancellation
        if self._stopping.is_set():
            raise Cancelled("The download was stopped.")
        reading = Errand("pull", lambda: self._read(cancellation))
        try:
            while reading.outcome(_TICK_S if self.settled.is_set() else _FIRST_TICK_S) is None:
                self._tend()
                self._check()
        finally:
            cancellation.cancel()
            with self._lock:
                self._pull = progress.begin(progress.measure(self._pull), self._monotonic())

    def _read(self, cancellation: Cancellation) -> bool:
        for event in self._gateway.pull(self._job.model, cancellation=cancellation):
            with self._lock:
                if self._cancellation is not cancellation or cancellation.cancelled:
                    return False
                before = self._pull
                self._pull = progress.fold(before, event, self._monotonic())
                self._is_heard = True
                if self._pull is not before:
                    self._changed_at_s = self._clock()
            if event.total_bytes is not None and (event.completed_bytes or 0) < event.total_bytes:
                self._is_flowing = True
        return True

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Cancelled("The download was stopped.")
        if progress.stalled(self._pull, self._monotonic(), self._settings.pull_stall_s):
            shown = names.shown(self._job.model)
            raise RegistryUnreachable(
                f"No byte of {shown} came for {self._settings.pull_stall_s:.0f} s. Try again: it goes on from there.",
                model_name=shown,
            )

    def _pause(self, pause_s: float) -> None:
        until = self._monotonic() + pause_s
        while (left_s := until - self._monotonic()) > 0 and not self._stopping.wait(min(_TICK_S, left_s)):
            self._tend()
        with self._lock:
            self._pull = progress.begin(progress.measure(self._pull), self._monotonic())

    def _tend(self) -> None:
        """Four times a second: keep the lease, store what has changed, look whether somebody asked to stop."""
        if not self.tenure.hold():
            self.stop("taken")
            return
        now = self._monotonic()
        begins = self._is_flowing and not self.settled.is_set()
        if now - self._written_at < _WRITE_S and not begins:
            return
        with self._lock:
            self._written_at, job = now, self._now()
        is_stored = job == self._written or self.tenure.write(job)
        with self._lock:
            self._written = job if is_stored else None
        if begins:
            self.settled.set()
        if self.tenure.is_cancelled():
            self.stop("cancelled")

    def _end(self, state: DownloadState, error: ElixiModelsError | None = None) -> None:
        now_s = self._clock()
        with self._lock:
            job = self._now()
        shown = replace(job.progress, speed_bytes_per_s=None, remaining_s=None)
        if state == "installed":
            model = self._observer.refresh().find(job.model)
            shown = progress.installed(shown, model.size_bytes if model is not None else None)
        failure = None
        if error is not None:
            details = {**error.details, "model_name": names.shown(job.model)}
            failure = Failure(error.code, error.message, now_s, details)
        ended = replace(
            job,
            state=state,
            progress=shown,
            failure=failure,
            auto_switch=job.auto_switch or (state == "installed" and self.tenure.is_switch_wanted()),
            updated_at_s=now_s,
            finished_at_s=now_s,
        )
        self.is_written = self.tenure.finish(ended)
        with self._lock:
            self.error = error
            self._job = replace(ended, auto_switch=ended.auto_switch or self._job.auto_switch)
        self.settled.set()

    def _leave(self) -> None:
        self.is_left = True
        if self._reason == "closing":
            self.tenure.write(self.job)
        self.tenure.release()
        with self._lock:
            self._job, self._is_pulling = (self.tenure.job if self._reason == "taken" else self._job), False
