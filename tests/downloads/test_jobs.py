"""Downloads as jobs: requests, places, cancelling, other processes, the store away."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from elixi_models.downloads import documents, worker
from elixi_models.downloads.knowledge import Knowledge
from elixi_models.errors import (
    Cancelled,
    DigestMismatch,
    InsufficientStorage,
    ModelNotFound,
    NotFound,
    OllamaBusy,
    OllamaUnavailable,
    RegistryNotAllowed,
    RegistryUnreachable,
    StoreUnavailable,
)
from elixi_models.records import DownloadJob, Progress, PullEvent

URL = "http://127.0.0.1:11434"
WAIT_S = 10.0
MANIFEST, SUCCESS = PullEvent("pulling manifest"), PullEvent("success")


def layer(completed: int, total: int = 100_000_000) -> PullEvent:
    return PullEvent("pulling a", "sha256:a", total, completed)


def held(ollama: Any, *steps: Any) -> list[Any]:
    """A pull whose bytes flow and which then waits to be let go."""
    return [MANIFEST, layer(40_000_000), *steps, ollama.HOLD, SUCCESS]


# What a request gets


def test_a_small_model_is_installed_within_the_wait(begin: Any, store: Any):
    """The job is stored as number 1, its lease is given back, and the size comes from the list of models."""
    process = begin()
    job = process.start("mistral:7b", user="ada")
    assert (job.id, job.state, job.user) == (f"download:{URL}:mistral:7b#1", "installed", "ada")
    assert job.progress == Progress(1.0, 4_000_000_000, 4_000_000_000, None, 0.0)
    assert process.end() == job == process.find("mistral:7b")
    assert documents.read(process.stored("mistral:7b")) == job
    assert store.lease(job.id).released


def test_a_request_returns_as_soon_as_bytes_flow(begin: Any, ollama: Any, store: Any):
    """The name is known to be right then; nobody waits for the rest."""
    ollama.scripts["m:latest"] = [held(ollama)]
    process = begin()
    job = process.start("m")
    assert (job.state, job.live) == ("downloading", True)
    store.wait_written(0.4)
    process.look()
    assert process.find("m").progress.fraction == 0.4
    ollama.let("m:latest")
    assert process.end().state == "installed"


def test_without_a_wait_the_answer_is_immediate(begin: Any, ollama: Any):
    """`wait_s` 0 never blocks, whatever the registry does."""
    ollama.scripts["m:latest"] = [[ollama.HOLD, SUCCESS]]
    process = begin()
    assert process.start("m", wait_s=0.0).live
    ollama.let("m:latest")
    assert process.end().state == "installed"


def test_a_typo_is_told_at_once(begin: Any, ollama: Any):
    """The registry's no is raised within the wait; the job is kept as failed, with code, words and name."""
    ollama.scripts["typo:latest"] = [[MANIFEST, ModelNotFound("The registry has no typo.")]]
    process = begin()
    with pytest.raises(ModelNotFound, match="no typo"):
        process.start("typo")
    job = process.end()
    assert (job.state, job.failure.code, job.failure.details) == ("failed", "MODEL_NOT_FOUND", {"model_name": "typo"})
    assert documents.read(process.stored("typo")) == job


def test_a_failed_job_answers_the_poll_and_restart_starts_anew(begin: Any, ollama: Any):
    """Within thirty seconds it is returned unchanged; `restart` makes the next number."""
    ollama.scripts["m:latest"] = [[MANIFEST, ModelNotFound("no")]]
    process = begin()
    with pytest.raises(ModelNotFound):
        process.start("m")
    failed = process.end()
    assert process.start("m") == failed
    assert process.start("m", restart=True).id == f"download:{URL}:m:latest#2"


