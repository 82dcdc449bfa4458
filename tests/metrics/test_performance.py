"""The rules that all figures share."""

from __future__ import annotations

import math

import pytest

from elixi_models.performance import (
    believable_s,
    decode_rate,
    first_token_s,
    memory_efficiency,
    performance_document,
    response_s,
    token_gaps,
)


@pytest.mark.parametrize("tokens", [2, 3, 16, 64, 128, 512])
def test_the_decode_rate_counts_the_gaps_between_tokens(call, tokens):
    """A server of exactly 40 tokens/s is found to be one for every length of reply, within a thousandth."""
    gaps = token_gaps(call(tokens=tokens, eval_s=(tokens - 1) / 40))

    assert gaps is not None
    assert gaps[0] / gaps[1] == pytest.approx(40, rel=1e-3)


@pytest.mark.parametrize(
    ("tokens", "eval_s"),
    [(None, 1.0), (0, 1.0), (1, 1.0), (10, None), (10, 0.0), (10, -1.0), (10, math.nan), (10, math.inf), (10, 1e-9)],
)
def test_a_reply_that_cannot_tell_a_rate_is_left_out(call, tokens, eval_s):
    """No second token, no time, an impossible time or an impossible speed: no evidence."""
    assert token_gaps(call(tokens=tokens, eval_s=eval_s)) is None


def test_there_is_no_rate_below_64_gaps():
    """63 gaps are too few to name a rate, 64 are enough."""
    assert decode_rate(63, 1.0) is None
    assert decode_rate(64, 2.0) == 32.0
    assert decode_rate(64, 0.0) is None


@pytest.mark.parametrize("duration_s", [math.nan, math.inf, -0.1, 8 * 86_400.0, None])
def test_a_duration_that_cannot_be_true_is_unknown(duration_s):
    """NaN, infinite, negative and week-long durations count as not told."""
    assert believable_s(duration_s) is None


def test_the_load_is_in_neither_the_response_time_nor_the_first_token(call):
    """A cold call of 12 s, 10 of them the load, took its caller 2 s."""
    cold = call(duration_s=12.0, ttft_s=10.5, load_s=10.0)

    assert response_s(cold) == 2.0
    assert first_token_s(cold) == 0.5


@pytest.mark.parametrize("load_s", [None, math.nan, -3.0, 99.0])
def test_an_unknown_or_impossible_load_is_not_taken_off(call, load_s):
    """A load that is not told, or longer than the whole call, leaves the time as it was."""
    assert response_s(call(duration_s=2.0, load_s=load_s)) == 2.0


@pytest.mark.parametrize("outcome", ["timeout", "empty", "disconnected", "cancelled"])
def test_only_successes_have_a_response_time(call, outcome):
    """How long a failure took says nothing about how fast the model is."""
    assert response_s(call(outcome=outcome)) is None
    assert first_token_s(call(outcome=outcome, ttft_s=0.1)) is None


def test_the_performance_document_has_the_seeds_shape():
    """Every field of the seed is there, what is not known is None, and the same key gives the same id."""
    first, second = (
        performance_document(
            document_key="a key",
            ollama_url="http://127.0.0.1:11434",
            model="mistral:latest",
            weights_digest=None,
            at_s=1_800_000_000.9,
            performance={"tokens_per_second": 50.0, "total_requests": 3},
            memory_bytes=4_194_304_000,
            source="hour",
        )
        for _ in range(2)
    )

    assert first == second
    assert first["model_name"] == "mistral"
    assert first["timestamp"] == "2027-01-15T08:00:00Z"
    assert first["performance"] == {
        "tokens_per_second": 50.0,
        "avg_latency_ms": None,
        "error_rate": None,
        "total_requests": 3,
    }
    assert first["resource_usage"] == {"memory_mb": 4000, "cpu_percent": None, "memory_percent": None}
    assert first["memory_efficiency"] == {
        "gb_per_1000_tokens_per_second": pytest.approx(83.88608),
        "quality_per_gib": None,
        "footprint_per_file_byte": None,
    }
    assert first["benchmarks"] == {"general_purpose": None, "coding": None, "creativity": None, "analysis": None}
    assert first["task_suitability"] == {"general": None, "coding": None, "analysis": None, "creative": None}
    assert first["source"] == "hour"


def test_a_document_with_scores_has_quality_for_its_memory():
    """Points of the general score per GiB of footprint; without a score there is none."""
    scores = {"general_purpose": 60.0, "coding": None, "creativity": None, "analysis": None}
    document = performance_document(
        document_key="k",
        ollama_url="u",
        model="m:1b",
        weights_digest=None,
        at_s=0.0,
        performance={},
        memory_bytes=2**31,
        benchmarks=scores,
    )

    assert document["memory_efficiency"]["quality_per_gib"] == 30.0


def test_memory_efficiency_is_three_figures():
    """GB for 1,000 tokens/s, points per GiB, and how many times its file a model takes."""
    assert memory_efficiency(4 * 2**30, 100.0, file_bytes=2**31, general_score=80.0) == {
        "gb_per_1000_tokens_per_second": pytest.approx(42.94967296),
        "quality_per_gib": 20.0,
        "footprint_per_file_byte": 2.0,
    }


@pytest.mark.parametrize("memory_bytes", [None, 0])
def test_memory_efficiency_of_an_unknown_footprint_is_unknown(memory_bytes):
    """None of the three is invented, and a footprint of zero is unknown; so is a rate or a file of zero."""
    unknown = {"gb_per_1000_tokens_per_second": None, "quality_per_gib": None, "footprint_per_file_byte": None}

    assert memory_efficiency(memory_bytes, 10.0, file_bytes=10, general_score=5.0) == unknown
    assert memory_efficiency(10, 0.0, file_bytes=0) == unknown
