"""The part of a benchmark in which a judge works: its time, its manners, and what becomes of it when things fail."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from elixi_models.benchmarks.gate import trials
from elixi_models.benchmarks.items import quality_items
from elixi_models.benchmarks.judging import Judging
from elixi_models.benchmarks.rubrics import MAX_TOKENS, Grade
from elixi_models.benchmarks.runner import Findings, Sample
from elixi_models.benchmarks.suites import make_plan
from elixi_models.benchmarks.verifiers import verify
from elixi_models.inventory import InstalledModel, ServerView
from elixi_models.records import Failure
from elixi_models.settings import Settings
from elixi_models.upstream.cancellation import Cancellation

from . import judges
from .conftest import URL, Room, Watch, reply

GOLDS = {item.id: item.question.gold for item in quality_items("full")}
CANDIDATE = InstalledModel("llama3.2:1b", "d1", family="llama", weights_digest="w1", capabilities=("completion",))
JUDGE = InstalledModel("qwen2.5:7b", "d2", family="qwen2", weights_digest="w2", capabilities=("completion", "thinking"))
#: Every trial of the gate, and both readings of twelve papers.
ALL = 116 + 24


def answered() -> list[Sample]:
    items = [item for item in make_plan("full").items if item.kind == "quality"]
    return [Sample(item, reply(), None, GOLDS[item.id], verify(GOLDS[item.id], item.checks)) for item in items]


class Court:
    """A judge to order behind a chat, and what is known before it is asked. Each request takes two seconds."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.room = Room(self.watch)
        self.judge: judges.Judge = judges.ideal
        self.outcomes: dict[int, str] = {}
        self.takes_s = 2.0
        self.requests: list[dict[str, Any]] = []
        self.before: Callable[[int], None] = lambda number: None
        self.stop = Cancellation()
        self.gates: dict[tuple[str, ...], dict[str, Grade | None]] = {}
        self.guests: list[str] = []
        self.notes: list[float | None] = []
        self.fits = True
        self.installed = (CANDIDATE, JUDGE)
        self.wish = "auto"
        self.machine = "m1"
        self.wait_idle = self.room.wait_idle

    def ask(self, model: str, prompt: str, **rest: Any) -> Any:
        number = len(self.requests) + 1
        self.before(number)
        self.requests.append({"model": model, "prompt": prompt, **rest})
        outcome = "cancelled" if self.stop.cancelled else self.outcomes.get(number, "ok")
        self.watch.at += rest["timeout_s"] if outcome == "timeout" else min(self.takes_s, rest["timeout_s"])
        if outcome != "ok":
            return None, reply(outcome=outcome), Failure(f"{outcome.upper()}_CODE", "words", 0.0)
        return self.judge(prompt), reply(), None

    def run(self, left_s: float = 870.0, samples: list[Sample] | None = None) -> Findings:
        findings = Findings(samples=answered() if samples is None else samples, left_s=left_s)
        bench: Any = SimpleNamespace(
            chat=self,
            monotonic=self.watch,
            settings=Settings(benchmark_judge=self.wish),
            observer=SimpleNamespace(refresh=lambda: ServerView(URL, 0.0, True, installed=self.installed)),
            fits=lambda model: self.fits,
            gates=self.gates,
            machine=lambda: self.machine,
        )
        residency: Any = SimpleNamespace(note_guest=lambda model: self.guests.append(model.name))
        judging = Judging(bench, CANDIDATE, findings, self.stop, lambda found: self.notes.append(found.remaining_s))
        judging.run(residency)
        return findings


@pytest.fixture
def court() -> Court:
    return Court()


def outcome(findings: Findings) -> tuple[str, str | None, int, list[str]]:
    judgement = findings.judgement
    assert judgement is not None
    return judgement.status, judgement.reason, len(judgement.marks), findings.warnings


def test_a_judge_that_passes_the_gate_grades_every_answer_twice(court):
    """The gate first; the residency learns of the load, and the report of the grades."""
    found = court.run()

    assert outcome(found) == ("accepted", None, 12, [])
    assert len(court.requests) == ALL
    assert court.guests == ["qwen2.5:7b"]
    assert found.judgement.review.passed
    assert found.judgement.plain["points"] == {"creative": 10.0, "general": 10.0}


