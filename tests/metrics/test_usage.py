"""The usage history: seen at once, stored soon, shared with other processes."""

from __future__ import annotations

import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.metrics import usage as usage_module
from elixi_models.metrics.usage import UsageHistory

from .conftest import NOON_S, URL

FLUSH_S, REFRESH_S = 0.5, 2.0


@pytest.fixture
def history(follower, clock):
    return UsageHistory(follower=follower, ollama_url=URL, clock=clock)


def test_a_line_says_who_did_what_when_and_how_it_ended(history):
    """It is there at once, without the store."""
    event = history.record("switch", "a:1b", "ok", user="kim", previous="b:1b")

    assert history.recent() == [event]
    assert (event.action, event.model, event.outcome, event.user) == ("switch", "a:1b", "ok", "kim")
    assert (event.created_at_s, event.ollama_url, event.details) == (NOON_S, URL, {"previous": "b:1b"})


def test_a_line_is_stored_by_the_flush(history, follower, store):
    """Once, however often that runs."""
    event = history.record("delete", "a:1b", "ok")
    follower.run(FLUSH_S)
    follower.run(FLUSH_S)

    assert store.usage(ollama_url=URL) == [event]


def test_lines_wait_while_the_store_is_away(history, follower, store):
    """And are stored on its return, with those that came meanwhile."""
    history.record("delete", "a:1b", "ok")
    follower.away = True
    with pytest.raises(StoreUnavailable):
        follower.run(FLUSH_S)
    history.record("unload", "b:1b", "ok")
    follower.away = False
    follower.run(FLUSH_S)

    assert sorted(event.action for event in store.usage(ollama_url=URL)) == ["delete", "unload"]


def test_recent_lines_can_be_narrowed(history, clock):
    """Newest first; by number, by time, by model in any spelling."""
    for number, model in enumerate(["a:latest", "b:1b", None, "a:latest"]):
        clock.now_s = NOON_S + number
        history.record("assign", model, "ok", n=number)

    def numbers(**narrowed):
        return [event.details["n"] for event in history.recent(**narrowed)]

    assert numbers() == [3, 2, 1, 0]
    assert numbers(limit=2) == [3, 2]
    assert numbers(limit=0) == numbers(limit=-1) == []
    assert numbers(before_s=NOON_S + 2) == [1, 0]
    assert numbers(model="A") == [3, 0]


def test_other_processes_lines_join(history, follower, store, clock):
    """Old ones at the first look, new ones at the next."""
    other = UsageHistory(follower=type(follower)(store), ollama_url=URL, clock=clock)
    old = other.record("switch", "a:1b", "ok")
    other._flush(store)
    follower.run(REFRESH_S)
    assert history.recent() == [old]

    clock.now_s += 1
    new = other.record("switch", "b:1b", "ok")
    other._flush(store)
    follower.run(REFRESH_S)
    assert history.recent() == [new, old]


def test_many_new_lines_at_once_are_all_read(history, follower, store, clock):
    """More than a look usually takes."""
    follower.run(REFRESH_S)
    other = UsageHistory(follower=type(follower)(store), ollama_url=URL, clock=clock)
    for _ in range(120):
        clock.now_s += 1
        other.record("switch", "a:1b", "ok")
    other._flush(store)
    follower.run(REFRESH_S)

    assert len(history.recent(limit=1_000)) == 120


def test_memory_keeps_the_newest_lines(history, clock, monkeypatch):
    """The oldest are given up, in memory only."""
    monkeypatch.setattr(usage_module, "_REMEMBERED", 3)
    for number in range(5):
        clock.now_s += 1
        history.record("assign", "a:1b", "ok", n=number)

    assert [event.details["n"] for event in history.recent()] == [4, 3, 2]


def test_a_forked_child_writes_nothing_of_its_parent(history, follower, store):
    """The parent's waiting lines are the parent's to store; they are still shown."""
    history.record("switch", "a:1b", "ok")
    history.reset_after_fork()
    follower.run(FLUSH_S)

    assert store.usage(ollama_url=URL) == []
    assert len(history.recent()) == 1


def test_what_waits_is_written_at_the_end(history, follower):
    """The flush is among what runs once more when the follower closes."""
    assert [every_s for every_s, _, at_close in follower.work if at_close] == [FLUSH_S]
