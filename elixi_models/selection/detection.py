"""Which task a message is about, from its words alone: a small regression, no model, no I/O after the first call."""

from __future__ import annotations

import math
import re
import struct
import zlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import accumulate, pairwise

from ..records import Task
from .features import excerpt, features, tokens

#: The order of the columns in the weights file.
LABELS: tuple[Task, ...] = ("general", "coding", "analysis", "creative")
#: Below this the classifier guesses, and a general model serves a wrong guess best.
SURE = 0.4
#: Of the training's prompts with a fenced block so many are about code.
_FENCED_SHARE = 0.84
_FENCE = "```"
_BLOCK = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_REWRITING = frozenset(("translate", "translation", "summarize", "summarise", "summary", "proofread"))
_HEADER = struct.Struct("<Id4d")
_RAISE, _FIELD, _SHIFTS = 128, 0xFFFFFF, (0, 24, 48, 72)


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of each known feature by its hash; `unit` is the size of weight 1.

    The int8 weights of a feature for LABELS stand in one number, each raised by 128 in a field of its own that is wide
    enough for the sum of 65,000: one addition adds all four.
    """

    rows: Mapping[int, int]
    unit: float
    biases: tuple[float, ...]

    def probabilities(self, hashes: Iterable[int]) -> list[float]:
        """How likely each of LABELS is, 0-1, given the hashes of a message's features; unknown ones count nothing."""
        known = [*filter(None, map(self.rows.get, hashes))]
        size = self.unit / math.sqrt(len(known) or 1)
        total, raised = sum(known), _RAISE * len(known)
        sums = [(total >> shift & _FIELD) - raised for shift in _SHIFTS]
        scores = [bias + size * part for bias, part in zip(self.biases, sums, strict=True)]
        highest = max(scores)
        shares = [math.exp(score - highest) for score in scores]
        # fsum: a plain sum differs in the last digit from Python 3.12 on.
        total_share = math.fsum(shares)
        return [share / total_share for share in shares]


def pack(hashes: list[int], columns: list[list[int]], unit: float, biases: list[float]) -> bytes:
    """The weights file: sorted 24-bit hashes as differences (low bytes, high bytes), then a column of int8 a label."""
    gaps = [after - before for before, after in pairwise([0, *hashes])]
    body = bytes(gap & 0xFF for gap in gaps) + bytes(gap >> 8 for gap in gaps)
    body += b"".join(array("b", column).tobytes() for column in columns)
    return zlib.compress(_HEADER.pack(len(hashes), unit, *biases) + body, 9)


def unpack(packed: bytes) -> Weights:
    """The contrary of `pack`."""
    plain = memoryview(zlib.decompress(packed))
    count, unit, *biases = _HEADER.unpack_from(plain)
    parts = [plain[start : start + count] for start in range(_HEADER.size, len(plain), count)]
    hashes = accumulate(low + (high << 8) for low, high in zip(parts[0], parts[1], strict=True))
    columns = [part.cast("b") for part in parts[2:]]
    return Weights(dict(zip(hashes, map(_joined, *columns), strict=True)), unit, tuple(biases))


def _joined(*weights: int) -> int:
    return sum(weight + _RAISE << shift for weight, shift in zip(weights, _SHIFTS, strict=True))


def hashed(found: Iterable[str]) -> list[int]:
    """24-bit hashes of features, the same in every process and Python."""
    return [checksum >> 8 for checksum in map(zlib.crc32, map(str.encode, found))]


@lru_cache(maxsize=1)
def dictionary() -> Mapping[str, str]:
    """Words of other languages → the English word of the same meaning, for words that tell tasks apart."""
    text = files("elixi_models").joinpath("selection/data/detection_words.txt").read_text(encoding="utf-8")
    entries = (line.partition(": ") for line in text.splitlines())
    return {word: english for english, _, words in entries for word in words.split()}


@lru_cache(maxsize=1)
def _weights() -> Weights:
    return unpack(files("elixi_models").joinpath("selection/data/detection.weights").read_bytes())


def detect(prompt: str) -> tuple[Task, float, str]:
    """Guess the task of a message; the same answer in every process, no I/O but for the first call.

    Args:
        prompt: the last message of the user; its first 600 and last 200 characters are read, without a greeting.

    Returns:
        The task (general, coding, analysis or creative; never fast, which is only asked for), its probability 0-1,
        and how it was found: "code_block" for a message with a fenced block that asks neither for a translation nor
        for a summary, "classifier", or "unsure" when no task reached 0.4 and general was taken.
    """
    text, words = excerpt(prompt), dictionary()
    # A search for one character is many times as quick as one for three.
    if "`" in prompt and _FENCE in prompt:
        if _REWRITING.isdisjoint(tokens(text, words)):
            return "coding", _FENCED_SHARE, "code_block"
        text = _BLOCK.sub("\n", text)
    probabilities = _weights().probabilities(hashed(features(text, words)))
    best = max(range(len(LABELS)), key=probabilities.__getitem__)
    if probabilities[best] < SURE:
        return LABELS[0], probabilities[0], "unsure"
    return LABELS[best], probabilities[best], "classifier"
