"""Leave one source out: the table fitted from the others chooses, the one left out judges.

A cell is a source, a task and a limit of size; its figure is the share of the way from a random to the best choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from . import Figure, tables
from .dice import Dice

POOLS, SEED, POOL = 4000, 1, 4
LIMITS_B = (36, 80)


def gap_share(source: str, task: str, limit_b: float) -> float | None:
    """0 for choosing at random, 1 for always choosing what the left-out source likes best; None for fewer than 8."""
    scores, rows = tables.tool("score_table"), tables.rows()
    truth = scores.composite(rows, source, task)
    fitted = tables.latents(without=source)[task].means
    among = [i for i in sorted(truth) if rows[i].total_b <= limit_b]
    if len(among) < 2 * POOL:
        return None
    dice, chosen, best, mean = Dice(SEED), 0.0, 0.0, 0.0
    for _ in range(POOLS):
        pool = dice.draw(among, POOL)
        chosen += truth[max(pool, key=lambda i: fitted[i])]
        best += max(truth[i] for i in pool)
        mean += sum(truth[i] for i in pool) / POOL
    return (chosen - mean) / (best - mean)


def cells() -> dict[str, float]:
    """All cells by name."""
    scores = tables.tool("score_table")
    found = {
        f"{source} {task} ≤ {limit_b} B": gap_share(source, task, limit_b)
        for source, task in scores.COLUMNS
        for limit_b in LIMITS_B
    }
    return {name: share for name, share in found.items() if share is not None}


def figures() -> Iterator[Figure]:
    """The median cell and the worst one, in percent."""
    found = cells()
    worst = min(found, key=lambda name: found[name])
    source = f"model_scores, {POOLS:,} pools of {POOL} a cell"
    middle, least = 100 * median(found.values()), 100 * found[worst]
    yield Figure(9, "source left out, % of gap, median", middle, 1, at_least=85, sample=len(found), source=source)
    yield Figure(9, f"source left out, % of gap, worst ({worst})", least, 1, at_least=60, sample=POOLS, source=source)
