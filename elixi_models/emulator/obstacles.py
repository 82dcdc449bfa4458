"""What stands in the way of a transfer: a full disk, connections that break."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import accumulate

from .errors import Refusal
from .transfers import Transfer

_RETRIES_END_S = tuple(accumulate((1, 2, 4, 8, 16, 32)))


@dataclass(eq=False, slots=True)
class Obstacle:
    """What stands in a transfer's way: here nothing."""

    transfer: Transfer

    def apply(self) -> None:
        """Hold the bytes up, before each line."""

    def give_up(self) -> None:
        """Raise the server's `Refusal` once it would give up, after each line."""


@dataclass(eq=False, slots=True)
class DiskFull(Obstacle):
    """No room beyond some bytes."""

    room: int
    path: str

    def apply(self) -> None:
        self.transfer.hold_at(self.room)

    def give_up(self) -> None:
        if self.transfer.bytes_so_far() >= self.room:
            raise Refusal(500, f"write {self.path}: no space left on device")


@dataclass(eq=False, slots=True)
class Cutting(Obstacle):
    """Connections break; each retry of the server brings a little more, until it gives up."""

    scale: float
    began: float = field(default_factory=time.monotonic)
    at_start: int = 0

    def __post_init__(self) -> None:
        self.at_start = self.transfer.bytes_so_far()

    def apply(self) -> None:
        tries = 1 + sum(self._elapsed() >= end for end in _RETRIES_END_S)
        self.transfer.hold_at(self.at_start + tries * self.transfer.total // 30)

    def give_up(self) -> None:
        if self._elapsed() >= _RETRIES_END_S[-1]:
            raise Refusal(500, "max retries exceeded: unexpected EOF")

    def _elapsed(self) -> float:
        return (time.monotonic() - self.began) / self.scale
