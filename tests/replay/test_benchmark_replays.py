"""The replays of benchmarks: time, verdicts and tidiness, as far as a second or two tell."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def part(name: str) -> ModuleType:
    return importlib.import_module(f"tests.replay.{name}")


@pytest.fixture
def few_troubles(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module with a slow server, a hanging one, and one with chats between and a long load."""
    deadlines = part("deadlines")
    troubles = ((0.05, 0, 0, 5.0, False), (12.0, 2, 0, 5.0, False), (1.0, 3, 3, 200.0, False))
    monkeypatch.setattr(deadlines, "TROUBLES", troubles)
    return deadlines


def test_the_suites_take_the_time_that_was_kept() -> None:
    """At the reference speed; goal post 3."""
    kept = {figure.name: figure.value for figure in part("record").kept() if figure.post == 3}
    for suite in ("quick", "full"):
        server = part("deadlines").Server(brief=True)
        server.run(suite)
        assert server.lasted_s == pytest.approx(kept[f"{suite}, answers as long as right ones, s"])


@pytest.mark.parametrize("suite", ["quick", "full"])
def test_no_trouble_makes_a_benchmark_late(few_troubles: ModuleType, suite: str) -> None:
    """It ends with its deadline, chats between apart."""
    assert few_troubles.excess_s(suite) == pytest.approx(0.0, abs=1e-6)


def test_a_late_end_is_seen(few_troubles: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge of goal post 3 would notice a client that waits three seconds too long."""
    ask = few_troubles.Server.ask
    monkeypatch.setattr(few_troubles.Server, "ask", lambda self, item, nonce, limit: ask(self, item, nonce, limit + 3))
    assert few_troubles.excess_s("quick") == pytest.approx(3.0)


def test_a_benchmark_is_called_off_at_once_and_leaves_things_as_they_were() -> None:
    """On a server that hangs; then after one whose model drove another out. Goal post 3 in small."""
    tidiness = part("tidiness")
    with tidiness.staged() as stage:
        assert tidiness.call_off_s(stage, "the server hangs") < 1
        assert tidiness.left(stage, frozenset({tidiness.OTHER}), "cancelled") == (0, 0)


def test_a_check_that_lets_all_pass_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge of goal post 4 counts false passes, by kind and by question."""
    verdicts = part("verdicts")
    monkeypatch.setattr(verdicts, "verify", lambda answer, checks: SimpleNamespace(passed=True))
    found = {figure.name: figure.met for figure in verdicts.figures()}
    assert sum(not met for met in found.values()) == 3
