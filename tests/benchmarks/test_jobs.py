"""Benchmarks as background jobs, against an emulated server and a real store."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elixi_models.benchmarks import suites
from elixi_models.benchmarks.docket import Docket
from elixi_models.benchmarks.items import SCORED_TASKS, SIZES, quality_items
from elixi_models.benchmarks.residency import Residency
from elixi_models.benchmarks.suites import make_plan
from elixi_models.errors import BenchmarkRunning, CannotChat, InvalidRequest, NotFound, StoreUnavailable
from elixi_models.quality import Estimate
from elixi_models.testing import EmulatedModel, OllamaEmulator

from .process import WAIT_S, Process

STORY = " ".join(f"word{number}" for number in range(200))
#: The warm-up, the speed and all questions of the quick suite.
QUICK_ITEMS = 4 + 20


def brief(question: str) -> str:
    """Long answers where the speed is measured, short ones to the questions."""
    return STORY if "long story" in question else "Yes."


def able(question: str) -> str:
    """The right answer to every question of the suites."""
    return GOLD.get(question, STORY)


GOLD = {item.question.prompt: item.question.gold for item in quality_items("full")}
MODELS = (
    EmulatedModel("able:1b", answers=able, decode_tokens_per_s=1_000.0, prefill_tokens_per_s=10_000.0),
    EmulatedModel("fast:1b", answers=STORY, decode_tokens_per_s=1_000.0, prefill_tokens_per_s=10_000.0),
    EmulatedModel("slow:1b", answers=brief, decode_tokens_per_s=40.0, prefill_tokens_per_s=10_000.0),
    EmulatedModel("deep:1b", answers=STORY, thinking=True, decode_tokens_per_s=1_000.0),
    EmulatedModel("terse:1b", answers="Yes it is so.", decode_tokens_per_s=1_000.0),
    EmulatedModel("large:70b", answers=STORY, broken="truncated"),
    EmulatedModel("embed:1b", capabilities=("embedding",)),
)


@pytest.fixture
def ollama() -> Iterator[OllamaEmulator]:
    with OllamaEmulator(models=MODELS, load_seconds=0.05, max_loaded=1) as emulator:
        yield emulator


@pytest.fixture
def processes(ollama: OllamaEmulator, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start processes over one server and one store."""
    started: list[Process] = []
    names = itertools.count(1)

    def start(**options: Any) -> Process:
        started.append(Process(ollama, tmp_path / "store.db", f"process {next(names)}", **options))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def process(processes: Callable[..., Process]) -> Process:
    return processes()


def generates(ollama: OllamaEmulator) -> list[dict[str, Any]]:
    bodies = [body for method, path, body in ollama.requests if path == "/api/generate"]
    return [body for body in bodies if body.get("prompt")]


def test_a_benchmark_measures_the_models_true_speed(process):
    """The rate of the server's durations, the load apart, and a report of every request."""
    job = process.start("fast:1b", user="kim")
    assert (job.state, job.model, job.suite, job.total_items, job.user) == (
        "queued",
        "fast:1b",
        "quick",
        QUICK_ITEMS,
        "kim",
    )

    job = process.end()

    assert (job.state, job.reason, job.failure, job.done_items) == ("ok", None, None, QUICK_ITEMS)
    speed = job.report["speed"]
    assert speed["decode_tokens_per_second"]["value"] == pytest.approx(1_000, rel=0.01)
    assert speed["decode_tokens_per_second"]["ci90"][0] == pytest.approx(1_000, rel=0.01)
    assert speed["prefill_tokens_per_second"]["value"] == pytest.approx(10_000, rel=0.1)
    assert speed["load"]["seconds"] >= 0.05
    assert speed["first_token_ms"]["value"] < 50
    assert job.report["server"] == {"url": process.settings.ollama_url, "version": "0.33.0"}
    assert job.report["memory"]["context_length"] == 4096
    assert len(job.report["items"]) == QUICK_ITEMS
    assert process.finished == [job]


