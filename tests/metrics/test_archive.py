"""Histories from memory, while a store is slow, away or asked too often."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.metrics import archive as archive_module
from elixi_models.metrics.archive import HistoryArchive
from elixi_models.metrics.history import ModelHistory, Span

from .conftest import NOON_S, URL

SPAN = Span("a:1b", "w1", "hour", int(NOON_S) - 86_400, int(NOON_S) + 3_600)
ROLLUP = {"ollama_url": URL, "model": "a:1b", "weights_digest": "w1", "hour_s": int(NOON_S), "requests": 3}


class Monotonic:
    """Stands until it is set."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class SlowFollower:
    """Holds what is submitted until it is let go."""

    def __init__(self, store):
        self.store = store
        self.held = []

    def submit(self, action):
        future = Future()
        self.held.append((action, future))
        return future

    def let_go_one(self):
        """The oldest, as the thread would."""
        action, future = self.held.pop(0)
        future.set_result(action(self.store))

    def let_go(self):
        for action, future in self.held:
            future.set_result(action(self.store))
        self.held = []


def watch(store):
    """A list in which stands from now on for how many days each time roll-ups are asked for."""
    read, asked = store.rollups, []

    def rollups(**given):
        asked.append((given["until_s"] - given["since_s"]) / 86_400)
        return read(**given)

    store.rollups = rollups
    return asked


@pytest.fixture
def monotonic():
    return Monotonic()


@pytest.fixture
def make(settings, clock, monotonic):
    def build(follower):
        return HistoryArchive(follower=follower, settings=settings, clock=clock, monotonic=monotonic)

    return build


@pytest.fixture
def archive(make, follower):
    return make(follower)


def requests(history):
    return [point.requests for point in history.points]


def test_a_history_is_read_from_the_store(archive, store):
    """Within the wait, of this server, with the time at which it was read."""
    store.put_rollup("r", ROLLUP)
    store.put_rollup("s", {**ROLLUP, "ollama_url": "http://other"})
    history = archive.recall(SPAN, wait_s=1.0)

    assert (history.span, requests(history), history.as_of_s, history.pending) == (SPAN, [3], NOON_S, False)


def test_a_fresh_copy_is_given_without_the_store(archive, store, follower, monotonic):
    """For two seconds, also while the store is away; then the store is asked again."""
    store.put_rollup("r", ROLLUP)
    archive.recall(SPAN, wait_s=1.0)
    store.put_rollup("r", {**ROLLUP, "requests": 4})
    follower.away = True
    monotonic.now = 1.9
    assert requests(archive.recall(SPAN, wait_s=1.0)) == [3]

    follower.away = False
    monotonic.now = 2.1
    assert requests(archive.recall(SPAN, wait_s=1.0)) == [4]


def test_while_the_store_is_away_the_last_copy_is_given_and_says_so(archive, store, follower, monotonic):
    """With its time; nothing at all while there is no copy."""
    store.put_rollup("r", ROLLUP)
    archive.recall(SPAN, wait_s=1.0)
    follower.away = True
    monotonic.now = 60.0
    stale, other = archive.recall(SPAN, wait_s=1.0), Span("b:1b", None, "day", 0, 86_400)

    assert (requests(stale), stale.as_of_s, stale.pending) == ([3], NOON_S, True)
    assert archive.recall(other, wait_s=1.0) == ModelHistory(other, pending=True)


def test_a_slow_store_is_not_waited_for_and_its_answer_is_kept(make, store):
    """The view has its answer at once, the next one has the history."""
    store.put_rollup("r", ROLLUP)
    archive = make(slow := SlowFollower(store))
    assert archive.recall(SPAN, wait_s=0.0) == ModelHistory(SPAN, pending=True)

    slow.let_go()
    assert requests(archive.recall(SPAN, wait_s=0.0)) == [3]


def test_what_is_being_read_is_not_read_twice(make, store):
    """Those who ask meanwhile wait for the same reading."""
    archive = make(slow := SlowFollower(store))
    for _ in range(3):
        archive.recall(SPAN, wait_s=0.0)
    assert len(slow.held) == 1

    found = []
    waiting = threading.Thread(target=lambda: found.append(archive.recall(SPAN, wait_s=20.0)))
    waiting.start()
    slow.let_go()
    waiting.join()
    assert [history.pending for history in found] == [False]


def test_many_questions_at_once_do_not_fill_the_stores_queue(make, store):
    """Four are read; the fifth is pending without being read, and is read when there is room again."""
    archive = make(slow := SlowFollower(store))
    spans = [Span(f"m{number}", None, "hour", 0, 3_600) for number in range(5)]
    assert all(archive.recall(span, wait_s=0.0).pending for span in spans)
    assert len(slow.held) == 4

    slow.let_go()
    archive.recall(spans[4], wait_s=0.0)
    assert len(slow.held) == 1


