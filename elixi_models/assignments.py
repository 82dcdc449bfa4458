"""Which model the user set for which task: stored, followed, and stronger than any score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .errands import settled
from .errors import InvalidRequest
from .names import ModelName
from .records import TASKS, Choice
from .store.following import StoreFollower
from .upstream.observer import Observer


@dataclass(frozen=True, slots=True)
class Assignments:
    """Task → installed name, None where scores decide.

    `missing` are assigned but not installed, and skipped until they are; `pending` is True while the change is
    not in the store yet. `chosen` is what each task gets now, None where no model can take it.
    """

    tasks: dict[str, str | None]
    missing: tuple[str, ...] = ()
    pending: bool = False
    chosen: Mapping[str, Choice | None] = field(default_factory=dict)


class TaskAssignments:
    """The stored assignments of one Ollama server.

    Args:
        on_changed: called after a change: on the caller's thread, so that the next choice follows it, and on the
            follower's, also for a change of another process.
    """

    def __init__(
        self, *, follower: StoreFollower, observer: Observer, ollama_url: str, on_changed: Callable[[], None]
    ) -> None:
        self._follower = follower
        self._observer = observer
        self._key = f"task_assignments@{ollama_url}"
        self._on_changed = on_changed
        follower.watch_preference(self._key, lambda preference: on_changed())

    def effective(self) -> dict[str, str]:
        """The tasks that have a model; from memory."""
        stored = self._follower.preference(self._key)
        return {task: name for task, name in stored.value.items() if name} if stored else {}

    def current(self, *, pending: bool = False) -> Assignments:
        """All tasks with their model or None; from memory."""
        effective = self.effective()
        view = self._observer.view
        missing = tuple(sorted({name for name in effective.values() if view.find(name) is None}))
        return Assignments({task: effective.get(task) for task in TASKS}, missing, pending)

    def change(self, changes: Mapping[str, str | None], *, wait_s: float) -> Assignments:
        """Set or clear the model of some tasks; waits at most `wait_s` for the store.

        Raises:
            InvalidRequest: an unknown task or an invalid name; nothing is changed then.
            StoreUnavailable: the store refused the change within the wait.
        """
        checked: dict[str, str | None] = {}
        for task, name in changes.items():
            if task not in TASKS:
                raise InvalidRequest(f"unknown task: {task}", field="task", allowed=list(TASKS))
            checked[task] = None if name is None else self._spelling(ModelName.parse(name, field=task))
        future = self._follower.set_preference(self._key, {**self.effective(), **checked})
        self._on_changed()
        return self.current(pending=not settled(future, wait_s))

    def _spelling(self, name: ModelName) -> str:
        model = self._observer.view.find(name.installed)
        return model.name if model else name.installed
