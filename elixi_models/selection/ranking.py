"""The policy: which model takes a task, and why. Pure: values in, a Choice out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .. import names
from ..inventory import InstalledModel
from ..records import TASKS, Candidate, Choice, Rejection, Task
from .explanation import in_order, winner
from .filters import Field, Request, SelectionInputs, needed_bytes, obtainable_bytes, resting, sift
from .scoring import Standing, candidate, effective_bandwidth, evidence, standing

__all__ = ["Decision", "Prepared", "Request", "SelectionInputs", "decide", "prepare", "rank"]


#: Utilities that differ by more before their terms are rounded are not in the same tenth of a point afterwards.
_TIE_POINTS = 0.101


@dataclass(frozen=True, slots=True)
class Prepared:
    """What every task's ranking starts from: the filters' work, and each fitting model's worth, by its name."""

    inputs: SelectionInputs
    field: Field
    standings: Mapping[str, Standing]


class Decision(NamedTuple):
    """Who takes a task, and what decided it; the reason can be told later from the same inputs."""

    model: InstalledModel
    decided_by: Literal["assignment", "score", "only_candidate", "degraded"]


def prepare(inputs: SelectionInputs, request: Request | None = None) -> Prepared:
    """Filter and judge, once for all tasks."""
    found = sift(inputs, request or Request())
    bandwidth = effective_bandwidth(found.usable, inputs.summaries)
    standings = {
        model.name: standing(model, inputs, model.name in found.residents, bandwidth) for model in found.fitting
    }
    return Prepared(inputs, found, standings)


def decide(task: Task, prepared: Prepared, incumbents: Mapping[str, float]) -> Decision | None:
    """The best model for a task, or None when no installed model can take it.

    Args:
        incumbents: who is there already, the dearest first, and by how many points each may be behind and still stay.
    """
    assigned = _assigned(task, prepared)
    if assigned is not None:
        return Decision(assigned, "assignment")
    standings, usable = prepared.standings, prepared.field.usable
    if not standings:
        smallest = min(usable, key=lambda model: (model.size_bytes or 0, names.key(model.name)), default=None)
        return None if smallest is None else Decision(smallest, "degraded")
    # Only those who can win are compared to the last digit: who is as good as the best, and the incumbents.
    at, held = TASKS.index(task), set(map(names.key, incumbents))
    least = max([subject.utilities[at] for subject in standings.values()]) - _TIE_POINTS
    able = [subject for subject in standings.values() if subject.utilities[at] >= least or subject.key in held]
    best = winner(in_order([candidate(task, subject) for subject in able]), incumbents)
    return Decision(standings[best.model].model, "score" if len(standings) > 1 else "only_candidate")


def rank(
    task: Task,
    inputs: SelectionInputs | Prepared,
    *,
    incumbents: Mapping[str, float] | None = None,
    request: Request | None = None,
) -> Choice | None:
    """What `decide` decides, with the reason for it and against every other model.

    Args:
        inputs: prepared ones have their request in them; `request` is for the others.
        incumbents: as of `decide`.
    """
    prepared = inputs if isinstance(inputs, Prepared) else prepare(inputs, request)
    held = dict(incumbents or {})
    decision = decide(task, prepared, held)
    if decision is None:
        return None
    if decision.decided_by == "assignment":
        return _assignment(task, prepared, decision.model)
    if decision.decided_by == "degraded":
        return _smallest(task, prepared, decision.model)
    return _best(task, prepared, decision, held)


def _best(task: Task, prepared: Prepared, decision: Decision, incumbents: dict[str, float]) -> Choice:
    ordered = in_order([candidate(task, subject) for subject in prepared.standings.values()])
    best = next(one for one in ordered if one.model == decision.model.name)
    others = [one for one in ordered if one is not best]
    losers = [Rejection(other.model, f"scores {other.utility:.1f} of 100") for other in others]
    held = ("kept_by_hysteresis",) if best is not ordered[0] else ()
    return Choice(
        model=best.model,
        task=task,
        task_source="explicit",
        decided_by=decision.decided_by,
        utility=best.utility,
        terms=best.terms,
        evidence=evidence(task, prepared.standings[best.model], prepared.inputs),
        runner_up=others[0].model if others else None,
        margin=best.utility - others[0].utility if others else None,
        rejected=_sorted([*prepared.field.rejected, *losers]),
        flags=(*_flags(decision.model, prepared.inputs), *prepared.field.flags, *held),
        ranking=tuple(ordered),
        incumbents=incumbents,
    )


def _sorted(rejected: Sequence[Rejection]) -> tuple[Rejection, ...]:
    return tuple(sorted(rejected, key=lambda entry: entry.model))


def _assigned(task: Task, prepared: Prepared) -> InstalledModel | None:
    """The model that the user wants for the task: it need not be the best, but able, and not at rest."""
    wanted = prepared.inputs.assignments.get(task)
    if wanted is None:
        return None
    key = names.key(wanted)
    model = next((model for model in prepared.field.usable if names.key(model.name) == key), None)
    return None if model is None or resting(model, prepared.inputs) else model


def _assignment(task: Task, prepared: Prepared, assigned: InstalledModel) -> Choice:
    sifted = [entry for entry in prepared.field.rejected if entry.model != assigned.name]
    fitting = [model for model in prepared.field.fitting if model is not assigned]
    passed_over = [Rejection(model.name, "another model is assigned to this task") for model in fitting]
    flags = _flags(assigned, prepared.inputs)
    return Choice(assigned.name, task, "explicit", "assignment", rejected=_sorted([*sifted, *passed_over]), flags=flags)


def _smallest(task: Task, prepared: Prepared, smallest: InstalledModel) -> Choice:
    others = [entry for entry in prepared.field.rejected if entry.model != smallest.name]
    flags = (*_flags(smallest, prepared.inputs), "does_not_fit")
    sizes = tuple(Candidate(model.name, 0.0, {}, False, model.size_bytes or 0) for model in prepared.field.usable)
    return Choice(smallest.name, task, "explicit", "degraded", rejected=_sorted(others), flags=flags, ranking=sizes)


def _flags(model: InstalledModel, inputs: SelectionInputs) -> tuple[str, ...]:
    flags = []
    if obtainable_bytes(inputs) is None or needed_bytes(model) is None:
        flags.append("memory_unknown")
    if model.capabilities is None:
        flags.append("capabilities_unknown")
    if not inputs.view.reachable:
        flags.append("stale")
    return tuple(flags)
