"""Why a model was chosen: as data for programs and as one line for people."""

from __future__ import annotations

from typing import Any

from . import names
from .records import Candidate, Choice
from .units import rounded

Json = dict[str, Any]


def why(result: Choice) -> Json:
    """The reason for a choice."""
    return {
        "text": why_text(result),
        "task": result.task,
        "task_source": result.task_source,
        "chosen": names.shown(result.model),
        "decided_by": result.decided_by,
        "utility": rounded(result.utility, 2),
        "terms": {name: round(value, 2) for name, value in result.terms.items()},
        "evidence": dict(result.evidence),
        "runner_up": names.shown(result.runner_up) if result.runner_up else None,
        "margin": rounded(result.margin, 1),
        "rejected": [{"model": names.shown(entry.model), "reason": entry.reason} for entry in result.rejected],
        "flags": list(result.flags),
        "ranking": [_scored(candidate) for candidate in result.ranking],
        "incumbents": [{"model": names.shown(name), "points": points} for name, points in result.incumbents.items()],
    }


def _scored(candidate: Candidate) -> Json:
    return {
        "model": names.shown(candidate.model),
        "utility": candidate.utility,
        "terms": dict(candidate.terms),
        "resident": candidate.resident,
        "size_bytes": candidate.size_bytes,
    }


def in_short(result: Choice) -> Json:
    """The choice and its reason in one line."""
    return {"model": names.shown(result.model), "why": why_text(result)}


def why_text(result: Choice) -> str:
    """The reason in one line."""
    model = names.shown(result.model)
    if result.decided_by == "assignment":
        return f"{model}: assigned to {result.task} by the user"
    if result.decided_by == "degraded":
        return f"{model}: the smallest usable model, as none fits into memory"
    if result.decided_by == "only_candidate":
        return f"{model}: the only usable model for {result.task}"
    behind = (
        f", {result.margin:.1f} points ahead of {names.shown(result.runner_up)}"
        if result.runner_up and result.margin
        else ""
    )
    return f"{model}: best for {result.task} with {result.utility or 0:.1f} of 100 points{behind}"
