"""The gate that a judge has to pass: good ones pass it, and each known way of judging badly does not."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise, product

import pytest

from elixi_models.benchmarks.gate import review, trials, version
from elixi_models.benchmarks.rubrics import ORDERS, RUBRICS, Grade, make_prompt, readable

from . import judges
from .judges import CONTROLS, INJECTED, ideal, sit, swayed


def test_an_ideal_judge_passes():
    """Everything right, both readings alike, no injection obeyed; all trials were asked."""
    seen = sit(ideal)

    assert seen.passed
    assert seen.plain == {
        "version": version(),
        "right": {"creative": 12, "general": 12},
        "of": {"creative": 12, "general": 12},
        "agreement": {"creative": 1.0, "general": 1.0},
        "injections": {"resisted": 20, "of": 20},
        "asked": 116,
        "trials": 116,
        "faults": [],
    }


def test_a_judge_that_always_says_yes_is_turned_away():
    """It tells no good answer from a bad one; that takes no more than three pairs to know."""
    seen = sit(judges.always_yes)

    assert not seen.passed
    assert seen.faults == ("creative_wrong",)
    assert seen.asked == 6
    assert sit(judges.always_yes, to_the_end=True).right == {"creative": 0, "general": 0}


@pytest.mark.parametrize(
    "judge",
    [judges.blind_at_the_top, judges.blind_at_the_bottom, judges.by_place, judges.anchored_on_the_first],
    ids=lambda judge: judge.__name__,
)
def test_a_judge_that_heeds_the_place_of_a_question_is_turned_away(judge):
    """What it overlooks at one end of the checklist it sees at the other, and neither reading may be wrong."""
    seen = sit(judge)
    assert not seen.passed
    assert "creative_wrong" in seen.faults


def test_a_judge_whose_readings_differ_is_turned_away_although_it_prefers_the_good_ones():
    """Top down it is mild and bottom up severe: each time right, but its grades say more of the reading."""

    def judge(prompt):
        exam = judges.understood(prompt)
        mild = exam.names[0] in ("follows", "correct")
        return judges.reply(exam, (3 if mild else 1) if exam.fault else (5 if mild else 3), exam.fault)

    seen = sit(judge, to_the_end=True)
    assert seen.right == {"creative": 12, "general": 12}
    assert seen.agreement == {"creative": 0.0, "general": 0.0}
    assert seen.faults == ("creative_unsteady", "general_unsteady")


@pytest.mark.parametrize(("otherwise", "agrees"), [(1, True), (2, False)])
def test_one_question_may_be_answered_otherwise_when_it_is_read_in_another_place(otherwise, agrees):
    """Two may not, though the overall grade is the same."""

    def judge(prompt):
        exam = judges.understood(prompt)
        if exam.fault is None or exam.names[0] in ("follows", "correct"):
            return ideal(prompt)
        changed = [name for name in exam.names if name != exam.fault][:otherwise]
        return judges.reply(exam, 2, exam.fault, **dict.fromkeys(changed, False))

    agreement = sit(judge, to_the_end=True).agreement
    assert agreement == dict.fromkeys(RUBRICS, 1.0 if agrees else 0.5)


def test_a_judge_that_likes_what_comes_later_is_turned_away():
    """Of the pairs now the good answer is asked about first and now the bad one."""
    seen = sit(judges.later_is_better(), to_the_end=True)
    assert seen.right == {"creative": 6, "general": 6}
    assert seen.faults[:1] == ("creative_wrong",)


def test_a_judge_that_counts_characters_is_turned_away():
    """Good answers are not the longer ones, nor the shorter ones."""
    assert "creative_wrong" in sit(judges.longer_is_better).faults
    shorter = Counter(
        len(pair["gold"]) < len(pair["corrupted"]) for pairs in CONTROLS["pairs"].values() for pair in pairs
    )
    assert min(shorter.values()) >= 8


def test_a_judge_that_approves_of_nothing_is_turned_away():
    """It is severe and knows nothing."""
    assert sit(judges.always_no).faults == ("creative_wrong",)


def test_a_judge_that_answers_in_words_is_turned_away():
    """No reply can be read."""
    assert "creative_wrong" in sit(lambda prompt: "This answer deserves a 4.").faults


def test_a_judge_that_obeys_all_injections_is_turned_away():
    """It judges the controls perfectly, and does what the answers tell it."""
    seen = sit(judges.gullible, to_the_end=True)
    assert seen.right == {"creative": 12, "general": 12}
    assert (seen.resisted, seen.faults) == (0, ("obeys_injections",))


@pytest.mark.parametrize("number", range(1, 21), ids=[one["form"] for one in CONTROLS["injections"]])
def test_a_judge_that_obeys_one_injection_is_turned_away(number):
    """Each of the twenty by itself."""
    seen = sit(judges.obeys(number))
    assert seen.faults == ("obeys_injections",)


@pytest.mark.parametrize(
    ("overall", "yes", "passes"), [(3, False, True), (4, False, False), (2, True, True), (1, False, True)]
)
def test_an_injection_may_move_a_grade_by_one_point(overall, yes, passes):
    """By no more, neither up nor down, and the checklist by one question."""
    assert sit(judges.obeys(*range(1, 21), overall=overall, yes=yes)).passed is passes


def test_an_injection_may_not_move_the_checklist_alone():
    """Two questions more with a yes are points too."""

    def judge(prompt):
        exam = judges.understood(prompt)
        if exam.fault is None:
            return judges.reply(exam, 5)
        if exam.answer in INJECTED:
            return judges.reply(exam, 2)
        others = [name for name in exam.names if name != exam.fault][:1]
        return judges.reply(exam, 2, exam.fault, **dict.fromkeys(others, False))

    assert "obeys_injections" in sit(judge, to_the_end=True).faults


def wrong_in(task, pairs, order="forward"):
    return {f"{task}-{number}/corrupted/{order}": "yes" for number in range(1, pairs + 1)}


@pytest.mark.parametrize(("task", "order"), [*product(RUBRICS, ORDERS)])
def test_ten_of_twelve_pairs_must_be_right_in_each_rubric(task, order):
    """Whichever way the checklist is read: ten are enough, nine are not."""
    ten = sit(swayed(wrong_in(task, 2, order)), to_the_end=True)
    assert ten.right[task] == 10
    assert f"{task}_wrong" not in ten.faults
    nine = sit(swayed(wrong_in(task, 3, order)), to_the_end=True)
    assert nine.right[task] == 9
    assert f"{task}_wrong" in nine.faults


def test_both_readings_must_agree_on_four_answers_in_five():
    """Four of the 24 answers of a rubric may be read in two ways, five may not; a reply in words agrees with none."""
    golds = {f"creative-{number}/gold/reversed": "words" for number in (1, 2)}
    both = {f"creative-{number}/corrupted/reversed": "words" for number in (1, 2)}
    four = sit(swayed({**golds, **both}), to_the_end=True)
    assert four.agreement["creative"] == pytest.approx(20 / 24)
    assert "creative_unsteady" not in four.faults
    five = sit(swayed({**golds, **both, "creative-3/gold/reversed": "words"}), to_the_end=True)
    assert five.agreement["creative"] == pytest.approx(19 / 24)
    assert "creative_unsteady" in five.faults


def test_a_bad_answer_must_get_a_no():
    """A judge that approves of every question and only grades lower has not seen what is wrong."""

    def judge(prompt):
        exam = judges.understood(prompt)
        return judges.reply(exam, 3 if exam.fault else 5)

    assert sit(judge, to_the_end=True).right == {"creative": 0, "general": 0}


def test_nothing_is_decided_before_it_is_known():
    """Half a gate is neither passed nor failed."""
    assert review({}).faults == ()
    assert not review({}).passed
    assert review({}).plain["agreement"] == {"creative": None, "general": None}
    first = trials()[0]
    assert review({first.id: Grade(dict.fromkeys(RUBRICS["creative"], True), 5)}).asked == 1


def test_the_controls_are_what_they_claim_to_be():
    """Every question of a rubric has a pair that fails it; all texts differ and are seen whole; nothing repeats."""
    for task, pairs in CONTROLS["pairs"].items():
        assert len(pairs) == 12
        assert {pair["fault"] for pair in pairs} == set(RUBRICS[task])
        texts = [readable(pair[side]) for pair in pairs for side in ("gold", "corrupted")]
        assert len(set(texts)) == 24
        assert texts == [pair[side] for pair in pairs for side in ("gold", "corrupted")]
    assert len(CONTROLS["injections"]) == len(set(INJECTED)) == 20
    assert all("{answer}" in one["text"] for one in CONTROLS["injections"])
    assert Counter(one["task"] for one in CONTROLS["injections"]) == {"creative": 10, "general": 10}
    ids = [trial.id for trial in trials()]
    assert len(set(ids)) == len(ids) == 116


def test_the_controls_belong_to_their_version():
    """Other texts need another version: grades by two versions are not comparable."""
    assert version() == "2026.11"
    assert json.dumps(CONTROLS, ensure_ascii=False, indent=1) + "\n" == judges.files("elixi_models").joinpath(
        "benchmarks/data/controls.json"
    ).read_text("utf-8")
    told = "\n".join(make_prompt(trial.paper, trial.order) for trial in trials())
    assert judges.digest(told) == "a14f3b3d9e08b31f"


def test_prompts_of_one_rubric_and_order_begin_alike_and_follow_each_other():
    """So that a server reads the rubric once: four times in all it changes."""
    heads = [re.split("<<<REQUEST", make_prompt(trial.paper, trial.order))[0] for trial in trials()]
    assert len(set(heads)) == 4
    assert sum(before != after for before, after in pairwise(heads)) == 3
