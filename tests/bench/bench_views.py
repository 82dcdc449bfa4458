"""What an answer costs over an empty route, with twenty models installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.bench


def test_views(app: Any, row: Callable[..., None], median_ms: Callable[..., list[float]]) -> None:
    """List, status, health, downloads and a choice against a route that does nothing."""
    client = app.test_client()
    paths = ("available-models", "model-status", "health", "downloads", "usage-history", "task-assignments")
    calls = [lambda path=path: client.get(f"/ai/{path}") for path in paths]
    empty, *ours = median_ms(lambda: client.get("/empty"), *calls, times=400)
    for path, taken in zip(paths, ours, strict=True):
        row(f"GET {path} over an empty route", "ms", empty, taken, "0.3 ms" if path in paths[:2] else "")


def test_an_unchanged_answer(app: Any, row: Callable[..., None], median_ms: Callable[..., list[float]]) -> None:
    """A poll that sends the ETag back."""
    client = app.test_client()
    tag = client.get("/ai/available-models").headers["ETag"]
    empty, ours = median_ms(
        lambda: client.get("/empty"),
        lambda: client.get("/ai/available-models", headers={"If-None-Match": tag}),
        times=400,
    )
    row("GET available-models, 304, over an empty route", "ms", empty, ours, "")