def test_refused_models_reach_nothing(begin: Any, ollama: Any):
    """A foreign registry and a cloud model are refused before a job or a request exists."""
    process = begin()
    for name in ("evil.example/u/m", "gpt-oss:120b-cloud"):
        with pytest.raises(RegistryNotAllowed):
            process.start(name)
    assert (ollama.pulls, process.queue.all()) == ([], [])


def test_an_installed_model_is_not_pulled(begin: Any, ollama: Any):
    """The answer has the shape of a job, all of it there, and nothing is stored."""
    ollama.install("Mistral:7b", 4_100_000_000)
    process = begin()
    job = process.start("mistral:7B")
    assert (job.model, job.state, job.progress.fraction) == ("Mistral:7b", "installed", 1.0)
    assert job.progress.total_bytes == 4_100_000_000
    assert (ollama.pulls, process.queue.all()) == ([], [])


def test_the_end_of_a_download_answers_its_polls(begin: Any, ollama: Any):
    """The job that installed the model is returned, not a record made up for it."""
    process = begin()
    job = process.start("m")
    process.end()
    assert process.start("m") == job
    assert len(ollama.pulls) == 1


def test_update_pulls_an_installed_model_again(begin: Any, ollama: Any):
    """And its own poll does not pull a third time."""
    ollama.install("m:latest")
    process = begin()
    job = process.start("m", update=True)
    process.end()
    assert (job.state, job.update) == ("installed", True)
    assert process.start("m", update=True) == job
    assert ollama.pulls == ["m:latest"]


def test_a_deleted_model_is_pulled_anew(begin: Any, ollama: Any):
    """A look after the job ended, and without the model, says that it is gone."""
    process = begin()
    process.start("m")
    process.end()
    del ollama.models["m:latest"]
    assert process.start("m").id.endswith("#1")
    ollama.as_of_s = time.time() + 1
    assert process.start("m").id.endswith("#2")