def test_its_requests_have_a_nonce_first_a_cap_and_no_runner_option(process, ollama):
    """In the form of a chat, so that they cost what chat costs; no two that measure speed begin alike."""
    process.start("fast:1b")
    process.end()

    bodies = generates(ollama)[:4]
    assert len({body["prompt"][:14] for body in bodies}) == 4
    assert all(body["prompt"].startswith("[") and "]\n\nWrite a long story" in body["prompt"] for body in bodies)
    assert [body["options"] for body in bodies] == [
        {"temperature": 0, "seed": 42, "top_k": 1, "repeat_penalty": 1, "num_predict": cap} for cap in (8, 64, 64, 64)
    ]


def test_its_measurements_are_recorded_as_a_benchmarks(process):
    """By the same way as every call."""
    process.start("fast:1b")
    process.end()

    assert [measurement.source for measurement in process.measured] == ["benchmark"] * QUICK_ITEMS
    assert all(measurement.weights_digest for measurement in process.measured)


def test_a_thinking_model_is_told_not_to_think(process, ollama):
    """And others are not told anything about it."""
    process.start("deep:1b")
    process.end()
    assert {body["think"] for body in generates(ollama)} == {False}

    process.ended.clear()
    process.start("fast:1b")
    process.end()
    assert "think" not in generates(ollama)[-1]


def test_a_model_is_scored_by_its_answers(process):
    """All right and nothing right, shrunk to the prior that is given; the report says what it rests on."""
    scores = {}
    for name in ("able:1b", "terse:1b"):
        process.ended.clear()
        process.start(name)
        report = process.end().report
        assert {task: score["n"] for task, score in report["scores"].items()} == SIZES["quick"]
        scores[name] = report["scores"]

    for task in SCORED_TASKS:
        able, terse = scores["able:1b"][task], scores["terse:1b"][task]
        assert able["accuracy"] == 1.0
        assert terse["accuracy"] < 0.6
        assert able["score"] > terse["score"] + 10
        assert able["ci90"][0] < able["score"] < able["ci90"][1]
        assert (able["source"], able["estimated"]) == ("quick+nothing", False)


def test_the_prior_comes_from_whoever_knows_it(processes):
    """For the model and each task."""
    asked = []

    def prior(model, task):
        asked.append((model.name, task))
        return Estimate(80.0, 0.2, "table")

    process = processes(prior=prior)
    process.start("terse:1b")
    report = process.end().report

    assert asked == [("terse:1b", task) for task in SCORED_TASKS]
    assert report["scores"]["coding"]["source"] == "quick+table"
    assert report["benchmarks"]["coding"] > 55


def ticking():
    """A clock that is a quarter of a second later each time it is asked."""
    numbers = itertools.count()
    return lambda: next(numbers) / 4


def test_the_same_answers_give_the_same_bytes(processes, timeless_server):
    """Two benchmarks of one model, with clocks that tell the same: nothing in the reports differs."""
    reports = []
    for _ in range(2):
        nonces = itertools.count()
        process = processes(
            clock=lambda: 1_800_000_000.0,
            chat_monotonic=ticking(),
            nonce=lambda numbers=nonces: f"nonce {next(numbers)}",
            wanted=lambda name: True,
        )
        process.gateway.load("able:1b")
        process.start("able:1b")
        reports.append(json.dumps(process.end().report, sort_keys=True))

    assert reports[0] == reports[1]


def test_a_deadline_among_the_questions_leaves_a_partial_report_with_balanced_scores(processes, monkeypatch):
    """Every task was asked about as often, and what was asked is scored."""
    plan = make_plan("quick")
    monkeypatch.setattr(suites, "make_plan", lambda *wishes: replace(plan, deadline_s=16.0))
    process = processes(monotonic=ticking())
    process.start("able:1b")
    job = process.end()

    assert (job.state, job.reason) == ("partial", "deadline")
    asked = {task: score["n"] for task, score in job.report["scores"].items()}
    assert asked
    assert max(asked.values()) - min(asked.get(task, 0) for task in SCORED_TASKS) <= 1
    assert sum(asked.values()) < 20


