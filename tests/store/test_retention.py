"""When old things are swept."""

from __future__ import annotations

from typing import Any

import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.settings import Settings
from elixi_models.store.retention import LOOK_S, Retention

START_S = 1_800_000_000.0


class Sweeping:
    """A store that notes its sweeps; `away` raises instead."""

    def __init__(self) -> None:
        self.sweeps: list[dict[str, Any]] = []
        self.away = False

    def sweep(self, **wishes: Any) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.sweeps.append(wishes)


class World:
    """A wall clock, the time that really passes, and a retention that looks once a minute."""

    def __init__(self) -> None:
        self.wall_s, self.passed_s = START_S, 0.0
        self.store = Sweeping()
        settings = Settings(measurement_days=7, rollup_days=100)
        self.retention = Retention(settings, clock=lambda: self.wall_s, monotonic=lambda: self.passed_s)

    def look(self, times: int = 1) -> int:
        """Let minutes pass, each with its look; gives how many sweeps there were so far."""
        for _ in range(times):
            self.retention.look(self.store)  # type: ignore[arg-type]
            self.wall_s += LOOK_S
            self.passed_s += LOOK_S
        return len(self.store.sweeps)


@pytest.fixture
def world() -> World:
    return World()


def test_it_sweeps_at_the_second_look_and_then_once_an_hour(world: World) -> None:
    """By the settings, and by the clock of that moment."""
    assert [world.look(times) for times in (1, 1, 59, 1, 60)] == [0, 1, 1, 2, 3]
    assert world.store.sweeps[0] == {"now_s": START_S + 60.0, "measurement_days": 7, "rollup_days": 100}


@pytest.mark.parametrize("jump_s", [10 * 365 * 86_400.0, 61.0, -61.0, -86_400.0])
def test_a_clock_that_jumps_sweeps_nothing(world: World, jump_s: float) -> None:
    """Neither then nor when it has come back; a minute later it is believed."""
    world.look(61)
    assert len(world.store.sweeps) == 1
    world.wall_s += jump_s
    assert world.look() == 1
    world.wall_s -= jump_s
    assert world.look() == 1
    assert world.look() == 2
    assert world.store.sweeps[1]["now_s"] == START_S + 63 * 60.0


def test_a_clock_that_is_put_right_by_seconds_is_believed(world: World) -> None:
    """As time servers do."""
    world.look()
    world.wall_s += 59.0
    assert world.look() == 1


def test_a_store_that_is_away_is_swept_when_it_is_back(world: World) -> None:
    """At the next look, not an hour later."""
    world.look()
    world.store.away = True
    with pytest.raises(StoreUnavailable):
        world.look()
    world.store.away = False
    assert world.look() == 1
