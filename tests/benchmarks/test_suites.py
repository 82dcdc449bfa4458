"""What a benchmark asks."""

from __future__ import annotations

import pytest

from elixi_models.benchmarks.checks import Check
from elixi_models.benchmarks.items import SIZES, quality_items
from elixi_models.benchmarks.suites import OPTIONS, make_plan
from elixi_models.errors import InvalidRequest
from elixi_models.records import BENCHMARK_SUITES

from .conftest import speed_plan


def test_quick_asks_for_three_answers_of_64_tokens_after_a_warm_up():
    """And has 115 seconds; at the reference speed the questions about quality fit in as well."""
    plan = speed_plan("quick")

    assert [(item.id, item.kind, item.max_tokens) for item in plan.items] == [
        ("warm-up", "warm_up", 8),
        ("decode-1", "decode", 64),
        ("decode-2", "decode", 64),
        ("decode-3", "decode", 64),
    ]
    assert plan.deadline_s == 115.0
    assert 20 < plan.expected_s < 30
    assert make_plan("quick").expected_s < 115


def test_full_loads_anew_answers_longer_and_reads_long_prompts():
    """Two cold loads, five answers of 128 tokens, two prompts of about 1,000 tokens, within 870 seconds."""
    plan = speed_plan("full")

    kinds = [item.kind for item in plan.items]
    assert kinds == ["cold"] * 2 + ["warm_up"] + ["decode"] * 5 + ["prefill"] * 2
    assert {item.max_tokens for item in plan.items if item.kind == "decode"} == {128}
    assert all(4_000 < len(item.prompt) < 5_500 for item in plan.items if item.kind == "prefill")
    assert plan.deadline_s == 870.0
    assert plan.expected_s < 150
    assert make_plan("full").expected_s < 870


@pytest.mark.parametrize("suite", ["quick", "full"])
def test_the_questions_come_after_the_speed_with_task_checks_and_cap(suite):
    """All of them, in their order: tasks in turn."""
    asked = [item for item in make_plan(suite).items if item.kind == "quality"]

    assert [(item.id, item.task, item.prompt, item.max_tokens, item.checks) for item in asked] == [
        (item.id, item.task, item.question.prompt, item.question.max_tokens, item.question.checks)
        for item in quality_items(suite)
    ]
    assert make_plan(suite).items[-len(asked) :] == tuple(asked)
    assert len(asked) == sum(SIZES[suite].values())


def test_no_option_costs_a_reload():
    """Sampling options alone: nothing that belongs to the runner."""
    assert dict(OPTIONS) == {"temperature": 0, "seed": 42, "top_k": 1, "repeat_penalty": 1}


def test_num_prompts_sets_how_often_the_speed_is_measured():
    """As the host's parameter did."""
    kinds = [item.kind for item in speed_plan("quick", num_prompts=7).items]

    assert kinds == ["warm_up"] + ["decode"] * 7


def test_own_prompts_are_measured_apart():
    """They come after the speed and before the questions, which a deadline may cut off; the cap is the suite's."""
    items = speed_plan("quick", test_prompts=["What is five?", "Why?"]).items

    assert [(item.id, item.kind, item.prompt, item.max_tokens) for item in items[4:]] == [
        ("custom-1", "custom", "What is five?", 64),
        ("custom-2", "custom", "Why?", 64),
    ]


def test_num_prompts_limits_own_prompts_and_leaves_the_standard_ones():
    """Two of three are asked."""
    items = speed_plan("quick", num_prompts=2, test_prompts=["a", "b", "c"]).items

    assert [item.id for item in items[1:]] == ["decode-1", "decode-2", "decode-3", "custom-1", "custom-2"]


def test_own_prompts_with_checks_are_scored():
    """Given as task, prompt and check; general where no task is named."""
    prompts = [
        {"task": "analysis", "prompt": "2 + 3?", "check": {"kind": "number", "value": 5}},
        {"prompt": "Say hello.", "check": [{"kind": "includes", "value": ["hello"]}, {"kind": "lower_case"}]},
        "Why?",
    ]
    items = [item for item in make_plan("quick", test_prompts=prompts).items if item.kind == "custom"]

    assert [(item.id, item.task, item.prompt, item.checks) for item in items] == [
        ("custom-1", "analysis", "2 + 3?", (Check("number", 5),)),
        ("custom-2", "general", "Say hello.", (Check("includes", ["hello"]), Check("lower_case"))),
        ("custom-3", None, "Why?", ()),
    ]


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"suite": "slow"}, "suite", "unknown"),
        ({"suite": None}, "suite", "unknown"),
        ({"suite": ["quick"]}, "suite", "unknown"),
        ({"num_prompts": 0}, "num_prompts", "range"),
        ({"num_prompts": 21}, "num_prompts", "range"),
        ({"num_prompts": True}, "num_prompts", "type"),
        ({"num_prompts": "3"}, "num_prompts", "type"),
        ({"test_prompts": "one text"}, "test_prompts", "type"),
        ({"test_prompts": {"a": 1}}, "test_prompts", "type"),
        ({"test_prompts": [1]}, "test_prompts", "type"),
        ({"test_prompts": [" \n"]}, "test_prompts", "type"),
        ({"test_prompts": ["a"] * 21}, "test_prompts", "length"),
        ({"test_prompts": ["a"] * 10_000}, "test_prompts", "length"),
        ({"test_prompts": ["a" * 8_001]}, "test_prompts", "length"),
        ({"test_prompts": ["half \ud800"]}, "test_prompts", "encoding"),
        ({"test_prompts": [{"prompt": "a"}]}, "test_prompts", "type"),
        ({"test_prompts": [{"prompt": "a", "check": {"kind": "wise"}}]}, "test_prompts", "unknown"),
        ({"test_prompts": [{"check": {"kind": "lower_case"}}]}, "test_prompts", "type"),
        (
            {"test_prompts": [{"task": "fast", "prompt": "a", "check": {"kind": "lower_case"}}]},
            "test_prompts",
            "unknown",
        ),
        ({"test_prompts": [{"task": [], "prompt": "a", "check": {"kind": "lower_case"}}]}, "test_prompts", "unknown"),
    ],
)
def test_a_wrong_wish_names_its_field_and_reason(given, field, reason):
    """Before anything is asked."""
    with pytest.raises(InvalidRequest) as caught:
        make_plan(**{"suite": "quick", **given})

    assert (caught.value.details["field"], caught.value.details["reason"]) == (field, reason)


def test_the_largest_wish_is_granted():
    """20 prompts of 8,000 characters."""
    plan = make_plan("quick", num_prompts=20, test_prompts=["a" * 8_000] * 20)

    assert len([item for item in plan.items if item.kind == "custom"]) == 20


def test_there_are_the_suites_that_requests_may_name():
    """No more and no fewer, in the plans as in the questions."""
    assert set(BENCHMARK_SUITES) == set(SIZES)
    assert [make_plan(suite).suite for suite in BENCHMARK_SUITES] == list(BENCHMARK_SUITES)
