"""What a judge is given to read, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import StatisticsError, correlation, mean
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .. import names
from ..inventory import InstalledModel
from .gate import TOLERANCE, Review
from .items import ScoredTask, quality_items
from .rubrics import RUBRICS, Grade, JudgedTask, Paper

if TYPE_CHECKING:
    from .runner import Sample

Status: TypeAlias = Literal["accepted", "rejected", "none"]
#: How many answers of a benchmark are judged; each is read twice.
JUDGED: Mapping[JudgedTask, int] = {"creative": 8, "general": 4}
#: Where one of these was asked for, a checker knows all there is to know.
_CLOSED_CHECKS = frozenset({"answer", "number", "literal", "json_values", "json_keys"})


@dataclass(frozen=True, slots=True)
class Mark:
    """What one answer is worth to a judge: `share` 0-1, the mean of its two readings; `chars` is its length."""

    task: JudgedTask
    share: float
    is_unstable: bool
    chars: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of asking for a judge.

    Attributes:
        reason: why there is none, why it is rejected, or why not all answers were graded; None when all went well.
        review: how it did at the gate, None when it was not asked.
        marks: by the id of the question; of an accepted judge alone.
        planned: how many answers there were to grade.
    """

    status: Status
    reason: str | None
    judge: InstalledModel | None = None
    review: Review | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)
    planned: int = 0

    def shares(self, task: ScoredTask) -> list[float]:
        """The marks of one task."""
        return [mark.share for mark in self.marks.values() if mark.task == task]

    @property
    def plain(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "model": None if self.judge is None else names.shown(self.judge.name),
            "digest": None if self.judge is None else self.judge.digest,
            "weights_digest": None if self.judge is None else self.judge.weights_digest,
            "status": self.status,
            "reason": self.reason,
            "gate": None if self.review is None else self.review.plain,
            "answers": {
                "planned": self.planned,
                "judged": len(self.marks),
                "unstable": sum(mark.is_unstable for mark in self.marks.values()),
            },
            "points": {
                task: round(10 * mean(shares), 2) if (shares := self.shares(task)) else None for task in RUBRICS
            },
            "length_correlation": _length_correlation(self.marks.values()),
        }


def make_mark(paper: Paper, readings: Sequence[Grade]) -> Mark:
    """The mark of an answer from its readings, of which there is at least one."""
    grades = [grade.overall for grade in readings]
    share = mean(grade.points for grade in readings) / 10
    return Mark(paper.task, share, max(grades) - min(grades) > TOLERANCE, len(paper.answer))


def choose_papers(samples: Iterable[Sample]) -> dict[str, Paper]:
    """The answers that are worth a judge's time, by the id of their question, in the order they were given.

    Not those that are void, nor those to questions that have one right answer: facts are for the checks.
    """
    golds = {item.id: item.question.gold for item in quality_items("full")}
    papers: dict[str, Paper] = {}
    left = dict(JUDGED)
    for sample in samples:
        task = next((task for task in RUBRICS if task == sample.item.task), None)
        if task is None or not left[task] or not _is_worth_judging(sample):
            continue
        left[task] -= 1
        # Of creative work there is no right answer to compare with.
        reference = golds[sample.item.id] if task == "general" else None
        papers[sample.item.id] = Paper(task, sample.item.prompt, sample.answer or "", reference)
    return papers


def _is_worth_judging(sample: Sample) -> bool:
    if sample.item.kind != "quality" or sample.verdict is None or sample.verdict.void or not sample.answer:
        return False
    return not any(check.kind in _CLOSED_CHECKS for check in sample.item.checks)


def _length_correlation(marks: Iterable[Mark]) -> float | None:
    """Whether longer creative answers earn more, -1 to 1; None where that cannot be told."""
    creative = [(mark.chars, mark.share) for mark in marks if mark.task == "creative"]
    try:
        return round(correlation(*zip(*creative, strict=True)), 2)
    except (StatisticsError, TypeError):
        return None
