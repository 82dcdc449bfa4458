"""Hourly and daily sums of what calls cost, mergeable over processes and time. Pure.

A roll-up is plain JSON. Sums add up; times are counted in buckets that grow by 2 %, so that percentiles within
1 % of the truth can be had of any number of merged roll-ups. Requests are what people sent; a benchmark's own
requests count for speed only.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, TypeAlias

from .. import names
from ..performance import first_token_s, response_s, token_gaps
from ..records import Measurement, Percentiles

Rollup: TypeAlias = dict[str, Any]
Group: TypeAlias = tuple[str, str | None]

HOUR_S = 3600
DAY_S = 86_400
#: The "hour" under which an owner keeps the sums of its whole life: reading those gives all-time totals at once.
LIFETIME = 0
_GROWTH = 1.02
_LOG_GROWTH = math.log(_GROWTH)
_SMALLEST_MS = 0.001
_KEPT_HOURS = 3
_FEW_ROLLUPS = 100
_MOST_OVER = 500
_SUMS = ("requests", "failures", "cancelled", "gaps", "eval_s", "latency_s", "latencies", "ttft_s", "ttfts")


def is_request(measurement: Measurement) -> bool:
    """True for what a person's message caused, false for benchmarks and loads."""
    return measurement.source in ("chat", "brain")


def group_of(measurement: Measurement) -> Group:
    """What a measurement is evidence for: the name's comparison form, and the weights where known."""
    return names.key(measurement.model), measurement.weights_digest


