"""Measurements on their way to the store, through outages, exits, kills and forks."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.inventory import InstalledModel
from elixi_models.metrics import recorder as recorder_module
from elixi_models.metrics.recorder import MetricsRecorder
from elixi_models.metrics.summaries import Summaries
from elixi_models.store.sqlite import SqliteStore

from .conftest import NOON_S, URL, Machine

A = InstalledModel("a:1b", "d1", weights_digest="w1")
FLUSH_S, LOAD_S, DOCUMENT_S = 0.5, 2.0, 60.0


@pytest.fixture
def summaries(clock):
    return Summaries(URL, clock)


@pytest.fixture
def recorder(follower, settings, summaries, clock):
    made = MetricsRecorder(
        follower=follower,
        settings=settings,
        owner="me",
        summaries=summaries,
        machine=Machine(),
        measured_at=lambda at_s: {},
        clock=clock,
    )
    yield made
    recorder_module._living.discard(made)


def stored(store):
    return [measurement.id for measurement in store.measurements(ollama_url=URL, since_s=0)]


def test_a_call_is_in_memory_at_once_and_in_the_store_after_the_flush(recorder, follower, summaries, store, call):
    """The figures do not wait for the store."""
    one = call()
    recorder.record(one)

    assert summaries.summary(A).requests == 1
    assert stored(store) == []

    follower.run(FLUSH_S)
    assert stored(store) == [one.id]


def test_recording_counts_nothing_on_the_callers_thread(recorder, follower, summaries, call):
    """The flush does, so that not even the next look has to."""
    recorder.record(call())
    assert len(summaries._added) == 1

    follower.run(FLUSH_S)
    assert len(summaries._added) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 1e18])
def test_durations_that_cannot_be_do_no_harm(recorder, follower, store, call, bad):
    """The call is one of the hour's, its sums are those of the others, and all can be stored."""
    recorder.record(call(duration_s=1.0, tokens=65, eval_s=2.0))
    recorder.record(call(duration_s=bad, ttft_s=bad, load_s=bad, eval_s=bad, tokens=65))
    follower.run(FLUSH_S)

    (hour,) = store.rollups(ollama_url=URL, since_s=NOON_S)
    assert (hour["requests"], hour["latency_s"], hour["latencies"]) == (2, 1.0, 1)
    assert (hour["gaps"], hour["eval_s"], hour["ttfts"]) == (64, 2.0, 0)
    assert len(stored(store)) == 2


@pytest.mark.parametrize("jump_s", [-400 * 86_400, -7_200, 7_200, 400 * 86_400, -NOON_S])
def test_a_clock_that_jumps_and_comes_back_loses_no_call(recorder, follower, store, call, clock, jump_s):
    """By hours or years, there and back, with a flush at each: every call is stored and in exactly one hour and day."""
    for now_s in (NOON_S, NOON_S + jump_s, NOON_S + 1, NOON_S + jump_s + 1, NOON_S + 2):
        clock.now_s = now_s
        recorder.record(call())
        follower.run(FLUSH_S)

    sums = store.rollups(ollama_url=URL, since_s=-1e12)
    assert sum(each["requests"] for each in sums if each["hour_s"] > 0) == 5
    assert sum(each["requests"] for each in sums if each["hour_s"] < 0) == 5
    assert [each["requests"] for each in sums if each["hour_s"] == 0] == [5]
    assert len(store.measurements(ollama_url=URL, since_s=-1.0)) == 5


@pytest.mark.parametrize("model", ["", " ", "a|b@c#1", "hf.co/Ünïcode/東:Q4_K_M", "x" * 5_000, "$where.a", "a\n'b\""])
def test_a_model_of_any_name_has_its_own_sums(recorder, follower, store, call, model):
    """Whatever a server calls it."""
    recorder.record(call(model=model, weights_digest=None))
    recorder.record(call())
    follower.run(FLUSH_S)

    (hour,) = store.rollups(ollama_url=URL, since_s=NOON_S, model=model)
    assert (hour["model"], hour["requests"]) == (model, 1)


