"""Benchmark jobs as the plain JSON that the store keeps: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_args

from ..records import BenchmarkJob, BenchmarkState, Failure
from ..store.base import JsonObject

KIND = "benchmark"
_STATES = frozenset(get_args(BenchmarkState))


def job_id(ollama_url: str, number: int) -> str:
    """The id of a server's n-th benchmark; 0 is used for what was never stored."""
    return f"{KIND}:{ollama_url}#{number}"


def number_of(job: BenchmarkJob) -> int:
    """The n of a job's id."""
    return int(job.id.rpartition("#")[2])


def document(job: BenchmarkJob) -> JsonObject:
    """A job as the store keeps it; all benchmarks of a server are one subject, so that only one runs at a time."""
    plain = {name: value for name, value in asdict(job).items() if name not in ("id", "stale")}
    return {**plain, "kind": KIND, "subject": job.ollama_url, "number": number_of(job), "live": job.live}


def read(stored: Mapping[str, Any]) -> BenchmarkJob | None:
    """The job of a stored document (with its id under `id`); None for one that a later version wrote differently."""
    given = {spec.name: stored[spec.name] for spec in fields(BenchmarkJob) if spec.name in stored}
    if given.get("state") not in _STATES:
        return None
    try:
        given["failure"] = Failure(**given["failure"]) if given.get("failure") else None
        return BenchmarkJob(**given)
    except TypeError:
        return None
