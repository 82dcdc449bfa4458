"""The arithmetic behind the priors: one latent quality a task over several leaderboards, and a regression on facts.

Plain Python and no randomness; `tools/build_priors.py` writes its result, `tests/replay` judges it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from score_table import SOURCES, TASKS, Row, composite

#: Ridge penalties over the noise: facts, a family's own effect, its lineage's; the level is free.
PENALTY_FACTS, PENALTY_FAMILY, PENALTY_LINEAGE, PENALTY_LEVEL = 0.3, 1.0, 1.0, 1e-3
#: Rounds of the fit, far more than it needs to settle.
ROUNDS = 60
LEAST_NOISE = 0.15
Matrix = list[list[float]]


def covariance(one: Row, other: Row) -> float:
    """How much two models have in common before either is seen, in units of the noise: ridge regression's kernel."""
    shared = 1 / PENALTY_LEVEL + math.fsum(a * b for a, b in zip(one.facts, other.facts, strict=True)) / PENALTY_FACTS
    same_family, same_lineage = one.family == other.family, one.lineage == other.lineage
    return shared + same_family / PENALTY_FAMILY + same_lineage / PENALTY_LINEAGE


def inverse(matrix: Matrix) -> Matrix:
    """The inverse of a symmetric positive definite matrix, by elimination."""
    size = len(matrix)
    work = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for pivot in range(size):
        scale = 1 / work[pivot][pivot]
        head = work[pivot] = [value * scale for value in work[pivot]]
        for i in range(size):
            factor = work[i][pivot]
            if i != pivot and factor:
                work[i] = [value - factor * above for value, above in zip(work[i], head, strict=True)]
    return [row[size:] for row in work]


@dataclass(frozen=True)
class Regression:
    """Ridge regression over facts, family and lineage, for one set of models; `fit` it to any figures of theirs."""

    rows: Sequence[Row]
    inverse: Matrix

    @classmethod
    def over(cls, rows: Sequence[Row]) -> Regression:
        """Prepare for these models; a second for 146 of them."""
        kernel = [[covariance(one, other) + (one is other) for other in rows] for one in rows]
        return cls(rows, inverse(kernel))

    def weights(self, values: Sequence[float]) -> list[float]:
        """The pull of each model on a prediction, for values in the order of the rows."""
        return [math.fsum(a * b for a, b in zip(line, values, strict=True)) for line in self.inverse]

    def coefficients(self, values: Sequence[float]) -> dict[str, float]:
        """Intercept and slopes by name, in units of the values."""
        weights = self.weights(values)
        slopes = [
            math.fsum(w * row.facts[k] for w, row in zip(weights, self.rows, strict=True)) / PENALTY_FACTS
            for k in range(4)
        ]
        named = dict(zip(("per_doubling", "per_year", "code", "reason"), slopes, strict=True))
        return {"intercept": math.fsum(weights) / PENALTY_LEVEL, **named}

    def effects(self, values: Sequence[float], of: Callable[[Row], str], penalty: float) -> dict[str, float]:
        """What each family (or lineage) adds to the regression."""
        sums: dict[str, float] = {}
        for weight, row in zip(self.weights(values), self.rows, strict=True):
            sums[of(row)] = sums.get(of(row), 0.0) + weight / penalty
        return sums

    def left_out(self, values: Sequence[float], group: Callable[[int], object]) -> list[float]:
        """Each model predicted as if its whole group had never been seen, exactly, without fitting anew."""
        weights = self.weights(values)
        groups: dict[object, list[int]] = {}
        for index in range(len(values)):
            groups.setdefault(group(index), []).append(index)
        predicted = [0.0] * len(values)
        for members in groups.values():
            block = inverse([[self.inverse[i][j] for j in members] for i in members])
            for i, line in zip(members, block, strict=True):
                predicted[i] = values[i] - math.fsum(b * weights[j] for b, j in zip(line, members, strict=True))
        return predicted


@dataclass(frozen=True)
class Latent:
    """A task's quality by index of the model: mean and sd in z units, and how many sources spoke."""

    means: list[float]
    sds: list[float]
    sources: list[int]


