"""A question with its checks, and chance that is the same on every Python."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..checks import Check

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, what an answer is held to, an answer that passes, and the cap of tokens."""

    prompt: str
    checks: tuple[Check, ...]
    gold: str
    max_tokens: int


class Dice:
    """Chance that depends on nothing but its name.

    Only `random()` is drawn from the generator: it is what Python promises to keep the same from version to version.
    """

    def __init__(self, name: str) -> None:
        self._random = random.Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.number(0, len(options) - 1)]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """So many different ones of the options, in a drawn order."""
        left = list(options)
        return [left.pop(self.number(0, len(left) - 1)) for _ in range(count)]


NAMES = (
    "Ada", "Bela", "Carlo", "Dunja", "Emil", "Farah", "Goran", "Hanna", "Ilias", "Jana",
    "Kofi", "Lena", "Milo", "Nadia", "Oskar", "Petra", "Quirin", "Rosa", "Selim", "Tilda",
)  # fmt: skip