def test_scores_are_remembered_by_weights_and_followed_by_all_processes(process, processes):
    """Other processes see them too; those of another machine or after other weights do not count, and say so."""
    process.start("able:1b")
    done = process.end()
    weights = process.model("able:1b").weights_digest
    assert done.stale == ()
    assert process.queue.known().counting[weights]["coding"].score == done.report["scores"]["coding"]["score"]
    assert process.queue.scores_at(done.finished_at_s) == process.queue.known().counting
    assert process.queue.scores_at(done.finished_at_s - 1) == {}

    other, elsewhere = processes(), processes(machine=lambda: "another machine")
    for reader in (other, elsewhere):
        reader.until(lambda reader=reader: reader.queue.find() is not None and not reader.queue.find().live)
    assert other.queue.known() == process.queue.known()
    assert elsewhere.queue.known().counting == {}
    assert elsewhere.queue.find().stale == ("machine",)


def test_own_prompts_are_asked_and_reported_apart(process, ollama):
    """Within the same job."""
    process.start("fast:1b", num_prompts=1, test_prompts=["Why is the sky blue?", "unused"])
    job = process.end()

    assert job.report["custom"]["prompts"] == 1
    assert job.report["speed"]["decode_tokens_per_second"]["n"] == 3
    assert generates(ollama)[4]["prompt"].endswith("Why is the sky blue?")


def test_full_loads_the_model_anew_each_time(process):
    """Two announced cold loads, although the model was loaded; afterwards it is loaded as before."""
    process.gateway.load("fast:1b")
    process.start("fast:1b", suite="full")
    job = process.end()

    assert job.state == "ok"
    assert job.report["speed"]["load"]["n"] == 2
    assert job.report["speed"]["load"]["seconds"] >= 0.05
    assert [item["kind"] for item in job.report["items"]][:3] == ["cold", "cold", "warm_up"]
    assert process.ollama.loaded == ["fast:1b"]


def test_what_was_loaded_before_is_loaded_after(process):
    """The benchmark drove it out; the measured model leaves."""
    process.gateway.load("terse:1b")
    process.start("fast:1b")
    job = process.end()

    assert job.state == "ok"
    assert process.ollama.loaded == ["terse:1b"]


def test_a_model_that_was_loaded_costs_no_reload(process):
    """Quick measures what is there, and has no load time to tell."""
    process.gateway.load("fast:1b")
    process.start("fast:1b")
    job = process.end()

    assert job.report["speed"]["load"]["n"] == 0
    assert process.ollama.loaded == ["fast:1b"]


def test_a_model_that_is_wanted_stays_loaded(processes):
    """The active one, say."""
    process = processes(wanted=lambda name: name == "fast:1b")
    process.start("fast:1b")
    process.end()

    assert process.ollama.loaded == ["fast:1b"]


def test_a_model_of_few_words_is_measured_with_a_warning(process):
    """Short answers are asked for again until there are enough tokens or no more tries."""
    process.start("terse:1b")
    job = process.end()

    assert job.state == "ok"
    assert "short_answers" in job.report["warnings"]
    assert job.report["speed"]["decode_tokens_per_second"]["value"] is None


def test_the_footprint_goes_into_the_report_and_the_document(processes):
    """As the machine tells it; the document has the seed's shape."""
    weighed = []
    process = processes(memory_bytes=lambda model: weighed.append(model.name) or 1_048_576_000)
    process.start("fast:1b")
    job = process.end()
    process.until(lambda: process.store.performance(ollama_url=process.settings.ollama_url))

    assert weighed == ["fast:1b"]
    (document,) = process.store.performance(ollama_url=process.settings.ollama_url)
    assert job.report["memory"]["runner_bytes"] == 1_048_576_000
    assert document["resource_usage"]["memory_mb"] == 1_000
    assert document["performance"]["tokens_per_second"] == pytest.approx(1_000, rel=0.01)
    assert document["model_name"] == "fast:1b"


