"""The questions of the quality suites."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections import Counter

import pytest

from elixi_models.benchmarks.items import SIZES, SUITE_VERSION, quality_items
from elixi_models.benchmarks.tasks.question import Dice
from elixi_models.benchmarks.verifiers import verify

from .near_misses import near_misses

#: Of all prompts of the full suite. Whoever changes a question changes SUITE_VERSION with it.
PINNED = ("2026.11", "29491083378e1636")


@pytest.mark.parametrize(("suite", "total"), [("quick", 20), ("full", 64)])
def test_a_suite_has_so_many_questions_of_each_task(suite, total):
    """All different, each with an id of its own."""
    items = quality_items(suite)

    assert Counter(item.task for item in items) == SIZES[suite]
    assert len(items) == total
    assert len({item.id for item in items}) == len({item.question.prompt for item in items}) == total


def test_tasks_take_turns_so_that_any_deadline_leaves_balanced_data():
    """After any number of questions no task is more than one behind another that still has some."""
    assert [item.task for item in quality_items("quick")][:9] == [
        *("general", "coding", "analysis", "creative") * 2,
        "general",
    ]


def test_quick_is_the_beginning_of_full():
    """So that both measure the same thing."""
    full = {item.id: item for item in quality_items("full")}

    assert all(full[item.id] == item for item in quality_items("quick"))


def test_the_questions_belong_to_the_version():
    """The same bytes on every Python; another wording needs another version, another seed asks something else."""
    prompts = "\n".join(item.question.prompt for item in quality_items("full"))

    assert (SUITE_VERSION, hashlib.sha256(prompts.encode()).hexdigest()[:16]) == PINNED
    assert prompts != "\n".join(item.question.prompt for item in quality_items("full", seed=43))


@pytest.mark.parametrize("seed", range(40))
def test_every_gold_answer_passes_all_of_its_checks(seed):
    """Within its cap of tokens, at four characters each."""
    for item in quality_items("full", seed=seed):
        verdict = verify(item.question.gold, item.question.checks)
        assert verdict.passed, (item, verdict)
        assert len(item.question.gold) / 4 <= item.question.max_tokens + 8


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_no_near_miss_passes(seed):
    """Five and more for each check of each question; neither the check nor the question is passed."""
    for item in quality_items("full", seed=seed):
        for check in item.question.checks:
            answers = near_misses(check, item.question.gold)
            assert len(set(answers)) >= 5
            assert [answer for answer in answers if verify(answer, [check]).passed] == []


@pytest.mark.parametrize("seed", range(40))
def test_no_gold_answer_passes_for_another_question(seed):
    """A model that answers something else gets nothing by luck, but where a question leaves the words free."""
    items = [item for item in quality_items("quick", seed=seed) if item.task in ("coding", "analysis")]
    for item, other in zip(items, items[1:] + items[:1], strict=True):
        if item.question.gold != other.question.gold:
            assert not verify(other.question.gold, item.question.checks).passed


@pytest.mark.parametrize("seed", range(20))
def test_programs_print_what_the_grammar_worked_out(seed):
    """Python agrees; these programs are our own, a model's are never run."""
    for item in quality_items("full", seed=seed):
        found = re.search(r"```python\n(.*?)```", item.question.prompt, re.DOTALL)
        if found:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(found[1], {})
            assert printed.getvalue().strip() == item.question.gold


def test_dice_are_fair_and_stay_within_bounds():
    """Both ends come up, samples do not repeat, the same name gives the same throws."""
    dice = Dice("fair")
    throws = Counter(dice.number(1, 6) for _ in range(6_000))

    assert set(throws) == {1, 2, 3, 4, 5, 6}
    assert all(850 < count < 1_150 for count in throws.values())
    assert sorted(dice.sample(range(9), 9)) == list(range(9))
    assert [Dice("a").number(0, 10**6) for _ in range(2)] == [Dice("a").number(0, 10**6)] * 2
