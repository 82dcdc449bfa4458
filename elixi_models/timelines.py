"""Figures over time and their spread → the JSON that both faces send; unknown is null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import names
from .metrics.history import HistoryPoint, ModelHistory
from .performance import memory_efficiency
from .quality import benchmark_scores
from .records import BenchmarkJob, ModelSummary, Percentiles
from .reports import ModelCard
from .units import mebibytes, rounded, timestamp

Json = dict[str, Any]


def model_history(history: ModelHistory) -> Json:
    """`GET model-history`."""
    span = history.span
    return {
        "model_name": names.shown(span.model),
        "bucket": span.bucket,
        "from": timestamp(span.from_s),
        "to": timestamp(span.until_s),
        "shortened": span.shortened,
        "points": [{"at": timestamp(point.start_s), **_point(point)} for point in history.points],
        "total": _point(history.total) if history.total else None,
        "benchmarks": [_benchmark(job) for job in history.benchmarks],
        "as_of": timestamp(history.as_of_s),
        "pending": history.pending,
    }


def percentiles_of(summary: ModelSummary) -> Json:
    """How the times of the last 24 hours spread."""
    return {
        "latency_ms": _percentiles(summary.latency_percentiles),
        "time_to_first_token_ms": _percentiles(summary.ttft_percentiles),
    }


def efficiency_of(card: ModelCard | None) -> Json:
    """What a model's memory is good for; all null without a model."""
    if card is None:
        return _efficiency(memory_efficiency(None, None))
    return _efficiency(
        memory_efficiency(
            card.memory_bytes,
            card.summary.tokens_per_second,
            file_bytes=card.model.size_bytes,
            general_score=benchmark_scores(card.quality)["general_purpose"],
        )
    )


def _point(point: HistoryPoint) -> Json:
    return {
        "requests": point.requests,
        "failures": point.failures,
        "error_rate": rounded(point.error_rate, 4),
        "outcomes": dict(point.outcomes),
        "tokens_per_second": rounded(point.tokens_per_second, 1),
        "avg_latency_ms": rounded(point.latency_ms, 1),
        "time_to_first_token_ms": rounded(point.ttft_ms, 1),
        "percentiles": {
            "latency_ms": _percentiles(point.latency_percentiles),
            "time_to_first_token_ms": _percentiles(point.ttft_percentiles),
            "ms_per_token": _percentiles(point.token_percentiles),
        },
        "memory_mb": mebibytes(point.memory_bytes),
        "memory_efficiency": _efficiency(memory_efficiency(point.memory_bytes, point.tokens_per_second)),
        "weights_digests": list(point.weights_digests),
    }


def _benchmark(job: BenchmarkJob) -> Json:
    report = job.report or {}
    return {
        "at": timestamp(job.finished_at_s),
        "suite": job.suite,
        "status": job.state,
        "benchmarks": report.get("benchmarks"),
        "task_suitability": report.get("task_suitability"),
    }


def _percentiles(times: Percentiles) -> Json:
    return {"p50": rounded(times.p50, 1), "p95": rounded(times.p95, 1), "p99": rounded(times.p99, 1)}


def _efficiency(figures: Mapping[str, float | None]) -> Json:
    return {name: rounded(value, 3) for name, value in figures.items()}
