"""A benchmark's report and its document."""

from __future__ import annotations

import json
import math

import pytest

from elixi_models.benchmarks.checks import Check
from elixi_models.benchmarks.items import SCORED_TASKS, SUITE_VERSION
from elixi_models.benchmarks.judgement import Judgement, Mark
from elixi_models.benchmarks.report import Subject, document_of, final_state, make_report
from elixi_models.benchmarks.runner import Findings, Sample
from elixi_models.benchmarks.scoring import score_task
from elixi_models.benchmarks.suites import Item, make_plan
from elixi_models.benchmarks.verifiers import verify
from elixi_models.inventory import InstalledModel
from elixi_models.quality import Estimate
from elixi_models.records import Failure

from .conftest import URL, reply

MODEL = InstalledModel("a:latest", "d1", weights_digest="w1")
MEMORY = {"runner_bytes": 2_000_000_000, "size_bytes": None, "vram_bytes": None, "context_length": 4096}
PLAN = make_plan("quick", test_prompts=["Why?"])


def subject(**changes):
    return Subject(
        **{
            "model": MODEL,
            "ollama_url": URL,
            "server_version": "0.33.0",
            "was_resident": False,
            "memory": MEMORY,
            "started_at_s": 1_800_000_000.0,
            "machine": "m1",
            "priors": {task: Estimate(50.0, 0.35, "family") for task in SCORED_TASKS},
            **changes,
        }
    )


def sample(kind, failure=None, **changes):
    return Sample(Item(f"{kind}-1", kind, "prompt", 64), reply(**changes), failure)


def answered(task, answer, *checks, kind="quality"):
    """A sample whose answer was held to checks."""
    item = Item(f"{task}-1", kind, "prompt", 64, task, checks)
    return Sample(item, reply(), None, answer, verify(answer, checks))


def found(*samples, **rest):
    return Findings(samples=list(samples), **rest)


GOOD = (
    sample("warm_up", tokens=8, eval_s=7 / 40, load_s=3.0, ttft_s=3.4),
    sample("decode"),
    sample("decode", ttft_s=0.6),
    sample("decode", outcome="timeout", failure=Failure("OLLAMA_TIMEOUT", "slow", 1.0)),
    sample("custom", tokens=80, eval_s=79 / 20),
)


def report_of(findings, **changes):
    state, reason = final_state(findings)
    return make_report(PLAN, subject(**changes), findings, state=state, reason=reason, finished_at_s=1_800_000_060.0)


def test_the_report_says_what_was_measured_where_and_how():
    """Model, digests, server, options, times and how it ended; times are UTC."""
    report = report_of(found(*GOOD, warnings=["unstable"]))

    head = {name: report[name] for name in report if name not in ("items", "speed", "custom")}
    assert head == {
        "schema_version": 2,
        "suite": "quick",
        "suite_version": SUITE_VERSION,
        "model": "a",
        "digest": "d1",
        "weights_digest": "w1",
        "machine": "m1",
        "server": {"url": URL, "version": "0.33.0"},
        "options": {"temperature": 0, "seed": 42, "top_k": 1, "repeat_penalty": 1},
        "seed": 42,
        "link": "uncalibrated",
        "started_at": "2027-01-15T08:00:00Z",
        "finished_at": "2027-01-15T08:01:00Z",
        "status": "ok",
        "reason": None,
        "memory": MEMORY,
        "errors": {"timeout": 1},
        "scores": {},
        "scores_without_judge": None,
        "judge": None,
        "benchmarks": {"general_purpose": None, "coding": None, "creativity": None, "analysis": None},
        "task_suitability": {"general": None, "coding": None, "analysis": None, "creative": None, "fast": 5.8},
        "warnings": ["unstable"],
    }


def test_speed_is_of_the_standard_prompts_without_the_load():
    """The warm-up is discarded, the load stands apart, own prompts and failures do not mix in."""
    speed = report_of(found(*GOOD))["speed"]

    assert (speed["decode_tokens_per_second"]["value"], speed["decode_tokens_per_second"]["n"]) == (40.0, 2)
    assert speed["ms_per_token"] == 25.0
    assert speed["first_token_ms"]["value"] == 500.0
    assert speed["prefill_tokens_per_second"]["value"] == 400.0
    assert speed["reference_latency_s"] == 4.25
    assert speed["load"] == {"seconds": 3.0, "first_token_ms": 3_400.0, "n": 1}


def test_a_model_that_was_loaded_has_no_load_time():
    """What the server calls the load of a warm request is scheduling."""
    assert report_of(found(*GOOD), was_resident=True)["speed"]["load"] == {
        "seconds": None,
        "first_token_ms": None,
        "n": 0,
    }


