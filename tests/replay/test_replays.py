"""The command that prints the goal posts."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("tests.replay")


def test_detection_and_verdicts_meet_their_goal_posts() -> None:
    """The command says so in its table, the same under two hash seeds, in the order of the posts, and exits 0."""
    command = [sys.executable, "-m", "tests.replay", "detection", "verdicts"]
    told = [
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, timeout=60
        )
        for seed in ("0", "4242")
    ]
    assert told[0].returncode == 0, told[0].stdout + told[0].stderr
    assert told[0].stdout == told[1].stdout
    assert told[0].stdout.count("| met |") == 15
    assert told[0].stdout.index("| 4 |") < told[0].stdout.index("| 16 |")
    assert "post 4: 7 of 7 figures met\npost 16: 8 of 8 figures met\npost 2: not judged" in told[0].stdout


def test_a_miss_stands_in_the_summary(replay: ModuleType) -> None:
    """With its word; what is there to compare with is not counted."""
    judged = [
        (replay.Figure(13, "a", 1, 0, at_most=2), "met"),
        (replay.Figure(13, "b", 3, 0, at_most=2), "known miss"),
        (replay.Figure(13, "c", 3, 0), "met"),
    ]
    assert replay.summary(judged).splitlines()[0] == "post 13: 1 of 2 figures met, known miss"


@pytest.mark.parametrize(
    ("value", "listed", "word"),
    [
        (0.9, None, "met"),
        (0.7, None, "MISSED"),
        (0.7, 0.71, "known miss"),
        (0.7, 0.6, "MISSED, not as known"),
        (0.9, 0.7, "met, still listed as a miss"),
    ],
)
def test_a_miss_must_be_known_with_its_figure(
    replay: ModuleType, value: float, listed: float | None, word: str
) -> None:
    """And what is met must not be excused any more."""
    figure = replay.Figure(16, "tasks found", value, 0.02, at_least=0.8)
    misses = [] if listed is None else [replay.KnownMiss(16, "tasks found", listed, "why")]
    assert replay.verdict(figure, misses) == word


def test_known_misses_are_read_from_a_file(replay: ModuleType, tmp_path: Path) -> None:
    """An entry has a post, a name, a figure and a reason."""
    file = tmp_path / "known.toml"
    file.write_text('[[miss]]\npost = 5\nname = "coverage"\nvalue = 0.8\nreason = "few items"\n', encoding="utf-8")
    assert replay.known_misses(file) == [replay.KnownMiss(5, "coverage", 0.8, "few items")]
    assert replay.known_misses() is not None
