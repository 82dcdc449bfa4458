"""Benchmarks: start, follow, cancel."""

from __future__ import annotations

from ... import shapes
from ...messages import message_for
from ...records import BenchmarkJob
from .. import payloads
from ..endpoint import Call, Endpoint
from ..responses import Answer, ok


def benchmark_model(call: Call) -> Answer:
    """Measure a model in the background: 202 while it runs."""
    fields = dict(call.fields)
    job = call.service.benchmark(fields.pop("model_name"), **fields, user=call.user)
    return _told(job, 202 if job.live else 200)


def benchmark_status(call: Call) -> Answer:
    """The newest benchmark, of one model or of all."""
    return _told(call.service.benchmark_status(call.fields["model_name"]), 200)


def list_benchmarks(call: Call) -> Answer:
    """All benchmarks that are remembered, newest first."""
    return ok({"benchmarks": [shapes.benchmark(job) for job in call.service.benchmarks()]})


def cancel_benchmark(call: Call) -> Answer:
    """Stop the running benchmark; what was measured is kept."""
    return _told(call.service.cancel_benchmark(user=call.user), 200)


def _told(job: BenchmarkJob, status: int) -> Answer:
    return ok(shapes.benchmark(job), message_for(job), status)


ENDPOINTS = (
    Endpoint("benchmark-model", "POST", "operate", benchmark_model, payloads.BENCHMARK),
    Endpoint("benchmark-status", "GET", "read", benchmark_status, payloads.OPTIONAL_MODEL),
    Endpoint("benchmarks", "GET", "read", list_benchmarks),
    Endpoint("cancel-benchmark", "POST", "operate", cancel_benchmark),
)
