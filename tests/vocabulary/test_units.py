"""Figures as they are shown."""

from __future__ import annotations

import pytest

from elixi_models.units import mebibytes, percent, rounded, size_text, timestamp


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, None),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (4_113_301_824, "4.1 GB"),
        (98_363_233, "98.4 MB"),
        (3_000_000_000_000_000, "3000.0 TB"),
    ],
)
def test_sizes_are_decimal_with_one_digit(size_bytes: int | None, text: str | None) -> None:
    """As Ollama prints them; unknown stays None."""
    assert size_text(size_bytes) == text


def test_times_are_utc_with_z() -> None:
    """To the second; unknown stays None."""
    assert timestamp(0) == "1970-01-01T00:00:00Z"
    assert timestamp(1_764_000_000.9) == "2025-11-24T16:00:00Z"
    assert timestamp(None) is None


def test_shares_and_mebibytes_of_the_unknown_are_unknown() -> None:
    """Zero is a figure, None is not."""
    assert (percent(1, 3), percent(None, 3), percent(1, None), percent(1, 0)) == (33.3, None, None, None)
    assert (mebibytes(7_516_192_768), mebibytes(0), mebibytes(None)) == (7168, 0, None)


def test_what_json_cannot_carry_becomes_none() -> None:
    """NaN and infinity never reach an answer."""
    assert (rounded(1.26, 1), rounded(float("nan"), 1), rounded(float("inf"), 1), rounded(None, 1)) == (
        1.3,
        None,
        None,
        None,
    )
