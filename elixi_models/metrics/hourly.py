"""One `model_performance` document for every hour in which a model was asked."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol, TypeAlias

from .. import names
from ..performance import decode_rate, performance_document
from ..quality import TaskScore, benchmark_scores, task_suitability
from ..store.base import JsonObject, Store
from .rollups import HOUR_S, hour_of, merge, percentiles
from .windows import WINDOW_S

_SETTLE_S = 60.0

#: A moment → what benchmarks had measured of each weights digest by then, for each task.
MeasuredAt: TypeAlias = Callable[[float], Mapping[str, Mapping[str, TaskScore]]]


class Machine(Protocol):
    """What was seen of the machine that Ollama runs on; None where unknown."""

    ram_total_bytes: int | None

    def memory_bytes(self, weights_digest: str | None) -> int | None:
        """The footprint of a model's weights when loaded."""

    def cpu_percent(self, weights_digest: str | None, hour_s: int) -> float | None:
        """The mean load by Ollama (0-100 of the machine) while those weights were loaded in that hour."""


class HourlyDocuments:
    """Writes the documents of finished hours from all owners' roll-ups, each once whoever comes first."""

    def __init__(
        self,
        ollama_url: str,
        *,
        clock: Callable[[], float] = time.time,
        machine: Machine,
        measured_at: MeasuredAt,
    ) -> None:
        self._ollama_url = ollama_url
        self._clock = clock
        self._machine = machine
        self._measured_at = measured_at
        self._done_until_s = 0

    def write(self, store: Store) -> None:
        """Document the hours that ended since the last time, at first those of the last day; blocks for the store.

        Raises:
            StoreUnavailable: the next call does it.
        """
        now_s = self._clock()
        # Every owner has half a second to write its last figures of an hour.
        until_s = hour_of(now_s - _SETTLE_S)
        # A clock that was ahead for a while must not keep later hours from being documented.
        self._done_until_s = min(self._done_until_s, until_s)
        since_s = max(self._done_until_s, hour_of(now_s - WINDOW_S), HOUR_S)
        if until_s <= since_s:
            return
        groups: dict[tuple[int, str, str | None], list[JsonObject]] = defaultdict(list)
        for rollup in store.rollups(ollama_url=self._ollama_url, since_s=since_s, until_s=until_s):
            groups[rollup["hour_s"], names.key(rollup["model"]), rollup.get("weights_digest")].append(rollup)
        measured = {hour_s: self._measured_at(hour_s + HOUR_S) for hour_s in {hour_s for hour_s, _, _ in groups}}
        for (hour_s, _, weights_digest), rollups in groups.items():
            store.add_performance(self._document(rollups, measured[hour_s].get(weights_digest or "", {})))
        self._done_until_s = until_s

    def _document(self, rollups: list[JsonObject], scores: Mapping[str, TaskScore]) -> dict[str, Any]:
        first, whole = rollups[0], merge(rollups)
        hour_s, weights_digest = first["hour_s"], first.get("weights_digest")
        rate = decode_rate(whole["gaps"], whole["eval_s"])
        attempts = whole["requests"] - whole["cancelled"]
        memory_bytes = self._machine.memory_bytes(weights_digest) or whole["memory_bytes"]
        return performance_document(
            document_key=f"{self._ollama_url}|{names.key(first['model'])}@{weights_digest or ''}|{hour_s}",
            ollama_url=self._ollama_url,
            model=first["model"],
            weights_digest=weights_digest,
            at_s=float(hour_s + HOUR_S),
            performance={
                "tokens_per_second": rate,
                "avg_latency_ms": 1000 * whole["latency_s"] / whole["latencies"] if whole["latencies"] else None,
                "error_rate": whole["failures"] / attempts if attempts else None,
                "total_requests": whole["requests"],
            },
            memory_bytes=memory_bytes,
            cpu_percent=self._machine.cpu_percent(weights_digest, hour_s),
            ram_total_bytes=self._machine.ram_total_bytes,
            benchmarks=benchmark_scores(scores),
            task_suitability=task_suitability(scores),
            percentiles={name: asdict(percentiles(buckets)) for name, buckets in whole["buckets"].items()},
            source="hour",
            hour_s=hour_s,
        )
