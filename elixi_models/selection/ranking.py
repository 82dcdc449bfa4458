"""The policy: which model takes a task, and why. Pure: values in, a Choice out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import names
from ..inventory import InstalledModel
from ..records import Candidate, Choice, Rejection, Task
from .explanation import in_order, winner
from .filters import Field, Request, SelectionInputs, needed_bytes, obtainable_bytes, resting, sift
from .scoring import Standing, effective_bandwidth, evidence, score, standing

__all__ = ["Prepared", "Request", "SelectionInputs", "prepare", "rank"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What every task's ranking starts from: the filters' work, and each fitting model looked up once."""

    inputs: SelectionInputs
    field: Field
    standings: Mapping[str, Standing]


def prepare(inputs: SelectionInputs, request: Request | None = None) -> Prepared:
    """Filter and look up, once for all tasks."""
    found = sift(inputs, request or Request())
    bandwidth = effective_bandwidth(found.usable, inputs.summaries)
    standings = {
        model.name: standing(model, inputs, model.name in found.residents, bandwidth) for model in found.fitting
    }
    return Prepared(inputs, found, standings)


def rank(
    task: Task,
    inputs: SelectionInputs | Prepared,
    *,
    incumbents: Mapping[str, float] | None = None,
    request: Request | None = None,
) -> Choice | None:
    """The best model for a task, or None when no installed model can take it.

    Args:
        inputs: prepared ones have their request in them; `request` is for the others.
        incumbents: who is there already, the dearest first, and by how many points each may be behind and still stay.
    """
    prepared = inputs if isinstance(inputs, Prepared) else prepare(inputs, request)
    given, found = prepared.inputs, prepared.field
    assigned = _assigned(task, prepared)
    if assigned is not None:
        rejected = _sorted(_passed_over(prepared, assigned))
        return Choice(assigned.name, task, "explicit", "assignment", rejected=rejected, flags=_flags(assigned, given))
    if not found.fitting:
        return _smallest(task, prepared)
    ordered = in_order([score(task, subject, given) for subject in prepared.standings.values()])
    return _chosen(task, prepared, ordered, dict(incumbents or {}))


def _chosen(task: Task, prepared: Prepared, ordered: Sequence[Candidate], incumbents: dict[str, float]) -> Choice:
    best = winner(ordered, incumbents)
    others = [candidate for candidate in ordered if candidate is not best]
    losers = [Rejection(other.model, f"scores {other.utility:.1f} of 100") for other in others]
    subject = prepared.standings[best.model]
    held = ("kept_by_hysteresis",) if best is not ordered[0] else ()
    return Choice(
        model=best.model,
        task=task,
        task_source="explicit",
        decided_by="score" if others else "only_candidate",
        utility=best.utility,
        terms=best.terms,
        evidence=evidence(task, subject, prepared.inputs),
        runner_up=others[0].model if others else None,
        margin=best.utility - others[0].utility if others else None,
        rejected=_sorted([*prepared.field.rejected, *losers]),
        flags=(*_flags(subject.model, prepared.inputs), *prepared.field.flags, *held),
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


def _passed_over(prepared: Prepared, assigned: InstalledModel) -> list[Rejection]:
    sifted = [entry for entry in prepared.field.rejected if entry.model != assigned.name]
    fitting = [model for model in prepared.field.fitting if model is not assigned]
    return [*sifted, *(Rejection(model.name, "another model is assigned to this task") for model in fitting)]


def _smallest(task: Task, prepared: Prepared) -> Choice | None:
    usable = prepared.field.usable
    if not usable:
        return None
    smallest = min(usable, key=lambda model: (model.size_bytes or 0, names.key(model.name)))
    others = [entry for entry in prepared.field.rejected if entry.model != smallest.name]
    flags = (*_flags(smallest, prepared.inputs), "does_not_fit")
    sizes = tuple(Candidate(model.name, 0.0, {}, False, model.size_bytes or 0) for model in usable)
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
