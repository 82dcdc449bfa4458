"""The one sentence for people that goes with an answer."""

from __future__ import annotations

from . import names
from .records import Activation, BenchmarkJob, DownloadJob, Failure
from .reports import Deletion, Unloading
from .units import size_text

_DOWNLOAD = {
    "queued": "Download of {name} is waiting for its turn",
    "downloading": "Download of {name} in progress",
    "verifying": "{name} is complete and being verified",
    "installed": "{name} is installed",
    "failed": "Download of {name} failed",
    "cancelled": "Download of {name} was cancelled",
}
_BENCHMARK = {
    "queued": "Benchmark of {name} is waiting for its turn",
    "running": "Benchmark of {name} in progress",
    "ok": "Benchmark of {name} is done",
    "partial": "Benchmark of {name} ended early; what was measured is kept",
    "failed": "Benchmark of {name} failed",
    "cancelled": "Benchmark of {name} was cancelled",
}


def message_for(result: Activation | DownloadJob | BenchmarkJob | Deletion | Unloading) -> str:
    """What happened, in words."""
    if isinstance(result, Activation):
        return _switch_message(result)
    name = names.shown(result.model)
    if isinstance(result, DownloadJob):
        return _with_reason(_DOWNLOAD[result.state].format(name=name), result.failure)
    if isinstance(result, BenchmarkJob):
        return _with_reason(_BENCHMARK[result.state].format(name=name), result.failure)
    if isinstance(result, Unloading):
        return f"{name} is unloaded" if result.state == "unloaded" else f"{name} leaves memory when it is idle"
    freed = size_text(result.freed_bytes)
    done = f"{name} is deleted" if result.state == "deleted" else f"{name} is being deleted"
    return f"{done}, {freed} freed" if freed and result.state == "deleted" else done


def _switch_message(result: Activation) -> str:
    name = names.shown(result.requested)
    if result.state == "active":
        return f"Successfully switched to {name}"
    if result.state == "downloading":
        return f"Downloading {name}; it becomes active when it is installed"
    return f"Loading {name}; the present model answers until it is ready"


def _with_reason(sentence: str, failure: Failure | None) -> str:
    return f"{sentence}: {failure.message}" if failure else sentence