def test_rollups_know_the_footprint_of_their_model(recorder, follower, store, call):
    """Of each hour, day and whole life; null where it was never seen."""
    recorder.record(call())
    recorder.record(call(model="b:1b", weights_digest="w2"))
    follower.run(FLUSH_S)

    found = {(each["model"], each["memory_bytes"]) for each in store.rollups(ollama_url=URL, since_s=-NOON_S)}
    assert found == {("a:1b", 2_097_152_000), ("b:1b", None)}


def test_recording_starts_the_thread_that_writes(recorder, follower, call):
    """Also when nobody asked for anything else, as after a fork."""
    recorder.record(call())

    assert follower.starts == 1


def test_a_flush_writes_until_nothing_is_left(recorder, follower, store, call, monkeypatch):
    """More than one batch goes in one flush."""
    monkeypatch.setattr(recorder_module, "_BATCH", 10)
    for _ in range(95):
        recorder.record(call())
    follower.run(FLUSH_S)

    assert len(stored(store)) == 95


def test_a_flush_writes_the_roll_ups(recorder, follower, store, call):
    """This hour's and the whole life's, under this owner, replaced at every flush."""
    for _ in range(2):
        recorder.record(call())
        follower.run(FLUSH_S)

    assert [(rollup["hour_s"], rollup["owner"], rollup["requests"]) for rollup in store.rollups(ollama_url=URL)] == [
        (0, "me", 2),
        (int(NOON_S), "me", 2),
    ]


def test_what_cannot_be_written_waits(recorder, follower, store, call):
    """Through an outage nothing is lost and nothing is counted twice."""
    ids = []
    for _ in range(3):
        recorder.record(one := call())
        ids.append(one.id)
        follower.away = True
        with pytest.raises(StoreUnavailable):
            follower.run(FLUSH_S)
    follower.away = False
    follower.run(FLUSH_S)

    assert sorted(stored(store)) == ids
    assert store.rollups(ollama_url=URL, until_s=1)[0]["requests"] == 3


def test_a_long_outage_costs_the_oldest_and_is_told_once(recorder, follower, store, call, monkeypatch, caplog):
    """The newest so many wait; the log says once that older ones are given up."""
    monkeypatch.setattr(recorder_module, "_MOST_WAITING", 5)
    calls = [call() for _ in range(8)]
    for one in calls:
        recorder.record(one)
    with caplog.at_level(logging.WARNING):
        follower.run(FLUSH_S)
        follower.run(FLUSH_S)

    assert stored(store) == [one.id for one in calls[3:]]
    assert recorder.dropped == 3
    assert len(caplog.records) == 1


def test_others_calls_join_by_the_followers_work(recorder, follower, summaries, store, call):
    """The recorder has the store's thread load what other processes wrote."""
    store.add_measurements([call()])
    follower.run(LOAD_S)

    assert summaries.summary(A).requests == 1


def test_own_roll_ups_are_known_as_own(recorder, follower, summaries, call):
    """A request that is in memory and in the store's roll-ups is one request."""
    recorder.record(call())
    follower.run(FLUSH_S)
    follower.run(LOAD_S)

    assert summaries.summary(A).total_requests == 1


def test_an_hour_that_is_over_becomes_a_document(recorder, follower, store, call, clock):
    """The recorder has the store's thread write it."""
    recorder.record(call())
    follower.run(FLUSH_S)
    clock.now_s += 3_700
    follower.run(DOCUMENT_S)

    assert [document["source"] for document in store.performance(ollama_url=URL)] == ["hour"]


def test_only_the_flush_runs_once_more_at_the_end(recorder, follower):
    """Closing writes; it does not read."""
    assert [every_s for every_s, _, at_close in follower.work if at_close] == [FLUSH_S]


def test_at_exit_what_waits_is_written(recorder, follower, store, call):
    """A recorder that nobody closed is flushed when the interpreter goes down."""
    recorder.record(call())
    recorder_module._flush_all()

    assert len(stored(store)) == 1


def test_at_exit_with_nothing_to_write_the_store_is_left_alone(recorder, follower, monkeypatch):
    """No thread is started for nothing."""
    monkeypatch.setattr(follower, "submit", None)

    recorder.flush_at_exit()


def test_at_exit_a_store_that_is_away_is_no_error(recorder, follower, call):
    """There is nobody left to tell."""
    recorder.record(call())
    follower.away = True

    recorder.flush_at_exit()


