"""A judge in a whole benchmark, against an emulated server: from its appointment to its leaving."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from elixi_models.benchmarks.items import quality_items
from elixi_models.testing import EmulatedModel, OllamaEmulator

from . import judges
from .process import WAIT_S, Process

GOLD = {item.question.prompt: item.question.gold for item in quality_items("full")}
STORY = " ".join(f"word{number}" for number in range(200))
FULL_ITEMS = 74
JUDGED = 116 + 24


def severe(prompt: str) -> str:
    """An ideal judge of the controls that finds the answers of benchmarks worthless."""
    exam = judges.understood(prompt)
    if exam.answer in {judges.readable(gold) for gold in GOLD.values()}:
        return judges.reply(exam, 1, **dict.fromkeys(exam.names, False))
    return judges.ideal(prompt)


class Bench:
    """Scripted judges for an emulated server; `heard` counts what the judge was asked, `hold` makes it wait."""

    def __init__(self) -> None:
        self.judge: judges.Judge = judges.ideal
        self.heard = 0
        self.on_reply: Callable[[int], None] = lambda number: None

    def answer(self, prompt: str) -> str:
        if "<<<ANSWER" not in prompt:
            return "Hello."
        self.heard += 1
        self.on_reply(self.heard)
        return self.judge(prompt)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def ollama(bench: Bench) -> Iterator[OllamaEmulator]:
    fast = {"decode_tokens_per_s": 50_000.0, "prefill_tokens_per_s": 1_000_000.0}
    models = (
        EmulatedModel("able:1b", answers=lambda prompt: GOLD.get(prompt, STORY), **fast),
        EmulatedModel("other:1b", answers="Hello.", **fast),
        EmulatedModel("judge:7b", family="qwen2", parameter_size="7.6B", answers=bench.answer, **fast),
        EmulatedModel("broken:3b", family="gemma3", parameter_size="3B", broken="truncated"),
        EmulatedModel("embed:30b", family="bert", parameter_size="30B", capabilities=("embedding",)),
    )
    with OllamaEmulator(models=models, load_seconds=0.02, max_loaded=1) as emulator:
        yield emulator


@pytest.fixture
def start(ollama: OllamaEmulator, tmp_path: Any) -> Iterator[Callable[..., Process]]:
    """Start a process; `judge` is the setting."""
    started: list[Process] = []
    numbers = itertools.count(1)

    def start_one(judge: str = "auto", **options: Any) -> Process:
        name = f"process {next(numbers)}"
        started.append(Process(ollama, tmp_path / "store.db", name, settings={"benchmark_judge": judge}, **options))
        return started[-1]

    yield start_one
    for process in started:
        process.close()


def asked(ollama: OllamaEmulator) -> list[str]:
    """The models in the order in which they were asked something."""
    return [body["model"] for _, path, body in ollama.requests if path == "/api/generate" and body.get("prompt")]


def test_an_accepted_judge_has_its_say(start, ollama, bench):
    """It is asked when all answers are there; the scores say so, and the report has them without it too."""
    bench.judge = severe
    process = start()
    process.start("able:1b", suite="full")
    job = process.end()

    assert (job.state, job.reason, job.report["judge"]["reason"]) == ("ok", None, None)
    judge = job.report["judge"]
    assert (judge["model"], judge["status"]) == ("judge:7b", "accepted")
    assert judge["weights_digest"] == process.model("judge:7b").weights_digest
    assert judge["gate"]["right"] == {"creative": 12, "general": 12}
    assert judge["answers"] == {"planned": 12, "judged": 12, "unstable": 0}
    for task in ("creative", "general"):
        score, alone = job.report["scores"][task], job.report["scores_without_judge"][task]
        assert (score["source"], alone["source"]) == ("full+judge+nothing", "full+nothing")
        assert score["score"] < alone["score"]
        assert score["accuracy"] == alone["accuracy"] == 1.0
    assert job.report["scores"]["coding"] == job.report["scores_without_judge"]["coding"]
    weights = process.model("able:1b").weights_digest
    assert process.queue.known().counting[weights]["creative"].score == job.report["scores"]["creative"]["score"]
    models = asked(ollama)
    assert models == ["able:1b"] * (len(models) - JUDGED) + ["judge:7b"] * JUDGED
    assert bench.heard == JUDGED


def test_a_judge_that_passed_the_gate_is_not_asked_the_controls_again(start, bench):
    """By the next benchmark of the same process: it only grades."""
    process = start()
    for _ in range(2):
        process.ended.clear()
        process.start("able:1b", suite="full")
        report = process.end().report
    assert (report["judge"]["status"], report["judge"]["gate"]["asked"]) == ("accepted", 116)
    assert bench.heard == JUDGED + 24


def test_its_requests_are_measured_and_held_to_a_schema(start, ollama, bench):
    """As requests of a benchmark, to the judge; this one is turned away after six."""
    bench.judge = judges.always_yes
    process = start()
    process.start("able:1b", suite="full")
    process.end()

    measured = [one for one in process.measured if one.model == "judge:7b"]
    assert len(measured) == bench.heard == 6
    assert {one.source for one in measured} == {"benchmark"}
    bodies = [body for _, path, body in ollama.requests if path == "/api/generate" and body["model"] == "judge:7b"]
    schemas = [body["format"] for body in bodies if body.get("prompt")]
    assert [*schemas[0]["properties"]] == ["follows", "original", "coherent", "fitting", "lean", "overall"]
    assert all(body["options"]["num_predict"] for body in bodies if body.get("prompt"))


@pytest.mark.parametrize("judge", [judges.always_yes, judges.blind_at_the_top, judges.blind_at_the_bottom])
def test_a_bad_judge_is_rejected_and_the_scores_stand(start, bench, judge):
    """As if there had been none; the report says which controls it failed."""
    bench.judge = judge
    process = start()
    process.start("able:1b", suite="full")
    report = process.end().report

    assert (report["judge"]["status"], report["judge"]["reason"]) == ("rejected", "creative_wrong")
    assert "judge_rejected" in report["warnings"]
    assert report["scores_without_judge"] is None
    assert report["scores"]["creative"]["source"] == "full+nothing"


def test_a_judge_that_obeys_what_it_reads_is_rejected(start, bench):
    """Although it judges all controls well that do not give orders."""
    bench.judge = judges.gullible
    process = start()
    process.start("able:1b", suite="full")
    report = process.end().report

    assert (report["judge"]["status"], report["judge"]["reason"]) == ("rejected", "obeys_injections")
    assert report["scores"]["creative"]["source"] == "full+nothing"


def test_what_was_loaded_before_is_loaded_after(start, ollama, bench):
    """The judge and the measured model leave, as the server holds one model; what they drove out is back."""
    bench.judge = judges.always_yes
    process = start()
    process.gateway.load("other:1b")
    process.start("able:1b", suite="full")
    process.end()
    assert ollama.loaded == ["other:1b"]


def test_a_judge_that_was_loaded_stays(start, ollama, bench):
    """It was driven out by the cold load, and is not unloaded when it has judged."""
    bench.judge = judges.always_yes
    process = start()
    process.gateway.load("judge:7b")
    process.start("able:1b", suite="full")
    process.end()
    assert ollama.loaded == ["judge:7b"]
    unloads = [body for _, path, body in ollama.requests if path == "/api/generate" and body.get("keep_alive") == 0]
    assert {body["model"] for body in unloads} == {"able:1b"}


def test_a_judge_that_cannot_be_loaded_is_a_warning(start, ollama):
    """The benchmark went well."""
    process = start("broken:3b")
    process.start("able:1b", suite="full")
    job = process.end()

    assert job.state == "ok"
    assert (job.report["judge"]["model"], job.report["judge"]["status"]) == ("broken:3b", "none")
    assert "judge_failed" in job.report["warnings"]
    assert job.report["scores"]["creative"]["source"] == "full+nothing"
    assert ollama.loaded == []


@pytest.mark.parametrize(("setting", "suite"), [("off", "full"), (" OFF", "full"), ("auto", "quick")])
def test_nobody_judges_unless_it_is_wished_for(start, ollama, setting, suite):
    """By default no model is loaded but the measured one; a quick benchmark has no time for it."""
    process = start(setting)
    process.start("able:1b", suite=suite)
    report = process.end().report
    assert report["judge"] is None
    assert set(asked(ollama)) == {"able:1b"}


def test_a_named_judge_that_may_not_judge_is_a_warning(start, ollama):
    """It is of the candidate's architecture; no other one takes its place."""
    process = start("other:1b")
    process.start("able:1b", suite="full")
    report = process.end().report
    assert (report["judge"]["status"], report["judge"]["reason"]) == ("none", "same_family")
    assert "judge_unavailable" in report["warnings"]
    assert set(asked(ollama)) == {"able:1b"}


