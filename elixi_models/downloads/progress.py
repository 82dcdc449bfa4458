"""How far a pull is, folded from the server's lines: pure, no clock, no I/O.

What the lines are like decides the arithmetic. Totals are learnt layer by layer, so the denominator grows; no line
says that a layer is complete, the next layer's first line does; a small layer, or a small model, sends no line at
all; bytes are taken back when a part fails; a pull that is taken up again starts where its parts stand. Nothing
shown ever falls below what was shown before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ..records import Progress, PullEvent

#: The most that is shown before the model is installed.
ALMOST = 0.99
#: Below this the layers seen are only texts and settings and say nothing about the whole.
_TELLING_BYTES = 1_000_000
_SAMPLE_S = 0.5
_SMOOTHING_S = 5.0
_SLOWEST_HASHING_BYTES_PER_S = 20_000_000.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes per second, smoothed over some seconds; None until `_SAMPLE_S` of lines were seen."""

    bytes_per_s: float | None = None
    since_s: float | None = None
    gained_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pull:
    """What the lines of one try have said so far.

    `layers` are completed and total bytes by digest, in order of appearance; `moved_at_s` is when anything last
    changed, on the clock of the caller.
    """

    floor: Progress
    moved_at_s: float
    phase: Literal["downloading", "verifying"] = "downloading"
    layers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    current: str | None = None
    rate: Rate = Rate()


def begin(floor: Progress, at_s: float) -> Pull:
    """A try that has heard nothing yet; `floor` is what earlier tries have shown."""
    return Pull(replace(floor, speed_bytes_per_s=None, remaining_s=None), at_s)


def fold(pull: Pull, event: PullEvent, at_s: float) -> Pull:
    """The pull after one more line, read at `at_s` (monotonic seconds)."""
    if event.digest is not None:
        moved = _fold_layer(pull, event.digest, event.total_bytes, event.completed_bytes or 0, at_s)
    elif event.status.startswith(("verifying", "writing", "removing", "success")) and pull.phase == "downloading":
        moved = replace(pull, phase="verifying", layers=_completed(pull), current=None, moved_at_s=at_s, rate=Rate())
    else:
        return pull
    return replace(moved, floor=measure(moved))


def _fold_layer(pull: Pull, digest: str, total: int | None, completed: int, at_s: float) -> Pull:
    known = pull.layers.get(digest)
    if total is None:
        if known is None:
            return pull
        total = known[1]
    now = (min(completed, total), total)
    layers = dict(pull.layers if digest == pull.current else _completed(pull))
    layers[digest] = now
    gained = max(0, now[0] - known[0]) if known else 0
    return replace(
        pull,
        phase="downloading",
        layers=layers,
        current=digest,
        moved_at_s=pull.moved_at_s if now == known else at_s,
        rate=_sample(pull.rate, gained, at_s),
    )


def _completed(pull: Pull) -> Mapping[str, tuple[int, int]]:
    if pull.current is None:
        return pull.layers
    total = pull.layers[pull.current][1]
    return {**pull.layers, pull.current: (total, total)}


def _sample(rate: Rate, gained_bytes: int, at_s: float) -> Rate:
    if rate.since_s is None:
        return replace(rate, since_s=at_s)
    gained, elapsed_s = rate.gained_bytes + gained_bytes, at_s - rate.since_s
    if elapsed_s < _SAMPLE_S:
        return replace(rate, gained_bytes=gained)
    latest = gained / elapsed_s
    weight = 1.0 if rate.bytes_per_s is None else 1.0 - math.exp(-elapsed_s / _SMOOTHING_S)
    before = rate.bytes_per_s or 0.0
    return Rate(before + weight * (latest - before), at_s)


def measure(pull: Pull) -> Progress:
    """What to show now: fraction and bytes never below the floor, the fraction at most `ALMOST`."""
    arrived = sum(completed for completed, _ in pull.layers.values())
    total = max(pull.floor.total_bytes or 0, sum(total for _, total in pull.layers.values())) or None
    completed = max(pull.floor.completed_bytes or 0, arrived) if total is not None else None
    if pull.phase == "verifying":
        return Progress(ALMOST, total, total)
    fraction = pull.floor.fraction
    if total is not None and completed is not None and total >= _TELLING_BYTES:
        fraction = max(fraction, min(ALMOST, completed / total))
    speed = pull.rate.bytes_per_s
    remaining_s = (total - arrived) / speed if total is not None and speed is not None and speed >= 1.0 else None
    return Progress(fraction, completed, total, speed, remaining_s)


def installed(shown: Progress, size_bytes: int | None = None) -> Progress:
    """The end: everything is there. `size_bytes` is the model's size for pulls that named no total."""
    total = shown.total_bytes or size_bytes
    return Progress(1.0, total, total, None, 0.0)


def stalled(pull: Pull, at_s: float, limit_s: float) -> bool:
    """True when nothing has changed for too long.

    Judged by bytes: lines go on while none flows. Verifying is silent, so it gets, on top of `limit_s`, the time
    that a slow disk needs to read the whole model once.
    """
    allowed_s = limit_s
    if pull.phase == "verifying":
        allowed_s += (measure(pull).total_bytes or 0) / _SLOWEST_HASHING_BYTES_PER_S
    return at_s - pull.moved_at_s >= allowed_s
