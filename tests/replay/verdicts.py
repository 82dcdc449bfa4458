"""What the checks of answers are worth: gold answers pass, near misses do not, for every kind and every question.

The answers are those that the tests of `tests/benchmarks` try too.
"""

from __future__ import annotations

from collections.abc import Iterator

from elixi_models.benchmarks.checks import KINDS, Check
from elixi_models.benchmarks.items import QualityItem, quality_items
from elixi_models.benchmarks.verifiers import verify
from tests.benchmarks.answers import CASES
from tests.benchmarks.near_misses import near_misses

from . import Figure

SUITES, FEWEST = ("quick", "full"), 5


def passed(answers: list[str], check: Check) -> int:
    """How many of the answers pass the check."""
    return sum(verify(answer, [check]).passed for answer in answers)


def figures() -> Iterator[Figure]:
    """By kind of check, then by question of both suites."""
    tried = {kind: [case for case in CASES if case[0] == kind] for kind in KINDS}
    right = [(Check(kind, value), gold) for kind, value, gold, _ in CASES]
    wrong = [(Check(kind, value), misses) for kind, value, _, misses in CASES]
    least = min(sum(len(set(misses)) for *_, misses in cases) for cases in tried.values())
    yield from _judged("kinds of checks", right, wrong, least, f"{len(KINDS)} kinds")
    items = [item for suite in SUITES for item in quality_items(suite)]
    right = [(check, [item.question.gold]) for item in items for check in item.question.checks]
    wrong = [(check, near_misses(check, item.question.gold)) for item in items for check in item.question.checks]
    source = f"{len(items)} questions of both suites"
    yield from _judged("checks of questions", right, wrong, min(len(set(misses)) for _, misses in wrong), source)
    yield _of_others(items)


def _judged(
    what: str, right: list[tuple[Check, list[str]]], wrong: list[tuple[Check, list[str]]], least: int, source: str
) -> Iterator[Figure]:
    golds, misses = sum(len(answers) for _, answers in right), sum(len(answers) for _, answers in wrong)
    share = 100 * sum(passed(answers, check) for check, answers in right) / golds
    yield Figure(4, f"{what}: gold answers that pass, %", share, 0, at_least=100, sample=golds, source=source)
    false = sum(passed(answers, check) for check, answers in wrong)
    yield Figure(4, f"{what}: near misses that pass", false, 0, at_most=0, sample=misses, source=source)
    yield Figure(4, f"{what}: near misses of each, fewest", least, 0, at_least=FEWEST, sample=len(wrong), source=source)


def _of_others(items: list[QualityItem]) -> Figure:
    """Questions with one right answer are not passed by that of another question."""
    closed = [item.question for item in items if item.task in ("coding", "analysis")]
    pairs = [(one, other) for one in closed for other in closed if one.gold != other.gold]
    false = sum(verify(other.gold, one.checks).passed for one, other in pairs)
    source = "coding and analysis, both suites"
    name = "questions passed by the right answer to another"
    return Figure(4, name, false, 0, at_most=0, sample=len(pairs), source=source)
