"""Checks of answers: gold passes, near misses do not."""

from __future__ import annotations

import warnings
from collections import Counter

import pytest

from elixi_models.benchmarks.checks import KINDS, Check
from elixi_models.benchmarks.verifiers import parse_checks, verify
from elixi_models.errors import InvalidRequest

from .answers import CASES


def cases(which):
    return [
        pytest.param(Check(kind, value), answer, id=f"{kind}-{number}")
        for kind, value, *answers in CASES
        for number, answer in enumerate(answers[which])
    ]


@pytest.mark.parametrize(("check", "answer"), cases(0))
def test_gold_answers_pass(check, answer):
    """In every form that leaves no doubt."""
    assert verify(answer, [check]).credit == 1.0


@pytest.mark.parametrize(("check", "answer"), cases(1))
def test_near_misses_do_not_pass(check, answer):
    """No false pass."""
    assert not verify(answer, [check]).passed


def test_every_kind_has_gold_and_at_least_five_near_misses():
    """No check is used that was not tried."""
    assert {kind for kind, *_ in CASES} == set(KINDS)
    assert Counter({kind: len(misses) for kind, _, _, misses in CASES}).most_common()[-1][1] >= 5


def test_credit_is_the_share_of_checks_that_hold():
    """And the verdict names those that did not."""
    checks = [Check("word_count", 3), Check("lower_case"), Check("includes", ["sea"]), Check("ends_with", "x")]
    verdict = verify("the sea sings", checks)

    assert (verdict.credit, verdict.failed, verdict.void, verdict.passed) == (0.75, ("ends_with",), None, False)


@pytest.mark.parametrize(
    ("answer", "void"),
    [
        (None, "empty"),
        ("", "empty"),
        (" \n*…* ", "empty"),
        ("<think>It is 5.</think>", "empty"),
        ("<think>It is 5", "empty"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("As an AI language model, I have no opinion.", "refused"),
        ("I cannot assist with this request.", "refused"),
        ("Unfortunately, I am unable to write poems", "refused"),
        ("**I’m not able to provide** that", "refused"),
        ("a b c d e f g h i j k l " * 5, "looping"),
        ("no " * 20, "looping"),
    ],
)
def test_an_answer_that_is_none_gets_nothing(answer, void):
    """However many checks would hold by luck."""
    verdict = verify(answer, [Check("excludes", ["zebra"]), Check("lower_case")])

    assert (verdict.credit, verdict.void, len(verdict.failed)) == (0.0, void, 2)


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot forget the sea. It was cold.",
        "Sorry seems to be the hardest word.",
        "She said: I'm sorry, but I can't help you.",
        "42",
        "[]",
        "a b c d e f g h i j k l " * 3,
        "la " * 14,
        "<think>Hm.</think> The sea.",
    ],
)
def test_an_answer_that_only_looks_like_none_counts(answer):
    """Words of a refusal within a text, a number alone, a refrain."""
    assert verify(answer, [Check("excludes", ["zebra"])]).credit == 1.0


def test_a_cut_answer_fails_what_needs_its_end():
    """What stands in it counts all the same."""
    checks = [Check("includes", ["sea"]), Check("word_range", [1, 9]), Check("varied", 0.5)]
    verdict = verify("the sea sings and", checks, cut=True)

    assert (verdict.failed, verdict.credit) == (("word_range",), pytest.approx(2 / 3))


@pytest.mark.parametrize(
    "text", ["1 if", "'\\d'", "(1)(2)", "[1][1, 2]", "1or 2", "(" * 5_000, "9" * 5_000, "'" + "a" * 3_000]
)
def test_no_answer_makes_python_speak_or_fail(text):
    """Odd literals neither warn nor raise, whatever their size."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert verify(text, [Check("literal", "5"), Check("number", 5), Check("json_keys", ["a"])]).credit == 0.0
        assert verify(f"Answer: {text}", [Check("number", 5)]).credit == 0.0


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_million_characters_are_checked_in_no_time(kind):
    """No check takes more than linear time, more or less."""
    value = next(value for name, value, *_ in CASES if name == kind)
    for text in ("answer: " * 60_000, "a" * 500_000, "1," * 250_000, "{" * 500_000, "- \n" * 150_000, "is " * 150_000):
        verify(text, [Check(kind, value)])


def test_a_users_checks_are_understood():
    """One or a list of them."""
    assert parse_checks({"kind": "number", "value": 5}, field="check") == (Check("number", 5),)
    assert parse_checks([{"kind": "lower_case"}, {"kind": "line_count", "value": 2}], field="check") == (
        Check("lower_case"),
        Check("line_count", 2),
    )
    for kind, value, *_ in CASES:
        assert parse_checks({"kind": kind, "value": value}, field="check") == (Check(kind, value),)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "length"),
        ([{"kind": "lower_case"}] * 11, "length"),
        (None, "type"),
        ("number", "type"),
        ({"value": 5}, "type"),
        ({"kind": 5}, "type"),
        ({"kind": "is_good"}, "unknown"),
        ({"kind": "number", "value": "5"}, "value"),
        ({"kind": "number", "value": float("nan")}, "value"),
        ({"kind": "number", "value": True}, "value"),
        ({"kind": "word_range", "value": [1]}, "value"),
        ({"kind": "line_count", "value": -1}, "value"),
        ({"kind": "literal", "value": "print(5)"}, "value"),
        ({"kind": "literal", "value": 5}, "value"),
        ({"kind": "answer", "value": "five"}, "value"),
        ({"kind": "answer", "value": []}, "value"),
        ({"kind": "json_values", "value": {}}, "value"),
        ({"kind": "lower_case", "value": 1}, "value"),
        ({"kind": "varied", "value": 2}, "value"),
    ],
)
def test_a_check_that_is_none_is_refused(given, reason):
    """With the field and the reason."""
    with pytest.raises(InvalidRequest) as caught:
        parse_checks(given, field="test_prompts[0].check")

    assert (caught.value.details["field"], caught.value.details["reason"]) == ("test_prompts[0].check", reason)
