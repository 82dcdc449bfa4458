"""Which answers a judge gets to read, what they are worth to it, and what the report says of it."""

from __future__ import annotations

import pytest

from elixi_models.benchmarks.gate import review
from elixi_models.benchmarks.items import quality_items
from elixi_models.benchmarks.judgement import Judgement, Mark, choose_papers, make_mark
from elixi_models.benchmarks.rubrics import Grade, Paper
from elixi_models.benchmarks.runner import Sample
from elixi_models.benchmarks.suites import Item, make_plan
from elixi_models.benchmarks.verifiers import verify
from elixi_models.inventory import InstalledModel

from .conftest import reply

PLAN = make_plan("full")
GOLDS = {item.id: item.question.gold for item in quality_items("full")}
JUDGE = InstalledModel("b:latest", "d2", weights_digest="w2")


def answered(item, answer):
    return Sample(item, reply(), None, answer, verify(answer, item.checks))


def quality(answer=None):
    return [answered(item, answer or GOLDS[item.id]) for item in PLAN.items if item.kind == "quality"]


def test_eight_creative_and_four_open_general_answers_are_judged():
    """In the order they were given; questions with one right answer and other tasks are left to the checks."""
    papers = choose_papers(quality())

    assert [item_id for item_id in papers if item_id.startswith("creative")] == [f"creative-{n}" for n in range(1, 9)]
    assert [item_id for item_id in papers if item_id.startswith("general")] == [f"general-{n}" for n in (1, 4, 7, 11)]
    assert len(papers) == 12


def test_a_general_answer_is_read_beside_a_right_one_and_a_creative_one_is_not():
    """The request and the answer are the ones of the benchmark."""
    papers = choose_papers(quality("- something\n- of its own"))
    items = {item.id: item for item in PLAN.items}
    assert papers["general-1"] == Paper(
        "general", items["general-1"].prompt, "- something\n- of its own", GOLDS["general-1"]
    )
    assert papers["creative-1"].reference is None


def test_what_is_void_failed_or_not_of_the_suite_is_not_judged():
    """Silence, refusals, failures of the server, speed, and the user's own prompts."""
    creative = next(item for item in PLAN.items if item.id == "creative-1")
    own = Item("custom-1", "custom", "Write.", 64, "creative", creative.checks)
    speed = next(item for item in PLAN.items if item.kind == "decode")
    samples = [
        answered(creative, ""),
        answered(creative, "I'm sorry, but I cannot help with that."),
        Sample(creative, reply(outcome="timeout"), None),
        answered(own, "A poem."),
        Sample(speed, reply(), None, "A story."),
    ]
    assert choose_papers(samples) == {}


def grade(overall, yes):
    return Grade({name: number < yes for number, name in enumerate("abcde")}, overall)


@pytest.mark.parametrize(
    ("readings", "share", "unstable"),
    [
        ([grade(5, 5), grade(5, 5)], 1.0, False),
        ([grade(5, 5), grade(4, 5)], 0.9375, False),
        ([grade(5, 5), grade(3, 5)], 0.875, True),
        ([grade(1, 0), grade(1, 0)], 0.0, False),
    ],
)
def test_a_mark_is_the_mean_of_both_readings_and_tells_when_they_differ(readings, share, unstable):
    """By more than one point of the overall grade."""
    assert make_mark(Paper("creative", "Write.", "Text."), readings) == Mark("creative", share, unstable, 5)


def test_the_report_tells_who_judged_how_it_did_and_what_it_thinks():
    """Points of ten; whether longer pieces get more, once there are enough."""
    marks = {
        "creative-1": Mark("creative", 0.5, False, 100),
        "creative-2": Mark("creative", 0.75, True, 200),
        "general-1": Mark("general", 1.0, False, 10),
    }
    seen = review({})
    assert Judgement("accepted", None, JUDGE, seen, marks, 12).plain == {
        "model": "b",
        "digest": "d2",
        "weights_digest": "w2",
        "status": "accepted",
        "reason": None,
        "gate": seen.plain,
        "answers": {"planned": 12, "judged": 3, "unstable": 1},
        "points": {"creative": 6.25, "general": 10.0},
        "length_correlation": 1.0,
    }


def test_without_a_judge_the_report_says_why():
    """And nothing else."""
    assert Judgement("none", "no_eligible_model", planned=12).plain == {
        "model": None,
        "digest": None,
        "weights_digest": None,
        "status": "none",
        "reason": "no_eligible_model",
        "gate": None,
        "answers": {"planned": 12, "judged": 0, "unstable": 0},
        "points": {"creative": None, "general": None},
        "length_correlation": None,
    }


def test_a_correlation_that_cannot_be_told_is_none():
    """One piece, or all alike."""
    for marks in ([0.5], [0.5, 0.5]):
        found = {f"creative-{n}": Mark("creative", mark, False, 10) for n, mark in enumerate(marks)}
        assert Judgement("accepted", None, JUDGE, None, found, 12).plain["length_correlation"] is None