def test_memory_decides_who_may_judge(start):
    """As the one who knows says."""
    process = start(fits=lambda model: model.name != "judge:7b")
    process.start("able:1b", suite="full")
    assert process.end().report["judge"]["model"] == "broken:3b"


def test_a_cancel_while_the_judge_works_takes_effect_at_once(start, ollama, bench):
    """Within a second, keeping what was measured; the judge is unloaded behind that."""
    process, go_on = start(), threading.Event()
    bench.on_reply = lambda number: number == 5 and go_on.wait(WAIT_S)
    process.start("able:1b", suite="full")
    process.until(lambda: bench.heard == 5)
    running = process.queue.find()
    assert (running.state, running.done_items) == ("running", FULL_ITEMS)

    began = time.monotonic()
    job = process.queue.cancel()
    assert time.monotonic() - began < 1.0
    go_on.set()
    assert (job.state, job.reason) == ("cancelled", "cancelled")
    assert job.report["judge"]["reason"] == "stopped"
    assert set(job.report["scores"]) == {"general", "coding", "analysis", "creative"}
    process.end()
    process.until(lambda: ollama.loaded == [])


def test_a_person_who_chats_while_the_judge_works_goes_first(start, ollama, bench):
    """The judge's request is broken off and asked again."""
    process, go_on = start(), threading.Event()
    bench.on_reply = lambda number: number == 5 and go_on.wait(WAIT_S)
    process.start("able:1b", suite="full")
    process.until(lambda: bench.heard == 5)
    threading.Timer(0.05, go_on.set).start()
    answer, _, failure = process.chat.ask("other:1b", "Hello?", timeout_s=WAIT_S)
    job = process.end()

    assert (answer, failure) == ("Hello.", None)
    assert (job.state, job.report["judge"]["status"]) == ("ok", "accepted")
    assert "interrupted_by_chat" in job.report["warnings"]
    assert bench.heard == JUDGED + 1


def test_the_same_answers_and_grades_give_the_same_bytes(start, timeless_server):
    """Two benchmarks in two processes, with clocks that tell the same."""
    reports = []
    for _ in range(2):
        nonces, ticks = itertools.count(), itertools.count()
        process = start(
            clock=lambda: 1_800_000_000.0,
            chat_monotonic=lambda ticks=ticks: next(ticks) / 4,
            nonce=lambda nonces=nonces: f"nonce {next(nonces)}",
        )
        process.start("able:1b", suite="full")
        reports.append(json.dumps(process.end().report, sort_keys=True))
    assert reports[0] == reports[1]
    assert json.loads(reports[0])["judge"]["status"] == "accepted"
