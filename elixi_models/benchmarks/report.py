"""A benchmark's report: everything it found, as plain JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from statistics import mean, median
from typing import Any

from .. import names
from ..inventory import InstalledModel
from ..performance import (
    believable_s,
    first_token_s,
    performance_document,
    response_s,
    token_gaps,
)
from ..quality import Estimate, TaskScore, benchmark_scores, fast_suitability, plain_score, task_suitability
from ..records import BenchmarkState
from .items import SCORED_TASKS, SEED, SUITE_VERSION, ScoredTask
from .judgement import Mark
from .runner import Findings, Sample
from .scoring import LINK_STATE, score_tasks
from .speed import decode_figure, first_token_figure, prefill_figure, reference_latency_s, server_rate
from .suites import OPTIONS, Plan

SCHEMA_VERSION = 2
_LONGEST_ANSWER_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured and where. `memory` is what it took when warm; `was_resident` whether it was loaded before;
    `machine` names the hardware, `priors` is what was thought of the model for each task."""

    model: InstalledModel
    ollama_url: str
    server_version: str | None
    was_resident: bool
    memory: Mapping[str, int | None]
    started_at_s: float
    machine: str
    priors: Mapping[str, Estimate]


def final_state(findings: Findings) -> tuple[BenchmarkState, str | None]:
    """How a benchmark that was not called off by a person ended, and why if not well.

    | it                                        | state   | reason                      |
    |-------------------------------------------|---------|-----------------------------|
    | went through, with answers                | ok      | None                        |
    | ended early, with answers                 | partial | why                         |
    | has no answers                            | failed  | why, or the commonest error |
    """
    if findings.measured:
        return ("ok" if findings.reason is None else "partial"), findings.reason
    errors = _errors(findings)
    return "failed", findings.reason or (max(errors, key=lambda name: errors[name]) if errors else "no_answers")


def make_report(
    plan: Plan,
    subject: Subject,
    findings: Findings,
    *,
    state: BenchmarkState,
    reason: str | None,
    finished_at_s: float | None,
) -> dict[str, Any]:
    """The report, also of a benchmark that still runs. Same findings, same bytes."""
    checked = quality_scores(plan, subject, replace(findings, judgement=None))
    scores = quality_scores(plan, subject, findings)
    marks = {} if findings.judgement is None else findings.judgement.marks
    speed = speed_figures(findings, was_resident=subject.was_resident)
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": plan.suite,
        "suite_version": SUITE_VERSION,
        "model": names.shown(subject.model.name),
        "digest": subject.model.digest,
        "weights_digest": subject.model.weights_digest,
        "machine": subject.machine,
        "server": {"url": subject.ollama_url, "version": subject.server_version},
        "options": dict(OPTIONS),
        "seed": SEED,
        "link": LINK_STATE,
        "started_at": _timestamp(subject.started_at_s),
        "finished_at": None if finished_at_s is None else _timestamp(finished_at_s),
        "status": state,
        "reason": reason,
        "items": [
            _item(sample, number, marks.get(sample.item.id)) for number, sample in enumerate(findings.samples, 1)
        ],
        "speed": speed,
        "custom": _custom(findings),
        "memory": dict(subject.memory),
        "errors": _errors(findings),
        "scores": {task: plain_score(score) for task, score in scores.items()},
        "scores_without_judge": None if scores == checked else {task: plain_score(it) for task, it in checked.items()},
        "judge": None if findings.judgement is None else findings.judgement.plain,
        "benchmarks": benchmark_scores(scores),
        "task_suitability": {
            **task_suitability(scores),
            "fast": fast_suitability(speed["reference_latency_s"]),
        },
        "warnings": list(findings.warnings),
    }


def quality_scores(plan: Plan, subject: Subject, findings: Findings) -> dict[str, TaskScore]:
    """The scores of the tasks of which a standard question was answered; own prompts do not mix in.

    With what a judge thinks of the answers, where there is one.
    """
    credits: dict[ScoredTask, list[float]] = {
        task: [
            sample.verdict.credit
            for sample in findings.samples
            if sample.item.kind == "quality" and sample.item.task == task and sample.verdict is not None
        ]
        for task in SCORED_TASKS
    }
    judgement = findings.judgement
    return score_tasks(
        credits,
        lambda task: subject.priors[task],
        suite=plan.suite,
        marks=lambda task: () if judgement is None else judgement.shares(task),
    )


def speed_figures(findings: Findings, *, was_resident: bool) -> dict[str, Any]:
    """Decode rate, first token with the model loaded, prefill, and the load by itself."""
    standard = findings.replies("decode")
    decode, first_token = decode_figure(standard), first_token_figure(standard)
    return {
        "decode_tokens_per_second": decode,
        "ollama_eval_rate": server_rate(standard),
        "ms_per_token": round(1000 / decode["value"], 3) if decode["value"] else None,
        "first_token_ms": first_token,
        "prefill_tokens_per_second": prefill_figure(findings.replies("decode", "prefill")),
        "reference_latency_s": reference_latency_s(decode, first_token),
        "load": _load_figure(findings, was_resident=was_resident),
    }


