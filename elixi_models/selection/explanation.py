"""A choice from its scored candidates alone, so that a stored reason can be played again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import names
from ..records import Candidate


def in_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Best first: utility to a tenth of a point, then resident, smaller, by name; the same for any order given."""
    return sorted(
        candidates,
        key=lambda one: (-round(one.utility, 1), not one.resident, one.size_bytes, names.key(one.model)),
    )


def winner(ordered: Sequence[Candidate], incumbents: Mapping[str, float]) -> Candidate:
    """The first incumbent that is no more points behind the best than it may be; else the best."""
    best = ordered[0]
    for name, points in incumbents.items():
        key = names.key(name)
        held = next((one for one in ordered if names.key(one.model) == key), None)
        if held is not None and best.utility - held.utility <= points:
            return held
    return best


def replay(stored: Mapping[str, Any]) -> str:
    """The model that a stored reason (`data.why` of `recommend-model`) leads to, in the spelling of the reason.

    Raises:
        ValueError: the reason has no ranking and nothing else decided.
    """
    if stored["decided_by"] == "assignment":
        return str(stored["chosen"])
    candidates = [
        Candidate(one["model"], sum(one["terms"].values()), one["terms"], one["resident"], one["size_bytes"])
        for one in stored["ranking"]
    ]
    if not candidates:
        raise ValueError("the reason has no ranking")
    if stored["decided_by"] == "degraded":
        return min(candidates, key=lambda one: (one.size_bytes, names.key(one.model))).model
    incumbents = {entry["model"]: entry["points"] for entry in stored["incumbents"]}
    return winner(in_order(candidates), incumbents).model
