"""One benchmark being run: its turn, its requests, its end, and the server left as it was found."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import BenchmarkRunning, ElixiModelsError, InternalError, StoreUnavailable
from ..inventory import InstalledModel, ServerView
from ..quality import Estimate
from ..records import BenchmarkJob, BenchmarkState, Failure, Task
from ..settings import Settings
from ..upstream.cancellation import Cancellation
from . import judge
from .docket import Docket
from .items import SCORED_TASKS
from .judging import Judging
from .report import Subject, document_of, final_state, make_report
from .requests import Chatting, send
from .residency import Residency
from .rubrics import Grade
from .runner import Findings, Runner
from .suites import Item, Plan
from .turns import Reply

if TYPE_CHECKING:
    from ..upstream.gateway import OllamaGateway
    from ..upstream.observer import Observer

_log = logging.getLogger("elixi_models.benchmarks")


@dataclass(frozen=True, slots=True)
class Bench:
    """What every benchmark of this process works with. `gates` remembers, by judge, what it made of the controls."""

    gateway: OllamaGateway
    observer: Observer
    chat: Chatting
    settings: Settings
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    nonce: Callable[[], str]
    memory_bytes: Callable[[InstalledModel], int | None]
    wanted: Callable[[str], bool]
    prior: Callable[[InstalledModel, Task], Estimate]
    machine: Callable[[], str]
    fits: judge.Fits
    gates: dict[tuple[str, ...], dict[str, Grade | None]] = field(default_factory=dict)


class Benchmark:
    """A job that this process works on. `run` blocks for minutes; all else may be called from any thread.

    Attributes:
        opened: set when it is known whether the job may run at all; then `refusal` says why not.
        settled: set when the job's last state is known; the server may still be being tidied up.
        ended: set when `run` is over.
        is_written: False while the job's end could not be stored.
    """

    def __init__(self, job: BenchmarkJob, model: InstalledModel, plan: Plan, docket: Docket, bench: Bench) -> None:
        self.opened = threading.Event()
        self.settled = threading.Event()
        self.ended = threading.Event()
        self.refusal: BenchmarkRunning | None = None
        self.is_written = True
        self.performance: dict[str, Any] | None = None
        self.docket = docket
        self._job = job
        self._model = model
        self._plan = plan
        self._bench = bench
        self._stop = Cancellation()
        self._stop_reason: str | None = None
        self._subject: Subject | None = None
        self._is_weighed = False

    @property
    def job(self) -> BenchmarkJob:
        """The job as it is at this moment."""
        return replace(self._job, id=self.docket.id)

    def stop(self, reason: str) -> None:
        """Call the benchmark off; what was measured is kept. The first reason counts."""
        self._stop_reason = self._stop_reason or reason
        self._stop.cancel()

    def run(self) -> None:
        """Do the job and leave the server as it was; blocks until that is done."""
        try:
            if self._open():
                self._work()
        finally:
            if self._job.live and self.refusal is None:
                _log.error("a benchmark ended by a defect", exc_info=True)
                error = InternalError("The benchmark failed by a defect of ours; the log has the reason.")
                self._end("failed", "internal_error", error=error)
            for event in (self.opened, self.settled, self.ended):
                event.set()

    def write_late(self) -> None:
        """Try once more to store how the job ended; blocks for the store."""
        self.is_written = self.docket.finish(self._job)

    def _open(self) -> bool:
        try:
            self.docket.enrol(self._job)
        except BenchmarkRunning as exc:
            self.refusal = exc
            return False
        except StoreUnavailable:
            _log.debug("a benchmark runs without a lease: the store is away")
        self.docket.write(self._job)
        self.opened.set()
        return True

    def _work(self) -> None:
        bench = self._bench
        view = bench.observer.refresh()
        residency = Residency(
            self._model, view, gateway=bench.gateway, observer=bench.observer, clock=bench.clock, wait=self._stop.wait
        )
        self._subject = self._describe(view, residency.was_resident)
        findings = self._runner(residency).run()
        if self._wants_judge and findings.reason is None:
            Judging(bench, self._model, findings, self._stop, self._note).run(residency)
        called_off = self._stop_reason is not None and findings.reason is not None
        if not called_off:
            residency.restore(keep=self._keeps)
            self._conclude(findings)
            return
        # A person who cancels sees it at once; the server is tidied up behind that.
        self._conclude(findings)
        residency.restore(keep=self._keeps, reload=self._stop_reason != "shutdown")

    def _describe(self, view: ServerView, was_resident: bool) -> Subject:
        memory = dict.fromkeys(("runner_bytes", "size_bytes", "vram_bytes", "context_length"))
        return Subject(
            self._model,
            view.ollama_url,
            view.version,
            was_resident,
            memory,
            started_at_s=self._bench.clock(),
            machine=self._bench.machine(),
            priors={task: self._bench.prior(self._model, task) for task in SCORED_TASKS},
        )

    def _runner(self, residency: Residency) -> Runner:
        bench = self._bench

        def ask(item: Item, nonce: str, timeout_s: float) -> Reply:
            if item.kind == "cold":
                residency.unload()
            return send(
                bench.chat,
                self._model,
                item.prompt,
                context=f"[{nonce}]" if nonce else "",
                max_tokens=item.max_tokens,
                timeout_s=timeout_s,
                stop=self._stop,
            )

        return Runner(
            self._plan,
            ask,
            nonce=bench.nonce,
            monotonic=bench.monotonic,
            wait_idle=bench.chat.wait_idle,
            stopped=lambda: self._stop.cancelled,
            noted=self._note,
            load_timeout_s=bench.settings.load_timeout_s,
        )

    def _note(self, findings: Findings) -> None:
        """Show and store how far it is."""
        self._read_memory(findings)
        now_s = self._bench.clock()
        self._job = replace(
            self._job,
            state="running",
            done_items=findings.done_items,
            remaining_s=findings.remaining_s,
            updated_at_s=now_s,
            report=self._report(findings, "running", None, None),
        )
        self.docket.write(self._job)

    def _read_memory(self, findings: Findings) -> None:
        """Once, when the model is warm."""
        subject, bench = self._subject, self._bench
        if subject is None or self._is_weighed or not findings.replies("warm_up"):
            return
        self._is_weighed = True
        residence = bench.observer.refresh().residence(self._model)
        if residence is not None:
            memory = {
                "runner_bytes": bench.memory_bytes(self._model),
                "size_bytes": residence.size_bytes,
                "vram_bytes": residence.vram_bytes,
                "context_length": residence.context_length,
            }
            self._subject = replace(subject, memory=memory)

    def _conclude(self, findings: Findings) -> None:
        state, reason = final_state(findings)
        if findings.reason == "stopped":
            reason = self._stop_reason
            if reason == "cancelled":
                state = "cancelled"
        report = self._report(findings, state, reason, self._bench.clock())
        if findings.measured and self._subject is not None and report is not None:
            self.performance = document_of(self._plan, self._subject, findings, report, self.docket.id)
        self._end(state, reason, failure=findings.failure, report=report)

    def _report(
        self, findings: Findings, state: BenchmarkState, reason: str | None, finished_at_s: float | None
    ) -> dict[str, Any] | None:
        if self._subject is None:
            return None
        return make_report(self._plan, self._subject, findings, state=state, reason=reason, finished_at_s=finished_at_s)

    def _end(
        self,
        state: BenchmarkState,
        reason: str | None,
        *,
        failure: Failure | None = None,
        error: ElixiModelsError | None = None,
        report: dict[str, Any] | None = None,
    ) -> None:
        now_s = self._bench.clock()
        if error is not None:
            failure = Failure(error.code, error.message, now_s, dict(error.details))
        self._job = replace(
            self._job,
            state=state,
            reason=reason,
            remaining_s=None,
            failure=failure,
            report=report or self._job.report,
            updated_at_s=now_s,
            finished_at_s=now_s,
        )
        self.write_late()
        self.settled.set()

    @property
    def _wants_judge(self) -> bool:
        return self._plan.suite == "full" and self._bench.settings.benchmark_judge.strip().lower() != judge.OFF

    def _keeps(self, model: InstalledModel) -> bool:
        """Whether somebody has begun to use a model meanwhile."""
        asked_at_s = self._bench.chat.last_asked_at_s(model.name)
        began_at_s = self._subject.started_at_s if self._subject is not None else 0.0
        return self._bench.wanted(model.name) or (asked_at_s is not None and asked_at_s >= began_at_s)
