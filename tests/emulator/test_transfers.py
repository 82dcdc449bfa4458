"""Blobs on their way, by a clock that is moved by hand."""

from __future__ import annotations

from elixi_models.emulator.transfers import Pace, Transfer


class Hand:
    """A monotonic clock."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def transfer(pace: Pace, total: int = 1000) -> tuple[Transfer, Hand]:
    """A blob of 1,000 bytes and its clock."""
    hand = Hand()
    return Transfer("d" * 64, total, pace, hand), hand


def test_bytes_come_at_the_pace() -> None:
    """While somebody waits."""
    blob, hand = transfer(Pace(100.0))
    blob.join()
    hand.now += 2.5

    assert (blob.bytes_so_far(), blob.seconds_left()) == (250, 7.5)


def test_bytes_stop_when_the_last_has_left() -> None:
    """What has come is kept."""
    blob, hand = transfer(Pace(100.0))
    blob.join()
    hand.now += 2
    blob.leave()
    hand.now += 100
    kept = blob.bytes_so_far()
    blob.join()
    hand.now += 1

    assert (kept, blob.bytes_so_far()) == (200, 300)


def test_a_second_who_waits_makes_it_no_faster() -> None:
    """Nor does the first who leaves stop it."""
    blob, hand = transfer(Pace(100.0))
    blob.join()
    blob.join()
    hand.now += 2
    blob.leave()
    hand.now += 2

    assert blob.bytes_so_far() == 400


def test_no_more_comes_than_there_is() -> None:
    """Then nothing is left to wait for."""
    blob, hand = transfer(Pace(100.0))
    blob.join()
    hand.now += 60

    assert (blob.bytes_so_far(), blob.seconds_left()) == (1000, 0.0)


def test_without_a_rate_it_is_there_at_once() -> None:
    """As from a registry next door."""
    blob, _ = transfer(Pace(None))
    blob.join()

    assert (blob.bytes_so_far(), blob.seconds_left()) == (1000, 0.0)


def test_a_layer_takes_its_least_time() -> None:
    """However small it is."""
    blob, hand = transfer(Pace(None, 1.0))
    blob.join()
    hand.now += 0.25

    assert (blob.bytes_so_far(), blob.seconds_left()) == (1000, 0.75)


def test_it_can_be_held_up() -> None:
    """Then there is no end to wait for, until it is let go on."""
    blob, hand = transfer(Pace(100.0))
    blob.hold_at(300)
    blob.join()
    hand.now += 60
    held = (blob.bytes_so_far(), blob.seconds_left())
    blob.hold_at(None)
    hand.now += 1

    assert held == (300, float("inf"))
    assert (blob.bytes_so_far(), blob.seconds_left()) == (400, 6.0)


def test_it_never_runs_backwards() -> None:
    """Not even when it is held below what has come."""
    blob, hand = transfer(Pace(100.0))
    blob.join()
    hand.now += 5
    blob.hold_at(100)
    hand.now += 5

    assert blob.bytes_so_far() == 500


def test_the_rate_can_change() -> None:
    """From now on."""
    blob, hand = transfer(Pace(100.0))
    blob.join()
    hand.now += 1
    blob.change_rate(200.0)
    hand.now += 1

    assert blob.bytes_so_far() == 300
