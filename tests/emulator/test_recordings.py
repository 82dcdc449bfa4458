"""The emulator against the recorded answers of three real servers."""

from __future__ import annotations

from typing import Any

import pytest

from .comparing import differences
from .playing import Player
from .servers import NUMBERS, freshened, recorded

NOT_ALIKE: dict[tuple[str, str], str] = {}
"""Recorded exchanges that the emulator answers otherwise, by version and case, each with its reason."""

Played = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def played() -> Played:
    """Every case of every version, played once."""
    return {number: dict(Player(number).all()) for number in NUMBERS}


@pytest.fixture(scope="module")
def played_fresh() -> Played:
    """The same with names and prompts that are in no recording."""
    return {number: dict(Player(number, fresh=True).all()) for number in NUMBERS}


def unlike(played: Played, *, fresh: bool = False) -> dict[tuple[str, str], list[str]]:
    """The cases that came out otherwise than recorded, and how."""
    return {
        (number, case): found
        for number, cases in played.items()
        for case, exchange in cases.items()
        if (found := differences(recorded(number, fresh=fresh)[case], exchange))
    }


def test_every_recorded_case_is_played(played: Played) -> None:
    """No recorded case is left out."""
    assert {number: sorted(cases) for number, cases in played.items()} == {n: sorted(recorded(n)) for n in NUMBERS}


def test_how_many_are_alike(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    """At least 320 of the 336 recorded exchanges are answered alike, and every other is listed with its reason."""
    others = unlike(played)
    total = sum(len(cases) for cases in played.values())
    with capsys.disabled():
        print(f"\nThe emulator answers {total - len(others)} of {total} recorded exchanges alike.")
        for (number, case), found in others.items():
            print(f"  {number} {case}: {NOT_ALIKE.get((number, case), 'NOT LISTED')}; {'; '.join(found)[:400]}")

    assert total == 336
    assert total - len(others) >= 320
    assert sorted(others) == sorted(NOT_ALIKE)


def test_fresh_names_and_prompts_give_the_same_forms(played_fresh: Played) -> None:
    """What was never recorded is answered in the recorded forms: the emulator computes its answers."""
    assert freshened("smollm2:135m") == "freshling:135m"
    assert unlike(played_fresh, fresh=True) == {pair: [] for pair in NOT_ALIKE}