def test_every_request_is_capped_and_asked_like_all_of_a_benchmark(court):
    """Its seed and temperature, no runner option, no thinking, and the schema in the order of the questions."""
    court.run()

    for request in court.requests:
        assert request["model"] == "qwen2.5:7b"
        assert request["source"] == "benchmark"
        assert request["options"] == {
            "temperature": 0, "seed": 42, "top_k": 1, "repeat_penalty": 1, "num_predict": MAX_TOKENS,
        }  # fmt: skip
        assert request["think"] is False
        names = judges.understood(request["prompt"]).names
        assert [*request["schema"]["properties"]] == [*names, "overall"]
    assert [request["timeout_s"] for request in court.requests[:3]] == [360.0, 60.0, 60.0]
    court.installed = (CANDIDATE, InstalledModel("g:1b", "d3", family="gemma", capabilities=("completion",)))
    court.run()
    assert court.requests[-1]["think"] is None


def test_a_judge_that_fails_at_the_gate_grades_nothing(court):
    """It is turned away as soon as that is certain."""
    court.judge = judges.always_yes
    found = court.run()

    assert outcome(found) == ("rejected", "creative_wrong", 0, ["judge_rejected"])
    assert len(court.requests) == 6
    assert found.remaining_s == 0.0


def test_what_a_judge_made_of_the_controls_is_remembered(court):
    """Of a good one and of a bad one; by its weights and manifest, the controls' version, and the machine."""
    court.run()
    court.run()
    assert len(court.requests) == ALL + 24

    court.requests.clear()
    court.machine = "m2"
    court.judge = judges.always_yes
    court.run()
    assert outcome(court.run())[:2] == ("rejected", "creative_wrong")
    assert len(court.requests) == 6


def test_the_gate_goes_on_where_the_last_benchmark_had_to_leave_it(court):
    """What does not fit into the time is not lost; until then the scores stand without a judge."""
    found = court.run(left_s=200.0)
    assert outcome(found) == ("none", "deadline", 0, ["judge_unfinished"])
    assert found.reason is None
    assert found.judgement.plain["gate"]["asked"] == 100
    assert court.watch.at == 1_200.0

    assert outcome(court.run(left_s=80.0)) == ("accepted", None, 12, [])
    assert len(court.requests) == ALL


def test_a_deadline_among_the_answers_leaves_whole_marks(court):
    """Those that were read twice count, and the report says how many there are."""
    found = court.run(left_s=2.0 * 116 + 2.0 * 7)
    assert outcome(found) == ("accepted", "deadline", 3, ["judge_unfinished"])
    assert found.judgement.plain["answers"] == {"planned": 12, "judged": 3, "unstable": 0}


def test_no_request_outlives_the_deadline(court):
    """The last one gets what is left."""
    court.outcomes = {3: "timeout"}
    found = court.run(left_s=10.0)
    assert court.requests[-1]["timeout_s"] == 6.0
    assert court.watch.at == 1_010.0
    assert outcome(found)[:2] == ("none", "deadline")


def test_without_any_time_nothing_is_asked(court):
    """Not even to load the judge."""
    assert outcome(court.run(left_s=0.0))[:2] == ("none", "deadline")
    assert court.requests == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wish": "mistral:7b"}, "not_installed"),
        ({"wish": "llama3.2:1b"}, "same_weights"),
        ({"fits": False}, "no_eligible_model"),
        ({"installed": (CANDIDATE,)}, "no_eligible_model"),
    ],
)
def test_nobody_to_judge_is_told(court, change, reason):
    """Nothing is loaded, and the scores stand."""
    for name, value in change.items():
        setattr(court, name, value)
    found = court.run()
    assert outcome(found) == ("none", reason, 0, ["judge_unavailable"])
    assert (court.requests, court.guests) == ([], [])


def test_nothing_to_judge_costs_no_load(court):
    """No answer was any good to read."""
    assert outcome(court.run(samples=[])) == ("none", "nothing_to_judge", 0, [])
    assert court.guests == []


@pytest.mark.parametrize(("failure", "reason"), [("oom", "oom_code"), ("load_failed", "load_failed_code")])
def test_a_judge_that_cannot_be_loaded_is_told(court, failure, reason):
    """There is no second try."""
    court.outcomes = {1: failure}
    assert outcome(court.run()) == ("none", reason, 0, ["judge_failed"])
    assert len(court.requests) == 1


