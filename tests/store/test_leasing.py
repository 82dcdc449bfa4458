"""A held lease: renewed in time, given back, and given up by its own clock before others may take it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from elixi_models.store.leasing import SAFE_SHARE, HeldLease

from .doubles import FakeTime, FragileStore, run_in_thread

TERM_S = 30.0


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FragileStore]:
    store = FragileStore(tmp_path / "data.sqlite3")
    yield store
    store.close()


def take(store: FragileStore, time: FakeTime, owner: str = "me") -> HeldLease | None:
    return HeldLease.take(store, "j", owner=owner, term_s=TERM_S, clock=time.clock, monotonic=time.monotonic)


@pytest.fixture
def lease(store: FragileStore, time: FakeTime) -> Iterator[HeldLease]:
    """Held by `me`; its thread sleeps for ten real seconds before it renews, so the test renews."""
    held = take(store, time)
    assert held is not None
    yield held
    held.release()


def test_taking_counts_attempts(store: FragileStore, time: FakeTime, lease: HeldLease) -> None:
    """The first is 1; a second taker gets nothing while it is held."""
    assert lease.attempt == 1
    assert not lease.lost.is_set()
    assert take(store, time, "other") is None


def test_a_released_lease_is_free_at_once(store: FragileStore, time: FakeTime, lease: HeldLease) -> None:
    """The next taker has the next attempt; releasing twice is releasing once."""
    lease.release()
    following = take(store, time, "other")
    assert following is not None
    assert following.attempt == 2
    lease.release()
    assert store.calls.count("release_lease") == 1
    following.release()


def test_a_renewal_prolongs_by_a_term_from_now(store: FragileStore, time: FakeTime, lease: HeldLease) -> None:
    """Others see the new end."""
    time.advance(10)
    assert lease.renew()
    stored = store.lease("j")
    assert stored is not None
    assert stored.until_s == time.now_s + TERM_S
    assert not lease.lost.is_set()


def test_a_later_attempt_fences_the_holder(store: FragileStore, time: FakeTime, lease: HeldLease) -> None:
    """The renewal finds out, and says lost."""
    store.take_lease("j", owner="other", now_s=time.now_s + TERM_S, term_s=TERM_S)
    assert not lease.renew()
    assert lease.lost.is_set()


def test_a_store_that_is_away_for_a_while_loses_nothing(store: FragileStore, time: FakeTime, lease: HeldLease) -> None:
    """Before 85 % of the term the holder goes on, and a renewal in time makes it whole again."""
    store.away = True
    time.advance(SAFE_SHARE * TERM_S - 0.1)
    assert not lease.renew()
    assert not lease.lost.is_set()
    store.away = False
    assert lease.renew()
    time.advance(SAFE_SHARE * TERM_S - 0.1)
    assert lease.renew()


def test_the_holder_gives_up_at_85_percent_of_the_term(store: FragileStore, time: FakeTime, lease: HeldLease) -> None:
    """By its own monotonic clock; a wall clock that was set does not matter."""
    store.away = True
    time.ticks += SAFE_SHARE * TERM_S
    time.now_s -= 3600
    lease.renew()
    assert lease.lost.is_set()


def test_a_renewal_that_came_too_late_does_not_count(store: FragileStore, time: FakeTime, lease: HeldLease) -> None:
    """The store said yes, but only after others may have seen the lease run out."""
    store.before = lambda verb: time.advance(SAFE_SHARE * TERM_S)
    lease.renew()
    assert lease.lost.is_set()


def test_time_spent_on_a_renewal_counts(store: FragileStore, time: FakeTime, lease: HeldLease) -> None:
    """The new term begins when the holder asked, not when it was answered."""
    store.before = lambda verb: time.advance(5)
    assert lease.renew()
    store.before, store.away = (lambda verb: None), True
    time.advance(SAFE_SHARE * TERM_S - 5)
    lease.renew()
    assert lease.lost.is_set()


def test_time_spent_on_taking_counts(store: FragileStore, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The term begins when the taker asked, not when it was answered."""
    original = store.take_lease

    def slow(*args: object, **more: object) -> int | None:
        attempt = original(*args, **more)  # type: ignore[arg-type]
        time.advance(SAFE_SHARE * TERM_S)
        return attempt

    monkeypatch.setattr(store, "take_lease", slow)
    lease = take(store, time)
    assert lease is not None
    assert lease.lost.wait(10)
    lease.release()


def test_a_lease_left_to_run_out_is_no_error(store: FragileStore, time: FakeTime, lease: HeldLease) -> None:
    """Releasing while the store is away does not raise."""
    store.away = True
    lease.release()
    store.away = False
    assert take(store, time) is None


def test_the_thread_renews_by_itself(store: FragileStore) -> None:
    """A lease of a fraction of a second is held for several of its terms."""
    renewals = threading.Semaphore(0)
    store.before = lambda verb: renewals.release() if verb == "renew_lease" else None
    lease = HeldLease.take(store, "j", owner="me", term_s=0.6)
    assert lease is not None
    for _ in range(4):
        assert renewals.acquire(timeout=10)
    assert not lease.lost.is_set()
    assert HeldLease.take(store, "j", owner="other", term_s=0.6) is None
    lease.release()


def test_the_thread_says_lost_even_while_the_store_hangs(store: FragileStore) -> None:
    """A renewal that never comes back does not keep the holder from stopping in time."""
    gate = threading.Event()
    store.before = lambda verb: gate.wait(20) and None if verb == "renew_lease" else None
    lease = HeldLease.take(store, "j", owner="me", term_s=0.3)
    assert lease is not None
    assert lease.lost.wait(10)
    gate.set()
    lease.release()


def test_the_thread_goes_on_trying_while_the_store_is_away(store: FragileStore) -> None:
    """More often than it renews, until the lease is lost."""
    store.away = True
    store.calls.clear()
    lease = HeldLease.take(store, "j", owner="me", term_s=0.6)
    assert lease is not None
    assert lease.lost.wait(10)
    assert store.calls.count("renew_lease") >= 3
    store.away = False
    lease.release()


def test_release_from_the_holders_own_thread(store: FragileStore) -> None:
    """Whoever waits for `lost` in another thread may release there."""
    lease = HeldLease.take(store, "j", owner="me", term_s=30.0)
    assert lease is not None
    thread = run_in_thread(lease.release)
    thread.join(10)
    stored = store.lease("j")
    assert stored is not None
    assert stored.released
