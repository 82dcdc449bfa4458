"""After a quick benchmark: four models, n items drawn from real results, chosen by the posterior; and its intervals.

Points lost are on the items that were not drawn. The link from quality to accuracy is fitted on the models outside
the pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from . import Figure
from .dice import Dice
from .items import Link, Replayed, posterior, replayed

POOL, TRIALS, SEED, SHORT, LONG = 4, 3000, 11, 12, 64
BOUNDS = {"gsm": 0.6, "math-l5": 1.3, "crux": 0.8, "evalperf": 2.6}
#: The largest excess of the posterior over the better of table and plain mean, in points.
EXCESS = 0.3
COVERED_SETS, COVERED_ITEMS, COVERED_TRIALS = ("gsm", "math-l5", "crux"), (8, 12, 20, 40, 80), 1000
HALF_WIDTH_90 = 1.645


@dataclass
class Outcome:
    """Sums over the trials: points lost by policy, and how many 90 % intervals held the truth."""

    lost: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("table", "mean", "posterior", "random"), 0.0))
    covered: int = 0
    intervals: int = 0


def trial(played: Replayed, full: list[float], n: int, dice: Dice, outcome: Outcome) -> None:
    """Draw a pool and n items, choose by each policy, and compare with the items left over."""
    pool = dice.draw(range(len(played.models)), POOL)
    others = [i for i in range(len(played.models)) if i not in pool]
    link = Link.fitted([played.beliefs[i] for i in others], [full[i] for i in others])
    drawn = dice.draw(range(played.items), n)
    truth = {i: (full[i] * played.items - sum(played.right[i][k] for k in drawn)) / (played.items - n) for i in pool}
    share = {i: sum(dice.uniform() < played.right[i][k] for k in drawn) / n for i in pool}
    after = {i: posterior(played.beliefs[i], played.sds[i], link, share[i], n) for i in pool}
    best = max(truth.values())
    outcome.lost["table"] += best - truth[max(pool, key=lambda i: played.beliefs[i])]
    outcome.lost["mean"] += best - truth[max(pool, key=lambda i: share[i])]
    outcome.lost["posterior"] += best - truth[max(pool, key=lambda i: after[i][0])]
    outcome.lost["random"] += best - sum(truth.values()) / POOL
    for i in pool:
        mean, sd = after[i]
        low, high = link.accuracy(mean - HALF_WIDTH_90 * sd), link.accuracy(mean + HALF_WIDTH_90 * sd)
        outcome.covered += low <= truth[i] <= high
        outcome.intervals += 1


def outcome_of(name: str, n: int, trials: int) -> Outcome:
    """Many trials on one set; points of 100 lost on average."""
    played, dice, outcome = replayed(name), Dice(SEED), Outcome()
    full = [sum(right) / len(right) for right in played.right]
    for _ in range(trials):
        trial(played, full, n, dice, outcome)
    outcome.lost = {policy: 100 * lost / trials for policy, lost in outcome.lost.items()}
    return outcome


def figures() -> Iterator[Figure]:
    """Regret after 12 items by set, against the table alone, the plain mean and 64 items; then coverage."""
    excess = []
    for name, bound in BOUNDS.items():
        short, long = (outcome_of(name, n, TRIALS).lost for n in (SHORT, LONG))
        source = f"{'evalperf' if name == 'evalperf' else 'zeroeval'}, {len(replayed(name).models)} models"
        words = f"{name}, points lost"
        yield Figure(
            10, f"{words}, {SHORT} items", short["posterior"], 0.1, at_most=bound, sample=TRIALS, source=source
        )
        yield Figure(10, f"{words}, table only", short["table"], 0.1, sample=TRIALS, source=source)
        yield Figure(10, f"{words}, mean of {SHORT} items", short["mean"], 0.1, sample=TRIALS, source=source)
        yield Figure(10, f"{words}, {LONG} items", long["posterior"], 0.1, sample=TRIALS, source=source)
        excess.append(short["posterior"] - min(short["table"], short["mean"]))
    yield Figure(10, "posterior over the better of table and mean, worst set", max(excess), 0.1, at_most=EXCESS)
    shares = [coverage(name, n) for name in COVERED_SETS for n in COVERED_ITEMS]
    tried = COVERED_TRIALS * POOL * len(shares)
    source = f"zeroeval, n = {', '.join(map(str, COVERED_ITEMS))}"
    yield Figure(5, "90 % intervals, least coverage", min(shares), 0.01, at_least=0.85, sample=tried, source=source)
    other, tried_there = coverage("evalperf", SHORT), COVERED_TRIALS * POOL
    yield Figure(5, f"90 % intervals, coverage, {SHORT} items", other, 0.01, sample=tried_there, source="evalperf")
    yield Figure(5, "90 % intervals, greatest coverage", max(shares), 0.01, at_most=0.95, sample=tried, source=source)


def coverage(name: str, n: int) -> float:
    """The share of 90 % intervals after n items that hold the accuracy on the other items."""
    outcome = outcome_of(name, n, COVERED_TRIALS)
    return outcome.covered / outcome.intervals