def test_benchmarks_are_remembered_newest_first(process, processes):
    """Of one model in any spelling, or of all; another process sees them too."""
    assert process.queue.find() is None
    for name in ("fast:1b", "terse:1b"):
        process.ended.clear()
        process.start(name)
        process.end()

    assert [job.model for job in process.queue.all()] == ["terse:1b", "fast:1b"]
    assert process.queue.find("FAST:1b").model == "fast:1b"
    assert process.queue.find("nobody:1b") is None
    other = processes()
    other.until(lambda: len(other.queue.all()) == 2)
    assert other.queue.find("fast:1b") == process.queue.find("fast:1b")


@pytest.mark.parametrize(
    ("name", "wishes", "error"),
    [
        ("embed:1b", {}, CannotChat),
        ("fast:1b", {"suite": "huge"}, InvalidRequest),
        ("fast:1b", {"test_prompts": ["a"] * 10_000}, InvalidRequest),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(process, ollama, name, wishes, error):
    """Nothing is stored, nothing is asked."""
    with pytest.raises(error):
        process.start(name, **wishes)

    assert process.queue.all() == []
    assert generates(ollama) == []


def test_a_second_benchmark_is_refused_while_one_runs(process, processes):
    """In this process and in another one, with a description of the one that runs."""
    process.start("slow:1b")
    process.until(lambda: process.queue.find().state == "running")
    for asker in (process, processes()):
        with pytest.raises(BenchmarkRunning) as caught:
            asker.start("fast:1b")
        assert caught.value.details["model_name"] == "slow:1b"
        assert caught.value.details["suite"] == "quick"

    assert [job.model for job in process.queue.all()] == ["slow:1b"]
    process.queue.cancel()


def test_the_store_refuses_what_memory_did_not_know_of(process, processes, monkeypatch):
    """Two processes start at the same moment: the slower one is told within the same request, and keeps no job."""
    process.start("slow:1b")
    late = processes()
    monkeypatch.setattr(late.follower, "jobs", lambda kind: ())
    with pytest.raises(BenchmarkRunning) as caught:
        late.start("fast:1b")

    assert caught.value.details["model_name"] == "slow:1b"
    assert late.queue.all() == []
    late.until(lambda: not late.queue._own)
    assert late.finished == []
    process.queue.cancel()


def test_cancelling_takes_effect_within_a_second(process):
    """What was measured is kept in the report, and nothing is left running or loaded."""
    process.start("slow:1b")
    process.until(lambda: process.queue.find().done_items == 1)
    process.until(lambda: process.ollama.answering)

    job = process.queue.cancel()

    assert (job.state, job.reason) == ("cancelled", "cancelled")
    assert job.report["status"] == "cancelled"
    assert [item["kind"] for item in job.report["items"]] == ["warm_up"]
    process.end()
    assert process.ollama.answering == []
    assert process.ollama.loaded == []


def test_the_next_benchmark_begins_when_the_last_has_left_the_server_as_it_was(process, monkeypatch):
    """A cancelled one is shown as such at once, but tidies up behind that: the next must not load into it."""
    tidying, tidied = threading.Event(), threading.Event()
    restore = Residency.restore

    def slowly(residency, **wishes):
        tidying.set()
        assert tidied.wait(WAIT_S)
        restore(residency, **wishes)

    monkeypatch.setattr(Residency, "restore", slowly)
    process.start("slow:1b")
    process.until(lambda: process.queue.find().done_items > 0)
    process.queue.cancel()
    assert tidying.wait(WAIT_S)
    job = process.start("fast:1b")
    assert (job.state, job.done_items) == ("queued", 0)
    assert not [body for body in generates(process.ollama) if body["model"] == "fast:1b"]
    tidied.set()
    process.until(lambda: process.queue.find("fast:1b").state == "ok")
    assert "fast:1b" not in process.ollama.loaded


def test_a_benchmark_may_follow_another_at_once(processes, monkeypatch):
    """Whoever sees that one has ended may start the next, however long the store takes to write the end."""
    started, finish = threading.Event(), Docket.finish

    def slowly(docket, job):
        assert started.wait(WAIT_S)
        return finish(docket, job)

    monkeypatch.setattr(Docket, "finish", slowly)
    process = processes(settings={"switch_wait_s": 0.05})
    process.start("terse:1b", num_prompts=1)
    process.until(lambda: not process.queue.find().live)
    assert process.start("fast:1b", num_prompts=1).state == "queued"
    started.set()
    process.until(lambda: process.queue.find("fast:1b").state == "ok")


def test_another_process_can_cancel(process, processes):
    """Through the store, within its looks."""
    other = processes()
    process.start("slow:1b")
    other.until(lambda: other.queue.find() is not None)
    other.queue.cancel(user="kim")

    assert process.end().state == "cancelled"
    other.until(lambda: other.queue.find().state == "cancelled")


def test_cancelling_what_has_ended_changes_nothing(process):
    """It is returned as it is; where there never was one, that is said."""
    with pytest.raises(NotFound):
        process.queue.cancel()
    process.start("fast:1b")
    ended = process.end()

    assert process.queue.cancel() == ended


def test_it_waits_until_nobody_chats(process, ollama):
    """The job is queued while a person waits for a reply, and begins after it."""
    person = threading.Thread(
        target=lambda: process.chat.ask("slow:1b", "Hi", timeout_s=WAIT_S, options={"num_predict": 8})
    )
    person.start()
    process.until(lambda: ollama.answering)
    process.start("fast:1b")
    process.until(lambda: process.chat.active_chats == 0 or process.queue.find().state == "queued")
    person.join()

    assert process.end().state == "ok"
    assert process.measured[0].outcome == "ok"
    assert [measurement.source for measurement in process.measured] == ["chat"] + ["benchmark"] * QUICK_ITEMS


def test_a_person_who_chats_goes_first(process, ollama):
    """The request under way is broken off, the person answered, the item repeated."""
    process.start("slow:1b", num_prompts=1)
    process.until(lambda: process.queue.find().done_items == 1)
    process.until(lambda: ollama.answering)

    text, _, _ = process.chat.ask("fast:1b", "Hi", timeout_s=WAIT_S, options={"num_predict": 3})
    job = process.end()

    assert text
    assert job.state == "ok"
    assert job.report["warnings"] == ["interrupted_by_chat"]
    outcomes = [(measurement.source, measurement.outcome) for measurement in process.measured]
    assert ("benchmark", "cancelled") in outcomes
    assert job.report["errors"] == {}


def test_a_model_that_cannot_be_loaded_fails_with_its_reason(process):
    """The job ends, in our words."""
    process.start("large:70b")
    job = process.end()

    assert (job.state, job.reason, job.failure.code) == ("failed", "load_failed", "LOAD_FAILED")
    assert process.store.performance(ollama_url=process.settings.ollama_url) == []


def test_a_server_that_dies_in_the_middle_leaves_a_partial_report(process, ollama):
    """What was measured before is kept."""
    process.start("fast:1b", test_prompts=["a"] * 20)
    process.until(lambda: process.queue.find().done_items >= 3)
    ollama.stop()
    job = process.end()

    assert (job.state, job.reason, job.failure.code) == ("partial", "ollama_unavailable", "OLLAMA_UNAVAILABLE")
    assert job.report["speed"]["decode_tokens_per_second"]["n"] >= 2


def test_a_model_that_vanishes_in_the_middle_ends_it(process, ollama):
    """With the reason."""
    process.start("fast:1b", test_prompts=["a"] * 20)
    process.until(lambda: process.queue.find().done_items >= 2)
    process.gateway.delete("fast:1b")
    job = process.end()

    assert (job.state, job.reason) == ("partial", "model_not_installed")


def test_closing_ends_it_and_keeps_what_was_measured(process):
    """The job says that its program ended."""
    process.start("slow:1b", num_prompts=2)
    process.until(lambda: process.queue.find().done_items == 2)
    process.queue.close()

    job = process.queue.find()
    assert (job.state, job.reason) == ("partial", "shutdown")
    stored = process.store.newest_job("benchmark", process.settings.ollama_url)
    assert (stored["state"], process.store.lease(stored["id"]).released) == ("partial", True)


def test_a_lost_lease_stops_it(process):
    """Another process has taken the job over: two must not measure at once."""
    job = process.start("slow:1b")
    process.until(lambda: process.queue.find().state == "running")
    process.queue._own[0].docket._lease.lost.set()

    assert process.end().reason == "lease_lost"
    assert job.id == process.queue.find().id


class AwayStore:
    """A store that cannot be reached."""

    def __getattr__(self, verb: str) -> Any:
        def refuse(*args: Any, **named: Any) -> Any:
            raise StoreUnavailable("away")

        return refuse


def test_with_the_store_away_it_is_measured_and_stored_later(processes):
    """A benchmark needs no store; its result waits for one."""
    process = processes(store=AwayStore())
    process.start("fast:1b")
    job = process.end()
    assert job.state == "ok"
    assert process.store.newest_job("benchmark", process.settings.ollama_url) is None

    office = process.queue._own[0].docket._office
    object.__setattr__(office, "store", process.store)
    process.until(lambda: process.store.newest_job("benchmark", process.settings.ollama_url))
    process.until(lambda: not process.queue._own)
    assert process.queue.find().state == "ok"


def test_a_defect_fails_the_job_and_not_the_process(process, caplog, monkeypatch):
    """The job says so, the log has the trace."""
    monkeypatch.setattr(process.chat, "ask", None)
    process.start("fast:1b")
    job = process.end()

    assert (job.state, job.reason, job.failure.code) == ("failed", "internal_error", "INTERNAL_ERROR")
    assert "TypeError" in caplog.text


def test_a_forked_child_has_no_benchmark_of_its_parents(process):
    """It is seen through the store like any other process's."""
    process.start("slow:1b")
    own = process.queue._own
    process.queue.reset_after_fork()

    assert process.queue._own == []
    assert process.queue._office.owner == f"process 1/{os.getpid()}"
    for benchmark in own:
        benchmark.stop("cancelled")
        assert benchmark.ended.wait(WAIT_S)


PROGRAM = """
import sys
from pathlib import Path
from elixi_models.benchmarks.docket import Docket
from elixi_models.benchmarks.jobs import BenchmarkQueue
from elixi_models.benchmarks.residency import Residency
from elixi_models.chatting import Chat
from elixi_models.settings import Settings
from elixi_models.store.following import StoreFollower
from elixi_models.store.sqlite import SqliteStore
from elixi_models.upstream.gateway import OllamaGateway
from elixi_models.upstream.observer import Observer
import threading

settings = Settings(ollama_url=sys.argv[1], lease_s=1.0)
gateway = OllamaGateway(settings)
observer = Observer(gateway, settings)
store = SqliteStore(Path(sys.argv[2]))
follower = StoreFollower(store, settings)
chat = Chat(gateway=gateway, observer=observer, settings=settings, record=lambda measurement: None)
queue = BenchmarkQueue(store=store, follower=follower, gateway=gateway, observer=observer, chat=chat,
                       settings=settings, owner="victim")
queue.start(observer.ask(10).find("slow:1b"))
while (store.newest_job("benchmark", settings.ollama_url) or {"done_items": 0})["done_items"] < 2:
    threading.Event().wait(0.02)
print("two", flush=True)
threading.Event().wait(60)
"""


def test_a_killed_process_leaves_a_partial_report_and_nothing_running(ollama, processes, tmp_path):
    """kill -9 in the middle: when the lease has run out another process ends the job; it is not started again."""
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), ollama.url, str(tmp_path / "store.db")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "two\n"
    program.kill()
    program.wait(WAIT_S)
    program.stdout.close()
    process = processes(settings={"lease_s": 1.0})
    process.until(lambda: process.queue.find() is not None and not process.queue.find().live)

    job = process.queue.find()
    assert (job.state, job.reason) == ("partial", "owner_died")
    assert [item["kind"] for item in job.report["items"]] == ["warm_up", "decode"]
    process.until(lambda: not ollama.answering)
    assert len(process.queue.all()) == 1
