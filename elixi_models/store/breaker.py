"""Whether the store is worth asking: after a failure it is probed with growing pauses, not asked by everybody."""

from __future__ import annotations

from collections.abc import Callable

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class Breaker:
    """Open after a failure, closed after a success. Written by one thread, read by any; does no I/O.

    Attributes:
        available: True while closed.
        since_s: since when it is so, in seconds since the epoch.
    """

    def __init__(self, *, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._pause_s = FIRST_PAUSE_S
        self._probe_at = 0.0
        self.available = True
        self.since_s = clock()

    def trip(self) -> None:
        """The store failed: pause 1 s before the next probe, then 2, 4 and so on up to 30 s."""
        self._pause_s = FIRST_PAUSE_S if self.available else min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._probe_at = self._monotonic() + self._pause_s
        if self.available:
            self.available, self.since_s = False, self._clock()

    def restore(self) -> None:
        """The store answered."""
        if not self.available:
            self.available, self.since_s = True, self._clock()

    @property
    def probe_in_s(self) -> float:
        """Seconds until the next probe is due, 0 when it is."""
        return max(0.0, self._probe_at - self._monotonic())
