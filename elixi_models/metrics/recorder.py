"""Every call's measurement on its way to memory at once, and to the store off the caller's thread."""

from __future__ import annotations

import atexit
import logging
import os
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING

from ..errors import StoreUnavailable
from ..records import Measurement
from ..settings import Settings
from .hourly import HourlyDocuments, Machine, MeasuredAt
from .rollups import RollupBook, largest
from .summaries import Summaries

if TYPE_CHECKING:
    from ..store.base import Store
    from ..store.following import StoreFollower

_log = logging.getLogger("elixi_models.metrics")
_FLUSH_S = 0.5
_LOAD_S = 2.0
_DOCUMENT_S = 60.0
_BATCH = 500
_MOST_WAITING = 20_000
_EXIT_WAIT_S = 2.0
_living: weakref.WeakSet[MetricsRecorder] = weakref.WeakSet()


class MetricsRecorder:
    """Takes measurements from any thread and has the store's thread write them every half second.

    A killed process loses at most a second of them. While the store is away the newest 20,000 wait in memory.

    Args:
        owner: names this process in the roll-ups that it alone writes.
        machine: what was seen of Ollama's machine, for the roll-ups and the hourly documents.
        measured_at: what benchmarks had measured by a moment, for the hourly documents.
    """

    def __init__(
        self,
        *,
        follower: StoreFollower,
        settings: Settings,
        owner: str,
        summaries: Summaries,
        machine: Machine,
        measured_at: MeasuredAt,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._follower = follower
        self._summaries = summaries
        self._ollama_url = settings.ollama_url
        self._first_owner = owner
        self._machine = machine
        self._hourly = HourlyDocuments(settings.ollama_url, clock=clock, machine=machine, measured_at=measured_at)
        self._begin(owner)
        follower.every(_FLUSH_S, self.flush, at_close=True)
        follower.every(_LOAD_S, self._load)
        follower.every(_DOCUMENT_S, self._hourly.write)
        _living.add(self)

    def _begin(self, owner: str) -> None:
        self.owner = owner
        #: How many measurements were given up because the store was away for too long.
        self.dropped = 0
        self._told_dropped = 0
        self._waiting: deque[Measurement] = deque()
        self._unsent: list[Measurement] = []
        self._book = RollupBook(self._ollama_url, owner)

    def record(self, measurement: Measurement) -> None:
        """Note a call; microseconds, from any thread, never raises. Wakes nobody: the writer comes by itself."""
        if not self._waiting:
            self._follower.start()
        elif len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        # In this order: what comes back from the store is known as this process's own by then.
        self._summaries.add(measurement)
        self._waiting.append(measurement)

    def flush(self, store: Store) -> None:
        """Write all that waits. On the store's thread; blocks for the store.

        Raises:
            StoreUnavailable: what could not be written waits on.
        """
        self._summaries.settle()
        self._tell_dropped()
        while self._take_batch():
            store.add_measurements(self._unsent)
            self._unsent = []
        for rollup_id, rollup in self._book.changed():
            seen_bytes = self._machine.memory_bytes(rollup["weights_digest"])
            rollup["memory_bytes"] = largest(rollup["memory_bytes"], seen_bytes)
            store.put_rollup(rollup_id, rollup)
            self._book.written(rollup_id)

    def _take_batch(self) -> bool:
        """Fill the batch under way, which is kept until the store has it; False when nothing is left."""
        while self._waiting and len(self._unsent) < _BATCH:
            measurement = self._waiting.popleft()
            self._book.add(measurement)
            self._unsent.append(measurement)
        return bool(self._unsent)

    def _tell_dropped(self) -> None:
        if self.dropped and not self._told_dropped:
            _log.warning("the store is away for too long: the oldest measurements are given up")
        self._told_dropped = self.dropped

    def _load(self, store: Store) -> None:
        self._summaries.load(store, owner=self.owner)

    def flush_at_exit(self) -> None:
        """Have what waits written while the interpreter goes down; waits at most two seconds."""
        if not self._waiting and not self._unsent and self._book.is_written:
            return
        try:
            self._follower.submit(self.flush).result(_EXIT_WAIT_S)
        except (StoreUnavailable, FutureTimeout, RuntimeError) as exc:
            # RuntimeError: no thread can be started any more. There is nobody left to tell.
            _log.debug("measurements were lost at exit: %s", exc)

    def reset_after_fork(self) -> None:
        """In a forked child: what waits is the parent's to write; go on as an owner of one's own."""
        self._begin(f"{self._first_owner}/{os.getpid()}")
        self._summaries.reset_after_fork()


@atexit.register
def _flush_all() -> None:
    for recorder in list(_living):
        recorder.flush_at_exit()
