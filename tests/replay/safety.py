"""Never a wrong model: over ten thousand random servers, the choice against rules written down once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from elixi_models.inventory import InstalledModel
from elixi_models.records import TASKS, Choice
from elixi_models.selection.filters import Request, SelectionInputs, needed_bytes
from elixi_models.selection.ranking import prepare, rank

from . import Figure
from .inventories import inventory

INVENTORIES = 10_000
RULES = (
    "not an installed tag",
    "cannot chat",
    "remote",
    "lacks a capability",
    "does not fit while another does",
    "none, though one could",
)
EMBEDDERS = ("nomic-embed-text", "mxbai-embed-large")


def able(model: InstalledModel, request: Request) -> bool:
    """Whether a model may take the message at all."""
    chats = (
        "completion" in model.capabilities if model.capabilities is not None else not model.name.startswith(EMBEDDERS)
    )
    return chats and not model.remote and all(need in (model.capabilities or ()) for need in request.needs)


def fits(model: InstalledModel, given: SelectionInputs) -> bool:
    """Whether it is loaded or has the room; unknown is room."""
    free, need = given.resources.ram_available_bytes, needed_bytes(model)
    return free is None or need is None or need <= free or given.view.residence(model) is not None


def broken(choice: Choice | None, task: str, given: SelectionInputs, request: Request) -> Iterator[str]:
    """The rules that a choice breaks."""
    fit = [model for model in given.view.installed if able(model, request)]
    if choice is None:
        yield from ["none, though one could"] * bool(fit)
        return
    chosen = next((model for model in given.view.installed if model.name == choice.model), None)
    if chosen is None:
        yield "not an installed tag"
        return
    if chosen.remote:
        yield "remote"
    if not able(chosen, Request()) and not chosen.remote:
        yield "cannot chat"
    if not all(need in (chosen.capabilities or ()) for need in request.needs):
        yield "lacks a capability"
    if choice.decided_by != "assignment" and not fits(chosen, given) and any(fits(model, given) for model in fit):
        yield "does not fit while another does"


def violations(count: int) -> Counter[str]:
    """How often each rule is broken, over so many servers and all tasks."""
    found: Counter[str] = Counter()
    for seed in range(count):
        given, request = inventory(seed)
        prepared = prepare(given, request)
        for task in TASKS:
            found.update(broken(rank(task, prepared), task, given, request))
    return found


def figures() -> Iterator[Figure]:
    """One count for each rule."""
    found = violations(INVENTORIES)
    for rule in RULES:
        sample, source = INVENTORIES * len(TASKS), f"{INVENTORIES:,} random servers"
        yield Figure(14, f"chosen wrongly: {rule}", found[rule], 0, at_most=0, sample=sample, source=source)