def test_what_took_long_to_read_is_fresh_for_ten_times_as_long(make, store, monotonic):
    """So that polling a large store leaves its thread time for everything else."""
    archive = make(slow := SlowFollower(store))
    archive.recall(SPAN, wait_s=0.0)
    monotonic.now = 0.0
    read = store.rollups

    def read_slowly(**asked):
        monotonic.now += 3.0
        return read(**asked)

    store.rollups = read_slowly
    slow.let_go()
    monotonic.now = 32.9
    assert not archive.recall(SPAN, wait_s=0.0).pending
    monotonic.now = 33.1
    assert archive.recall(SPAN, wait_s=0.0).pending


YEAR = Span("a:1b", "w1", "day", int(NOON_S // 86_400) * 86_400 - 366 * 86_400, int(NOON_S // 86_400) * 86_400)


def test_a_year_is_read_in_pieces_between_which_others_have_their_turn(make, store, monotonic):
    """What was submitted meanwhile runs before the next piece; pieces that read fast become longer, at most twofold."""
    for back in range(1, 367):
        store.put_rollup(f"d{back}", {**ROLLUP, "hour_s": -(YEAR.until_s - back * 86_400)})
    archive = make(slow := SlowFollower(store))
    assert archive.recall(YEAR, wait_s=0.0).pending
    order = watch(store)
    while slow.held:
        slow.submit(lambda store: order.append("another"))
        slow.let_go_one()
        slow.let_go_one()
    assert order == [25, "another", 50, "another", 100, "another", 191, "another"]
    assert sum(requests(archive.recall(YEAR, wait_s=0.0))) == 3 * 366


def test_a_piece_holds_the_thread_no_longer_than_a_moment(make, store, monotonic):
    """Of a store that takes a millisecond for a day 30 days are read at once."""
    read = store.rollups

    def read_slowly(**asked):
        monotonic.now += 0.001 * (asked["until_s"] - asked["since_s"]) / 86_400
        return read(**asked)

    store.rollups = read_slowly
    asked = watch(store)
    archive = make(slow := SlowFollower(store))
    archive.recall(YEAR, wait_s=0.0)
    while slow.held:
        slow.let_go_one()
    assert asked == [25, *[30] * 11, 11]


def test_a_store_that_goes_away_in_the_middle_ends_the_reading(make, store):
    """Who waits has the last copy; the next question begins anew."""
    archive = make(slow := SlowFollower(store))
    archive.recall(YEAR, wait_s=0.0)
    slow.let_go_one()
    (held,) = slow.held
    held[1].set_exception(StoreUnavailable("away"))
    slow.held = []
    assert archive.recall(YEAR, wait_s=0.0) == ModelHistory(YEAR, pending=True)
    assert len(slow.held) == 1


def test_only_the_model_asked_for_is_read(archive, store):
    """By its name in any spelling, or by its weights."""
    store.put_rollup("own", ROLLUP)
    store.put_rollup("old", {**ROLLUP, "model": "A:1b", "weights_digest": "w0"})
    store.put_rollup("alias", {**ROLLUP, "model": "mine:latest"})
    store.put_rollup("other", {**ROLLUP, "model": "b:1b", "weights_digest": "w2"})
    history = archive.recall(SPAN, wait_s=1.0)
    gone = archive.recall(Span("A:1B", None, "hour", SPAN.from_s, SPAN.until_s), wait_s=1.0)

    assert (requests(history), history.points[0].weights_digests) == ([9], ("w0", "w1"))
    assert requests(gone) == [6]


def test_the_copies_are_bounded(archive, monkeypatch, follower):
    """The one read longest ago is given up."""
    monkeypatch.setattr(archive_module, "_MOST_KEPT", 2)
    spans = [Span(f"m{number}", None, "hour", 0, 3_600) for number in range(3)]
    for span in (*spans[:2], spans[0], spans[2]):
        archive.recall(span, wait_s=1.0)
    follower.away = True

    assert [archive.recall(span, wait_s=0.0).pending for span in spans] == [True, False, False]


def test_a_forked_child_does_not_wait_for_its_parents_readings(make, store):
    """It reads itself, and keeps the copies."""
    archive = make(slow := SlowFollower(store))
    archive.recall(SPAN, wait_s=0.0)
    archive.reset_after_fork()
    archive.recall(SPAN, wait_s=0.0)

    assert len(slow.held) == 2
