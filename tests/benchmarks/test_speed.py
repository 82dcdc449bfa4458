"""From replies to figures."""

from __future__ import annotations

import random
import statistics

import pytest

from elixi_models.benchmarks.speed import (
    bootstrap_ci90,
    decode_figure,
    first_token_figure,
    is_unstable,
    prefill_figure,
    reference_latency_s,
    server_rate,
    variation,
)
from elixi_models.quality import fast_suitability

from .conftest import reply


def test_the_decode_rate_is_pooled_over_gaps():
    """A long slow reply weighs more than a short fast one; Ollama's own rate counts one token too many each."""
    replies = [reply(tokens=33, eval_s=0.5), reply(tokens=97, eval_s=2.5), reply(outcome="timeout")]

    figure = decode_figure(replies)

    assert (figure["value"], figure["n"]) == (42.667, 2)
    assert server_rate(replies) == 43.333


def test_too_few_tokens_have_no_rate():
    """Below 64 gaps there is neither a value nor an interval; how many replies there were is said."""
    figure = decode_figure([reply(tokens=30, eval_s=1.0)] * 2)

    assert (figure["value"], figure["ci90"], figure["n"]) == (None, None, 2)
    assert server_rate([]) is None


def test_the_first_token_is_the_median_without_loads():
    """A load inside a reply is taken off."""
    figure = first_token_figure([reply(ttft_s=0.4), reply(ttft_s=5.5, load_s=5.0), reply(ttft_s=0.3)])

    assert (figure["value"], figure["n"]) == (400.0, 3)


def test_prefill_leaves_out_what_came_from_a_cache():
    """A rate of more than three times the usual one is no reading of the prompt."""
    figure = prefill_figure(
        [
            reply(prompt_s=0.4),
            reply(prompt_s=0.4),
            reply(prompt_s=0.004),
            reply(prompt_s=None),
            reply(prompt_tokens=None),
        ]
    )

    assert (figure["value"], figure["n"]) == (400.0, 2)


def test_nothing_has_no_figures():
    """No reply, no value, no interval."""
    for figure in (decode_figure([]), first_token_figure([]), prefill_figure([])):
        assert (figure["value"], figure["ci90"], figure["n"]) == (None, None, 0)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Of 60 draws of 12, some 80 to 97 % of the 90 % intervals hold the median."""
    draw = random.Random(3)
    intervals = [bootstrap_ci90([draw.gauss(100, 10) for _ in range(12)], statistics.median) for _ in range(60)]

    assert 48 <= sum(low <= 100 <= high for low, high in intervals) <= 58


def test_intervals_are_the_same_at_every_run():
    """1,000 resamples with a fixed seed; one value has no interval."""
    assert bootstrap_ci90([1.0, 2.0, 4.0], statistics.mean) == bootstrap_ci90([1.0, 2.0, 4.0], statistics.mean)
    assert bootstrap_ci90([1.0, 2.0, 4.0], statistics.mean) == [1.333, 3.333]
    assert bootstrap_ci90([1.0], statistics.median) is None


def test_a_noisy_machine_is_unstable():
    """From a spread of more than 10 % on; one reply has no spread."""
    steady = [reply(eval_s=1.0), reply(eval_s=1.05), reply(eval_s=0.98)]
    noisy = [reply(eval_s=1.0), reply(eval_s=1.6), reply(eval_s=0.9)]

    assert not is_unstable(steady)
    assert is_unstable(noisy)
    assert variation([reply()]) is None
    assert not is_unstable([])


def test_the_reference_latency_is_a_reply_of_150_tokens():
    """First token, and 150 tokens at the measured rate."""
    assert reference_latency_s({"value": 50.0}, {"value": 500.0}) == 3.5
    assert reference_latency_s({"value": None}, {"value": 500.0}) is None
    assert reference_latency_s({"value": 50.0}, {"value": None}) is None


@pytest.mark.parametrize(
    ("latency_s", "suitability"),
    [(1.0, 10.0), (2.0, 8.0), (32.0, 0.0), (0.2, 10.0), (500.0, 0.0), (None, None), (0.0, None)],
)
def test_being_fast_is_a_matter_of_doublings(latency_s, suitability):
    """One second is 10, each doubling costs two, 32 seconds are 0."""
    assert fast_suitability(latency_s) == suitability
