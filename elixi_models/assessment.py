"""How good the installed models are: as their benchmarks say, else as is thought of their kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .benchmarks.evidence import Known, Scores
from .benchmarks.items import SCORED_TASKS
from .inventory import InstalledModel
from .quality import TaskScore, carried_score
from .selection import prior


class Assessment:
    """The scores as they were when last refreshed; any thread may read them, none waits.

    Args:
        read: what benchmarks said; the same object until something changes.
    """

    def __init__(self, read: Callable[[], Known]) -> None:
        self._read = read
        self._known = Known()

    def refresh(self) -> bool:
        """Read again; True when something changed."""
        before, self._known = self._known, self._read()
        return self._known is not before

    def scores_by_name(self, models: Iterable[InstalledModel]) -> dict[str, Scores]:
        """What benchmarks say of each model, by its installed name; an alias has what its weights have.

        What counts no more is an estimate: it moves what is thought of the kind, less than a measurement would.
        """
        return {model.name: self._scores(model) for model in models}

    def assess(self, model: InstalledModel) -> Scores:
        """A model's score for every task, measured or estimated."""
        said = self._scores(model)
        return {task: prior.assess(model, task, said) for task in SCORED_TASKS}

    def _scores(self, model: InstalledModel) -> Scores:
        known = self._known
        outdated = known.outdated(model)
        carried: dict[str, TaskScore] = {
            task: carried_score(outdated[task], prior.assess(model, task, {}))
            for task in SCORED_TASKS
            if task in outdated
        }
        return {**carried, **known.measured(model)}
