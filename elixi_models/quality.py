"""The scale of quality, the same for the prior and for measurements. Pure.

Ability `z` is a standard normal scale of the reference models; `score = 100·Φ(z / 1.6)`, so that 50 is their median.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from .records import ModelSummary

#: The tasks that have scores of their own, and the seed's names of them; `fast` follows from speed alone.
BENCHMARK_NAMES: Mapping[str, str] = {
    "general": "general_purpose",
    "coding": "coding",
    "creative": "creativity",
    "analysis": "analysis",
}
#: With the prior's spread as it was fitted, its 90 % intervals hold the truth in 84 of 100 cases; with this, in 90.
PRIOR_WIDENING = 1.3
_SCALE = 1.6
_NORMAL = NormalDist()
_Z90 = 1.645
_LEAST_SD = 0.01
_LEAST_SCORE, _MOST_SCORE = 0.01, 99.99
#: One number for the speed of a model is how long a reply of so many tokens takes it.
REFERENCE_TOKENS = 150
_SLOWEST_S = 32.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A prior quality: `score` 0-100, `sd` in z units, and where it comes from."""

    score: float
    sd: float
    source: str


@dataclass(frozen=True, slots=True)
class TaskScore:
    """How good a model is at a task: `score` 0-100 with its 90 % interval, over `n` questions.

    `source` names what it rests on (`quick+table`), `prior_weight` how much of it is the prior (0-1), `accuracy` the
    bare share of checks passed. Without a question it is the prior alone.
    """

    score: float
    ci90: tuple[float, float]
    n: int
    source: str
    prior_weight: float
    accuracy: float | None = None

    @property
    def estimated(self) -> bool:
        """True when nothing was measured."""
        return self.n == 0


def score_of(z: float) -> float:
    """The score 0-100 of an ability."""
    return 100 * _NORMAL.cdf(z / _SCALE)


def z_of(score: float) -> float:
    """The ability of a score; 0 and 100 are taken as almost that."""
    return _SCALE * _NORMAL.inv_cdf(min(_MOST_SCORE, max(_LEAST_SCORE, score)) / 100)


def make_task_score(
    z: float, sd: float, *, n: int, source: str, prior_weight: float, accuracy: float | None = None
) -> TaskScore:
    """An ability and its standard deviation as a score with its interval, to a tenth of a point."""
    ends = (round(score_of(z - _Z90 * sd), 1), round(score_of(z + _Z90 * sd), 1))
    return TaskScore(round(score_of(z), 1), ends, n, source, round(prior_weight, 3), accuracy)


def estimated_score(estimate: Estimate, *, penalty: float = 0.0) -> TaskScore:
    """A score by the prior alone, less a penalty in points for a quantization that was not measured."""
    z = z_of(max(0.0, estimate.score - penalty))
    return make_task_score(z, PRIOR_WIDENING * estimate.sd, n=0, source=estimate.source, prior_weight=1.0)


def carried_score(earlier: TaskScore, expected: TaskScore) -> TaskScore:
    """An estimate from a measurement that counts no more, with its doubt doubled, and what is expected without it."""
    doubt, expected_sd = 2 * _sd_of(earlier), _sd_of(expected)
    weight = doubt**2 / (doubt**2 + expected_sd**2)
    z = weight * z_of(expected.score) + (1 - weight) * z_of(earlier.score)
    sd = math.sqrt(weight) * expected_sd
    return make_task_score(z, sd, n=0, source=f"stale+{expected.source}", prior_weight=weight)


def _sd_of(score: TaskScore) -> float:
    """The standard deviation in z units that an interval stands for; never quite nothing."""
    return max(_LEAST_SD, (z_of(score.ci90[1]) - z_of(score.ci90[0])) / (2 * _Z90))


def benchmark_scores(scores: Mapping[str, TaskScore]) -> dict[str, float | None]:
    """The seed's `benchmarks`, 0-100: what was measured, None where nothing was."""
    return {name: _measured(scores.get(task)) for task, name in BENCHMARK_NAMES.items()}


def task_suitability(scores: Mapping[str, TaskScore]) -> dict[str, float | None]:
    """The seed's `task_suitability`, 0-10, likewise."""
    measured = {task: _measured(scores.get(task)) for task in ("general", "coding", "analysis", "creative")}
    return {task: None if score is None else round(score / 10, 1) for task, score in measured.items()}


def fast_suitability(latency_s: float | None) -> float | None:
    """0-10 from the time of a reply of 150 tokens: one second is 10, 32 seconds are 0, a doubling costs two."""
    if latency_s is None or latency_s <= 0:
        return None
    share = (math.log(_SLOWEST_S) - math.log(latency_s)) / math.log(_SLOWEST_S)
    return round(10 * min(1.0, max(0.0, share)), 1)


def plain_score(score: TaskScore) -> dict[str, Any]:
    """A score as plain JSON."""
    return {
        "score": score.score,
        "ci90": list(score.ci90),
        "n": score.n,
        "source": score.source,
        "prior_weight": score.prior_weight,
        "accuracy": score.accuracy,
        "estimated": score.estimated,
    }


def quality_fields(scores: Mapping[str, TaskScore], summary: ModelSummary) -> dict[str, Any]:
    """What was measured of a model, None where nothing was; and what is thought of it, with estimates marked."""
    latency_s = None
    if summary.ttft_ms is not None and summary.ms_per_token is not None:
        latency_s = (summary.ttft_ms + REFERENCE_TOKENS * summary.ms_per_token) / 1000
    return {
        "benchmarks": benchmark_scores(scores),
        "task_suitability": {**task_suitability(scores), "fast": fast_suitability(latency_s)},
        "quality": {task: plain_score(score) for task, score in scores.items()},
    }


def _measured(score: TaskScore | None) -> float | None:
    return None if score is None or score.estimated else score.score