def hour_of(at_s: float) -> int:
    """The hour that a moment lies in, as the epoch seconds of its start."""
    return int(at_s // HOUR_S) * HOUR_S


def bucket_of(value_ms: float) -> int:
    """The bucket of a time: bucket i holds 1.02^i to 1.02^(i+1) ms."""
    return math.floor(math.log(max(value_ms, _SMALLEST_MS)) / _LOG_GROWTH)


def day_scope(at_s: float) -> int:
    """Under which "hour" the sums of a moment's day (UTC) stand: its start, negated, apart from all hours."""
    return -max(int(at_s // DAY_S) * DAY_S, DAY_S)


def percentiles(buckets: Mapping[Any, int]) -> Percentiles:
    """The percentiles of counted times: bucket, as a whole number or its digits, to how many lie in it."""
    indexes = sorted(buckets, key=int)
    seen = list(accumulate(map(buckets.__getitem__, indexes)))
    if not seen or not seen[-1]:
        return Percentiles()
    ranked = (int(indexes[bisect_left(seen, part * seen[-1])]) for part in (0.5, 0.95, 0.99))
    return Percentiles(*(_GROWTH ** (index + 0.5) for index in ranked))


def empty_rollup() -> Rollup:
    """A roll-up of nothing."""
    return {
        **dict.fromkeys(_SUMS, 0),
        "outcomes": {},
        "last_used_at_s": None,
        "memory_bytes": None,
        "buckets": {"latency_ms": {}, "ttft_ms": {}, "ms_per_token": {}},
    }


def add_measurement(rollup: Rollup, measurement: Measurement) -> None:
    """Count one measurement into a roll-up."""
    rollup["last_used_at_s"] = largest(rollup["last_used_at_s"], measurement.created_at_s)
    if (gaps := token_gaps(measurement)) is not None:
        rollup["gaps"] += gaps[0]
        rollup["eval_s"] += gaps[1]
        _count(rollup, "ms_per_token", gaps[1] / gaps[0])
    if (ttft_s := first_token_s(measurement)) is not None:
        rollup["ttft_s"] += ttft_s
        rollup["ttfts"] += 1
        _count(rollup, "ttft_ms", ttft_s)
    if not is_request(measurement):
        return
    rollup["requests"] += 1
    rollup["failures"] += measurement.failed
    rollup["cancelled"] += measurement.outcome == "cancelled"
    outcomes = rollup["outcomes"]
    outcomes[measurement.outcome] = outcomes.get(measurement.outcome, 0) + 1
    if (latency_s := response_s(measurement)) is not None:
        rollup["latency_s"] += latency_s
        rollup["latencies"] += 1
        _count(rollup, "latency_ms", latency_s)


def _count(rollup: Rollup, name: str, duration_s: float) -> None:
    if "buckets" not in rollup:
        return
    buckets = rollup["buckets"][name]
    index = str(bucket_of(duration_s * 1000))
    buckets[index] = buckets.get(index, 0) + 1


def merge(rollups: Iterable[Mapping[str, Any]]) -> Rollup:
    """The roll-up of all that the given ones counted; fields that one of them lacks count as nothing."""
    whole = empty_rollup()
    for rollup in rollups:
        merge_into(whole, rollup)
    return whole


def merge_into(whole: Rollup, rollup: Mapping[str, Any]) -> None:
    """Count what a roll-up counted into another one, which has every field."""
    for name in _SUMS:
        whole[name] += rollup.get(name, 0)
    for name in ("last_used_at_s", "memory_bytes"):
        whole[name] = largest(whole[name], rollup.get(name))
    _merge_counts(whole["outcomes"], rollup.get("outcomes", {}))
    for name, buckets in whole["buckets"].items():
        _merge_counts(buckets, rollup.get("buckets", {}).get(name, {}))


def _merge_counts(into: dict[str, int], counts: Mapping[str, int]) -> None:
    if not into:
        into.update(counts)
        return
    for name, count in counts.items():
        into[name] = into.get(name, 0) + count


def largest(one: float | None, other: float | None) -> float | None:
    """The larger of two figures; one that is unknown does not count."""
    return other if one is None else one if other is None else max(one, other)


class RollupBook:
    """The roll-ups of one owner: each hour and each day of each model, and its whole life.

    Not thread-safe: used by one thread. The owner replaces its roll-ups in the store, so an hour that was let go
    of must never be opened again; when the clock goes back behind those, the hours get ids of their own.
    """

    def __init__(self, ollama_url: str, owner: str) -> None:
        self._ollama_url = ollama_url
        self._owner = owner
        self._turns = 0
        self._newest_hour = LIFETIME
        self._rollups: dict[str, Rollup] = {}
        self._changed: set[str] = set()

    def add(self, measurement: Measurement) -> None:
        """Count a measurement into its hour, its day and the whole life."""
        hour = max(hour_of(measurement.created_at_s), HOUR_S)
        if hour < self._newest_hour - _KEPT_HOURS * HOUR_S:
            self._turns += 1
            self._newest_hour = LIFETIME
        self._newest_hour = max(self._newest_hour, hour)
        for scope in (hour, day_scope(hour), LIFETIME):
            rollup_id = self._id_of(measurement, scope)
            if rollup_id not in self._rollups:
                self._rollups[rollup_id] = self._open(measurement, scope)
            add_measurement(self._rollups[rollup_id], measurement)
            self._changed.add(rollup_id)
        self._let_go()

    def changed(self) -> list[tuple[str, Rollup]]:
        """The id and content of every roll-up that is not written yet, oldest first."""
        return [(rollup_id, rollup) for rollup_id, rollup in self._rollups.items() if rollup_id in self._changed]

    @property
    def is_written(self) -> bool:
        """True when the store has everything as it is now."""
        return not self._changed

    def written(self, rollup_id: str) -> None:
        """Note that the store has this roll-up as it is now."""
        self._changed.discard(rollup_id)

    def _id_of(self, measurement: Measurement, scope: int) -> str:
        model_key, weights_digest = group_of(measurement)
        owner = f"{self._owner}~{self._turns}" if self._turns and scope != LIFETIME else self._owner
        return f"{self._ollama_url}|{model_key}@{weights_digest or ''}|{scope}|{owner}"

    def _open(self, measurement: Measurement, scope: int) -> Rollup:
        rollup = empty_rollup()
        if scope == LIFETIME:
            del rollup["buckets"]
        return {
            **rollup,
            "ollama_url": self._ollama_url,
            "model": measurement.model,
            "weights_digest": measurement.weights_digest,
            "hour_s": scope,
            "owner": self._owner,
        }

    def _let_go(self) -> None:
        """Drop what is over and written; with the store away for days, the oldest of what is over in any case."""
        if len(self._rollups) <= _FEW_ROLLUPS:
            return
        oldest = self._newest_hour - _KEPT_HOURS * HOUR_S
        over = [key for key, rollup in self._rollups.items() if _newest_hour_in(rollup) < oldest]
        written = [key for key in over if key not in self._changed]
        for rollup_id in written or over[: max(0, len(over) - _MOST_OVER)]:
            del self._rollups[rollup_id]
            self._changed.discard(rollup_id)


def _newest_hour_in(rollup: Rollup) -> float:
    """The last hour that may still be counted into a roll-up."""
    scope: int = rollup["hour_s"]
    if scope == LIFETIME:
        return math.inf
    return scope if scope > 0 else DAY_S - HOUR_S - scope
