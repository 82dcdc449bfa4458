"""Which model the user set for which task."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from elixi_models.assignments import TaskAssignments
from elixi_models.errors import InvalidRequest, StoreUnavailable
from elixi_models.inventory import InstalledModel, ServerView
from elixi_models.store.base import Preference

URL = "http://127.0.0.1:11434"
KEY = f"task_assignments@{URL}"
NOTHING = {"general": None, "coding": None, "analysis": None, "creative": None, "fast": None}


class Follower:
    """The store's follower: keeps a value in memory, and hands out the future that a test wants."""

    def __init__(self) -> None:
        self.stored: Preference | None = None
        self.listener: Callable[[Preference], None] | None = None
        self.future: Future[Any] = Future()

    def watch_preference(self, key: str, listener: Callable[[Preference], None]) -> None:
        assert key == KEY
        self.listener = listener

    def preference(self, key: str) -> Preference | None:
        assert key == KEY
        return self.stored

    def set_preference(self, key: str, value: dict[str, Any]) -> Future[Any]:
        self.stored = Preference(key, 1, value, 1.0)
        return self.future


@pytest.fixture
def follower() -> Follower:
    """A store that has answered."""
    found = Follower()
    found.future.set_result(None)
    return found


@pytest.fixture
def changes() -> list[str]:
    """One entry for each time that somebody was told of a change."""
    return []


@pytest.fixture
def tasks(follower: Follower, changes: list[str]) -> TaskAssignments:
    """Assignments over a server with codellama."""
    installed = (InstalledModel("CodeLlama:latest", "d1"),)
    observer = SimpleNamespace(view=ServerView(URL, 1.0, True, installed=installed))
    return TaskAssignments(
        follower=follower,  # type: ignore[arg-type]
        observer=observer,  # type: ignore[arg-type]
        ollama_url=URL,
        on_changed=lambda: changes.append("changed"),
    )


def test_without_a_store_nothing_is_assigned(tasks: TaskAssignments) -> None:
    """Every task is there, with no model."""
    assert tasks.current().tasks == NOTHING
    assert tasks.effective() == {}


def test_an_assignment_is_kept_in_the_spelling_of_the_server(tasks: TaskAssignments, follower: Follower) -> None:
    """Found in any spelling; the others stay unassigned."""
    result = tasks.change({"coding": "codellama"}, wait_s=0)
    assert result.tasks == {**NOTHING, "coding": "CodeLlama:latest"}
    assert (result.missing, result.pending) == ((), False)
    assert follower.stored is not None
    assert follower.stored.value == {"coding": "CodeLlama:latest"}


def test_a_change_leaves_the_other_tasks_alone(tasks: TaskAssignments) -> None:
    """Set one, set another, clear the first."""
    tasks.change({"coding": "codellama"}, wait_s=0)
    tasks.change({"fast": "phi"}, wait_s=0)
    result = tasks.change({"coding": None}, wait_s=0)
    assert result.tasks == {**NOTHING, "fast": "phi:latest"}
    assert tasks.effective() == {"fast": "phi:latest"}


def test_what_is_not_installed_is_named(tasks: TaskAssignments) -> None:
    """It may come later; until then it is skipped, and told."""
    assert tasks.change({"fast": "phi", "general": "phi"}, wait_s=0).missing == ("phi:latest",)


@pytest.mark.parametrize(
    ("change", "field"), [({"cooking": "phi"}, "task"), ({"fast": "a b"}, "fast"), ({"fast": ""}, "fast")]
)
def test_a_wrong_change_changes_nothing(
    change: dict[str, str], field: str, tasks: TaskAssignments, follower: Follower
) -> None:
    """Also not its right half."""
    with pytest.raises(InvalidRequest) as caught:
        tasks.change({"coding": "codellama", **change}, wait_s=0)
    assert caught.value.details["field"] == field
    assert follower.stored is None


def test_an_unknown_task_is_told_which_there_are(tasks: TaskAssignments) -> None:
    """In the details, for programs."""
    with pytest.raises(InvalidRequest) as caught:
        tasks.change({"cooking": None}, wait_s=0)
    assert caught.value.details["allowed"] == ["general", "coding", "analysis", "creative", "fast"]


def test_a_slow_store_is_told_as_pending(tasks: TaskAssignments, follower: Follower) -> None:
    """The change holds here meanwhile."""
    follower.future = Future()
    result = tasks.change({"coding": "codellama"}, wait_s=0.01)
    assert (result.pending, result.tasks["coding"]) == (True, "CodeLlama:latest")


def test_a_store_that_refuses_is_an_error(tasks: TaskAssignments, follower: Follower) -> None:
    """When that is known within the wait."""
    follower.future = Future()
    follower.future.set_exception(StoreUnavailable("read-only"))
    with pytest.raises(StoreUnavailable):
        tasks.change({"coding": "codellama"}, wait_s=1)


def test_a_change_of_another_process_is_told(tasks: TaskAssignments, follower: Follower, changes: list[str]) -> None:
    """So that choices are made anew."""
    assert follower.listener is not None
    follower.listener(Preference(KEY, 2, {"coding": "phi:latest"}, 1.0))
    assert changes == ["changed"]
