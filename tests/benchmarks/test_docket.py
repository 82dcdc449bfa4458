"""A benchmark's place in the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from elixi_models.benchmarks import documents
from elixi_models.benchmarks.docket import Docket, Office, bury
from elixi_models.errors import BenchmarkRunning, StoreUnavailable
from elixi_models.records import BenchmarkJob, Failure
from elixi_models.store.sqlite import SqliteStore

from .conftest import URL

NOW_S = 1_800_000_000.0
TERM_S = 30.0


class Follower:
    """Remembers what was noted."""

    def __init__(self):
        self.noted = []
        self.status = SimpleNamespace(available=True)

    def note_job(self, job):
        self.noted.append(job)


class Desk:
    """Two processes' offices over one store, and its clock."""

    def __init__(self, store):
        self.store = store
        self.now_s = NOW_S
        self.dockets = []
        self.follower = Follower()

    def office(self, owner="me", store=None):
        return Office(store or self.store, self.follower, owner, TERM_S, lambda: self.now_s, lambda: self.now_s)

    def docket(self, owner="me", store=None, job=None):
        docket = Docket(self.office(owner, store), job or a_job())
        self.dockets.append(docket)
        return docket

    def newest(self):
        return documents.read(self.store.newest_job("benchmark", URL))


class Away:
    """A store that cannot be reached."""

    def __getattr__(self, verb):
        def refuse(*args, **named):
            raise StoreUnavailable("away")

        return refuse


def a_job(**changes):
    given = {
        "id": documents.job_id(URL, 0),
        "ollama_url": URL,
        "model": "a:1b",
        "suite": "quick",
        "state": "queued",
        "created_at_s": NOW_S,
        "updated_at_s": NOW_S,
        "total_items": 4,
    }
    return BenchmarkJob(**{**given, **changes})


@pytest.fixture
def desk(tmp_path: Path):
    store = SqliteStore(tmp_path / "jobs.db")
    made = Desk(store)
    yield made
    for docket in made.dockets:
        if docket._lease is not None:
            docket._lease.release()
    store.close()


def test_a_job_survives_its_document():
    """What is stored is the job, and names what the store asks for."""
    job = a_job(id=documents.job_id(URL, 7), failure=Failure("X", "words", NOW_S, {"a": 1}), report={"items": []})
    stored = documents.document(job)

    assert documents.read({"id": job.id, **stored}) == job
    assert {name: stored[name] for name in ("kind", "subject", "number", "live")} == {
        "kind": "benchmark",
        "subject": URL,
        "number": 7,
        "live": True,
    }


@pytest.mark.parametrize("change", [{"state": "paused"}, {"failure": {"cause": "?"}}, {"model": ...}])
def test_a_document_of_another_version_is_no_job(change):
    """An unknown state, a failure of another shape, a field that is missing."""
    stored = {"id": "benchmark:x#1", **documents.document(a_job()), **change}

    assert documents.read({name: value for name, value in stored.items() if value is not ...}) is None


def test_a_job_is_numbered_and_held(desk):
    """The first is 1; its lease is its owner's, and it is shown at once."""
    docket = desk.docket()
    docket.enrol(a_job())
    docket.write(a_job(state="running"))

    assert docket.id == f"benchmark:{URL}#1"
    assert desk.store.lease(docket.id).owner == "me"
    assert desk.newest().state == "running"
    assert desk.follower.noted[-1]["id"] == docket.id


def test_a_second_benchmark_is_refused_while_one_runs(desk):
    """From any process, with a description of the one that runs."""
    desk.docket("other").enrol(a_job(model="b:latest"))

    with pytest.raises(BenchmarkRunning) as caught:
        desk.docket().enrol(a_job())

    assert caught.value.details == {
        "model_name": "b",
        "suite": "quick",
        "status": "queued",
        "done_items": 0,
        "total_items": 4,
    }


def test_after_one_has_ended_the_next_gets_the_next_number(desk):
    """The lease of the first is given back."""
    first = desk.docket()
    first.enrol(a_job())
    assert first.finish(a_job(state="ok"))
    assert desk.store.lease(first.id).released

    second = desk.docket()
    second.enrol(a_job())
    assert second.id == f"benchmark:{URL}#2"


def test_who_loses_the_race_for_a_number_is_refused(desk, monkeypatch):
    """Between looking and inserting, another process was faster."""
    insert, rivals = SqliteStore.create_job, [desk.docket("other")]

    def slow_insert(store, job_id, job):
        if rivals:
            rivals.pop().enrol(a_job())
        return insert(store, job_id, job)

    monkeypatch.setattr(SqliteStore, "create_job", slow_insert)
    with pytest.raises(BenchmarkRunning):
        desk.docket().enrol(a_job())


