"""Moments as callers give them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from elixi_models.errors import InvalidRequest
from elixi_models.moments import parse_moment

THEN_S = 1_780_000_000.0


@pytest.mark.parametrize(
    "given",
    [
        THEN_S,
        1_780_000_000,
        "1780000000",
        "1780000000.0",
        "2026-05-28T20:26:40Z",
        "2026-05-28T22:26:40+02:00",
        datetime(2026, 5, 28, 20, 26, 40, tzinfo=timezone.utc),
        datetime(2026, 5, 28, 15, 26, 40, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_the_same_moment_in_many_forms(given: object) -> None:
    """Seconds, their text, a time with its zone, a datetime with one."""
    assert parse_moment(given, "from") == THEN_S


def test_the_first_and_the_last_moment() -> None:
    """1970 and the end of 9999 can be said in seconds; earlier times only as such."""
    assert (parse_moment(0, "x"), parse_moment(253_402_300_799, "x")) == (0.0, 253_402_300_799.0)
    assert parse_moment("1969-12-31T23:59:59Z", "x") == -1.0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (True, "type"),
        (None, "type"),
        ([], "type"),
        (math.nan, "range"),
        (math.inf, "range"),
        (-1, "range"),
        (1_780_000_000_000, "range"),
        ("1780000000000", "range"),
        ("", "syntax"),
        ("-5", "syntax"),
        ("yesterday", "syntax"),
        ("2026-05-28T20:26:40", "syntax"),
        (datetime(2026, 5, 28), "syntax"),
    ],
)
def test_what_is_no_moment_is_refused(given: Any, reason: str) -> None:
    """Naming the field and why."""
    with pytest.raises(InvalidRequest) as refused:
        parse_moment(given, "from")
    assert refused.value.details == {"field": "from", "reason": reason}
