"""Models taken out of memory and off the disk."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from elixi_models.inventory import InstalledModel, LoadedModel, ServerView
from elixi_models.removal import Removal

PHI = InstalledModel("phi:latest", "d1", weights_digest="w1")
ALIAS = InstalledModel("mine:latest", "d1", weights_digest="w1")
CHILD = InstalledModel("child:latest", "d2", weights_digest="w1")
OTHER = InstalledModel("other:latest", "d3", weights_digest="w3")
UNKNOWN = InstalledModel("unknown:latest", "d4")
LOADED = LoadedModel("phi:latest", "d1")
VIEW = ServerView("http://127.0.0.1:11434", 1.0, True, installed=(PHI, OTHER))


class Server:
    """Gateway and observer in one: `stays` looks long the model is still in memory."""

    def __init__(self, view: ServerView, stays: int = 0) -> None:
        self.view = view
        self.stays = stays
        self.calls: list[str] = []

    def unload(self, name: str) -> None:
        self.calls.append(f"unload {name}")

    def delete(self, name: str) -> None:
        self.calls.append(f"delete {name}")

    def refresh(self) -> ServerView:
        self.calls.append("look")
        self.stays -= 1
        if self.stays < 0:
            self.view = replace(self.view, loaded=())
        return self.view


def removal(server: Server, **options: Any) -> Removal:
    return Removal(gateway=server, observer=server, **options)  # type: ignore[arg-type]


def test_unload_is_done_when_the_model_is_gone() -> None:
    """Asked for once, then looked at until it is true."""
    server = Server(replace(VIEW, loaded=(LOADED,)), stays=1)
    assert removal(server).unload(PHI) is True
    assert server.calls == ["unload phi:latest", "look", "look"]


def test_a_model_that_still_answers_is_not_waited_for_too_long() -> None:
    """False after the time to settle."""
    times = iter([0.0, 1.0, 5.0])
    server = Server(replace(VIEW, loaded=(LOADED,)), stays=100)
    assert removal(server, settle_s=5.0, monotonic=lambda: next(times)).unload(PHI) is False
    assert server.calls.count("look") == 2


def test_closing_ends_the_wait() -> None:
    """A shutdown does not wait for a model."""
    server = Server(replace(VIEW, loaded=(LOADED,)), stays=10_000)
    parts = removal(server, settle_s=600.0)
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(parts.unload(PHI)))
    thread.start()
    parts.close()
    thread.join(5.0)
    assert results == [False]


@pytest.mark.parametrize(
    ("others", "loaded", "expected"),
    [
        ((OTHER,), (LOADED,), ["unload phi:latest", "look", "delete phi:latest", "look"]),
        ((UNKNOWN,), (LOADED,), ["unload phi:latest", "look", "delete phi:latest", "look"]),
        ((ALIAS,), (LOADED,), ["delete phi:latest", "look"]),
        ((CHILD,), (LOADED,), ["delete phi:latest", "look"]),
        ((OTHER,), (), ["delete phi:latest", "look"]),
    ],
)
def test_a_deleted_model_leaves_memory_unless_another_name_needs_its_runner(
    others: tuple[InstalledModel, ...], loaded: tuple[LoadedModel, ...], expected: list[str]
) -> None:
    """Alone it is unloaded first; an alias or a child of the same weights keeps the runner."""
    view = replace(VIEW, installed=(PHI, *others), loaded=loaded)
    server = Server(view)
    removal(server).delete(PHI, view)
    assert server.calls == expected
