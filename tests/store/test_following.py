"""The follower: one thread for the store, a breaker, changes that wait, periodic work. Driven turn by turn."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.settings import Settings
from elixi_models.store.base import Preference, Store
from elixi_models.store.following import StoreFollower, StoreStatus
from elixi_models.store.sqlite import SqliteStore

from .doubles import FakeTime, FragileStore
from .racing import job


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FragileStore]:
    store = FragileStore(tmp_path / "data.sqlite3")
    yield store
    store.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[SqliteStore]:
    """Another process's store on the same data."""
    store = SqliteStore(tmp_path / "data.sqlite3")
    yield store
    store.close()


class Idle(StoreFollower):
    """A follower whose thread never starts: the test takes the turns."""

    def _start(self) -> None:
        pass


@pytest.fixture
def follower(store: FragileStore, time: FakeTime) -> Idle:
    return Idle(store, Settings(store_follow_s=0.5), clock=time.clock, monotonic=time.monotonic)


@pytest.fixture
def running(store: FragileStore) -> Iterator[StoreFollower]:
    follower = StoreFollower(store, Settings(store_follow_s=0.05))
    yield follower
    follower.close()


# Submitted work


def test_submitted_work_runs_on_the_followers_thread(running: StoreFollower, store: FragileStore) -> None:
    """With the store, in the thread that is named after us; the future has the result."""
    ran = running.submit(lambda given: (given, threading.current_thread().name)).result(10)
    assert ran == (store, "elixi-models-store")


def test_submitted_work_hands_its_error_to_the_future(running: StoreFollower) -> None:
    """And the thread goes on."""
    with pytest.raises(ZeroDivisionError):
        running.submit(lambda store: 1 / 0).result(10)
    assert running.submit(lambda store: 7).result(10) == 7


def test_submitted_work_that_was_cancelled_does_not_run(follower: Idle) -> None:
    """A future cancelled before its turn is left alone."""
    ran: list[Store] = []
    future = follower.submit(ran.append)
    assert future.cancel()
    follower.turn()
    assert ran == []


def test_the_queue_is_bounded(follower: Idle, monkeypatch: pytest.MonkeyPatch) -> None:
    """What exceeds it is refused at once instead of filling memory."""
    monkeypatch.setattr("elixi_models.store.following._MOST_QUEUED", 1)
    follower.submit(lambda store: None)
    with pytest.raises(StoreUnavailable):
        follower.submit(lambda store: None).result(0)


# The breaker


def test_a_failure_opens_the_breaker_for_everybody(follower: Idle, store: FragileStore, time: FakeTime) -> None:
    """What was queued behind the failure and what comes later is refused without asking the store."""
    store.away = True
    time.advance(7)
    first = follower.submit(lambda given: given.ping())
    second = follower.submit(lambda given: given.ping())
    follower.turn()
    third = follower.submit(lambda given: given.ping())
    for future in (first, second, third):
        with pytest.raises(StoreUnavailable):
            future.result(0)
    assert store.calls == ["ping"]
    assert follower.status == StoreStatus("sqlite", False, time.now_s, 0)


def test_a_closed_breaker_says_since_when(follower: Idle, time: FakeTime) -> None:
    """From the beginning on, until something fails."""
    began_s = time.now_s
    time.advance(5)
    follower.turn()
    assert follower.status == StoreStatus("sqlite", True, began_s, 0)


def test_an_error_of_the_work_itself_does_not_open_the_breaker(follower: Idle) -> None:
    """Only StoreUnavailable says something about the store."""
    follower.submit(lambda store: 1 / 0)
    follower.turn()
    assert follower.status.available


def test_probes_come_after_1_2_4_up_to_30_seconds(follower: Idle, store: FragileStore, time: FakeTime) -> None:
    """While the store is away nothing but these pings reaches it."""
    store.away = True
    follower.watch_preference("k")
    pauses = [follower.turn()]
    store.calls.clear()
    for _ in range(6):
        time.advance(pauses[-1])
        pauses.append(follower.turn())
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert store.calls == ["ping"] * 6


def test_the_store_is_not_probed_before_its_time(follower: Idle, store: FragileStore, time: FakeTime) -> None:
    """A turn in between, because somebody woke the thread, asks nothing."""
    store.away = True
    follower.watch_preference("k")
    follower.turn()
    store.calls.clear()
    time.advance(0.9)
    assert follower.turn() == pytest.approx(0.1)
    assert store.calls == []


