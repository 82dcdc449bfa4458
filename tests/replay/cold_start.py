"""Cold start: the best of four models of the same half-year, chosen from facts alone; regret in Arena points.

Each model is judged by a ridge regression on the other models' ratings: with itself left out (its family is known),
or with its maker's whole line left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import Figure, tables
from .dice import Dice

POOLS, SEED, LARGEST_B, WINDOW_YEARS = 3000, 2, 36, 0.42
BOUNDS = {"family known": 11.0, "lineage unknown": 18.0}
TRUTHS = {
    "general": ("arena_full",),
    "coding": ("arena_coding",),
    "analysis": ("arena_math", "arena_hard_6"),
    "creative": ("arena_creative_writing",),
}


@dataclass(frozen=True)
class Field:
    """The models of one task: their ratings, and what each policy believes of them."""

    rows: Sequence[Any]
    ratings: Sequence[float]
    beliefs: dict[str, list[float]]


def field(task: str) -> Field:
    """All models with a rating for the task, and every policy's scores for them."""
    fit = tables.tool("prior_fit")
    rows = [row for row in tables.rows() if all(name in row.figures for name in TRUTHS[task])]
    ratings = [sum(row.figures[name] for name in TRUTHS[task]) / len(TRUTHS[task]) for row in rows]
    scaled = list(tables.tool("score_table").standardised(dict(enumerate(ratings))).values())
    regression = fit.Regression.over(rows)
    beliefs = {
        "family known": regression.left_out(scaled, lambda index: index),
        "lineage unknown": regression.left_out(scaled, lambda index: rows[index].lineage),
        "biggest": [row.total_b for row in rows],
        "newest": [row.year for row in rows],
    }
    return Field(rows, ratings, beliefs)


def regrets(task: str) -> dict[str, float]:
    """Mean Arena points lost to the best of the pool, by policy; `random` is the mean of the pool."""
    played = field(task)
    small = [i for i, row in enumerate(played.rows) if row.total_b <= LARGEST_B]
    dice = Dice(SEED)
    lost = dict.fromkeys([*played.beliefs, "random"], 0.0)
    for _ in range(POOLS):
        pool = contemporaries(dice, played.rows, small)
        best = max(played.ratings[i] for i in pool)
        lost["random"] += best - sum(played.ratings[i] for i in pool) / len(pool)
        for policy, scores in played.beliefs.items():
            lost[policy] += best - played.ratings[max(pool, key=lambda i: scores[i])]
    return {policy: total / POOLS for policy, total in lost.items()}


def contemporaries(dice: Dice, rows: Sequence[Any], among: Sequence[int]) -> list[int]:
    """An anchor and three others released within five months of it."""
    while True:
        anchor = dice.pick(among)
        near = [i for i in among if i != anchor and abs(rows[i].year - rows[anchor].year) <= WINDOW_YEARS]
        if len(near) >= 3:
            return [anchor, *dice.draw(near, 3)]


def figures() -> Iterator[Figure]:
    """The mean over four tasks: family known and lineage unknown, then other policies and single tasks."""
    by_task = {task: regrets(task) for task in TRUTHS}
    mean = {policy: sum(lost[policy] for lost in by_task.values()) / len(by_task) for policy in by_task["general"]}
    source = f"model_scores: Arena, ≤ {LARGEST_B} B"
    for policy, value in mean.items():
        bound = BOUNDS.get(policy)
        yield Figure(8, f"cold start, Elo lost, {policy}", value, 0.5, at_most=bound, sample=POOLS, source=source)
    for task, lost in by_task.items():
        name = f"cold start, Elo lost, {task}, family known"
        yield Figure(8, name, lost["family known"], 0.5, sample=POOLS, source=source)
