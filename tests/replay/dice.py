"""Random numbers that are the same on every machine and version of Python: SplitMix64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1


class Dice:
    """A stream of numbers that its seed decides."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK
        for _ in range(4):
            self.word()

    def word(self) -> int:
        """64 random bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def uniform(self) -> float:
        """At least 0, less than 1."""
        return (self.word() >> 11) * 2.0**-53

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1."""
        return (self.word() * limit) >> 64

    def normal(self, mean: float = 0.0, sd: float = 1.0) -> float:
        """From a normal distribution."""
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        return mean + sd * radius * math.cos(2 * math.pi * self.uniform())

    def pick(self, among: Sequence[T]) -> T:
        """One of them."""
        return among[self.below(len(among))]

    def draw(self, among: Sequence[T], count: int) -> list[T]:
        """`count` different ones, in random order."""
        left = list(among)
        for place in range(count):
            other = place + self.below(len(left) - place)
            left[place], left[other] = left[other], left[place]
        return left[:count]
