"""Benchmarks as background jobs: one at a time on a server, seen and cancelled from every process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from .. import names
from ..errands import Errand
from ..errors import CannotChat, NotFound
from ..inventory import InstalledModel
from ..quality import Estimate
from ..records import BenchmarkJob, Task
from ..settings import Settings
from ..store.base import Store
from . import documents
from .docket import Docket, Office, already_running, bury
from .evidence import Evidence, Known, Scores, collect, staleness

if TYPE_CHECKING:
    from ..store.following import StoreFollower
    from ..upstream.gateway import OllamaGateway
    from ..upstream.observer import Observer
    from .requests import Chatting
    from .suites import OwnPrompt
    from .worker import Bench, Benchmark

_CLOSE_WAIT_S = 2.0
_CANCEL_WAIT_S = 1.0
#: The end of a benchmark is shown before it is stored and before the server is tidied up; the next one waits for both.
_TIDYING_S = 15.0
#: A full report is 31 KB and is read with its job at every look at the store.
_FOLLOWED = 40


class BenchmarkQueue:
    """The benchmarks of one Ollama server. Thread-safe.

    A benchmark waits until nobody chats through us, makes way when somebody does, and leaves loaded what was loaded
    before. Dies its process, another one ends the job as `owner_died` when the lease has run out.

    Args:
        on_finished: called on the worker's thread with every job that has ended.
        nonce: a new text for each request.
        memory_bytes: the footprint of a loaded model where the machine tells it.
        wanted: whether a model is to stay loaded although a benchmark loaded it (the active one).
        prior: what is thought of a model for a task before it is measured.
        machine: names the hardware that Ollama runs on; results belong to it.
        fits: whether there is memory for a model; unknown counts as yes.
    """

    def __init__(
        self,
        *,
        store: Store,
        follower: StoreFollower,
        gateway: OllamaGateway,
        observer: Observer,
        chat: Chatting,
        settings: Settings,
        owner: str,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        on_finished: Callable[[BenchmarkJob], None] | None = None,
        nonce: Callable[[], str] = lambda: os.urandom(6).hex(),
        memory_bytes: Callable[[InstalledModel], int | None] = lambda model: None,
        wanted: Callable[[str], bool] = lambda model: False,
        prior: Callable[[InstalledModel, Task], Estimate] = lambda model, task: Estimate(50.0, 1.0, "nothing"),
        machine: Callable[[], str] = lambda: "unknown",
        fits: Callable[[InstalledModel], bool] = lambda model: True,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._follower = follower
        self._on_finished = on_finished
        self._first_owner = owner
        self._office = Office(store, follower, owner, settings.lease_s, clock, monotonic)
        self._observer = observer
        self._machine = machine

        @cache
        def bench() -> Bench:
            from .worker import Bench

            return Bench(
                gateway, observer, chat, settings, clock, monotonic, nonce, memory_bytes, wanted, prior, machine, fits
            )

        # Questions, checks and reports take half a megabyte: they are loaded with the first benchmark.
        self._bench = bench
        self._lock = threading.Lock()
        self._own: list[Benchmark] = []
        self._evidence = Evidence()
        follower.watch_jobs(documents.KIND, settings.ollama_url, newest=_FOLLOWED)
        follower.every(settings.store_follow_s, self._look_after, at_close=True)

    def start(
        self,
        model: InstalledModel,
        *,
        suite: str = "quick",
        num_prompts: int | None = None,
        test_prompts: Sequence[OwnPrompt] | None = None,
        user: str | None = None,
    ) -> BenchmarkJob:
        """Begin to measure a model; waits at most `switch_wait_s` to learn whether it may.

        Raises:
            InvalidRequest: an unknown suite, or prompts that are too many, too long or no texts.
            CannotChat: the model does not complete text.
            BenchmarkRunning: one runs on this server; `details` describes it.
        """
        from .suites import make_plan
        from .worker import Benchmark

        plan = make_plan(suite, num_prompts, test_prompts)
        if model.can_chat is False:
            raise CannotChat(
                f"{names.shown(model.name)} cannot chat, so there is nothing to measure.",
                model_name=names.shown(model.name),
            )
        now_s = self._clock()
        with self._lock:
            running = next((job for job in self.all() if job.live), None)
            if running is not None:
                raise already_running(running)
            job = BenchmarkJob(
                id=documents.job_id(self._settings.ollama_url, 0),
                ollama_url=self._settings.ollama_url,
                model=model.name,
                suite=plan.suite,
                state="queued",
                created_at_s=now_s,
                updated_at_s=now_s,
                total_items=len(plan.items),
                remaining_s=plan.expected_s,
                user=user,
            )
            benchmark = Benchmark(job, model, plan, Docket(self._office, job), self._bench())
            earlier = list(self._own)
            self._own.append(benchmark)
        Errand("benchmark", lambda: self._run(benchmark, earlier))
        benchmark.opened.wait(self._settings.switch_wait_s)
        if benchmark.refusal is not None:
            raise benchmark.refusal
        return benchmark.job

    def find(self, model: str | None = None) -> BenchmarkJob | None:
        """The newest benchmark, of a model in any spelling or of all; from memory."""
        wanted = None if model is None else names.key(model)
        return next((job for job in self.all() if wanted is None or names.key(job.model) == wanted), None)

    def all(self) -> list[BenchmarkJob]:
        """Every benchmark of this server that is remembered, newest first; from memory.

        `stale` says why a result does not count any more.
        """
        jobs = sorted(self._remembered(), key=lambda job: (job.created_at_s, documents.number_of(job)), reverse=True)
        return self._marked(jobs)

    def known(self) -> Known:
        """What all benchmarks that are remembered say; from memory. The same object as long as none ended."""
        return self._evidence.known(self._remembered(), machine=self._machine())

    def scores_at(self, at_s: float) -> Mapping[str, Scores]:
        """What counted at a moment, by the identity of the weights (see `evidence.identity`); from memory."""
        ended = [job for job in self._remembered() if job.finished_at_s is not None and job.finished_at_s <= at_s]
        return collect((job for job in ended if job.state in ("ok", "partial")), machine=self._machine()).counting

    def _remembered(self) -> list[BenchmarkJob]:
        own = [benchmark.job for benchmark in list(self._own) if benchmark.refusal is None]
        known = {job.id for job in own}
        stored = (documents.read(job) for job in self._follower.jobs(documents.KIND))
        return own + [job for job in stored if job is not None and job.id not in known]

    def _marked(self, jobs: list[BenchmarkJob]) -> list[BenchmarkJob]:
        installed = {names.key(model.name): model for model in self._observer.view.installed}
        machine = self._machine() if jobs else ""
        return [
            replace(job, stale=staleness(job.report, machine=machine, model=installed.get(names.key(job.model))))
            if job.report and not job.live
            else job
            for job in jobs
        ]

    def cancel(self, *, user: str | None = None) -> BenchmarkJob:
        """Call the running benchmark off, wherever it runs: within a second. One that has ended is returned as it is.

        Raises:
            NotFound: there was never one.
        """
        running = next((own for own in list(self._own) if own.job.live and own.refusal is None), None)
        if running is not None:
            running.stop("cancelled")
            running.settled.wait(min(_CANCEL_WAIT_S, self._settings.switch_wait_s))
            return running.job
        newest = self.find()
        if newest is None:
            raise NotFound("There is no benchmark to cancel.")
        if newest.live:
            self._follower.submit(lambda store: store.request_cancel(newest.id, user=user, now_s=self._clock()))
        return newest

    def close(self) -> None:
        """Call off what runs here, keeping what it measured; waits at most two seconds. Idempotent."""
        own = list(self._own)
        for benchmark in own:
            benchmark.stop("shutdown")
        until = time.monotonic() + _CLOSE_WAIT_S
        for benchmark in own:
            benchmark.ended.wait(max(0.0, until - time.monotonic()))

    def reset_after_fork(self) -> None:
        """In a forked child: the parent's benchmarks are the parent's."""
        self._lock = threading.Lock()
        self._own = []
        self._office = replace(self._office, owner=f"{self._first_owner}/{os.getpid()}")

    def _run(self, benchmark: Benchmark, earlier: Sequence[Benchmark]) -> None:
        try:
            for other in earlier:
                other.ended.wait(_TIDYING_S)
            benchmark.run()
        finally:
            if benchmark.refusal is None and self._on_finished is not None:
                self._on_finished(benchmark.job)

    def _look_after(self, store: Store) -> None:
        """On the store's thread: what others ask of our benchmarks, what is still to be written, whose owner died."""
        for benchmark in list(self._own):
            if not benchmark.settled.is_set():
                self._heed(benchmark)
            elif self._file(benchmark, store) and benchmark.ended.is_set():
                self._own.remove(benchmark)
        own = {benchmark.docket.id for benchmark in list(self._own)}
        for stored in self._follower.jobs(documents.KIND):
            job = documents.read(stored)
            if job is not None and job.live and job.id not in own:
                bury(self._office, job)

    def _heed(self, benchmark: Benchmark) -> None:
        if benchmark.docket.cancel_requested():
            benchmark.stop("cancelled")
        elif benchmark.docket.taken_over:
            benchmark.stop("lease_lost")

    def _file(self, benchmark: Benchmark, store: Store) -> bool:
        """Write what is still missing of a benchmark that has ended; True when all is stored."""
        if benchmark.performance is not None:
            store.add_performance(benchmark.performance)
            benchmark.performance = None
        if not benchmark.is_written:
            benchmark.write_late()
        return benchmark.is_written