def test_the_pause_is_short_again_after_a_return(follower: Idle, store: FragileStore, time: FakeTime) -> None:
    """The next failure is probed after 1 s."""
    follower.watch_preference("k")
    store.away = True
    for _ in range(4):
        time.advance(follower.turn())
    store.away = False
    follower.turn()
    assert follower.status.available
    assert follower.status.since_s == time.now_s
    store.away = True
    time.advance(1)
    assert follower.turn() == 1


# Preferences


def test_a_preference_is_followed(follower: Idle, other: SqliteStore, time: FakeTime) -> None:
    """What another process stores is in memory after the next look, no sooner."""
    follower.watch_preference("k")
    follower.turn()
    assert follower.preference("k") is None
    other.put_preference("k", version=1, value={"m": 1}, now_s=5.0)
    assert follower.preference("k") is None
    time.advance(0.5)
    follower.turn()
    assert follower.preference("k") == Preference("k", 1, {"m": 1}, 5.0)


def test_looks_keep_their_pace(follower: Idle, store: FragileStore, time: FakeTime) -> None:
    """One every `store_follow_s`, however often the thread is woken."""
    follower.watch_preference("k")
    assert follower.turn() == 0.5
    time.advance(0.2)
    assert follower.turn() == pytest.approx(0.3)
    assert store.calls == ["preference"]


def test_a_preference_that_is_only_written_is_not_followed(follower: Idle, store: FragileStore, time: FakeTime) -> None:
    """A process that passes on a wish for every download does not ask for all of them ever after."""
    written = follower.set_preference("wish", {"user": None})
    follower.turn()
    assert written.result(0).version == 1
    store.calls.clear()
    time.advance(0.5)
    follower.turn()
    assert store.calls == []
    assert follower.preference("wish") == written.result(0)


def test_a_listener_hears_each_value_once(follower: Idle, other: SqliteStore, time: FakeTime) -> None:
    """The first that is seen, then changes; not the same one again."""
    heard: list[int] = []
    other.put_preference("k", version=1, value={}, now_s=5.0)
    follower.watch_preference("k", lambda preference: heard.append(preference.version))
    for version in (1, 2, 2, 3):
        other.put_preference("k", version=version, value={}, now_s=5.0)
        follower.turn()
        time.advance(0.5)
    assert heard == [1, 2, 3]


