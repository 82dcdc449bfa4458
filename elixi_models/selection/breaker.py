"""A model that keeps failing rests for a while, and comes back by one good trial. Pure: calls in, a state out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..records import Measurement

_IN_A_ROW = 3
_WINDOW = 6
_FIRST_REST_S = 30.0
_LONGEST_REST_S = 900.0
#: Neither the model's doing nor a sign of its health.
_NO_EVIDENCE = frozenset({"cancelled", "unreachable"})
_NO_FAILURE = _NO_EVIDENCE | {"ok"}
_ERRORS_WINDOW = 200
_HALF_LIFE_S = 3600.0
_TOLERATED = 0.05


@dataclass(frozen=True, slots=True)
class Breaker:
    """`resting`: not to be chosen until `until_s` (epoch). `on_trial`: the rest is over, the next call decides."""

    resting: bool = False
    on_trial: bool = False
    until_s: float | None = None
    trips: int = 0


def judge(calls: Sequence[Measurement], now_s: float) -> Breaker:
    """The state after these calls, oldest first.

    Three failures in a row or half of the last six open it: 30 s the first time, twice as long after every failed
    trial, 15 min at most. A good call closes it. Calls that were cancelled, or that never reached the server, do not
    count. A clock that was set back ends a rest rather than prolonging it.
    """
    if not _any_failed(calls):
        return Breaker()
    recent: deque[bool] = deque(maxlen=_WINDOW)
    until_s: float | None = None
    trips = in_a_row = 0
    for call in _evidence(calls):
        ended_s = call.created_at_s + call.duration_s
        if until_s is not None:
            if not call.failed:
                until_s, trips = None, 0
            elif ended_s >= until_s:
                until_s, trips = ended_s + _rest_s(trips), trips + 1
            continue
        recent.append(call.failed)
        in_a_row = in_a_row + 1 if call.failed else 0
        if in_a_row == _IN_A_ROW or (len(recent) == _WINDOW and sum(recent) * 2 >= _WINDOW):
            until_s, trips, in_a_row = ended_s + _rest_s(0), 1, 0
            recent.clear()
    if until_s is None:
        return Breaker()
    resting = now_s < until_s <= now_s + _rest_s(trips - 1)
    return Breaker(resting, not resting, until_s, trips)


def error_share(calls: Sequence[Measurement], now_s: float) -> float:
    """Failures above a tolerance of 5 %, smoothed: an untried model pays nothing, one failure is no verdict.

    Over the newest 200 calls; a call counts half after an hour.
    """
    if not _any_failed(calls):
        return 0.0
    failures = attempts = 0.0
    for call in list(_evidence(calls))[-_ERRORS_WINDOW:]:
        weight = 0.5 ** (max(0.0, now_s - call.created_at_s) / _HALF_LIFE_S)
        attempts += weight
        failures += weight * call.failed
    return smoothed_errors(failures, attempts)


def smoothed_errors(failures: float, attempts: float) -> float:
    """The share that `error_share` gives for so many failures among so many attempts."""
    return max(0.0, (failures + 0.5) / (attempts + 10) - _TOLERATED)


def _evidence(calls: Iterable[Measurement]) -> Iterable[Measurement]:
    return (call for call in calls if call.outcome not in _NO_EVIDENCE and math.isfinite(call.duration_s))


def _any_failed(calls: Iterable[Measurement]) -> bool:
    """Most models never fail, and this is told in a tenth of the time that the history takes."""
    return not {call.outcome for call in calls} <= _NO_FAILURE


def _rest_s(trips: int) -> float:
    return min(_LONGEST_REST_S, _FIRST_REST_S * 2.0**trips)
