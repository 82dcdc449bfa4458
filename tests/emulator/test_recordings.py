"""The emulator against the recorded answers of three real servers."""

from __future__ import annotations

from typing import Any

import pytest

from .comparing import differences
from .playing import Player
from .servers import NUMBERS, recorded

NOT_ALIKE: dict[tuple[str, str], str] = {}
"""Recorded exchanges that the emulator answers otherwise, by version and case, each with its reason."""


@pytest.fixture(scope="module")
def played() -> dict[str, dict[str, Any]]:
    """Every case of every version, played once."""
    return {number: dict(Player(number).all()) for number in NUMBERS}


def test_every_recorded_case_is_played(played: dict[str, dict[str, Any]]) -> None:
    """No recorded case is left out."""
    assert {number: sorted(cases) for number, cases in played.items()} == {n: sorted(recorded(n)) for n in NUMBERS}


def test_how_many_are_alike(played: dict[str, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """At least 320 of the 336 recorded exchanges are answered alike, and every other is listed with its reason."""
    unlike = {
        (number, case): found
        for number, cases in played.items()
        for case, exchange in cases.items()
        if (found := differences(recorded(number)[case], exchange))
    }
    total = sum(len(cases) for cases in played.values())
    with capsys.disabled():
        print(f"\nThe emulator answers {total - len(unlike)} of {total} recorded exchanges alike.")
        for (number, case), found in unlike.items():
            print(f"  {number} {case}: {NOT_ALIKE.get((number, case), 'NOT LISTED')}; {'; '.join(found)[:400]}")

    assert total == 336
    assert total - len(unlike) >= 320
    assert sorted(unlike) == sorted(NOT_ALIKE)