def test_a_listener_that_fails_does_not_end_the_follower(
    follower: Idle, other: SqliteStore, time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its trace."""
    follower.watch_preference("k", lambda preference: 1 / 0)
    other.put_preference("k", version=1, value={}, now_s=5.0)
    follower.turn()
    assert caplog.records[-1].exc_info is not None
    assert follower.preference("k") is not None


def test_a_change_is_in_force_at_once_and_stored_as_the_next_version(
    follower: Idle, other: SqliteStore, time: FakeTime
) -> None:
    """In memory before the thread has had a turn, in the store after it."""
    other.put_preference("k", version=4, value={"m": "old"}, now_s=5.0)
    follower.watch_preference("k")
    follower.turn()
    future = follower.set_preference("k", {"m": "new"})
    assert follower.preference("k") == Preference("k", 5, {"m": "new"}, time.now_s)
    assert not future.done()
    assert follower.status.pending == 1
    follower.turn()
    assert future.result(0) == Preference("k", 5, {"m": "new"}, time.now_s) == other.preference("k")
    assert follower.status.pending == 0


def test_an_own_change_is_told_to_listeners(follower: Idle) -> None:
    """As every change is, once."""
    heard: list[Preference] = []
    follower.watch_preference("k", heard.append)
    stored = follower.set_preference("k", {"m": 1})
    follower.turn()
    assert heard == [stored.result(0)]


def test_of_several_changes_each_becomes_a_version(follower: Idle, other: SqliteStore) -> None:
    """In their order; the last is in force."""
    futures = [follower.set_preference("k", {"n": n}) for n in range(3)]
    assert follower.preference("k").value == {"n": 2}  # type: ignore[union-attr]
    follower.turn()
    assert [future.result(0).version for future in futures] == [1, 2, 3]
    assert other.preference("k").value == {"n": 2}  # type: ignore[union-attr]


def test_a_change_is_tried_again_when_somebody_was_faster(
    follower: Idle, store: FragileStore, other: SqliteStore
) -> None:
    """While the store is there the later change wins: it takes the version after the other's."""

    def be_faster(verb: str) -> None:
        if verb == "put_preference":
            store.before = lambda verb: None
            other.put_preference("k", version=1, value={"m": "theirs"}, now_s=5.0)

    store.before = be_faster
    future = follower.set_preference("k", {"m": "ours"})
    follower.turn()
    assert future.result(0).version == 2
    assert other.preference("k").value == {"m": "ours"}  # type: ignore[union-attr]


def test_a_change_that_never_finds_a_place_is_held(
    follower: Idle, store: FragileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others who are always faster do not keep the thread for ever."""
    monkeypatch.setattr(store, "put_preference", lambda *args, **more: False)
    future = follower.set_preference("k", {"m": 1})
    follower.turn()
    assert future.result(0).value == {"m": 1}
    assert not follower.status.available
    assert follower.status.pending == 1


def test_a_change_while_the_store_is_away_holds_in_memory(
    follower: Idle, store: FragileStore, other: SqliteStore, time: FakeTime
) -> None:
    """The future completes at once with the version after the last known one; on return it is inserted."""
    other.put_preference("k", version=3, value={"m": "old"}, now_s=5.0)
    heard: list[Preference] = []
    follower.watch_preference("k", heard.append)
    follower.turn()
    store.away = True
    follower.submit(lambda given: given.ping())
    follower.turn()
    future = follower.set_preference("k", {"m": "new"})
    held = Preference("k", 4, {"m": "new"}, time.now_s)
    assert future.result(0) == held == follower.preference("k")
    follower.turn()
    assert heard[-1] == held
    assert follower.status.pending == 1
    store.away = False
    time.advance(1)
    follower.turn()
    assert other.preference("k") == held
    assert follower.status.pending == 0
    assert len(heard) == 2


def test_a_change_under_way_when_the_store_goes_holds_too(follower: Idle, store: FragileStore) -> None:
    """Whoever waits for its future gets the value from memory."""
    store.away = True
    future = follower.set_preference("k", {"m": 1})
    follower.turn()
    assert future.result(0).value == {"m": 1}
    assert follower.status.pending == 1


def test_of_several_held_changes_the_last_is_stored(
    follower: Idle, store: FragileStore, other: SqliteStore, time: FakeTime
) -> None:
    """Memory is bounded by the number of keys, not by how long the store is away."""
    follower.watch_preference("k")
    follower.turn()
    store.away = True
    futures = [follower.set_preference("k", {"n": n}) for n in range(3)]
    follower.turn()
    futures.append(follower.set_preference("k", {"n": 3}))
    assert [future.result(0).version for future in futures] == [1, 1, 1, 1]
    assert follower.status.pending == 1
    store.away = False
    time.advance(1)
    follower.turn()
    assert other.preference("k") == Preference("k", 1, {"n": 3}, time.now_s - 1)


def test_a_held_change_loses_to_a_newer_choice_and_says_so(
    follower: Idle, store: FragileStore, other: SqliteStore, time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody stored one meanwhile: it is in force everywhere, listeners hear it, and a warning names the key."""
    heard: list[Preference] = []
    follower.watch_preference("k", heard.append)
    follower.turn()
    store.away = True
    follower.set_preference("k", {"m": "ours"})
    follower.turn()
    other.put_preference("k", version=1, value={"m": "theirs"}, now_s=time.now_s + 1)
    store.away = False
    time.advance(1)
    follower.turn()
    theirs = Preference("k", 1, {"m": "theirs"}, time.now_s)
    assert follower.preference("k") == theirs == other.preference("k") == heard[-1]
    assert any(record.levelno == logging.WARNING and "k was changed" in record.message for record in caplog.records)


def test_a_change_before_the_first_look_wins_over_an_old_choice(
    follower: Idle, store: FragileStore, other: SqliteStore, time: FakeTime
) -> None:
    """The store was away since the start: what it has from before is older than what was chosen here."""
    other.put_preference("k", version=7, value={"m": "old"}, now_s=time.now_s - 3600)
    store.away = True
    future = follower.set_preference("k", {"m": "new"})
    follower.turn()
    assert future.result(0).version == 1
    store.away = False
    time.advance(1)
    follower.turn()
    assert other.preference("k") == Preference("k", 8, {"m": "new"}, time.now_s - 1)


def test_a_change_before_the_first_look_loses_to_a_later_choice(
    follower: Idle, store: FragileStore, other: SqliteStore, time: FakeTime
) -> None:
    """With no version known, the times decide."""
    store.away = True
    follower.set_preference("k", {"m": "ours"})
    follower.turn()
    other.put_preference("k", version=1, value={"m": "theirs"}, now_s=time.now_s + 0.5)
    store.away = False
    time.advance(1)
    follower.turn()
    assert follower.preference("k").value == {"m": "theirs"}  # type: ignore[union-attr]


def test_a_change_that_was_stored_although_it_seemed_to_fail_is_no_lost_race(
    follower: Idle, store: FragileStore, other: SqliteStore, time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection broke after the insert: on return our own document is recognised."""
    follower.watch_preference("k")
    follower.turn()

    def break_after_insert(verb: str) -> None:
        if verb == "put_preference":
            other.put_preference("k", version=1, value={"m": "ours"}, now_s=time.now_s)
            store.away = True

    store.before = break_after_insert
    follower.set_preference("k", {"m": "ours"})
    follower.turn()
    store.before, store.away = (lambda verb: None), False
    time.advance(1)
    caplog.clear()
    follower.turn()
    assert other.preference("k").version == 1  # type: ignore[union-attr]
    assert follower.status.pending == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_change_held_behind_a_stored_one_is_not_overtaken_by_it(
    follower: Idle, store: FragileStore, other: SqliteStore, time: FakeTime
) -> None:
    """Two in line, the store goes between them: the first is ours, too, and no lost race."""
    follower.watch_preference("k")
    follower.turn()

    def leave_after_the_first(verb: str) -> None:
        store.away = store.calls.count("put_preference") == 2

    store.before = leave_after_the_first
    futures = [follower.set_preference("k", {"n": n}) for n in (1, 2)]
    follower.turn()
    assert [future.result(0).version for future in futures] == [1, 2]
    assert follower.status.pending == 1
    store.before, store.away = (lambda verb: None), False
    time.advance(1)
    follower.turn()
    assert other.preference("k") == Preference("k", 2, {"n": 2}, time.now_s - 1)


# Jobs


def test_jobs_are_followed(follower: Idle, other: SqliteStore, time: FakeTime) -> None:
    """Newest first, each with its id, of the watched kind and server; a tuple that nobody changes under us."""
    follower.watch_jobs("download", "u")
    for number in (1, 2):
        other.create_job(f"j#{number}", job(number))
    other.create_job("x#1", job(1, ollama_url="elsewhere"))
    follower.turn()
    assert follower.jobs("download") == ({"id": "j#2", **job(2)}, {"id": "j#1", **job(1)})
    assert follower.jobs("benchmark") == ()


def test_only_the_newest_jobs_are_followed(follower: Idle, other: SqliteStore) -> None:
    """Large documents are not read again and again for the sake of old ones."""
    follower.watch_jobs("download", "u", newest=2)
    for number in (1, 2, 3):
        other.create_job(f"j#{number}", job(number))
    follower.turn()
    assert [found["id"] for found in follower.jobs("download")] == ["j#3", "j#2"]


def test_an_own_write_is_seen_at_once(follower: Idle, other: SqliteStore, time: FakeTime) -> None:
    """Until the store shows it at least as new; an older copy does not undo it."""
    follower.watch_jobs("download", "u")
    other.create_job("j#1", job(1, updated_at_s=1.0))
    follower.turn()
    follower.note_job({"id": "j#1", **job(1, updated_at_s=2.0, state="downloading")})
    assert follower.jobs("download")[0]["state"] == "downloading"
    time.advance(0.5)
    follower.turn()
    assert follower.jobs("download")[0]["state"] == "downloading"
    other.write_job("j#1", job(1, updated_at_s=3.0, state="installed"))
    time.advance(0.5)
    follower.turn()
    assert [each["state"] for each in follower.jobs("download")] == ["installed"]


def test_noted_jobs_are_bounded(follower: Idle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest notes go first."""
    monkeypatch.setattr("elixi_models.store.recollection._MOST_NOTED", 2)
    for number in (1, 2, 3):
        follower.note_job({"id": f"j#{number}", **job(number)})
    assert [each["id"] for each in follower.jobs("download")] == ["j#3", "j#2"]


def test_jobs_can_be_read_right_now(follower: Idle, other: SqliteStore) -> None:
    """Without waiting for the next look."""
    follower.watch_jobs("download", "u")
    follower.turn()
    other.create_job("j#1", job(1))
    future = follower.refresh_jobs()
    follower.turn()
    assert future.result(0) is None
    assert len(follower.jobs("download")) == 1


def test_the_last_copy_stays_while_the_store_is_away(follower: Idle, store: FragileStore, time: FakeTime) -> None:
    """Preferences and jobs alike."""
    follower.watch_jobs("download", "u")
    follower.set_preference("k", {"m": 1})
    store.create_job("j#1", job(1))
    follower.turn()
    store.away = True
    time.advance(5)
    follower.turn()
    assert not follower.status.available
    assert len(follower.jobs("download")) == 1
    assert follower.preference("k").value == {"m": 1}  # type: ignore[union-attr]


# Periodic work


def test_periodic_work_runs_now_and_at_intervals(follower: Idle, time: FakeTime) -> None:
    """Each by its own interval."""
    ran: list[float] = []
    follower.every(3.0, lambda store: ran.append(time.ticks))
    for _ in range(8):
        time.advance(follower.turn())
    assert [at - ran[0] for at in ran] == [0.0, 3.0]


def test_periodic_work_that_fails_is_logged_and_goes_on(
    follower: Idle, time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of one is no matter of the others, nor of its own next time."""
    ran: list[str] = []

    def fail(store: Store) -> None:
        ran.append("failed")
        raise ValueError("broken")

    follower.every(1.0, fail)
    follower.every(1.0, lambda store: ran.append("fine"))
    follower.turn()
    time.advance(1)
    follower.turn()
    assert ran == ["failed", "fine", "failed", "fine"]
    assert "background work failed" in caplog.text


def test_periodic_work_missed_while_the_store_was_away_is_done_on_its_return(
    follower: Idle, store: FragileStore, time: FakeTime
) -> None:
    """At once, not at the next interval; meanwhile it does not run."""
    ran: list[str] = []

    def work(given: Store) -> None:
        ran.append("tried")
        given.ping()
        ran.append("done")

    store.away = True
    follower.every(100.0, work)
    follower.turn()
    follower.turn()
    assert ran == ["tried"]
    store.away = False
    time.advance(1)
    follower.turn()
    assert ran == ["tried", "tried", "done"]
    time.advance(50)
    follower.turn()
    assert len(ran) == 3


def test_what_is_submitted_during_periodic_work_does_not_wait_for_all_of_it(follower: Idle) -> None:
    """The queue is served between any two pieces of work."""
    order: list[str] = []

    def first(store: Store) -> None:
        order.append("first")
        follower.submit(lambda store: order.append("submitted"))

    follower.every(1.0, first)
    follower.every(1.0, lambda store: order.append("second"))
    follower.turn()
    assert order == ["first", "submitted", "second"]


def test_work_that_comes_in_pieces_lets_periodic_work_in_between(follower: Idle) -> None:
    """A piece that hands in the next one does not keep the thread to itself; the next turn comes at once."""
    order: list[str] = []

    def piece(store: Store) -> None:
        order.append("piece")
        if order.count("piece") < 5:
            follower.submit(piece)

    follower.every(1.0, lambda store: order.append("periodic"))
    follower.submit(piece)
    follower.turn()
    assert order == ["piece", "piece", "periodic", "piece"]
    assert follower._wake.is_set()
    follower.turn()
    assert order.count("piece") == 5


# Beginning and end


def test_the_first_look_is_announced(follower: Idle) -> None:
    """After the first turn that read the store."""
    assert not follower.first_read.is_set()
    follower.turn()
    assert follower.first_read.is_set()


def test_a_failed_first_look_is_announced_too(follower: Idle, store: FragileStore) -> None:
    """Whoever waits for it waits no longer than for a store that is there."""
    store.away = True
    follower.watch_preference("k")
    follower.turn()
    assert follower.first_read.is_set()


def test_starting_twice_starts_one_thread(running: StoreFollower) -> None:
    """start() is idempotent, and submit() would have started it too."""
    running.start()
    running.start()
    running.submit(lambda store: None).result(10)
    assert [thread.name for thread in threading.enumerate()].count("elixi-models-store") == 1


def test_the_running_thread_follows_by_itself(running: StoreFollower, other: SqliteStore) -> None:
    """Without anybody asking."""
    heard = threading.Event()
    running.watch_preference("k", lambda preference: heard.set())
    running.start()
    assert running.first_read.wait(10)
    other.put_preference("k", version=1, value={}, now_s=1.0)
    assert heard.wait(10)


def test_close_runs_what_is_queued_and_last_work(store: FragileStore, other: SqliteStore) -> None:
    """What was accepted is done, `at_close` work once more, other periodic work not; then the thread is gone."""
    follower = StoreFollower(store, Settings(store_follow_s=1.0))
    ran: list[str] = []
    follower.every(1000.0, lambda store: ran.append("last"), at_close=True)
    follower.every(1000.0, lambda store: ran.append("not last"))
    follower.submit(lambda store: None).result(10)
    gate = threading.Event()
    blocked = follower.submit(lambda store: gate.wait(10))
    queued = follower.submit(lambda store: "done")
    chosen = follower.set_preference("k", {"m": 1})
    ran.clear()
    threading.Timer(0.05, gate.set).start()
    follower.close()
    assert (blocked.result(0), queued.result(0), chosen.result(0).version) == (True, "done", 1)
    assert ran == ["last"]
    assert other.preference("k") is not None


def test_close_flushes_even_if_the_thread_never_ran(store: FragileStore) -> None:
    """Measurements of a process that only measured are written."""
    follower = StoreFollower(store, Settings())
    ran: list[str] = []
    follower.every(1.0, lambda store: ran.append("last"), at_close=True)
    follower.close()
    assert ran == ["last"]


def test_closing_an_unused_follower_touches_nothing(tmp_path: Path) -> None:
    """No thread, no file; twice is once."""
    store = SqliteStore(tmp_path / "sub" / "data.sqlite3")
    follower = StoreFollower(store, Settings())
    follower.close()
    follower.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_accepted_after_close(store: FragileStore) -> None:
    """Submitted work is refused, a preference holds in memory, and no thread starts."""
    follower = StoreFollower(store, Settings())
    follower.close()
    follower.start()
    with pytest.raises(StoreUnavailable):
        follower.submit(lambda store: None).result(0)
    assert follower.set_preference("k", {"m": 1}).result(0).value == {"m": 1}
    assert follower.preference("k") is not None


def test_close_says_what_could_not_be_stored(store: FragileStore, caplog: pytest.LogCaptureFixture) -> None:
    """A change that the store never took is told, not dropped in silence; last work is not tried in vain."""
    store.away = True
    follower = StoreFollower(store, Settings())
    ran: list[str] = []
    follower.every(1000.0, lambda given: ran.append("last"), at_close=True)
    follower.set_preference("k", {"m": 1}).result(10)
    ran.clear()
    follower.close()
    assert "1 changes could not be stored" in caplog.text
    assert ran == []


def test_close_from_its_own_thread_does_not_wait_for_itself(running: StoreFollower) -> None:
    """A listener may close the service."""
    assert running.submit(lambda store: running.close()).result(10) is None


def test_after_a_fork_the_parents_work_is_the_parents(follower: Idle, store: FragileStore, other: SqliteStore) -> None:
    """Queue and unstored changes are dropped, what was read stays, and everything starts anew."""
    other.put_preference("k", version=1, value={"m": "stored"}, now_s=1.0)
    ran: list[str] = []
    follower.every(1000.0, lambda store: ran.append("periodic"))
    follower.watch_preference("k")
    follower.watch_jobs("download", "u")
    follower.turn()
    follower.submit(lambda store: ran.append("queued"))
    follower.set_preference("k", {"m": "unstored"})
    follower.note_job({"id": "j#1", **job(1)})
    follower.reset_after_fork()
    assert follower.preference("k").value == {"m": "stored"}  # type: ignore[union-attr]
    assert follower.jobs("download") == ()
    assert not follower.first_read.is_set()
    follower.turn()
    assert ran == ["periodic", "periodic"]
    assert other.preference("k").version == 1  # type: ignore[union-attr]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_works_while_the_parents_thread_is_busy(running: StoreFollower, store: FragileStore) -> None:
    """Forked in the middle of the parent's writing, again and again: the child reads, writes and ends."""
    running.every(0.0, lambda given: given.put_preference("busy", version=1, value={}, now_s=1.0))
    running.start()
    for number in range(10):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                running.reset_after_fork()
                stored: Future[bool] = running.submit(
                    lambda given: given.create_job(f"child#{number}", job(number))  # noqa: B023
                )
                code = 0 if stored.result(20) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(store.jobs("download", ollama_url="u")) == 10
    assert running.submit(lambda given: given.preference("busy")).result(10) is not None