def test_announced_cold_loads_count_before_an_accidental_one():
    """Their median."""
    cold = (sample("cold", load_s=4.0, ttft_s=4.5), sample("cold", load_s=6.0, ttft_s=6.5))

    assert report_of(found(*cold, *GOOD))["speed"]["load"] == {"seconds": 5.0, "first_token_ms": 5_500.0, "n": 2}


def test_own_prompts_stand_apart():
    """With their own figures, or not at all."""
    assert report_of(found(*GOOD))["custom"]["decode_tokens_per_second"]["value"] == 20.0
    assert report_of(found(*GOOD))["custom"]["prompts"] == 1
    assert report_of(found(*GOOD[:4]))["custom"] is None


def test_every_request_is_in_the_report():
    """With its figures, and for a failure the code and our words."""
    items = report_of(found(*GOOD))["items"]

    assert [item["kind"] for item in items] == ["warm_up", "decode", "decode", "decode", "custom"]
    assert items[1] == {
        "number": 2,
        "id": "decode-1",
        "task": "speed",
        "kind": "decode",
        "outcome": "ok",
        "passed": None,
        "credit": None,
        "failed_checks": [],
        "void": None,
        "answer": None,
        "judge_points": None,
        "prompt_tokens": 160,
        "tokens": 64,
        "first_token_ms": 400.0,
        "ms_per_token": 25.0,
        "load_ms": 0.0,
        "duration_ms": 2_000.0,
        "done_reason": "length",
        "error": None,
        "error_code": None,
    }
    assert (items[3]["error"], items[3]["error_code"]) == ("slow", "OLLAMA_TIMEOUT")
    assert items[4]["task"] == "custom"


def test_the_same_findings_are_the_same_bytes():
    """Also the intervals, which are drawn."""
    assert json.dumps(report_of(found(*GOOD)), allow_nan=False) == json.dumps(report_of(found(*GOOD)))


SEA = Check("includes", ["sea"])
ANSWERS = (
    answered("general", "The sea.", SEA),
    answered("general", "A lake.", SEA, Check("lower_case")),
    answered("general", "the lake", SEA, Check("lower_case")),
    answered("coding", "[1]", Check("literal", "[1]")),
    answered("analysis", "Answer: 7", Check("number", 7), kind="custom"),
)


def test_scores_are_of_the_standard_questions_with_all_that_is_needed_to_trust_them():
    """The mean credit of each task, shrunk to its prior; what was not asked and own prompts are left out."""
    report = report_of(found(*GOOD, *ANSWERS))

    expected = score_task("general", [1.0, 0.0, 0.5], Estimate(50.0, 0.35, "family"), suite="quick")
    assert report["scores"]["general"] == {
        "score": expected.score,
        "ci90": list(expected.ci90),
        "n": 3,
        "source": "quick+family",
        "prior_weight": expected.prior_weight,
        "accuracy": 0.5,
        "estimated": False,
    }
    assert set(report["scores"]) == {"general", "coding"}
    coding = report["scores"]["coding"]["score"]
    assert report["benchmarks"] == {
        "general_purpose": expected.score,
        "coding": coding,
        "creativity": None,
        "analysis": None,
    }
    assert report["task_suitability"] == {
        "general": round(expected.score / 10, 1),
        "coding": round(coding / 10, 1),
        "analysis": None,
        "creative": None,
        "fast": 5.8,
    }


def test_own_checks_give_a_bare_share_that_mixes_into_no_score():
    """By task, with the number of prompts."""
    assert report_of(found(*GOOD, *ANSWERS))["custom"]["accuracy"] == {"analysis": {"share": 1.0, "n": 1}}
    assert report_of(found(*GOOD))["custom"]["accuracy"] == {}


def test_an_answer_is_reported_with_its_verdict():
    """What failed, why it was void, and how it began."""
    long, half = answered("general", "no " * 100, SEA), answered("general", "sea \ud800", SEA)
    assert report_of(found(half))["items"][0]["answer"] == "sea ?"
    items = report_of(found(ANSWERS[2], long))["items"]
    verdicts = [{name: item[name] for name in ("task", "passed", "credit", "failed_checks", "void")} for item in items]

    assert verdicts == [
        {"task": "general", "passed": False, "credit": 0.5, "failed_checks": ["includes"], "void": None},
        {"task": "general", "passed": False, "credit": 0.0, "failed_checks": ["includes"], "void": "looping"},
    ]
    assert items[0]["answer"] == "the lake"
    assert len(items[1]["answer"]) == 200


@pytest.mark.parametrize(
    ("findings", "ended"),
    [
        (found(*GOOD), ("ok", None)),
        (found(*GOOD, reason="deadline"), ("partial", "deadline")),
        (found(ANSWERS[0]), ("ok", None)),
        (found(GOOD[0], reason="out_of_memory"), ("failed", "out_of_memory")),
        (found(GOOD[0], sample("decode", outcome="empty"), sample("decode", outcome="empty")), ("failed", "empty")),
        (found(GOOD[0]), ("failed", "no_answers")),
    ],
)
def test_how_it_ended(findings, ended):
    """Answers and an early end decide."""
    assert final_state(findings) == ended


