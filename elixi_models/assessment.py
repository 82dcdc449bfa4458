"""How good the installed models are: as their benchmarks say, else as is thought of their kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from .benchmarks.evidence import Scores, identity
from .benchmarks.items import SCORED_TASKS
from .inventory import InstalledModel
from .selection import prior


class Assessment:
    """The scores as they were when last refreshed; any thread may read them, none waits.

    Args:
        read: what benchmarks measured, by the identity of the weights; the same object until something changes.
    """

    def __init__(self, read: Callable[[], Mapping[str, Scores]]) -> None:
        self._read = read
        self._scores: Mapping[str, Scores] = {}

    def refresh(self) -> bool:
        """Read again; True when something changed."""
        before, self._scores = self._scores, self._read()
        return self._scores is not before

    def measured_by_name(self, models: Iterable[InstalledModel]) -> dict[str, Scores]:
        """What was measured of each model, by its installed name; an alias has what its weights have."""
        scores = self._scores
        return {model.name: scores.get(identity(model), {}) for model in models}

    def assess(self, model: InstalledModel) -> Scores:
        """A model's score for every task, measured or estimated."""
        measured = self._scores.get(identity(model), {})
        return {task: prior.assess(model, task, measured) for task in SCORED_TASKS}
