"""How long a choice takes among twenty models, and what its tables cost when they are first read."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from elixi_models.inventory import InstalledModel
from elixi_models.selection import detection, prior

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
    row("the same with the reasons", "us", None, median_us(lambda: parts.selector.choose(prompt=PROMPT)), "")
    began = time.perf_counter()
    for _ in range(20):
        parts.rebuild_selection()
    row("a new snapshot, off the request path", "ms", None, (time.perf_counter() - began) * 1000 / 20, "")


def test_loading(row: Callable[..., None]) -> None:
    """The detector's weights and words, and the table of priors: read when first asked for."""
    model = InstalledModel("llama3.1:8b", "d")
    for name, caches, ask in (
        ("weights of the detector", (detection._weights, detection.dictionary), lambda: detection.detect(PROMPT)),
        ("table of priors", (prior._table, prior.estimate), lambda: prior.estimate(model, "general")),
    ):
        took = []
        for _ in range(5):
            forget(*caches)
            began = time.perf_counter()
            ask()
            took.append((time.perf_counter() - began) * 1000)
        forget(*caches)
        tracemalloc.start()
        ask()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        row(f"{name}, first read", "ms", None, min(took), "30 ms")
        row(f"{name}, at the peak", "MB", None, peak / 1_000_000, "4 MB")


def forget(*caches: Any) -> None:
    """As in a new process."""
    for cache in caches:
        cache.cache_clear()
