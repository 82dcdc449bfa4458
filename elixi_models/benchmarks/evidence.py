"""What the benchmarks that are remembered say about the models that are installed now. Pure but for its memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import names
from ..inventory import InstalledModel
from ..quality import TaskScore
from ..records import BenchmarkJob
from .items import SCORED_TASKS, SUITE_VERSION

Scores = Mapping[str, TaskScore]


def identity(model: InstalledModel) -> str:
    """What results belong to: the weights, or the manifest where those are unknown."""
    return model.weights_digest or model.digest


def staleness(report: Mapping[str, Any], *, machine: str, model: InstalledModel | None) -> tuple[str, ...]:
    """Why a report does not count any more: `suite_version`, `machine`, `weights`; empty when it does.

    Args:
        model: what is installed under the report's name now; one that is gone makes nothing stale.
    """
    reasons = []
    if report.get("suite_version") != SUITE_VERSION:
        reasons.append("suite_version")
    if report.get("machine") != machine:
        reasons.append("machine")
    if model is not None and _subject(report) != identity(model):
        reasons.append("weights")
    return tuple(reasons)


@dataclass(frozen=True, slots=True)
class Known:
    """What benchmarks said: `counting` by identity; `earlier`, which may count no more, by identity and by name."""

    counting: Mapping[str, Scores] = field(default_factory=dict)
    earlier: Mapping[str, Scores] = field(default_factory=dict)

    def measured(self, model: InstalledModel) -> Scores:
        """The scores of a model as it is here and now."""
        return self.counting.get(identity(model), {})

    def outdated(self, model: InstalledModel) -> Scores:
        """Its scores by another suite, on another machine or with the weights it had before, where none counts."""
        found = {**self.earlier.get(names.key(model.name), {}), **self.earlier.get(identity(model), {})}
        return {task: score for task, score in found.items() if task not in self.measured(model)}


class Evidence:
    """The scores of each set of weights, from the newest report that counts."""

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...] | None, Known] = (None, Known())

    def known(self, jobs: Sequence[BenchmarkJob], *, machine: str) -> Known:
        """All there is. Cheap while no benchmark ends: then the same object is given again."""
        ended = [job for job in jobs if job.state in ("ok", "partial")]
        seen = (machine, *((job.id, job.updated_at_s) for job in ended))
        last_seen, known = self._last
        if seen != last_seen:
            known = collect(ended, machine=machine)
            self._last = (seen, known)
        return known


def collect(jobs: Iterable[BenchmarkJob], *, machine: str) -> Known:
    """For each task the score of the newest benchmark that went through, else of the newest one cut short.

    Two judges are never on one scale: that of the newest report that counts is heard, of what others judged the
    scores without them are taken.
    """
    counting: dict[str, dict[str, TaskScore]] = {}
    earlier: dict[str, dict[str, TaskScore]] = {}
    jobs = sorted(jobs, key=lambda job: (job.state == "ok", job.finished_at_s or 0.0))
    judge = _newest_judge(jobs, machine)
    for job in jobs:
        report = job.report or {}
        scores = _read_scores(report, judge)
        for key in (names.key(job.model), _subject(report)):
            earlier.setdefault(key, {}).update(scores)
        if not staleness(report, machine=machine, model=None):
            counting.setdefault(_subject(report), {}).update(scores)
    return Known(counting, earlier)


def _newest_judge(jobs: Iterable[BenchmarkJob], machine: str) -> tuple[object, ...] | None:
    reports = (job.report or {} for job in sorted(jobs, key=lambda job: job.finished_at_s or 0.0, reverse=True))
    counting = (report for report in reports if not staleness(report, machine=machine, model=None))
    return next((judge for report in counting if (judge := _judge(report)) is not None), None)


def _judge(report: Mapping[str, Any]) -> tuple[object, ...] | None:
    """Who had a say in a report's scores, None for nobody: the weights, and the version of what they were asked."""
    judge = report.get("judge")
    if not isinstance(judge, Mapping) or not report.get("scores_without_judge"):
        return None
    gate = judge.get("gate")
    version = gate.get("version") if isinstance(gate, Mapping) else None
    return judge.get("weights_digest") or judge.get("digest"), version


def _subject(report: Mapping[str, Any]) -> str:
    return str(report.get("weights_digest") or report.get("digest"))


def _read_scores(report: Mapping[str, Any], judge: tuple[object, ...] | None) -> Scores:
    is_heard = _judge(report) in (None, judge)
    stored = report.get("scores" if is_heard else "scores_without_judge") or {}
    return {task: score for task in SCORED_TASKS if (score := _read_score(stored.get(task))) is not None}


def _read_score(stored: Any) -> TaskScore | None:
    """A stored score; None for one that a later version wrote differently."""
    try:
        low, high = stored["ci90"]
        return TaskScore(
            float(stored["score"]),
            (float(low), float(high)),
            int(stored["n"]),
            str(stored["source"]),
            float(stored["prior_weight"]),
            stored["accuracy"],
        )
    except (KeyError, TypeError, ValueError):
        return None
