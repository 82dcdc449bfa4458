"""After a quick benchmark: four models, n items drawn from real results, chosen by the posterior; and its intervals.

Points lost are on the items that were not drawn. The link from quality to accuracy is fitted on the models outside
the pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from . import Figure
from .dice import Dice
from .items import Replayed, fitted, interval, replayed, shown

POOL, TRIALS, SEED, SHORT, LONG = 4, 3000, 11, 12, 64
BOUNDS = {"gsm": 0.6, "math-l5": 1.3, "crux": 0.8, "evalperf": 2.6}
#: The largest excess of the posterior over the better of table and plain mean, in points.
EXCESS = 0.3
#: The sets of the goal post, and one whose accuracy follows the table less.
COVERED_SETS = {"zeroeval": ("gsm", "math-l5", "crux"), "evalperf": ("evalperf",)}
COVERED_ITEMS, COVERED_TRIALS = (8, 12, 20, 40, 80), 1000


@dataclass
class Outcome:
    """Sums over the trials: points lost by policy, and how many 90 % intervals held the truth."""

    lost: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("table", "mean", "posterior", "random"), 0.0))
    covered: int = 0
    intervals: int = 0


def trial(played: Replayed, n: int, dice: Dice, outcome: Outcome) -> None:
    """Draw a pool and n items, choose by each policy, and compare with the items left over."""
    pool = dice.draw(range(len(played.models)), POOL)
    others = [i for i in range(len(played.models)) if i not in pool]
    link = fitted(played, others)
    drawn, left = dice.draw(range(played.items), n), played.items - n
    truth = {i: (played.accuracies[i] * played.items - sum(played.right[i][k] for k in drawn)) / left for i in pool}
    share = {i: sum(dice.uniform() < played.right[i][k] for k in drawn) / n for i in pool}
    after = {i: shown(played, i, link, share[i], n) for i in pool}
    best = max(truth.values())
    outcome.lost["table"] += best - truth[max(pool, key=lambda i: played.beliefs[i])]
    outcome.lost["mean"] += best - truth[max(pool, key=lambda i: share[i])]
    outcome.lost["posterior"] += best - truth[max(pool, key=lambda i: after[i][0])]
    outcome.lost["random"] += best - sum(truth.values()) / POOL
    rest_variance = sum(played.unevenness[i] for i in others) / len(others) / left
    for i in pool:
        low, high = interval(link, *after[i], rest_variance)
        outcome.covered += low <= truth[i] <= high
        outcome.intervals += 1


def outcome_of(name: str, n: int, trials: int) -> Outcome:
    """Many trials on one set; points of 100 lost on average."""
    played, dice, outcome = replayed(name), Dice(SEED), Outcome()
    for _ in range(trials):
        trial(played, n, dice, outcome)
    outcome.lost = {policy: 100 * lost / trials for policy, lost in outcome.lost.items()}
    return outcome


def coverage(name: str, n: int) -> float:
    """The share of 90 % intervals after n items that hold the accuracy on the other items."""
    outcome = outcome_of(name, n, COVERED_TRIALS)
    return outcome.covered / outcome.intervals


def figures() -> Iterator[Figure]:
    """Coverage of the intervals; then regret after 12 items by set, beside table, plain mean and 64 items."""
    for origin, names in COVERED_SETS.items():
        shares = [coverage(name, n) for name in names for n in COVERED_ITEMS]
        tried = COVERED_TRIALS * POOL * len(shares)
        source = f"{origin}, n = {', '.join(map(str, COVERED_ITEMS))}"
        words = f"90 % intervals, {origin}"
        yield Figure(5, f"{words}, least coverage", min(shares), 0.01, at_least=0.85, sample=tried, source=source)
        yield Figure(5, f"{words}, greatest coverage", max(shares), 0.01, at_most=0.95, sample=tried, source=source)
    excess = []
    for name, bound in BOUNDS.items():
        short, long = (outcome_of(name, n, TRIALS).lost for n in (SHORT, LONG))
        yield _lost(name, f"{SHORT} items", short["posterior"], bound)
        yield _lost(name, "table only", short["table"])
        yield _lost(name, f"mean of {SHORT} items", short["mean"])
        yield _lost(name, f"{LONG} items", long["posterior"])
        excess.append(short["posterior"] - min(short["table"], short["mean"]))
    words, tried = "posterior over the better of table and mean, worst set", TRIALS * len(excess)
    yield Figure(10, words, max(excess), 0.1, at_most=EXCESS, sample=tried, source="the four sets above")


def _lost(name: str, policy: str, points: float, bound: float | None = None) -> Figure:
    source = f"{'evalperf' if name == 'evalperf' else 'zeroeval'}, {len(replayed(name).models)} models"
    return Figure(10, f"{name}, points lost, {policy}", points, 0.1, at_most=bound, sample=TRIALS, source=source)