def document_of(
    plan: Plan, subject: Subject, findings: Findings, report: Mapping[str, Any], job_id: str
) -> dict[str, Any]:
    """The report as a `model_performance` document."""
    replies = findings.replies("decode", "custom")
    times = [response for reply in replies if (response := response_s(reply)) is not None]
    attempts = [reply for reply in replies if reply.outcome != "cancelled"]
    footprint = subject.memory.get("runner_bytes") or subject.memory.get("size_bytes")
    return performance_document(
        document_key=job_id,
        ollama_url=subject.ollama_url,
        model=subject.model.name,
        weights_digest=subject.model.weights_digest,
        at_s=subject.started_at_s,
        performance={
            "tokens_per_second": report["speed"]["decode_tokens_per_second"]["value"],
            "avg_latency_ms": 1000 * sum(times) / len(times) if times else None,
            "error_rate": sum(reply.failed for reply in attempts) / len(attempts) if attempts else None,
            "total_requests": len(replies),
        },
        memory_bytes=footprint,
        source="benchmark",
        digest=subject.model.digest,
        suite=plan.suite,
        suite_version=SUITE_VERSION,
        intervals={
            name: report["speed"][name]["ci90"]
            for name in ("decode_tokens_per_second", "first_token_ms", "prefill_tokens_per_second")
        },
        machine=subject.machine,
        scores=report["scores"],
        benchmarks=report["benchmarks"],
        task_suitability=report["task_suitability"],
    )


def _load_figure(findings: Findings, *, was_resident: bool) -> dict[str, Any]:
    """Loads from disk: the announced cold ones, else the first request of a model that was not loaded."""
    loads = findings.replies("cold") or ([] if was_resident else findings.replies("warm_up")[:1])
    usable = [reply for reply in loads if reply.outcome == "ok"]
    seconds = [load_s for reply in usable if (load_s := believable_s(reply.load_s)) is not None]
    first_tokens = [ttft_s for reply in usable if (ttft_s := believable_s(reply.ttft_s)) is not None]
    return {
        "seconds": round(median(seconds), 3) if seconds else None,
        "first_token_ms": round(1000 * median(first_tokens), 3) if first_tokens else None,
        "n": len(usable),
    }


def _custom(findings: Findings) -> dict[str, Any] | None:
    replies = findings.replies("custom")
    if not replies:
        return None
    return {
        "prompts": len({sample.item.id for sample in findings.samples if sample.item.kind == "custom"}),
        "decode_tokens_per_second": decode_figure(replies),
        "first_token_ms": first_token_figure(replies),
        "accuracy": _custom_accuracy(findings),
    }


def _custom_accuracy(findings: Findings) -> dict[str, Any]:
    """For each task the bare share of the user's own checks that held; not a score, and not compared with one."""
    credits: dict[str, list[float]] = {}
    for sample in findings.samples:
        if sample.item.kind == "custom" and sample.item.task and sample.verdict is not None:
            credits.setdefault(sample.item.task, []).append(sample.verdict.credit)
    return {task: {"share": round(mean(shares), 3), "n": len(shares)} for task, shares in credits.items()}


def _errors(findings: Findings) -> dict[str, int]:
    truncated = Counter("truncated_prompt" for sample in findings.samples if sample.truncated)
    return dict(
        Counter(sample.measurement.outcome for sample in findings.samples if sample.measurement.failed) + truncated
    )


def _item(sample: Sample, number: int, mark: Mark | None) -> dict[str, Any]:
    reply, gaps = sample.measurement, token_gaps(sample.measurement)
    return {
        "number": number,
        "id": sample.item.id,
        "task": "custom" if sample.item.kind == "custom" else sample.item.task or "speed",
        "kind": sample.item.kind,
        "outcome": "truncated_prompt" if sample.truncated else reply.outcome,
        **_verdict(sample),
        "judge_points": None if mark is None else round(10 * mark.share, 2),
        "prompt_tokens": reply.prompt_tokens,
        "tokens": reply.tokens,
        "first_token_ms": _milliseconds(first_token_s(reply)),
        "ms_per_token": round(1000 * gaps[1] / gaps[0], 3) if gaps else None,
        "load_ms": _milliseconds(reply.load_s),
        "duration_ms": _milliseconds(reply.duration_s),
        "done_reason": reply.done_reason,
        "error": sample.failure.message if sample.failure else None,
        "error_code": sample.failure.code if sample.failure else None,
    }


def _verdict(sample: Sample) -> dict[str, Any]:
    verdict = sample.verdict
    if verdict is None:
        return {"passed": None, "credit": None, "failed_checks": [], "void": None, "answer": None}
    return {
        "passed": verdict.passed,
        "credit": round(verdict.credit, 3),
        "failed_checks": list(verdict.failed),
        "void": verdict.void,
        # Half a character, as a server may send it, is text to nobody else: MongoDB would refuse the report.
        "answer": (sample.answer or "")[:_LONGEST_ANSWER_SHOWN].encode("utf-8", "replace").decode(),
    }


def _milliseconds(duration_s: float | None) -> float | None:
    known_s = believable_s(duration_s)
    return None if known_s is None else round(1000 * known_s, 3)


def _timestamp(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