def test_a_dead_owners_benchmark_makes_way(desk):
    """When its lease has run out, the next one ends it and begins."""
    first = desk.docket("dead")
    first.enrol(a_job())
    first._lease._ended.set()
    desk.now_s += TERM_S + 1

    second = desk.docket()
    second.enrol(a_job())

    assert second.id == f"benchmark:{URL}#2"
    (ended,) = [documents.read(job) for job in desk.store.jobs("benchmark", ollama_url=URL) if job["number"] == 1]
    assert (ended.state, ended.reason, ended.failure.code) == ("failed", "owner_died", "CANCELLED")
    assert ended.finished_at_s == desk.now_s


def test_a_dead_owners_answers_are_kept(desk):
    """A report with answers makes it partial."""
    report = {"items": [{"kind": "warm_up", "outcome": "ok"}, {"kind": "decode", "outcome": "ok"}]}
    job = a_job(id=documents.job_id(URL, 1), state="running", report=report)
    desk.store.create_job(job.id, documents.document(job))
    desk.now_s += TERM_S + 1

    assert bury(desk.office(), job)
    assert (desk.newest().state, desk.newest().report) == ("partial", report)


def test_a_job_that_has_just_begun_is_not_dead(desk):
    """Between its document and its lease lies a moment."""
    job = a_job(id=documents.job_id(URL, 1))
    desk.store.create_job(job.id, documents.document(job))

    assert not bury(desk.office(), job)
    assert desk.newest().live


def test_a_job_that_has_ended_is_left_alone(desk):
    """Memory may be older than the store."""
    job = a_job(id=documents.job_id(URL, 1))
    ended = replace(job, state="ok")
    desk.store.create_job(job.id, documents.document(ended))

    assert bury(desk.office(), job)
    assert desk.newest() == ended
    assert bury(desk.office(), a_job(id=documents.job_id(URL, 9)))


def test_only_one_process_ends_a_dead_owners_job(desk, monkeypatch):
    """Who does not get the lease writes nothing."""
    job = a_job(id=documents.job_id(URL, 1))
    desk.store.create_job(job.id, documents.document(job))
    desk.now_s += TERM_S + 1
    monkeypatch.setattr(SqliteStore, "take_lease", lambda *args, **named: None)

    assert not bury(desk.office(), job)
    assert desk.newest().live


def test_a_request_to_stop_reaches_the_holder(desk):
    """From any process, through the store; a job that is not stored has none."""
    docket = desk.docket()
    assert not docket.cancel_requested()

    docket.enrol(a_job())
    assert not docket.cancel_requested()

    desk.store.request_cancel(docket.id, user=None, now_s=NOW_S)
    assert docket.cancel_requested()


def test_with_the_store_away_the_end_is_written_on_its_return(desk):
    """Under a number of its own; until then it says that it is not written."""
    docket = desk.docket(store=Away())
    with pytest.raises(StoreUnavailable):
        docket.enrol(a_job())
    docket.write(a_job(state="running"))
    assert not docket.finish(a_job(state="ok"))

    docket._office = desk.office()
    assert docket.finish(a_job(state="ok"))
    assert (desk.newest().id, desk.newest().state) == (f"benchmark:{URL}#1", "ok")


def test_an_outage_while_writing_progress_is_no_matter(desk):
    """The next write tells more."""
    docket = desk.docket()
    docket.enrol(a_job())
    docket._office = desk.office(store=Away())

    docket.write(a_job(state="running"))
    assert not docket.taken_over


def test_a_lost_lease_stops_the_writing_and_the_end_is_fenced(desk):
    """Nothing is written without the lease; the end takes it anew, as soon as nobody else holds it."""
    docket = desk.docket()
    docket.enrol(a_job())
    docket._lease.lost.set()
    docket.write(a_job(state="running"))
    assert docket.taken_over
    assert desk.newest().state == "queued"
    desk.now_s += TERM_S + 1
    other = desk.store.take_lease(docket.id, owner="other", now_s=desk.now_s, term_s=TERM_S)
    assert not docket.finish(a_job(state="ok"))
    assert desk.newest().state == "queued"

    desk.store.release_lease(docket.id, attempt=other, owner="other")
    assert docket.finish(a_job(state="ok"))
    assert desk.newest().state == "ok"
