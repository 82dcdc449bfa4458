"""What goes wrong, as told at run time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TypeVar

_Limited = TypeVar("_Limited", "Cut", "PullFault")

PULL_FAULTS = ("stall", "cut", "corrupt", "disk-full", "blob-missing", "registry-down", "offline")


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer given in place of the real one, so many times more; None is without end."""

    status: int
    error: str | None
    body: str | None = None
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class Cut:
    """A stream that ends after some lines.

    `close` breaks the connection, `half-line` does so within a line, `quiet` ends as if all had been said.
    """

    lines: int
    how: str
    times: int | None


@dataclass(frozen=True, slots=True)
class PullFault:
    """What happens to pulls; `text` is the registry's message where it answers with a status."""

    kind: str
    text: str = "registry fault"
    times: int | None = None


@dataclass(eq=False, slots=True)
class Faults:
    """The faults that are set; each is taken under one lock, so that `times` is exact."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failures: dict[str, list[Failure]] = field(default_factory=dict)
    _cuts: dict[str, Cut] = field(default_factory=dict)
    _pulls: dict[str, PullFault] = field(default_factory=dict)
    _hanging: dict[str, threading.Event] = field(default_factory=dict)

    def fail(self, path: str, failure: Failure) -> None:
        """Answer requests for the path (or `*`, all) with that failure, after those set before."""
        with self._lock:
            self._failures.setdefault(path, []).append(failure)

    def failure(self, path: str) -> Failure | None:
        """The failure that this request meets."""
        with self._lock:
            queue = self._failures.get(path) or self._failures.get("*")
            if not queue:
                return None
            failure = queue[0]
            left = _one_less(failure.times)
            queue[:1] = [replace(failure, times=left)] if left != 0 else []
            return failure

    def cut(self, path: str, cut: Cut) -> None:
        """Cut streams of the path (or `*`)."""
        with self._lock:
            self._cuts[path] = cut

    def cut_of(self, path: str) -> Cut | None:
        """The cut that this stream meets."""
        with self._lock:
            key = path if path in self._cuts else "*"
            return _take(self._cuts, key)

    def hang(self, path: str) -> None:
        """Let requests for the path wait until `recover`, or until their client goes."""
        with self._lock:
            self._hanging.setdefault(path, threading.Event())

    def hanging(self, path: str) -> threading.Event | None:
        """What this request waits for."""
        with self._lock:
            return self._hanging.get(path) or self._hanging.get("*")

    def break_pull(self, name: str, fault: PullFault) -> None:
        """Break pulls of the name (or `*`)."""
        with self._lock:
            self._pulls[name] = fault

    def pull_fault(self, name: str, *, take: bool = True) -> PullFault | None:
        """The fault that this pull meets, which counts as one of its times; else what the next would meet."""
        with self._lock:
            key = name if name in self._pulls else "*"
            return _take(self._pulls, key) if take else self._pulls.get(key)

    def mend_pull(self, name: str) -> None:
        """Take back what `break_pull` did for the name."""
        with self._lock:
            self._pulls.pop(name, None)

    def recover(self) -> None:
        """Take back everything."""
        with self._lock:
            for waiting in self._hanging.values():
                waiting.set()
            for faults in (self._failures, self._cuts, self._pulls, self._hanging):
                faults.clear()


def _one_less(times: int | None) -> int | None:
    return None if times is None else times - 1


def _take(faults: dict[str, _Limited], key: str) -> _Limited | None:
    fault = faults.get(key)
    if fault is None:
        return None
    left = _one_less(fault.times)
    if left == 0:
        del faults[key]
    else:
        faults[key] = replace(fault, times=left)
    return fault