def test_a_forked_child_writes_nothing_of_its_parent(recorder, follower, store, call):
    """Its own calls go under an owner of its own."""
    recorder.record(call())
    recorder.reset_after_fork()
    recorder.record(own := call())
    follower.run(FLUSH_S)

    assert stored(store) == [own.id]
    assert recorder.owner == f"me/{os.getpid()}"
    assert {rollup["owner"] for rollup in store.rollups(ollama_url=URL)} == {recorder.owner}


def test_a_forked_child_counts_its_parents_requests_once(recorder, follower, summaries, store, call):
    """They are another owner's now, and come from the store."""
    recorder.record(call())
    follower.run(FLUSH_S)
    recorder.reset_after_fork()
    follower.run(LOAD_S)

    assert summaries.summary(A).total_requests == 1


def test_many_threads_may_record_while_the_store_is_written(recorder, follower, store, call):
    """Eight threads and a writer; every call arrives."""
    calls = [[call() for _ in range(200)] for _ in range(8)]
    done = threading.Event()

    def write():
        while not done.is_set():
            follower.run(FLUSH_S)

    writer = threading.Thread(target=write)
    threads = [threading.Thread(target=lambda mine=mine: [recorder.record(one) for one in mine]) for mine in calls]
    for thread in [writer, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    writer.join()
    follower.run(FLUSH_S)

    assert len(stored(store)) == 1_600


PROGRAM = """
import os, sys, time
from pathlib import Path
from elixi_models.metrics.footprints import Footprints
from elixi_models.metrics.recorder import MetricsRecorder
from elixi_models.metrics.summaries import Summaries
from elixi_models.records import Measurement
from elixi_models.settings import Settings
from elixi_models.store.following import StoreFollower
from elixi_models.store.sqlite import SqliteStore

settings = Settings(ollama_url="http://127.0.0.1:11434")
store = SqliteStore(Path(sys.argv[1]))
follower = StoreFollower(store, settings)
summaries = Summaries(settings.ollama_url)
machine = Footprints(cache=None, summarise=summaries.summary)
recorder = MetricsRecorder(
    follower=follower,
    settings=settings,
    owner="child",
    summaries=summaries,
    machine=machine,
    measured_at=lambda at_s: {},
)

def record():
    recorder.record(Measurement(os.urandom(8).hex(), time.time(), settings.ollama_url, "a:1b", "chat", "ok", 1.0))
"""


def start_program(path, rest, **named):
    source = PROGRAM + textwrap.dedent(rest)
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", source, str(path)], text=True, **named)


def count(path):
    store = SqliteStore(path)
    try:
        return len(stored(store))
    finally:
        store.close()


def test_a_program_that_just_ends_loses_nothing(tmp_path):
    """Ten calls right before the end, nobody closes anything: ten are stored."""
    path = tmp_path / "m.db"
    program = start_program(path, "for _ in range(10): record()")

    assert program.wait(30) == 0
    assert count(path) == 10


def test_a_killed_program_loses_at_most_a_second(tmp_path):
    """Of a call every 10 ms until kill -9, all but the last second's are stored."""
    path = tmp_path / "m.db"
    program = start_program(
        path,
        """
        for number in range(10_000):
            record()
            print(number, flush=True)
            time.sleep(0.01)
        """,
        stdout=subprocess.PIPE,
    )
    assert program.stdout is not None
    made = 0
    for line in program.stdout:
        made = int(line) + 1
        if made == 180:
            os.kill(program.pid, signal.SIGKILL)
            break
    made += sum(1 for _ in program.stdout)
    program.stdout.close()
    program.wait(30)

    assert made - 100 <= count(path) <= made


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork_both_sides_store_their_own(tmp_path):
    """The parent's queued calls are written once, by the parent; the child's by the child."""
    path = tmp_path / "m.db"
    program = start_program(
        path,
        """
        for _ in range(3): record()
        pid = os.fork()
        if pid == 0:
            store.close()
            follower.reset_after_fork()
            recorder.reset_after_fork()
            for _ in range(5): record()
            follower.close()
            os._exit(0)
        os.waitpid(pid, 0)
        """,
    )

    assert program.wait(30) == 0
    assert count(path) == 8
