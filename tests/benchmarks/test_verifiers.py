"""Checks of answers: gold passes, near misses do not."""

from __future__ import annotations

import warnings
from collections import Counter

import pytest

from elixi_models.benchmarks.checks import KINDS, Check
from elixi_models.benchmarks.verifiers import parse_checks, verify
from elixi_models.errors import InvalidRequest

#: (kind, value, answers that pass, answers that nearly do)
CASES = [
    (
        "json_keys",
        ["name", "size"],
        ['{"name": "x", "size": 3}', '```json\n{"size": 1, "name": null}\n```', ' {"size": [], "name": {}} '],
        [
            '{"name": "x"}',
            '{"name": "x", "size": 3, "more": 1}',
            "{'name': 'x', 'size': 3}",
            'Here it is: {"name": "x", "size": 3}',
            '["name", "size"]',
            '{"name": "x", "size": 3',
            '{"Name": "x", "size": 3}',
        ],
    ),
    (
        "json_values",
        {"town": "Halden", "count": 7},
        ['{"town": "Halden", "count": 7}', '{"count": 7, "town": " halden "}'],
        [
            '{"town": "Halden", "count": 8}',
            '{"town": "Halden", "count": "7"}',
            '{"town": "Halden", "count": 7.0}',
            '{"town": "Haldens", "count": 7}',
            '{"town": "Halden"}',
            '{"town": "Halden", "count": 7, "coins": 3}',
            "Halden, 7",
        ],
    ),
    (
        "bullet_count",
        3,
        ["- a\n- b\n- c", "* red\n* blue\n\n* green", "• x\n• y\n• z"],
        [
            "- a\n- b",
            "- a\n- b\n- c\n- d",
            "Here:\n- a\n- b\n- c",
            "1. a\n2. b\n3. c",
            "a\nb\nc",
            "- a - b - c",
            "-a\n-b\n-c",
        ],
    ),
    (
        "sentence_count",
        2,
        ["It rains. We wait.", "Is it 3.5 km? Yes!", 'He said "go." They went.'],
        [
            "It rains.",
            "It rains. We wait. It stops.",
            "It rains, we wait",
            "It rains! Oh! We wait.",
            "One; two; three.",
        ],
    ),
    (
        "word_count",
        4,
        ["old and quiet rooms", "It's a well-known thing.", "one, two, three, four"],
        ["old quiet rooms", "an old and quiet room", "old\nand\nquiet", "- - - -", "onetwothreefour"],
    ),
    (
        "word_range",
        [3, 5],
        ["a b c", "a b c d e"],
        ["a b", "a b c d e f", "a-b c", "ab.", "a b, c d, e f"],
    ),
    (
        "line_count",
        2,
        ["a\nb", "a\n\n b \n"],
        ["a", "a\nb\nc", "a b", "Title\n\na\nb", "a / b"],
    ),
    (
        "includes",
        ["copper", "old bridge"],
        ["The Copper lay by the old bridge.", "old bridge, copper"],
        [
            "The coppers of the old bridge",
            "copper bridge",
            "old bridges of copper",
            "bridge old copper",
            "The old bridge",
        ],
    ),
    (
        "excludes",
        ["suddenly", "very"],
        ["It was every day.", "sudden"],
        ["Suddenly it rained", "a very big one", "It came SUDDENLY.", "very", "so (very) big", "stop, suddenly!"],
    ),
    (
        "lower_case",
        None,
        ["we went home", "ähnlich 3 mal", "a-b."],
        ["We went home", "we went Home", "we went to x and Y", "WE", "3.14", "the ÄRGER"],
    ),
    (
        "ends_with",
        "and then it rained",
        ["we went home and then it rained", '"so and then it rained"', "x and then it rained  \n"],
        [
            "we went home and then it rained.",
            "and then it rained again",
            "and then it Rained",
            "we went home and then it rains",
            "and then it rained\nThe end",
        ],
    ),
    (
        "answer",
        ["N'Djamena", "Ndjamena"],
        [
            "N'Djamena",
            "N’Djamena.",
            "**ndjamena**",
            "The capital of Chad is N'Djamena.",
            "Let me think.\nIt lies in the west.\nAnswer: N'Djamena",
            "Answer: **N'Djaména**\nI am sure.",
        ],
        [
            "It is not N'Djamena",
            "N'Djamena or Moundou",
            "Djamena",
            "N'Djamena\nMoundou",
            "Answer: Moundou, not N'Djamena",
            "Answer: N'Djamena\nAnswer: Moundou",
            "N'Djamena, Moundou, Sarh",
            "The capital is Moundou",
            "The answer isn't N'Djamena",
            "Answer:",
        ],
    ),
    (
        "number",
        1234.5,
        [
            "Answer: 1234.5",
            "So 3.\nAnswer: 1,234.5 coins",
            "**Answer:** $1234.50",
            "answer: 2469/2",
            "Answer: 1000 + 234.5 = 1234.5\nThat was easy.",
            "Answer: 7\nNo, wait.\nAnswer: 1234.5",
        ],
        [
            "1234.5",
            "Answer: 1234.4",
            "Answer: -1234.5",
            "Answer: 1234",
            "Answer: 12345",
            "Answer: 1234.5 or 1235",
            "Answer: 1234.5\nAnswer: 7",
            "Answer: not 1234.5",
            "Answer: 2469/0",
            "Answer: 1233-1234.5",
            "Answer: 1000000000000000000000001234.5",
            "Answer: one thousand",
        ],
    ),
    (
        "literal",
        "[1, 'a', (2, True)]",
        [
            "[1, 'a', (2, True)]",
            'It prints:\n[1, "a", (2,True)]',
            "```\n[1, 'a', (2, True)]\n```",
            "Output: `[1, 'a', (2, True)]`",
        ],
        [
            "[1, 'a', (2, 1)]",
            "[1.0, 'a', (2, True)]",
            "(1, 'a', (2, True))",
            "[1, 'a', [2, True]]",
            "[1, 'a', (2, True)] is printed",
            "[1, 'a', (2, True)]\nBecause.",
            "print([1, 'a', (2, True)])",
            "[1, a, (2, True)]",
            "[1, 'A', (2, True)]",
            "[1, 'a', (2, True)",
            "[1] [0]",
            "``` \n```",
            "```python\n```",
        ],
    ),
    (
        "acrostic",
        "SUN",
        ["Snow\nUnder\nNight", "sea\n\n*up*\n- no"],
        ["Snow\nUnder", "Snow\nUnder\nNight\nAgain", "Sun", "Night\nUnder\nSnow", "Title\nSnow\nUnder\nNight", "S U N"],
    ),
    (
        "without_letters",
        "mz",
        ["we go on", "BEACH 3"],
        ["we come on", "a Maze", "Zoo", "the gaze", "…", "M"],
    ),
    (
        "varied",
        0.6,
        ["one two three four five", "the sea and the sea at night"],
        ["la la la la la", "go on go on go on go on", "ha ha", "no", "a a a a b b b"],
    ),
]


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
