"""A blob on its way from the registry: figures only, no byte is moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """How fast bytes come. Without a rate they are there at once."""

    bytes_per_s: float | None = None
    least_s: float = 0.0


@dataclass(eq=False, slots=True)
class Transfer:
    """One blob, downloaded for everybody who waits for it; what has come is kept when they leave."""

    digest: str
    total: int
    pace: Pace
    monotonic: Callable[[], float] = time.monotonic
    ceiling: int | None = None
    completed: float = 0.0
    waiting: int = 0
    _since: float = 0.0
    _began: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def join(self) -> None:
        """Wait for the blob too; the first to wait starts the bytes flowing."""
        with self._lock:
            self._advance()
            if not self.waiting:
                self._began = self._since
            self.waiting += 1

    def leave(self) -> None:
        """Wait no longer; the last to leave stops the bytes."""
        with self._lock:
            self._advance()
            self.waiting -= 1

    def bytes_so_far(self) -> int:
        """Bytes that have come until now."""
        with self._lock:
            self._advance()
            return int(self.completed)

    def seconds_left(self) -> float:
        """Until the blob is there, at this pace; without end while something holds it up."""
        with self._lock:
            self._advance()
            floor = self._began + self.pace.least_s - self._since
            missing = self.total - self.completed
            if missing <= 0 or (self.pace.bytes_per_s is None and self.ceiling is None):
                return max(floor, 0.0)
            if self.ceiling is not None or self.pace.bytes_per_s is None:
                return float("inf")
            return max(missing / self.pace.bytes_per_s, floor)

    def hold_at(self, ceiling: int | None) -> None:
        """Let no more than so many bytes come; None lets all come again."""
        with self._lock:
            self._advance()
            self.ceiling = ceiling

    def change_rate(self, bytes_per_s: float | None) -> None:
        """Let bytes come at another rate from now on."""
        with self._lock:
            self._advance()
            self.pace = Pace(bytes_per_s, self.pace.least_s)

    def _advance(self) -> None:
        now = self.monotonic()
        if self.waiting:
            rate = self.pace.bytes_per_s
            come = self.total if rate is None else self.completed + rate * (now - self._since)
            most = self.total if self.ceiling is None else min(self.total, self.ceiling)
            self.completed = max(self.completed, min(come, most))
        self._since = now
