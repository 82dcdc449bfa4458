"""Records → the JSON that both faces send: seed fields never renamed, unknown is null, names in their shown form."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from . import names, reasons, timelines
from .assignments import Assignments
from .catalogue.catalogue import CatalogueEntry
from .quality import quality_fields
from .records import (
    Activation,
    BenchmarkJob,
    Choice,
    DownloadJob,
    Failure,
    ModelSummary,
    Reply,
    UsageEvent,
)
from .reports import Deletion, HealthReport, Inventory, ModelCard, StatusReport, Unloading
from .units import mebibytes, percent, rounded, size_text, timestamp

Json = dict[str, Any]

#: Our task words → the seed's words for a model's type.
TYPES = {
    "general": "general-purpose",
    "coding": "code-generation",
    "analysis": "text-analysis",
    "creative": "creative-writing",
    "fast": "fast-response",
    "vision": "vision",
    "embedding": "embedding",
}


def inventory(report: Inventory) -> Json:
    """`GET available-models`."""
    return {
        "installed": [_card(card) for card in report.cards],
        "available": [family(entry) for entry in report.catalogue],
        "active_model": _shown(report.active),
        "active_model_installed": report.active_installed,
        "reachable": report.reachable,
        "as_of": timestamp(report.as_of_s),
    }


def _card(card: ModelCard) -> Json:
    model = card.model
    return {
        "name": names.shown(model.name),
        "size": model.parameter_size or None,
        "format": model.format or None,
        "type": TYPES.get(card.kind or ""),
        "last_used": timestamp(card.summary.last_used_at_s),
        "performance": {**_speeds(card.summary), "memory_mb": mebibytes(card.memory_bytes)},
        "percentiles": timelines.percentiles_of(card.summary),
        "memory_efficiency": timelines.efficiency_of(card),
        "task_type": card.kind,
        "size_bytes": model.size_bytes,
        "disk_size": size_text(model.size_bytes),
        "modified_at": model.modified_at,
        "digest": model.digest,
        "quantization": model.quantization or None,
        "max_context": model.context_length,
        "features": None if model.capabilities is None else list(model.capabilities),
        "can_chat": model.can_chat,
        "remote": model.remote,
        "loaded": card.loaded,
        "active": card.active,
        **quality_fields(card.quality, card.summary),
    }


def family(entry: CatalogueEntry) -> Json:
    """A family of the public library in `available`."""
    return {
        "name": entry.name,
        "size": entry.parameter_size,
        "description": entry.description,
        "popularity": entry.popularity,
        "source": "ollama",
        "type": TYPES.get(entry.kind or ""),
        "task_type": entry.kind,
        "size_bytes": entry.size_bytes,
        "disk_size": size_text(entry.size_bytes),
        "max_context": entry.context_length,
        "features": list(entry.capabilities),
        "licence": entry.licence,
        "released": entry.released,
        "tags": [{**tag._asdict(), "capabilities": list(tag.capabilities)} for tag in entry.tags],
    }


def status(report: StatusReport) -> Json:
    """`GET model-status`."""
    card, resources = report.card, report.resources
    summary = card.summary if card else ModelSummary()
    memory_bytes = card.memory_bytes if card and card.loaded else None
    model = card.model if card else None
    return {
        "current_model": _shown(report.active.model),
        "status": report.state,
        "uptime_seconds": int(report.uptime_s),
        "performance": {
            **_speeds(summary),
            "error_rate": rounded(summary.error_rate, 4),
            "total_requests": summary.total_requests,
        },
        "percentiles": timelines.percentiles_of(summary),
        "memory_efficiency": timelines.efficiency_of(card),
        "resource_usage": {
            "memory_mb": mebibytes(memory_bytes),
            "cpu_percent": rounded(resources.cpu_percent, 1),
            "memory_percent": percent(memory_bytes, resources.ram_total_bytes),
            "vram_mb": mebibytes(report.residence.vram_bytes) if report.residence else None,
        },
        "capabilities": {
            "type": TYPES.get(card.kind or "") if card else None,
            "supports": list(report.supports),
            "max_context": model.context_length if model else None,
            "quantization": (model.quantization or None) if model else None,
            "features": None if model is None or model.capabilities is None else list(model.capabilities),
            "active_context": report.residence.context_length if report.residence else None,
        },
        **quality_fields(card.quality if card else {}, summary),
        "previous_model": _shown(report.active.previous),
        "requested_model": _shown(report.pending),
        "loaded": report.residence is not None,
        "expires_at": report.residence.expires_at if report.residence else None,
        "downloads": [download(job) for job in report.downloads],
        "last_error": _failure(report.last_failure),
        "ollama_version": report.ollama_version,
        "reachable": report.reachable,
        "as_of": timestamp(report.as_of_s),
        "error_code": report.error_code,
    }


def activation(result: Activation) -> Json:
    """`POST switch-model`."""
    return {
        "previous_model": _shown(result.previous),
        "current_model": _shown(result.current),
        "status": result.state,
        "load_time_ms": None if result.load_ms is None else round(result.load_ms),
        "requested_model": names.shown(result.requested),
        "download": download(result.download) if result.download else None,
    }


def download(job: DownloadJob, install_path: str | None = None) -> Json:
    """`POST download-model` and `GET download-status`: one shape. 100 only when installed."""
    progress = job.progress
    done = job.state == "installed"
    shown_percent = 100 if done else min(99, math.floor(progress.fraction * 100))
    remaining_s = 0 if done else progress.remaining_s
    return {
        "model_name": names.shown(job.model),
        "status": job.state,
        "progress": shown_percent,
        "download_size": size_text(progress.total_bytes),
        "estimated_time_seconds": None if remaining_s is None else math.ceil(remaining_s),
        "install_path": install_path,
        "total_bytes": progress.total_bytes,
        "completed_bytes": progress.completed_bytes,
        "speed_bytes_per_s": None if progress.speed_bytes_per_s is None else round(progress.speed_bytes_per_s),
        "auto_switch": job.auto_switch,
        "attempt": job.attempt,
        "error": job.failure.message if job.failure else None,
        "error_code": job.failure.code if job.failure else None,
        "created_at": timestamp(job.created_at_s),
        "updated_at": timestamp(job.updated_at_s),
        "finished_at": timestamp(job.finished_at_s),
    }


def choice(result: Choice) -> Json:
    """`POST recommend-model`: the exact installed name in its shown form, and why, as data and as one line."""
    return {
        "model_name": names.shown(result.model),
        "installed_name": result.model,
        "task_type": result.task,
        "why": reasons.why(result),
    }


def benchmark(job: BenchmarkJob) -> Json:
    """`POST benchmark-model` and `GET benchmark-status`: one shape."""
    report = job.report or {}
    total = job.total_items
    progress = 100 if job.state in ("ok", "partial") else math.floor(100 * job.done_items / total) if total else 0
    return {
        "model_name": names.shown(job.model),
        "suite": job.suite,
        "status": job.state,
        "progress": progress,
        "done_items": job.done_items,
        "total_items": total,
        "estimated_time_seconds": None if job.remaining_s is None else math.ceil(job.remaining_s),
        "reason": job.reason,
        "error": job.failure.message if job.failure else None,
        "error_code": job.failure.code if job.failure else None,
        "benchmarks": report.get("benchmarks"),
        "task_suitability": report.get("task_suitability"),
        "scores": report.get("scores"),
        "stale": list(job.stale),
        "report": job.report,
        "created_at": timestamp(job.created_at_s),
        "updated_at": timestamp(job.updated_at_s),
        "finished_at": timestamp(job.finished_at_s),
    }


def assignments(result: Assignments) -> Json:
    """`GET|PUT task-assignments`."""
    return {
        "assignments": {task: _shown(name) for task, name in result.tasks.items()},
        "missing": [names.shown(name) for name in result.missing],
        "pending": result.pending,
        "chosen": {task: choice and reasons.in_short(choice) for task, choice in result.chosen.items()},
    }


def usage(events: Iterable[UsageEvent]) -> Json:
    """`GET usage-history`, newest first."""
    return {
        "events": [
            {
                "id": event.id,
                "at": timestamp(event.created_at_s),
                "action": event.action,
                "model_name": _shown(event.model),
                "outcome": event.outcome,
                "user": event.user,
                "details": dict(event.details),
            }
            for event in events
        ]
    }


def health(report: HealthReport) -> Json:
    """`GET health`."""
    ollama = {name: value for name, value in report.ollama.items() if name != "as_of_s"}
    return {
        "status": report.status,
        "version": report.version,
        "ollama": {**ollama, "as_of": timestamp(report.ollama["as_of_s"])},
        "store": dict(report.store),
        "live_downloads": report.live_downloads,
    }


def deletion(result: Deletion) -> Json:
    """`POST delete-model`."""
    return {
        "model_name": names.shown(result.model),
        "status": result.state,
        "freed_bytes": result.freed_bytes,
        "freed": size_text(result.freed_bytes),
    }


def unloading(result: Unloading) -> Json:
    """`POST unload-model`."""
    return {"model_name": names.shown(result.model), "status": result.state}


def reply(result: Reply) -> Json:
    """What a chat route sends: the text, who answered, and why."""
    return {
        "reply": result.text,
        "model": _shown(result.model),
        "why": reasons.why(result.choice) if result.choice else None,
    }


def _speeds(summary: ModelSummary) -> Json:
    return {
        "tokens_per_second": rounded(summary.tokens_per_second, 1),
        "avg_latency_ms": rounded(summary.latency_ms, 1),
        "ms_per_token": rounded(summary.ms_per_token, 1),
        "time_to_first_token_ms": rounded(summary.ttft_ms, 1),
    }


def _failure(failure: Failure | None) -> Json | None:
    if failure is None:
        return None
    return {"code": failure.code, "message": failure.message, "at": timestamp(failure.at_s), "details": failure.details}


def _shown(name: str | None) -> str | None:
    return None if name is None else names.shown(name)
