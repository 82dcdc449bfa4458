"""Multinomial logistic regression over sparse binary features in plain Python: L-BFGS, the same result each time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from operator import mul

Vector = list[float]
Objective = Callable[[Vector], tuple[float, Vector]]
_MEMORY = 6
#: Stop when a step would better the value by less than this share of it.
_TOLERANCE = 1e-6


def fit(
    rows: Sequence[Sequence[int]],
    labels: Sequence[int],
    shares: Sequence[float],
    *,
    width: int,
    classes: int,
    penalty: float,
    scale: float,
    iterations: int,
) -> tuple[list[Vector], Vector]:
    """Weights, a column of `width` a class, and biases that make `labels` likeliest.

    Args:
        rows: the features of each document, as numbers below `width`; each counts √(scale / how many there are).
        shares: the weight of each document.
        penalty: times half the sum of squared weights, beside the summed loss.
    """

    def objective(point: Vector) -> tuple[float, Vector]:
        columns = [point[start * width : (start + 1) * width] for start in range(classes)]
        biases = point[classes * width :]
        slopes = [[penalty * weight for weight in column] for column in columns]
        loss = [penalty / 2 * math.fsum(map(mul, column, column)) for column in columns]
        tilts = [0.0] * classes
        for row, label, share in zip(rows, labels, shares, strict=True):
            size = math.sqrt(scale / (len(row) or 1))
            scores = [
                bias + size * math.fsum(map(column.__getitem__, row))
                for bias, column in zip(biases, columns, strict=True)
            ]
            highest = max(scores)
            powers = [math.exp(score - highest) for score in scores]
            total = math.fsum(powers)
            loss.append(share * (math.log(total) + highest - scores[label]))
            for name, (slope, power) in enumerate(zip(slopes, powers, strict=True)):
                error = share * (power / total - (name == label))
                tilts[name] += error
                step = error * size
                for feature in row:
                    slope[feature] += step
        return math.fsum(loss), [value for slope in slopes for value in slope] + tilts

    best = minimise(objective, [0.0] * (classes * (width + 1)), iterations=iterations)
    return [best[start * width : (start + 1) * width] for start in range(classes)], best[classes * width :]


def minimise(objective: Objective, start: Vector, *, iterations: int) -> Vector:
    """A point near the minimum of a convex function that gives its value and gradient."""
    point, history = start, deque[tuple[Vector, Vector, float]](maxlen=_MEMORY)
    value, slope = objective(point)
    for _ in range(iterations):
        direction = descent(slope, history)
        fall = math.fsum(map(mul, slope, direction))
        if -fall < _TOLERANCE * abs(value):
            break
        step = 1.0 if history else 1.0 / math.sqrt(math.fsum(map(mul, slope, slope)))
        while True:
            moved = [place + step * part for place, part in zip(point, direction, strict=True)]
            new_value, new_slope = objective(moved)
            if new_value <= value + 1e-4 * step * fall:
                break
            step /= 2
        change = [step * part for part in direction]
        bend = [after - before for after, before in zip(new_slope, slope, strict=True)]
        history.append((change, bend, math.fsum(map(mul, change, bend))))
        point, value, slope = moved, new_value, new_slope
    return point


def descent(slope: Vector, history: Sequence[tuple[Vector, Vector, float]]) -> Vector:
    """The direction of L-BFGS: the gradient bent by the last steps (two-loop recursion)."""
    direction = [-part for part in slope]
    shares = []
    for change, bend, curvature in reversed(history):
        share = math.fsum(map(mul, change, direction)) / curvature
        shares.append(share)
        direction = [part - share * turn for part, turn in zip(direction, bend, strict=True)]
    if history:
        _, bend, curvature = history[-1]
        factor = curvature / math.fsum(map(mul, bend, bend))
        direction = [factor * part for part in direction]
    for (change, bend, curvature), share in zip(history, reversed(shares), strict=True):
        rest = share - math.fsum(map(mul, bend, direction)) / curvature
        direction = [part + rest * move for part, move in zip(direction, change, strict=True)]
    return direction
