"""The last part of a full benchmark, where it is wished for: another model grades some of the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..inventory import InstalledModel
from ..records import Measurement
from ..upstream.cancellation import Cancellation
from . import gate, judge
from .evidence import identity
from .gate import Review, review, trials
from .judgement import Judgement, Mark, choose_papers, make_mark
from .requests import send
from .rubrics import MAX_TOKENS, ORDERS, Grade, Order, Paper, make_prompt, read_grade, reply_schema
from .turns import Ended, Reply, Turns

if TYPE_CHECKING:
    from .residency import Residency
    from .runner import Findings
    from .worker import Bench

_TIMEOUT_S = 60.0
#: A grade may take no more than milliseconds, and a note is a whole report that goes into the store.
_NOTE_EVERY_S = 1.0
#: Ends that are nobody's fault.
_UNFINISHED = frozenset({"deadline", "stopped", "chat_busy"})
_HOPELESS = frozenset({"refused", "oom", "load_failed"})


class Judging:
    """Has the answers of one benchmark graded, within what is left of its time. `run` blocks for minutes.

    Args:
        findings: of the benchmark; they get the judgement, its warnings, and the reason `stopped` where it was.
        stop: called off from another thread, it ends a request at once.
        noted: called after a grade, at most once a second.
    """

    def __init__(
        self,
        bench: Bench,
        candidate: InstalledModel,
        findings: Findings,
        stop: Cancellation,
        noted: Callable[[Findings], None],
    ) -> None:
        self._bench = bench
        self._candidate = candidate
        self._findings = findings
        self._stop = stop
        self._noted = noted
        self._noted_at = bench.monotonic()
        self._turns = Turns(wait_idle=bench.chat.wait_idle, stopped=lambda: stop.cancelled, monotonic=bench.monotonic)
        self._is_cold = True
        self._grade_s: list[float] = []

    def run(self, residency: Residency) -> None:
        """Appoint a judge, see whether it can be relied on, and have it grade; the residency learns of its load."""
        bench, papers = self._bench, choose_papers(self._findings.samples)
        installed = bench.observer.refresh().installed
        appointment = judge.appoint(bench.settings.benchmark_judge, self._candidate, installed, bench.fits)
        if appointment.judge is None:
            self._conclude(Judgement("none", appointment.reason, planned=len(papers)), "judge_unavailable")
        elif not papers:
            self._conclude(Judgement("none", "nothing_to_judge", appointment.judge))
        else:
            residency.note_guest(appointment.judge)
            self._hold(appointment.judge, papers)

    def _hold(self, model: InstalledModel, papers: dict[str, Paper]) -> None:
        """Ask the gate's trials that are not remembered, and then the papers, as far as the time goes."""
        key = (identity(model), model.digest, gate.version(), self._bench.machine())
        grades = self._bench.gates.setdefault(key, {})
        marks: dict[str, Mark] = {}
        reason = warning = None
        try:
            self._turns.begin(self._findings.left_s)
            self._pass_gate(model, grades, len(papers))
            if not review(grades).faults:
                self._grade_all(model, papers, marks)
        except Ended as end:
            reason = end.reason
            warning = "judge_unfinished" if reason in _UNFINISHED else "judge_failed"
            if reason == "stopped":
                self._findings.reason = reason
        self._conclude(_judgement(model, review(grades), reason, marks, len(papers)), warning)

    def _pass_gate(self, model: InstalledModel, grades: dict[str, Grade | None], papers: int) -> None:
        for trial in trials():
            if review(grades).faults:
                return
            if trial.id not in grades:
                grades[trial.id] = self._grade(model, trial.paper, trial.order)
                self._tell(len(trials()) - len(grades) + len(ORDERS) * papers)

    def _grade_all(self, model: InstalledModel, papers: dict[str, Paper], marks: dict[str, Mark]) -> None:
        """Both readings of a paper follow each other, so that a deadline leaves whole marks."""
        for number, (item_id, paper) in enumerate(papers.items(), start=1):
            readings = [self._grade(model, paper, order) for order in ORDERS]
            if None not in readings:
                marks[item_id] = make_mark(paper, [reading for reading in readings if reading is not None])
            self._tell(len(ORDERS) * (len(papers) - number))

    def _grade(self, model: InstalledModel, paper: Paper, order: Order) -> Grade | None:
        """One reading; None when the reply is no grade. A failure of the server is tried once more."""
        began = self._bench.monotonic()
        reply, measurement = self._ask(model, paper, order)
        if measurement.outcome not in ("ok", "empty"):
            reply, measurement = self._ask(model, paper, order)
        if measurement.outcome not in ("ok", "empty"):
            raise Ended(measurement.outcome)
        self._grade_s.append(self._bench.monotonic() - began)
        return read_grade(reply, paper.task)

    def _ask(self, model: InstalledModel, paper: Paper, order: Order) -> tuple[str | None, Measurement]:
        answer, measurement, failure = self._turns.request(
            lambda timeout_s: self._send(model, paper, order, timeout_s),
            lambda: self._bench.settings.load_timeout_s if self._is_cold else _TIMEOUT_S,
            self._expect_a_load,
        )
        if measurement.outcome in _HOPELESS:
            raise Ended(failure.code.lower() if failure else measurement.outcome)
        self._is_cold = False
        return answer, measurement

    def _expect_a_load(self) -> None:
        """A person chatted, perhaps with another model, which may have driven the judge out."""
        self._findings.warn("interrupted_by_chat")
        self._is_cold = True

    def _send(self, model: InstalledModel, paper: Paper, order: Order, timeout_s: float) -> Reply:
        return send(
            self._bench.chat,
            model,
            make_prompt(paper, order),
            max_tokens=MAX_TOKENS,
            timeout_s=timeout_s,
            stop=self._stop,
            schema=reply_schema(paper.task, order),
        )

    def _tell(self, left: int) -> None:
        now = self._bench.monotonic()
        if now - self._noted_at >= _NOTE_EVERY_S:
            self._noted_at = now
            pace_s = sum(self._grade_s) / len(self._grade_s)
            self._findings.remaining_s = max(0.0, min(pace_s * left, self._turns.left_s))
            self._noted(self._findings)

    def _conclude(self, judgement: Judgement, warning: str | None = None) -> None:
        self._findings.judgement = judgement
        self._findings.remaining_s = 0.0
        if warning is not None:
            self._findings.warn(warning)
        if judgement.status == "rejected":
            self._findings.warn("judge_rejected")
        if any(mark.is_unstable for mark in judgement.marks.values()):
            self._findings.warn("judge_unstable")


def _judgement(
    model: InstalledModel, seen: Review, reason: str | None, marks: dict[str, Mark], planned: int
) -> Judgement:
    if seen.faults:
        return Judgement("rejected", seen.faults[0], model, seen, planned=planned)
    if not seen.passed:
        return Judgement("none", reason, model, seen, planned=planned)
    return Judgement("accepted", reason, model, seen, marks, planned)
