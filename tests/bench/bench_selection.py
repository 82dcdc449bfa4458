"""How long a choice takes among twenty models."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.bench

TIMES = 20_000
PROMPT = "Write a Python function that sorts a list of numbers, and explain why it is fast."


def median_us(call: Callable[[], Any]) -> float:
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1000


def test_choice(app: Any, row: Callable[..., None]) -> None:
    """For a task and for a prompt, below and through the manager; and making the snapshot anew."""
    manager, parts = app.models.manager, app.models.service.parts
    row("a choice by task, in the snapshot", "us", None, median_us(lambda: parts.selector.choose("coding")), "5 us")
    row("select_best_model('coding')", "us", None, median_us(lambda: manager.select_best_model("coding")), "5 us")
    row("select_best_model(prompt=…), task read from it", "us", None, median_us(
        lambda: manager.select_best_model(prompt=PROMPT)), "")  # fmt: skip
    began = time.perf_counter()
    for _ in range(20):
        parts.rebuild_selection()
    row("a new snapshot, off the request path", "ms", None, (time.perf_counter() - began) * 1000 / 20, "")
