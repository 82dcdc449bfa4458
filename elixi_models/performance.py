"""The rules by which a model's figures are computed, the same in chat, summaries and benchmarks. Pure.

A figure that cannot be true (NaN, negative, days long) is treated as if it had not been told.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from . import names
from .records import Measurement

MIN_GAPS = 64
_LONGEST_S = 7 * 86_400.0
_FASTEST_TOKENS_PER_S = 1e6
_BYTES_PER_GB = 1e9
_BYTES_PER_MIB = 1_048_576
_BYTES_PER_GIB = 1_073_741_824


def believable_s(duration_s: float | None) -> float | None:
    """The duration in seconds, or None when it cannot be one."""
    if duration_s is None or not math.isfinite(duration_s) or not 0.0 <= duration_s <= _LONGEST_S:
        return None
    return duration_s


def token_gaps(measurement: Measurement) -> tuple[int, float] | None:
    """`(n - 1, eval seconds)` of a reply of n >= 2 tokens, or None.

    The server's clock starts at the first token, so n tokens take n - 1 gaps.
    """
    eval_s = believable_s(measurement.eval_s)
    if measurement.tokens is None or measurement.tokens < 2 or not eval_s:
        return None
    gaps = measurement.tokens - 1
    return None if gaps / eval_s > _FASTEST_TOKENS_PER_S else (gaps, eval_s)


def decode_rate(gaps: int, eval_s: float) -> float | None:
    """Tokens per second from summed gaps and seconds; None until there are 64 gaps to judge by."""
    return gaps / eval_s if gaps >= MIN_GAPS and eval_s > 0 else None


def response_s(measurement: Measurement) -> float | None:
    """How long a successful reply took its caller, without the load where that is known."""
    return _without_load(measurement, measurement.duration_s)


def first_token_s(measurement: Measurement) -> float | None:
    """How long a successful reply's first token took, without the load where that is known."""
    return _without_load(measurement, measurement.ttft_s)


def _without_load(measurement: Measurement, duration_s: float | None) -> float | None:
    whole_s = believable_s(duration_s)
    if whole_s is None or measurement.outcome != "ok":
        return None
    load_s = believable_s(measurement.load_s) or 0.0
    return whole_s - load_s if load_s <= whole_s else whole_s


def performance_document(
    *,
    document_key: str,
    ollama_url: str,
    model: str,
    weights_digest: str | None,
    at_s: float,
    performance: Mapping[str, Any],
    memory_bytes: int | None,
    cpu_percent: float | None = None,
    ram_total_bytes: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A `model_performance` document in the seed's shape, as plain JSON; what is not known is None.

    Args:
        document_key: what the document is about; the same key always gives the same `_id`.
        performance: `tokens_per_second`, `avg_latency_ms`, `error_rate` and `total_requests` where known.
        cpu_percent: 0-100 of the machine, by all of Ollama.
        ram_total_bytes: of the machine, for `memory_percent`.
        more: further fields, or seed fields (`benchmarks`, `task_suitability`) that are known.
    """
    rate = performance.get("tokens_per_second")
    return {
        "_id": str(uuid.uuid5(uuid.NAMESPACE_URL, document_key)),
        "model_name": names.shown(model),
        "model": model,
        "timestamp": datetime.fromtimestamp(at_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "created_at_s": at_s,
        "ollama_url": ollama_url,
        "weights_digest": weights_digest,
        "performance": {
            name: performance.get(name)
            for name in ("tokens_per_second", "avg_latency_ms", "error_rate", "total_requests")
        },
        "resource_usage": {
            "memory_mb": None if memory_bytes is None else round(memory_bytes / _BYTES_PER_MIB),
            "cpu_percent": cpu_percent,
            "memory_percent": 100 * memory_bytes / ram_total_bytes if memory_bytes and ram_total_bytes else None,
        },
        "memory_efficiency": memory_efficiency(memory_bytes, rate, general_score=_general_score(more)),
        "benchmarks": unmeasured_benchmarks(),
        "task_suitability": unmeasured_suitability(),
        **more,
    }


def memory_efficiency(
    memory_bytes: int | None,
    tokens_per_second: float | None,
    *,
    file_bytes: int | None = None,
    general_score: float | None = None,
) -> dict[str, float | None]:
    """What a model's memory is good for, each None while a part of it is unknown; shown, never mixed into quality.

    Args:
        memory_bytes: the footprint when loaded.
        file_bytes: the size on the disk; `footprint_per_file_byte` is how many times that is needed in memory.
        general_score: 0-100, for `quality_per_gib`.
    """
    known = memory_bytes or None
    return {
        "gb_per_1000_tokens_per_second": known / _BYTES_PER_GB / tokens_per_second * 1000
        if known and tokens_per_second
        else None,
        "quality_per_gib": general_score / (known / _BYTES_PER_GIB) if known and general_score is not None else None,
        "footprint_per_file_byte": known / file_bytes if known and file_bytes else None,
    }


def _general_score(fields: Mapping[str, Any]) -> float | None:
    score = (fields.get("benchmarks") or {}).get("general_purpose")
    return score if isinstance(score, (int, float)) else None


def unmeasured_benchmarks() -> dict[str, float | None]:
    """The seed's benchmark scores (0-100), none of them measured."""
    return dict.fromkeys(("general_purpose", "coding", "creativity", "analysis"))


def unmeasured_suitability() -> dict[str, float | None]:
    """The seed's task suitability (0-10), none of it measured."""
    return dict.fromkeys(("general", "coding", "analysis", "creative"))
