"""The emulated server's time of day, which a test may move forward."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

SECOND = 1_000_000_000
FOREVER_NS = 2**63 - 1


class Clock:
    """Wall-clock nanoseconds, ahead of the machine's own by as much as `advance` has been told."""

    def __init__(self, source_ns: Callable[[], int] = time.time_ns) -> None:
        self._source_ns = source_ns
        self._ahead_ns = 0

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._source_ns() + self._ahead_ns

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        self._ahead_ns += int(seconds * SECOND)


def stamp(moment_ns: int) -> str:
    """A moment in the form of the server's JSON: RFC 3339, UTC, as many as nine digits of a second."""
    seconds, rest = divmod(moment_ns, SECOND)
    day = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{day}{fraction}Z"