def fit_latent(observed: Mapping[str, Mapping[int, float]], expected: Sequence[float]) -> Latent:
    """One quality for each model from several sources, each with its own level, slope and noise.

    Args:
        observed: by source, standardised figures by index of the model.
        expected: what is believed of each model before; also the answer for a model that no source knows.
    """
    spread = 0.5
    lines = {source: (0.0, 1.0, 0.5) for source in observed if observed[source]}
    means, sds = list(expected), [spread] * len(expected)
    for _ in range(ROUNDS):
        means, sds = _posterior(observed, lines, expected, spread)
        lines = {source: _line(observed[source], means, sds) for source in lines}
        seen = sorted({i for source in lines for i in observed[source]})
        spread = math.sqrt(math.fsum((means[i] - expected[i]) ** 2 + sds[i] ** 2 for i in seen) / len(seen))
    return Latent(means, sds, [sum(i in observed[source] for source in lines) for i in range(len(expected))])


def _posterior(
    observed: Mapping[str, Mapping[int, float]],
    lines: Mapping[str, tuple[float, float, float]],
    expected: Sequence[float],
    spread: float,
) -> tuple[list[float], list[float]]:
    means, sds = [], []
    for i, belief in enumerate(expected):
        precision, pull = 1 / spread**2, belief / spread**2
        for source, (level, slope, noise) in lines.items():
            if i in observed[source]:
                precision += slope**2 / noise**2
                pull += slope * (observed[source][i] - level) / noise**2
        means.append(pull / precision)
        sds.append(1 / math.sqrt(precision))
    return means, sds


def _line(figures: Mapping[int, float], means: Sequence[float], sds: Sequence[float]) -> tuple[float, float, float]:
    """Level, slope and noise of a source against the qualities, whose own doubt is counted."""
    n = len(figures)
    mean_z = math.fsum(means[i] for i in figures) / n
    mean_x = math.fsum(figures.values()) / n
    variance = math.fsum((means[i] - mean_z) ** 2 + sds[i] ** 2 for i in figures)
    slope = max(0.2, math.fsum((means[i] - mean_z) * (x - mean_x) for i, x in figures.items()) / variance)
    level = mean_x - slope * mean_z
    squares = math.fsum((x - level - slope * means[i]) ** 2 + (slope * sds[i]) ** 2 for i, x in figures.items())
    return level, slope, max(LEAST_NOISE, math.sqrt(squares / n))


def fit_tasks(rows: Sequence[Row], *, without: str | None = None) -> dict[str, Latent]:
    """The quality of every model for every task, from all sources but `without`; z standardised over the rows.

    A task without figures of its own for a model is judged by the facts and by how the model surprises in general.
    """
    latents: dict[str, Latent] = {}
    surprise = [0.0] * len(rows)
    for task in TASKS:
        figures = {source: composite(rows, source, task) for source in SOURCES if source != without}
        expected = _expected(rows, figures)
        shifted = [a + b for a, b in zip(expected, surprise, strict=True)]
        latent = fit_latent(figures, shifted)
        if task == "general":
            surprise = [a - b for a, b in zip(latent.means, expected, strict=True)]
        latents[task] = _rescaled(latent)
    return latents


def _expected(rows: Sequence[Row], figures: Mapping[str, Mapping[int, float]]) -> list[float]:
    """The facts' word on every model, each judged without its own figures."""
    told = [[column[i] for column in figures.values() if i in column] for i in range(len(rows))]
    known = [i for i, found in enumerate(told) if found]
    regression = Regression.over([rows[i] for i in known])
    values = [math.fsum(told[i]) / len(told[i]) for i in known]
    by_index = dict(zip(known, regression.left_out(values, lambda index: index), strict=True))
    weights = regression.weights(values)
    for i in set(range(len(rows))) - set(known):
        pulls = (w * covariance(rows[i], rows[j]) for w, j in zip(weights, known, strict=True))
        by_index[i] = math.fsum(pulls)
    return [by_index[i] for i in range(len(rows))]


def _rescaled(latent: Latent) -> Latent:
    mean = math.fsum(latent.means) / len(latent.means)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in latent.means) / len(latent.means))
    return Latent([(value - mean) / sd for value in latent.means], [value / sd for value in latent.sds], latent.sources)
