"""The questions of a suite: the same for every model and on every machine, other ones in the next version. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .tasks import analysis, coding, creative, general
from .tasks.question import Dice, Question

ScoredTask: TypeAlias = Literal["general", "coding", "analysis", "creative"]
SCORED_TASKS: tuple[ScoredTask, ...] = ("general", "coding", "analysis", "creative")
#: With another version come other numbers and names: scores of two versions are never compared.
SUITE_VERSION = "2026.11"
SEED = 42
#: How many questions a suite has of each task.
SIZES: Mapping[str, Mapping[ScoredTask, int]] = {
    "quick": {"general": 8, "coding": 6, "analysis": 4, "creative": 2},
    "full": {"general": 20, "coding": 16, "analysis": 16, "creative": 12},
}
_MAKERS: Mapping[ScoredTask, Callable[[Dice, int], Question]] = {
    "general": general.make_question,
    "coding": coding.make_question,
    "analysis": analysis.make_question,
    "creative": creative.make_question,
}


@dataclass(frozen=True, slots=True)
class QualityItem:
    """One question of one task, with a stable id."""

    id: str
    task: ScoredTask
    question: Question


def quality_items(suite: str, *, seed: int = SEED) -> tuple[QualityItem, ...]:
    """The questions of a suite, tasks in turn so that any deadline leaves balanced data.

    Those of the quick suite are the first ones of the full suite.
    """
    sizes = SIZES[suite]
    made = [_questions(task, sizes[task], seed) for task in SCORED_TASKS]
    return tuple(items[turn] for turn in range(max(sizes.values())) for items in made if turn < len(items))


def _questions(task: ScoredTask, count: int, seed: int) -> list[QualityItem]:
    items: list[QualityItem] = []
    draw = 0
    while len(items) < count:
        number = len(items)
        question = _MAKERS[task](Dice(f"{SUITE_VERSION}/{seed}/{task}/{number}/{draw}"), number)
        if any(item.question.prompt == question.prompt for item in items):
            draw += 1
            continue
        items.append(QualityItem(f"{task}-{number + 1}", task, question))
    return items
