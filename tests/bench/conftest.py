"""Benchmarks: each prints rows of a table and asserts no time; the figures are differences within one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elixi_models import ElixiModels, Settings
from elixi_models.testing import EmulatedModel, OllamaEmulator

_COUNT = 20


@pytest.fixture(scope="session")
def _rows() -> Iterator[list[str]]:
    """The table, printed when all is measured."""
    rows = [
        f"| {'what':<58} | {'bare':>10} | {'ours':>10} | {'difference':>12} | {'target':>10} |",
        f"|{'-' * 60}|{'-' * 12}|{'-' * 12}|{'-' * 14}|{'-' * 12}|",
    ]
    yield rows
    print("\n", *rows, sep="\n")


@pytest.fixture
def row(_rows: list[str]) -> Callable[..., None]:
    """`row(what, unit, bare, ours, target)` adds one row; `bare=None` for what has nothing to be compared with."""

    def show(what: str, unit: str, bare: float | None, ours: float, target: str) -> None:
        left = "" if bare is None else f"{bare:.3f}"
        more = "" if bare is None else f"{ours - bare:+.3f} {unit}"
        _rows.append(f"| {what:<58} | {left:>10} | {ours:>10.3f} | {more or unit:>12} | {target:>10} |")

    return show


@pytest.fixture
def median_ms() -> Callable[..., list[float]]:
    """Median times of several calls, taken in turn so that a busy machine slows all alike."""

    def measure(*calls: Callable[[], Any], times: int = 1000) -> list[float]:
        taken: list[list[float]] = [[] for _ in calls]
        for number in range(times + times // 10):
            for call, times_of_call in zip(calls, taken, strict=True):
                began = time.perf_counter()
                call()
                if number >= times // 10:
                    times_of_call.append((time.perf_counter() - began) * 1000)
        return [statistics.median(found) for found in taken]

    return measure


@pytest.fixture
def twenty_models() -> Iterator[OllamaEmulator]:
    """A server with twenty chat models."""
    models = [EmulatedModel(f"model{number}:7b", answers="Yes.") for number in range(_COUNT)]
    with OllamaEmulator(models, load_seconds=0.0, max_loaded=_COUNT) as ollama:
        yield ollama


@pytest.fixture
def app(twenty_models: OllamaEmulator, tmp_path: Path) -> Iterator[Any]:
    """A Flask app with our routes, warm, and an empty route beside them; `app.models` is the extension."""
    from flask import Flask

    host = Flask("host")
    host.add_url_rule("/empty", "empty", lambda: {"success": True})
    models = ElixiModels(settings=Settings.load({}, ollama_url=twenty_models.url, data_dir=tmp_path))
    models.init_app(host)
    models.service.start()
    models.service.parts.observer.refresh(20.0)
    host.models = models  # type: ignore[attr-defined]
    try:
        yield host
    finally:
        models.close()