def test_the_document_has_the_seeds_shape():
    """Speed, response time and errors of the benchmark, its memory, its intervals, its scores and where they hold."""
    findings = found(*GOOD, *ANSWERS[:4])
    document = document_of(PLAN, subject(), findings, report_of(findings), "benchmark:x#1")

    assert document["performance"] == {
        "tokens_per_second": 40.0,
        "avg_latency_ms": 2_000.0,
        "error_rate": 0.25,
        "total_requests": 4,
    }
    assert document["resource_usage"]["memory_mb"] == 1_907
    assert document["memory_efficiency"]["gb_per_1000_tokens_per_second"] == 50.0
    assert (document["source"], document["digest"], document["suite"]) == ("benchmark", "d1", "quick")
    report = report_of(findings)
    assert (document["machine"], document["scores"]) == ("m1", report["scores"])
    assert (document["benchmarks"], document["task_suitability"]) == (report["benchmarks"], report["task_suitability"])
    assert document["intervals"]["first_token_ms"] == [400.0, 600.0]
    assert document["_id"] == document_of(PLAN, subject(), findings, report_of(findings), "benchmark:x#1")["_id"]


def test_a_document_without_answers_has_unknown_figures():
    """Nothing is invented for a benchmark that failed."""
    findings = found()
    document = document_of(PLAN, subject(memory=dict.fromkeys(MEMORY)), findings, report_of(findings), "benchmark:x#2")

    assert set(document["performance"].values()) == {None, 0}
    assert document["resource_usage"]["memory_mb"] is None


def test_an_answer_to_a_prompt_that_was_cut_is_an_error_of_its_own():
    """It has no verdict; the server's outcome was ok."""
    item = Item("general-1", "quality", "Name the sea that is cold.", 20, "general", (Check("lower_case"),))
    report = report_of(found(*GOOD, Sample(item, reply(prompt_tokens=3), None)))

    assert (report["items"][-1]["outcome"], report["items"][-1]["passed"]) == ("truncated_prompt", None)
    assert report["errors"] == {"timeout": 1, "truncated_prompt": 1}
    assert report["scores"] == {}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_a_time_that_cannot_be_is_unknown_in_the_report(bad):
    """Wherever it comes from: no figure is made of it, and the report stays JSON."""
    broken = {"duration_s": bad, "ttft_s": bad, "load_s": bad, "prompt_s": bad, "eval_s": bad}
    findings = found(*(sample(kind, **broken) for kind in ("cold", "warm_up", "decode", "prefill", "custom")))
    report = report_of(findings)
    document = document_of(PLAN, subject(), findings, report, "benchmark:x#1")

    assert json.loads(json.dumps([report, document], allow_nan=False)) == [report, document]
    assert report["speed"]["load"] == {"seconds": None, "first_token_ms": None, "n": 1}
    assert report["speed"]["prefill_tokens_per_second"] == {"value": None, "ci90": None, "n": 0}
    assert {report["items"][0][name] for name in ("load_ms", "duration_ms", "first_token_ms", "ms_per_token")} == {None}


def test_a_judge_has_its_say_in_the_scores_and_the_report_has_them_without_it_too():
    """And what it thinks of each answer that it graded."""
    judge = InstalledModel("b:latest", "d2", weights_digest="w2")
    marks = {"general-1": Mark("general", 0.9, False, 8)}
    plain, judged = (
        report_of(found(*GOOD, *ANSWERS[:2], judgement=judgement))
        for judgement in (None, Judgement("accepted", None, judge, None, marks, 12))
    )

    assert judged["scores"]["general"]["source"] == "quick+judge+family"
    assert judged["scores"]["general"]["score"] > plain["scores"]["general"]["score"]
    assert judged["benchmarks"]["general_purpose"] == judged["scores"]["general"]["score"]
    assert judged["scores_without_judge"] == plain["scores"]
    assert (plain["scores_without_judge"], plain["judge"]) == (None, None)
    assert (judged["judge"]["model"], judged["judge"]["status"]) == ("b", "accepted")
    assert [item["judge_points"] for item in judged["items"]] == [None] * 5 + [9.0, 9.0]


def test_a_judge_that_graded_nothing_changes_no_score():
    """Rejected, say; the report tells of it all the same."""
    report = report_of(found(*GOOD, *ANSWERS, judgement=Judgement("rejected", "creative_wrong")))
    assert report["scores"] == report_of(found(*GOOD, *ANSWERS))["scores"]
    assert report["scores_without_judge"] is None
    assert report["judge"]["reason"] == "creative_wrong"
