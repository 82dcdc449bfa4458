"""Download jobs as the plain JSON that the store keeps: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, cast, get_args

from .. import names
from ..records import DownloadJob, DownloadState, Failure, Progress
from ..store.base import JsonObject

KIND = "download"
_STATES = frozenset(get_args(DownloadState))


def subject(ollama_url: str, model: str) -> str:
    """What jobs of one model on one server have in common; `model` in any spelling that Ollama lists."""
    return f"{ollama_url}:{names.key(model)}"


def job_id(ollama_url: str, model: str, number: int) -> str:
    """The id of a model's n-th job; 0 is used for what was never stored."""
    return f"{KIND}:{subject(ollama_url, model)}#{number}"


def switch_key(job_id: str) -> str:
    """The preference that asks the holder of a job, from another process, to switch to the model afterwards."""
    return f"auto_switch@{job_id}"


def number_of(job: DownloadJob) -> int:
    """The n of a job's id."""
    return int(job.id.rpartition("#")[2])


def document(job: DownloadJob) -> JsonObject:
    """A job as the store keeps it."""
    plain = {name: value for name, value in asdict(job).items() if name != "id"}
    return {
        **plain,
        "kind": KIND,
        "subject": subject(job.ollama_url, job.model),
        "number": number_of(job),
        "live": job.live,
    }


def read(stored: Mapping[str, Any]) -> DownloadJob | None:
    """The job of a stored document (with its id under `id`); None for one that a later version wrote differently."""
    given = {spec.name: stored[spec.name] for spec in fields(DownloadJob) if spec.name in stored}
    if given.get("state") not in _STATES:
        return None
    progress, failure = stored.get("progress"), stored.get("failure")
    given["progress"] = Progress(**_known(Progress, progress or {}))
    given["failure"] = Failure(**_known(Failure, failure)) if failure else None
    try:
        return DownloadJob(**given)
    except TypeError:
        return None


def _known(record: type, stored: Mapping[str, Any]) -> dict[str, Any]:
    return {spec.name: stored[spec.name] for spec in fields(cast(Any, record)) if spec.name in stored}
