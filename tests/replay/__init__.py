"""Goal posts that can be judged offline: what a part measures, and when a figure passes.

A part is a module of this package with `figures() -> Iterable[Figure]`; it reads only `tests/replay/data`, draws
random numbers only from its own seeded generator, and is named in `PARTS`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).resolve().parent
PARTS = (
    "replies",
    "deadlines",
    "tidiness",
    "verdicts",
    "short_benchmarks",
    "cold_start",
    "left_out_sources",
    "without_feedback",
    "living_choice",
    "hot_path",
    "safety",
    "explanations",
    "detection",
    "failures",
)

#: Goal posts that this command cannot judge, and what they would take.
NOT_JUDGED = {
    2: "a real Ollama",
    6: "repeated runs on a real Ollama",
    7: "a judge",
    11: "words of users on answers, which the package does not take",
}
_HEAD = "| post | what | target | figure | tolerance | n | from | verdict |"


@dataclass(frozen=True)
class Figure:
    """One measured figure of a goal post, with the bound it must keep and by how much it may differ on a re-run.

    `sample` is the number of observations behind it, None where nothing was sampled; `source` is what it was computed
    from. A figure without a bound is there to compare with. `steady` figures are the same on every machine; the others
    are times.
    """

    post: int
    name: str
    value: float
    tolerance: float
    at_least: float | None = None
    at_most: float | None = None
    sample: int | None = None
    source: str = ""
    steady: bool = True

    @property
    def met(self) -> bool:
        """Whether the value keeps its bounds."""
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)

    @property
    def target(self) -> str:
        """The bounds as text."""
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return ", ".join(f"{sign} {bound:.5g}" for sign, bound in bounds if bound is not None)


@dataclass(frozen=True)
class KnownMiss:
    """A figure that misses its bound, said in `known_misses.toml`, and why that is accepted."""

    post: int
    name: str
    value: float
    reason: str


def measured(parts: Sequence[str]) -> Iterator[Figure]:
    """The figures of the parts, in order."""
    for part in parts:
        yield from importlib.import_module(f"{__name__}.{part}").figures()


def known_misses(path: Path = FOLDER / "known_misses.toml") -> list[KnownMiss]:
    """The entries `[[miss]]` of the file."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("miss", [])
    return [KnownMiss(**entry) for entry in entries]


def verdict(figure: Figure, misses: Iterable[KnownMiss]) -> str:
    """ "met", "known miss", or what is wrong: "MISSED", "MISSED, not as known", "met, still listed as a miss"."""
    listed = [miss for miss in misses if (miss.post, miss.name) == (figure.post, figure.name)]
    if figure.met:
        return "met, still listed as a miss" if listed and figure.steady else "met"
    if not listed:
        return "MISSED"
    return "known miss" if abs(listed[0].value - figure.value) <= figure.tolerance else "MISSED, not as known"


def in_order(figures: Iterable[Figure]) -> list[Figure]:
    """By goal post; within one as they were measured."""
    return sorted(figures, key=lambda figure: figure.post)


def summary(judged: Sequence[tuple[Figure, str]]) -> str:
    """One line for each goal post that was judged, then those that cannot be."""
    words: dict[int, list[str]] = {}
    for figure, word in judged:
        if figure.target:
            words.setdefault(figure.post, []).append(word)
    lines = []
    for post, found in sorted(words.items()):
        bad = [word for word in found if word != "met"]
        lines.append(
            f"post {post}: {len(found) - len(bad)} of {len(found)} figures met{''.join(f', {w}' for w in bad)}"
        )
    return "\n".join([*lines, *(f"post {post}: not judged, needs {what}" for post, what in NOT_JUDGED.items())])


def table(judged: Sequence[tuple[Figure, str]]) -> str:
    """The figures as a Markdown table."""
    lines = [_HEAD, "|---" * 8 + "|"]
    for figure, word in judged:
        sample = "" if figure.sample is None else f"{figure.sample:,}"
        cells = (
            figure.post,
            figure.name,
            figure.target,
            f"{figure.value:.5g}",
            f"± {figure.tolerance:g}",
            sample,
            figure.source,
            word if figure.target else "to compare",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
