"""One answer and its reason: any order, any hash seed, sums that add up, reasons for all, and played again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from elixi_models import names
from elixi_models.reasons import why
from elixi_models.records import TASKS, Choice
from elixi_models.selection.explanation import replay
from elixi_models.selection.filters import Request, SelectionInputs
from elixi_models.selection.ranking import rank

from . import Figure
from .dice import Dice
from .inventories import inventory
from .tables import ROOT

INVENTORIES, SEEDED = 2000, 200
SUM_TOLERANCE = 0.05


def choices(count: int) -> Iterator[tuple[SelectionInputs, Request, Choice]]:
    """All choices over so many servers."""
    for seed in range(count):
        given, request = inventory(seed)
        incumbents = {given.view.installed[0].name: 2.0} if given.view.installed else {}
        for task in TASKS:
            choice = rank(task, given, request=request, incumbents=incumbents)
            if choice is not None:
                yield given, request, choice


def shuffled(given: SelectionInputs) -> SelectionInputs:
    """The same server, told in another order."""
    models = given.view.installed
    return replace(given, view=replace(given.view, installed=tuple(Dice(1).draw(models, len(models)))))


def faults(count: int) -> tuple[int, dict[str, int]]:
    """How many choices there were, and how many of them are at fault in which way."""
    found = dict.fromkeys(("other in another order", "sum of terms", "no reason", "played again"), 0)
    seen = 0
    for given, request, choice in choices(count):
        seen += 1
        stored: dict[str, Any] = json.loads(json.dumps(why(choice)))
        again = rank(choice.task, shuffled(given), request=request, incumbents=choice.incumbents)
        if choice.decided_by in ("score", "only_candidate"):
            found["other in another order"] += again is None or again.model != choice.model
            found["sum of terms"] += abs(sum(stored["terms"].values()) - stored["utility"]) > SUM_TOLERANCE
        told = {entry.model for entry in choice.rejected if entry.reason} | {choice.model}
        found["no reason"] += told != {model.name for model in given.view.installed}
        found["played again"] += replay(stored) != names.shown(choice.model)
    return seen, found


def digest(count: int = SEEDED) -> str:
    """A fingerprint of all reasons."""
    told = [why(choice) for _, _, choice in choices(count)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def digests_by_hash_seed() -> set[str]:
    """The fingerprints that interpreters with different hash seeds give."""
    code = "from tests.replay.explanations import digest; print(digest())"
    found = set()
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        told = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, check=True)
        found.add(told.stdout.decode())
    return found


def figures() -> Iterator[Figure]:
    """Counts of faults, and of different answers under three hash seeds."""
    seen, found = faults(INVENTORIES)
    source = f"{INVENTORIES:,} random servers"
    for fault, count in found.items():
        yield Figure(15, f"choices at fault: {fault}", count, 0, at_most=0, sample=seen, source=source)
    source = f"{SEEDED} random servers"
    count = len(digests_by_hash_seed())
    yield Figure(15, "answers under three hash seeds", count, 0, at_most=1, sample=3, source=source)