def test_eight_threads_asking_for_one_model_make_one_pull(begin: Any, ollama: Any):
    """All are told about the same job, which is the only one stored."""
    ollama.scripts["m:latest"] = [held(ollama)]
    process, jobs, barrier = begin(), [], threading.Barrier(8)

    def ask() -> None:
        barrier.wait(WAIT_S)
        jobs.append(process.start("m"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert ({job.live for job in jobs}, len({job.created_at_s for job in jobs})) == ({True}, 1)
    ollama.let("m:latest")
    assert process.end().id == f"download:{URL}:m:latest#1"
    assert (ollama.pulls, len(process.queue.all())) == (["m:latest"], 1)


def test_an_ended_job_in_its_last_moments_does_not_swallow_a_restart(begin: Any, ollama: Any, monkeypatch: Any):
    """Between its end and the end of its thread a new request gets a new job."""
    process = begin()
    ollama.scripts["m:latest"] = [[MANIFEST, ModelNotFound("no")]]
    restarted: list[DownloadJob] = []
    note_end = Knowledge.note_end

    def restart_first(knowledge: Any, job: DownloadJob) -> None:
        note_end(knowledge, job)
        if not restarted:
            restarted.append(job)
            restarted.append(process.start("m", restart=True))

    monkeypatch.setattr(Knowledge, "note_end", restart_first)
    with pytest.raises(ModelNotFound):
        process.start("m")
    assert {process.end().state, process.end().state} == {"failed", "installed"}
    assert restarted[1].state == "installed"


# Places


def test_more_downloads_than_places_wait_in_order(begin: Any, ollama: Any, store: Any):
    """One at a time: the second is queued, stored, and begins when the first has ended."""
    ollama.scripts["a:latest"] = [held(ollama)]
    process = begin(max_pulls=1)
    process.start("a")
    assert [process.start(name).state for name in ("b", "c")] == ["queued", "queued"]
    process.look()
    assert process.stored("c")["state"] == "queued"
    ollama.let("a:latest")
    assert [process.end().model for _ in range(3)] == ["a:latest", "b:latest", "c:latest"]
    assert ollama.most_at_once == 1


def test_the_line_is_bounded(begin: Any, ollama: Any):
    """One more than may wait is refused; asking again for one that waits is not."""
    ollama.scripts["a:latest"] = [held(ollama)]
    process = begin(max_pulls=1, max_queued_pulls=1)
    process.start("a")
    process.start("b")
    with pytest.raises(OllamaBusy):
        process.start("c")
    assert process.start("b").state == "queued"
    ollama.let("a:latest")


def test_the_newest_download_comes_first_in_the_list(begin: Any, ollama: Any):
    """Running, waiting and ended ones together, each once."""
    process = begin(max_pulls=1)
    process.start("a")
    process.end()
    ollama.scripts["b:latest"] = [held(ollama)]
    process.start("b")
    process.start("c")
    process.look()
    assert [(job.model, job.state) for job in process.queue.all()] == [
        ("c:latest", "queued"),
        ("b:latest", "downloading"),
        ("a:latest", "installed"),
    ]
    ollama.let("b:latest")


def test_places_count_over_all_processes(begin: Any, ollama: Any):
    """While another process pulls, a second pull waits here until it is done there."""
    ollama.scripts["a:latest"] = [held(ollama)]
    one, other = begin("one", max_pulls=1), begin("other", max_pulls=1)
    one.start("a")
    other.look()
    other.queue.resume()
    assert other.start("b").state == "queued"
    other.queue.resume()
    assert other.find("b").state == "queued"
    ollama.let("a:latest")
    one.end()
    other.look()
    other.queue.resume()
    assert other.end().model == "b:latest"
    assert ollama.most_at_once == 1


# Cancelling


def test_cancel_ends_a_download_here(begin: Any, ollama: Any, store: Any):
    """The job is cancelled, the pull is called off, what was shown stays shown."""
    ollama.scripts["m:latest"] = [held(ollama)]
    process = begin()
    process.start("m")
    job = process.cancel("m")
    assert (job.state, job.progress, job.failure) == ("cancelled", Progress(0.4, 40_000_000, 100_000_000), None)
    assert process.end() == job
    ollama.wait_cancelled("m:latest")
    assert (documents.read(process.stored("m")), store.lease(job.id).released) == (job, True)


def test_cancel_ends_a_download_that_waits(begin: Any, ollama: Any):
    """It needs no place for that and is never pulled."""
    ollama.scripts["a:latest"] = [held(ollama)]
    process = begin(max_pulls=1)
    process.start("a")
    process.start("b")
    process.cancel("b")
    assert process.end().state == "cancelled"
    assert ollama.pulls == ["a:latest"]
    ollama.let("a:latest")


def test_cancel_reaches_a_download_in_another_process(begin: Any, ollama: Any):
    """The holder sees it in the store; whoever asked sees the job end."""
    ollama.scripts["m:latest"] = [held(ollama)]
    one, other = begin("one"), begin("other")
    one.start("m")
    other.look()
    assert other.cancel("m", user="ada").state == "downloading"
    assert one.end().state == "cancelled"
    other.look()
    assert other.find("m").state == "cancelled"


def test_cancel_leaves_an_ended_download_alone(begin: Any):
    """It is returned as it is."""
    process = begin()
    job = process.start("m")
    process.end()
    assert process.cancel("m") == job


def test_cancel_of_nothing_is_not_found(begin: Any):
    """There is no download of that model."""
    with pytest.raises(NotFound) as caught:
        begin().cancel("m:latest")
    assert caught.value.details == {"model_name": "m"}


def test_a_cancel_during_a_pause_is_seen_at_once(begin: Any, ollama: Any, monkeypatch: Any):
    """Nobody waits for the next try only to call it off."""
    process = begin()
    monkeypatch.setattr("elixi_models.downloads.policy._FIRST_PAUSE_S", 60.0)
    ollama.scripts["m:latest"] = [[MANIFEST, layer(1), RegistryUnreachable("cut")]]
    process.start("m")
    assert process.cancel("m").model == "m:latest"
    assert process.end().state == "cancelled"


# Errors on the way


def test_a_broken_pull_is_taken_up_again(begin: Any, ollama: Any):
    """The next try goes on from what is there; nothing shown runs backwards."""
    ollama.scripts["m:latest"] = [
        [MANIFEST, layer(60_000_000), RegistryUnreachable("cut")],
        [MANIFEST, layer(10_000_000), ollama.HOLD, SUCCESS],
    ]
    process = begin()
    process.start("m")
    ollama.wait_pulling("m:latest", 2)
    assert process.find("m").progress.completed_bytes == 60_000_000
    ollama.let("m:latest")
    assert process.end().state == "installed"


def test_a_pull_that_stays_broken_is_given_up(begin: Any, ollama: Any):
    """`pull_retries` tries after the first, then the error is the job's failure."""
    ollama.scripts["m:latest"] = [[MANIFEST, RegistryUnreachable("cut")] for _ in range(9)]
    process = begin(pull_retries=3)
    with pytest.raises(RegistryUnreachable):
        process.start("m")
    assert process.end().failure.code == "REGISTRY_UNREACHABLE"
    assert len(ollama.pulls) == 4


def test_a_damaged_file_is_downloaded_once_again(begin: Any, ollama: Any):
    """The second mismatch is final."""
    ollama.scripts["m:latest"] = [[MANIFEST, DigestMismatch("damaged")], [MANIFEST, DigestMismatch("damaged")]]
    process = begin()
    with pytest.raises(DigestMismatch):
        process.start("m")
    assert (process.end().failure.code, len(ollama.pulls)) == ("DIGEST_MISMATCH", 2)


def test_a_full_disk_is_final(begin: Any, ollama: Any):
    """Trying again makes no room."""
    ollama.scripts["m:latest"] = [[MANIFEST, InsufficientStorage("full")]]
    process = begin()
    with pytest.raises(InsufficientStorage):
        process.start("m")
    assert len(ollama.pulls) == 1


def test_a_server_that_is_not_there_is_told_at_once(begin: Any, ollama: Any):
    """Nothing was heard of it: no minute of retries for whoever has not started Ollama."""
    ollama.scripts["m:latest"] = [[OllamaUnavailable("nothing answers")]]
    process = begin()
    with pytest.raises(OllamaUnavailable):
        process.start("m")
    assert len(ollama.pulls) == 1


def test_a_server_that_restarts_in_the_middle_is_waited_for(begin: Any, ollama: Any):
    """Once bytes came, an outage is survived."""
    gone = OllamaUnavailable("nothing answers")
    ollama.scripts["m:latest"] = [[MANIFEST, layer(60_000_000), gone], [gone], [gone], [MANIFEST, SUCCESS]]
    process = begin()
    process.start("m")
    assert process.end().state == "installed"


def test_a_stalled_pull_is_taken_up_again(begin: Any, ollama: Any):
    """Nothing has moved for `pull_stall_s`: the pull is called off and tried again."""
    now = [0.0]

    def two_minutes() -> None:
        now[0] += 121.0

    ollama.scripts["m:latest"] = [[MANIFEST, layer(1), two_minutes, ollama.HOLD], [MANIFEST, SUCCESS]]
    process = begin(monotonic=lambda: time.monotonic() + now[0])
    process.start("m")
    assert process.end().state == "installed"
    ollama.wait_cancelled("m:latest")


def test_a_stall_that_stays_is_the_failure(begin: Any, ollama: Any):
    """In our words, with the time that was waited."""
    now = [0.0]

    def two_minutes() -> None:
        now[0] += 121.0

    ollama.scripts["m:latest"] = [[MANIFEST, two_minutes, ollama.HOLD]]
    process = begin(monotonic=lambda: time.monotonic() + now[0], pull_retries=0)
    with pytest.raises(RegistryUnreachable, match="120 s"):
        process.start("m")
    assert process.end().failure.details == {"model_name": "m"}


def test_being_called_off_by_the_server_is_no_cancel(begin: Any, ollama: Any):
    """Joining a download that somebody else just cancelled ends in `context canceled`: try again."""
    ollama.scripts["m:latest"] = [[MANIFEST, Cancelled("context canceled")], [MANIFEST, SUCCESS]]
    assert begin().start("m").state == "installed"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_fails_the_job_and_frees_the_place(begin: Any, ollama: Any):
    """An error that nobody expected is INTERNAL_ERROR for the user, a trace for the log, and no endless job."""
    ollama.scripts["m:latest"] = [[ValueError("a defect")]]
    process = begin(max_pulls=1)
    with pytest.raises(Exception, match="defect of ours"):
        process.start("m")
    assert process.end().failure.code == "INTERNAL_ERROR"
    assert process.start("other").state == "installed"


def test_an_error_of_whoever_is_told_harms_nothing(begin: Any):
    """A switch after the download may fail; the download has not."""

    def refuse(job: DownloadJob) -> None:
        raise Cancelled("a newer switch is under way")

    process = begin(on_finished=refuse)
    assert process.start("a").state == "installed"
    assert process.start("b").state == "installed"


# Writing


def test_only_the_last_ended_jobs_are_remembered_beside_the_store(begin: Any, store: Any, monkeypatch: Any):
    """Memory is bounded; what the store has stays known."""
    monkeypatch.setattr("elixi_models.downloads.knowledge._MOST_ENDED", 1)
    process = begin()
    for name in ("a", "b"):
        process.start(name)
        process.end()
    assert [job.model for job in process.queue._knowledge._ended.values()] == ["b:latest"]
    assert [job.model for job in process.queue.all()] == ["b:latest", "a:latest"]


def test_progress_is_stored_at_most_twice_a_second(begin: Any, ollama: Any, store: Any, monkeypatch: Any):
    """A thousand lines in no time are not a thousand writes."""
    process = begin()
    monkeypatch.setattr(worker, "_WRITE_S", 0.5)
    ollama.scripts["m:latest"] = [[MANIFEST, *[layer(number * 1000) for number in range(1000)], SUCCESS]]
    process.start("m")
    process.end()
    assert store.writes.count("downloading") <= 2
    assert store.writes[-1] == "installed"


def test_a_follower_sees_the_progress_of_others(begin: Any, ollama: Any, store: Any):
    """What the holder stored is what another process shows."""
    ollama.scripts["m:latest"] = [held(ollama)]
    one, other = begin("one"), begin("other")
    one.start("m")
    store.wait_written(0.4)
    other.look()
    assert other.find("m").progress.fraction == 0.4
    assert other.start("m") == other.find("m")
    assert ollama.pulls == ["m:latest"]
    ollama.let("m:latest")
    one.end()


# Other processes


def test_two_processes_asked_at_once_make_one_pull(begin: Any, ollama: Any):
    """The second finds the job in the store although its memory had none, and answers with it."""
    ollama.scripts["m:latest"] = [held(ollama)]
    one, other = begin("one"), begin("other")
    one.start("m")
    job = other.start("m")
    assert (job.id, job.live, ollama.pulls) == (f"download:{URL}:m:latest#1", True, ["m:latest"])
    assert other.find("m").id == job.id
    ollama.let("m:latest")
    one.end()
    assert other.finished.empty()


def test_a_failure_in_another_process_answers_here_too(begin: Any, ollama: Any):
    """Memory did not know of it; the store did."""
    ollama.scripts["m:latest"] = [[MANIFEST, ModelNotFound("no")]]
    one, other = begin("one"), begin("other")
    with pytest.raises(ModelNotFound):
        one.start("m")
    one.end()
    assert other.start("m").failure.code == "MODEL_NOT_FOUND"
    assert ollama.pulls == ["m:latest"]


def test_a_job_that_waits_here_gives_way_to_one_that_is_there(begin: Any, ollama: Any, store: Any):
    """It is shown as the other process's job."""
    ollama.scripts["a:latest"], ollama.scripts["b:latest"] = [held(ollama)], [held(ollama)]
    one, other = begin("one", max_pulls=1), begin("other", max_pulls=1)
    one.start("b")
    store.wait_written(0.4)
    other.start("a")
    other.start("b")
    other.look()
    assert (other.find("b").state, other.start("b").state) == ("downloading", "downloading")
    ollama.let("a:latest")
    other.end()
    ollama.let("b:latest")
    one.end()
    assert ollama.pulls.count("b:latest") == 1


def abandoned(store: Any, *, until_s: float | None, age_s: float = 100.0, **changes: Any) -> DownloadJob:
    """A job in the store whose owner is gone; `until_s` is when its lease runs out, None for no lease."""
    now_s = time.time()
    job = DownloadJob(
        documents.job_id(URL, "m:latest", 4),
        URL,
        "m:latest",
        changes.pop("state", "downloading"),
        now_s - age_s,
        now_s - 60,
        progress=Progress(0.7, 70_000_000, 100_000_000, 5.0, 6.0),
        auto_switch=True,
        user="ada",
    )
    store.create_job(job.id, documents.document(job))
    if until_s is not None:
        store.take_lease(job.id, owner="gone", now_s=now_s + until_s - 30, term_s=30)
    return job


def test_a_job_whose_owner_died_is_taken_over(begin: Any, ollama: Any, store: Any):
    """Its lease has run out: this process goes on, as the next attempt, and what was shown is the floor."""
    job = abandoned(store, until_s=-1.0)
    ollama.scripts["m:latest"] = [[MANIFEST, layer(10_000_000), ollama.HOLD, SUCCESS]]
    process = begin()
    process.look()
    process.queue.resume()
    ollama.wait_pulling("m:latest")
    now = process.find("m")
    assert (now.id, now.attempt, now.progress.fraction, now.auto_switch) == (job.id, 2, 0.7, True)
    ollama.let("m:latest")
    done = process.end()
    assert (done.state, done.user, done.created_at_s) == ("installed", "ada", job.created_at_s)


def test_a_job_taken_over_survives_a_server_that_is_away(begin: Any, ollama: Any, store: Any):
    """Bytes came before: it is no first try that finds nobody."""
    abandoned(store, until_s=-1.0)
    ollama.scripts["m:latest"] = [[OllamaUnavailable("nothing answers")], [MANIFEST, SUCCESS]]
    process = begin()
    process.look()
    process.queue.resume()
    assert process.end().state == "installed"


def test_a_job_whose_owner_lives_is_left_alone(begin: Any, ollama: Any, store: Any):
    """Its lease is held."""
    abandoned(store, until_s=30.0)
    process = begin()
    process.look()
    process.queue.resume()
    assert (ollama.pulls, process.find("m").state) == ([], "downloading")


def test_a_new_job_without_a_lease_is_left_to_its_maker_for_a_moment(begin: Any, ollama: Any, store: Any):
    """Only after some seconds it counts as abandoned, also while it is queued."""
    abandoned(store, until_s=None, age_s=1.0, state="queued")
    process = begin()
    process.look()
    process.queue.resume()
    assert ollama.pulls == []


def test_a_queued_job_that_nobody_holds_is_taken(begin: Any, ollama: Any, store: Any):
    """Its maker died while it waited."""
    abandoned(store, until_s=None, state="queued")
    process = begin()
    process.look()
    process.queue.resume()
    assert process.end().state == "installed"


def test_nothing_is_taken_over_without_a_place(begin: Any, ollama: Any, store: Any):
    """It is taken when one comes free."""
    abandoned(store, until_s=-1.0)
    ollama.scripts["a:latest"] = [held(ollama)]
    process = begin(max_pulls=1)
    process.start("a")
    process.look()
    process.queue.resume()
    assert ollama.pulls == ["a:latest"]
    ollama.let("a:latest")
    process.end()
    process.queue.resume()
    assert process.end().model == "m:latest"


def test_a_cancel_that_nobody_was_there_for_counts_on_takeover(begin: Any, ollama: Any, store: Any):
    """The job ends as cancelled without a pull."""
    job = abandoned(store, until_s=-1.0)
    store.request_cancel(job.id, user="ada", now_s=time.time())
    process = begin()
    process.look()
    process.queue.resume()
    assert (process.end().state, ollama.pulls) == ("cancelled", [])


def test_whoever_lost_the_lease_stops_and_writes_nothing_more(begin: Any, ollama: Any, store: Any):
    """Another attempt exists: the job is the other's."""
    ollama.scripts["m:latest"] = [held(ollama)]
    process = begin()
    job = process.start("m")
    assert store.take_lease(job.id, owner="other", now_s=time.time() + 60, term_s=30) == 2
    (download,) = process.queue._places.all()
    download.tenure._lease.renew()
    assert download.ended.wait(WAIT_S)
    written = len(store.writes)
    ollama.wait_cancelled("m:latest")
    assert (process.finished.empty(), download.is_left, len(store.writes)) == (True, True, written)


def test_closing_leaves_the_job_to_the_next(begin: Any, ollama: Any):
    """It is not cancelled; its lease is given back, so that another process goes on at once, from what was shown."""
    ollama.scripts["m:latest"] = [held(ollama), [MANIFEST, SUCCESS]]
    one, other = begin("one"), begin("other")
    one.start("m")
    one.queue.close()
    one.queue.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "elixi-models-download"]
    assert (one.stored("m")["state"], one.stored("m")["progress"]["fraction"]) == ("downloading", 0.4)
    other.look()
    other.queue.resume()
    assert (other.end().state, one.finished.empty()) == ("installed", True)


def test_closing_forgets_those_who_wait_here_but_not_in_the_store(begin: Any, ollama: Any):
    """The next process pulls them."""
    ollama.scripts["a:latest"] = [held(ollama)]
    one = begin("one", max_pulls=1)
    one.start("a")
    one.start("b")
    one.look()
    one.queue.close()
    assert one.stored("b")["live"]
    with pytest.raises(Cancelled):
        one.start("c")


def test_a_closed_queue_takes_nothing_over(begin: Any, ollama: Any, store: Any):
    """The last tick of the follower comes after the close."""
    abandoned(store, until_s=-1.0)
    process = begin()
    process.look()
    process.queue.close()
    process.queue.resume()
    assert ollama.pulls == []


def test_a_forked_child_follows_its_parents_jobs(begin: Any, ollama: Any):
    """Workers do not survive a fork; the child sees the job through the store and starts no second pull."""
    ollama.scripts["m:latest"] = [held(ollama)]
    process = begin()
    process.start("m")
    parents = process.queue._places
    process.queue.reset_after_fork()
    process.look()
    assert process.start("m").live
    assert ollama.pulls == ["m:latest"]
    ollama.let("m:latest")
    process.end()
    parents.close()


# The wish to switch


def test_a_request_with_the_wish_to_switch_carries_it_to_the_end(begin: Any):
    """Whoever is told of the end sees it."""
    process = begin()
    process.start("m", auto_switch=True)
    assert process.end().auto_switch


def test_a_second_request_adds_its_wish_to_switch(begin: Any, ollama: Any):
    """Whoever joins a download with `auto_switch` gets the switch."""
    ollama.scripts["m:latest"] = [held(ollama)]
    process = begin()
    assert not process.start("m").auto_switch
    assert process.start("m", auto_switch=True).auto_switch
    assert process.start("m").auto_switch
    ollama.let("m:latest")
    assert process.end().auto_switch


def test_the_wish_to_switch_reaches_another_process(begin: Any, ollama: Any):
    """The holder sees it when the model is there."""
    ollama.scripts["m:latest"] = [held(ollama)]
    one, other = begin("one"), begin("other")
    one.start("m")
    other.look()
    assert other.start("m", auto_switch=True).auto_switch
    other.follower.close()
    ollama.let("m:latest")
    assert one.end().auto_switch


# The store away


def test_a_download_runs_without_a_store(begin: Any, ollama: Any, store: Any):
    """It is known in this process, the store is not asked in vain, and the job is written when it is back."""
    store.away = True
    process = begin()
    process.notice_store()
    job = process.start("m")
    assert store.refused == 1
    assert (job.state, process.end().state) == ("installed", "installed")
    process.queue.resume()
    assert process.find("m").state == "installed"
    store.away = False
    process.notice_store()
    process.queue.resume()
    assert documents.read(process.stored("m")).state == "installed"
    assert process.find("m").id == f"download:{URL}:m:latest#1"
    assert len(process.queue.all()) == 1


def test_a_store_that_has_just_gone_does_not_stop_a_download(begin: Any, ollama: Any, store: Any):
    """Nobody has noticed yet when the worker asks for the lease."""
    ollama.scripts["m:latest"] = [held(ollama)]
    process = begin()
    store.away = True
    assert process.start("m").state == "downloading"
    ollama.let("m:latest")
    assert process.end().state == "installed"


def test_a_store_that_comes_back_in_the_middle_takes_the_job_on(begin: Any, ollama: Any, store: Any):
    """From then on it has its number and its lease, and the end is stored."""
    ollama.scripts["m:latest"] = [held(ollama)]
    store.away = True
    process = begin()
    process.notice_store()
    process.start("m")
    store.away = False
    process.notice_store()
    store.wait_written(0.4)
    assert (process.find("m").id, process.find("m").attempt) == (f"download:{URL}:m:latest#1", 1)
    ollama.let("m:latest")
    done = process.end()
    assert documents.read(process.stored("m")) == done


def test_a_store_that_goes_away_in_the_middle_does_not_stop_a_download(begin: Any, ollama: Any, store: Any):
    """The end is written later, under the number it had."""
    ollama.scripts["m:latest"] = [held(ollama)]
    process = begin()
    job = process.start("m")
    store.away = True
    ollama.let("m:latest")
    assert process.end().id == job.id
    with pytest.raises(StoreUnavailable):
        process.queue.resume()
    assert process.find("m").state == "installed"
    store.away = False
    process.queue.resume()
    assert process.stored("m")["state"] == "installed"


def test_a_job_that_another_process_made_meanwhile_is_theirs(begin: Any, ollama: Any, store: Any):
    """This one's download joined the same bytes; its record is not stored over theirs."""
    ollama.scripts["m:latest"] = [held(ollama)]
    store.away = True
    process = begin()
    process.notice_store()
    process.start("m")
    store.away = False
    theirs = abandoned(store, until_s=30.0)
    (download,) = process.queue._places.all()
    process.notice_store()
    assert download.ended.wait(WAIT_S)
    assert (download.is_left, download.job.id, process.finished.empty()) == (True, theirs.id, True)


def test_an_end_that_came_too_late_to_be_stored_gives_way(begin: Any, ollama: Any, store: Any):
    """While the store was away another process took the job: its record stands."""
    store.away = True
    process = begin()
    process.notice_store()
    process.start("m")
    process.end()
    store.away = False
    theirs = abandoned(store, until_s=30.0)
    process.notice_store()
    process.queue.resume()
    assert process.stored("m")["state"] == theirs.state
    assert process.queue._unwritten == []
