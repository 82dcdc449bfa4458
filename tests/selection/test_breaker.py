"""Rests after failures, and the errors that lower a model."""

from __future__ import annotations

import math

import pytest

from elixi_models.records import Measurement
from elixi_models.selection.breaker import error_share, judge


def calls(text: str, start_s: float = 0.0) -> list[Measurement]:
    """One call a second: `.` good, `x` failed, `c` cancelled, `u` unreachable."""
    outcomes = {".": "ok", "x": "timeout", "c": "cancelled", "u": "unreachable"}
    return [
        Measurement(f"{start_s}{i}", start_s + i, "u", "m:1", "chat", outcomes[sign], 0.5)  # type: ignore[arg-type]
        for i, sign in enumerate(text)
    ]


@pytest.mark.parametrize(
    ("history", "resting"),
    [
        ("", False),
        ("xx", False),
        ("xxx", True),
        ("xx.x", False),
        ("x.x.x.", True),
        ("x.x.x", False),
        (".x..x.", False),
        ("xcxcx", True),
        ("uuuuuu", False),
        ("xux", False),
    ],
)
def test_three_in_a_row_or_half_of_six_open_it(history: str, resting: bool) -> None:
    """Half of six needs six; cancelled and unreachable calls do not count."""
    assert judge(calls(history), len(history) + 1.0).resting is resting


def test_a_rest_lasts_thirty_seconds_from_the_end_of_the_last_failure() -> None:
    """Then the model is on trial."""
    history = calls("xxx")
    assert judge(history, 32.4).resting
    after = judge(history, 32.5)
    assert (after.resting, after.on_trial, after.until_s) == (False, True, 32.5)


def test_each_failed_trial_doubles_the_rest_up_to_fifteen_minutes() -> None:
    """30, 60, 120, …, 900 s."""
    history, rests = calls("xxx"), []
    for _ in range(7):
        until_s = judge(history, history[-1].created_at_s).until_s
        assert until_s is not None
        rests.append(until_s - history[-1].created_at_s - 0.5)
        history += calls("x", start_s=until_s)
    assert rests == [30, 60, 120, 240, 480, 900, 900]


def test_one_good_call_closes_it_and_forgets_the_trips() -> None:
    """The next three failures rest 30 s again."""
    history = [*calls("xxx"), *calls("x", start_s=40.0), *calls(".", start_s=200.0)]
    assert judge(history, 201.0).until_s is None
    again = judge([*history, *calls("xxx", start_s=300.0)], 303.0)
    assert again.until_s == 332.5


def test_a_failure_during_the_rest_changes_nothing() -> None:
    """Only a trial, after the rest, counts against the model."""
    assert judge([*calls("xxx"), *calls("x", start_s=10.0)], 11.0).until_s == 32.5


def test_a_clock_that_was_set_back_ends_a_rest() -> None:
    """Otherwise a model might rest for hours."""
    assert not judge(calls("xxx", start_s=10_000.0), 5.0).resting


def test_a_duration_that_is_none_is_no_evidence() -> None:
    """NaN and infinity come from broken clocks."""
    broken = [Measurement(str(i), float(i), "u", "m:1", "chat", "timeout", math.nan) for i in range(5)]
    assert not judge(broken, 6.0).resting


def test_errors_are_smoothed_tolerated_to_five_percent_and_fade() -> None:
    """One failure now: 1.5/11 − 0.05; an hour later its weight is a half; never below 0."""
    assert error_share([], 0.0) == 0.0
    assert error_share(calls("."), 0.0) == 0.0
    assert error_share(calls("x"), 0.0) == pytest.approx(1.5 / 11 - 0.05)
    assert error_share(calls("x"), 3600.0) == pytest.approx(1.0 / 10.5 - 0.05)
    assert error_share([*calls("x"), *calls("." * 200, start_s=1.0)], 0.0) == 0.0