def test_a_failure_of_the_server_is_tried_once_more(court):
    """A second one in a row ends the judging; what was graded counts."""
    court.outcomes = {5: "http_5xx", 140: "disconnected"}
    assert outcome(court.run()) == ("accepted", None, 12, [])
    assert len(court.requests) == ALL + 2

    court.requests.clear()
    court.outcomes = {5: "disconnected", 6: "timeout"}
    assert outcome(court.run()) == ("accepted", "timeout", 2, ["judge_failed"])


def test_an_answer_that_the_judge_cannot_grade_has_no_mark(court):
    """The others have."""
    court.run()
    court.requests.clear()
    court.judge = lambda prompt: "words" if len(court.requests) == 2 else judges.ideal(prompt)
    assert outcome(court.run()) == ("accepted", None, 11, [])


def test_readings_that_differ_are_flagged(court):
    """By more than a point: the mark is their mean."""
    court.run()
    court.requests.clear()
    court.judge = lambda prompt: judges.reply(judges.understood(prompt), 5 if len(court.requests) % 2 else 3)
    found = court.run()
    assert outcome(found) == ("accepted", None, 12, ["judge_unstable"])
    assert {mark.share for mark in found.judgement.marks.values()} == {0.875}


def test_a_persons_chat_goes_first(court):
    """The reading is repeated, with the time to load again; the clock stands while somebody chats."""
    court.outcomes = {10: "cancelled"}
    court.before = lambda number: setattr(court.room, "busy_looks", 500) if number == 10 else None
    found = court.run(left_s=2.0 * (ALL + 1))

    assert outcome(found) == ("accepted", None, 12, ["interrupted_by_chat"])
    assert court.requests[9]["prompt"] == court.requests[10]["prompt"]
    assert [request["timeout_s"] for request in court.requests[9:12]] == [60.0, 2.0 * (ALL + 1 - 10), 60.0]


def test_chats_without_end_end_the_judging(court):
    """Twenty interruptions, or ten minutes of waiting."""
    court.outcomes = dict.fromkeys(range(1, 30), "cancelled")
    assert outcome(court.run()) == ("none", "chat_busy", 0, ["interrupted_by_chat", "judge_unfinished"])
    assert len(court.requests) == 21

    court.room.busy_looks = 10_000
    began = court.watch.at
    assert outcome(court.run())[:2] == ("none", "chat_busy")
    assert court.watch.at - began == pytest.approx(600, abs=0.2)


@pytest.mark.parametrize("number", [1, 50, 130])
def test_a_benchmark_that_is_called_off_stops_judging_at_once(court, number):
    """Whatever it is at; the reason is the benchmark's."""
    court.before = lambda asked: court.stop.cancel() if asked == number else None
    found = court.run()
    assert found.reason == "stopped"
    assert found.judgement.reason == "stopped"
    assert len(court.requests) == number


def test_a_benchmark_that_is_called_off_while_somebody_chats_does_not_wait(court):
    """For the chat to end."""
    court.room.busy_looks = 10_000
    court.stop.cancel()
    found = court.run()
    assert found.reason == "stopped"
    assert court.watch.at == pytest.approx(1_000.2)


def test_progress_tells_the_time_that_is_left(court):
    """At the pace so far, for the gate and the answers; never more than until the deadline."""
    court.run()
    assert len(court.notes) == 116 + 12
    assert court.notes[0] == 2.0 * (ALL - 1)
    assert court.notes[115] == 48.0
    assert court.notes[-1] == 0.0
    court.notes.clear()
    court.gates.clear()
    court.run(left_s=100.0)
    assert court.notes[0] == 98.0


def test_progress_is_told_at_most_once_a_second(court):
    """A fast judge has more to do than to tell of it."""
    court.takes_s = 0.25
    court.run()
    assert len(court.notes) == 116 // 4 + 12 // 2


def test_it_asks_the_whole_gate(court):
    """Each trial once, as it stands."""
    court.run()
    (grades,) = court.gates.values()
    assert [*grades] == [trial.id for trial in trials()]
