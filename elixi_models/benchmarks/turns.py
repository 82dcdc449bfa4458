"""When a benchmark may ask: while nobody chats, until its time is over. The clock stands while somebody chats."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..records import Failure, Measurement

_IDLE_LOOK_S = 0.2
_LONGEST_WAIT_S = 600.0
_MOST_INTERRUPTIONS = 20

#: An answer, how the request went (`cancelled` when a person's chat went first), and why there is no answer.
Reply: TypeAlias = tuple[str | None, Measurement, Failure | None]


class Ended(Exception):
    """Nothing more can be asked: `deadline`, `stopped`, `chat_busy`, or what the server or model failed by."""

    def __init__(self, reason: str, failure: Failure | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.failure = failure


class Turns:
    """The turns of one part of a benchmark.

    Args:
        wait_idle: waits at most so many seconds until nobody chats; True when nobody does.
        stopped: True once the benchmark was called off.
    """

    def __init__(
        self, *, wait_idle: Callable[[float], bool], stopped: Callable[[], bool], monotonic: Callable[[], float]
    ) -> None:
        self._wait_idle = wait_idle
        self._stopped = stopped
        self._monotonic = monotonic
        self._interruptions = 0
        self._ends_at = monotonic()

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; negative behind it."""
        return self._ends_at - self._monotonic()

    def begin(self, limit_s: float) -> None:
        """Wait for the first turn; so many seconds later the time is over.

        Raises:
            Ended: as `request`.
        """
        self._await()
        self._ends_at = self._monotonic() + limit_s

    def request(
        self, send: Callable[[float], Reply], longest_s: Callable[[], float], after_chat: Callable[[], None]
    ) -> Reply:
        """Send when nobody chats, and again whenever a person's chat broke it off; blocks.

        Args:
            send: gets the seconds that it may take.
            longest_s: what that is at most, beside the deadline.
            after_chat: called before it is sent again; may make requests of its own.

        Raises:
            Ended: `deadline`, `stopped`, or `chat_busy` after ten minutes of waiting or twenty interruptions.
        """
        while True:
            self._await()
            if self.left_s <= 0:
                raise Ended("deadline")
            reply = send(min(longest_s(), self.left_s))
            if reply[1].outcome != "cancelled":
                break
            self._check_stopped()
            self._interruptions += 1
            if self._interruptions > _MOST_INTERRUPTIONS:
                raise Ended("chat_busy")
            after_chat()
        if reply[1].outcome == "timeout" and self.left_s <= 0:
            raise Ended("deadline")
        return reply

    def _await(self) -> None:
        began = self._monotonic()
        while not self._wait_idle(_IDLE_LOOK_S):
            self._check_stopped()
            if self._monotonic() - began > _LONGEST_WAIT_S:
                raise Ended("chat_busy")
        self._ends_at += self._monotonic() - began
        self._check_stopped()

    def _check_stopped(self) -> None:
        if self._stopped():
            raise Ended("stopped")
