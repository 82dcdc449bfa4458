"""When models and servers fail: who rests, when they come back, and that a choice is there meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace

from elixi_models.inventory import InstalledModel, ServerView
from elixi_models.records import Measurement, ModelSummary, Outcome, ResourceSample
from elixi_models.selection.breaker import judge
from elixi_models.selection.snapshot import SelectionInputs, Selector
from elixi_models.service import ModelService
from elixi_models.settings import Settings
from elixi_models.testing import OllamaEmulator

from . import Figure
from .hot_path import quantiles_us

STEP_S, CALLS, WAIT_S = 1.0, 5_000, 5.0
FAILURES: Sequence[Outcome] = ("timeout", "http_5xx", "oom", "load_failed", "disconnected", "empty", "refused")
GOOD = InstalledModel("qwen2.5:7b", "d1", size_bytes=4 * 10**9, capabilities=("completion",))
OTHER = InstalledModel("tinyllama:latest", "d2", size_bytes=10**9, capabilities=("completion",))


def calls(outcomes: Sequence[Outcome], start_s: float = 0.0) -> tuple[Measurement, ...]:
    """One call a second with these outcomes."""
    return tuple(
        Measurement(f"{start_s}-{i}", start_s + i * STEP_S, "u", GOOD.name, "chat", outcome, 0.0)
        for i, outcome in enumerate(outcomes)
    )


def failures_until_open(outcome: Outcome) -> int:
    """How many failures in a row make a model rest; 0 when none do."""
    return next((n for n in range(1, 20) if judge(calls([outcome] * n), n * STEP_S).resting), 0)


def rests_s(trials: int) -> list[float]:
    """How long each rest is when every trial fails."""
    told, found = calls(["timeout"] * 3), []
    for _ in range(trials):
        state = judge(told, told[-1].created_at_s)
        found.append(round((state.until_s or 0.0) - told[-1].created_at_s, 6))
        told += calls(["timeout"], start_s=state.until_s or 0.0)
    return found


def inputs(*models: InstalledModel, reachable: bool = True) -> SelectionInputs:
    """A server with these models."""
    view = ServerView("http://127.0.0.1:1", 1.0, reachable, installed=models)
    return SelectionInputs(view, {}, {}, ResourceSample(64 * 10**9, 60 * 10**9), now_s=10.0)


def chosen(given: SelectionInputs) -> str | None:
    """The choice for a general message by a fresh selector."""
    selector = Selector()
    selector.rebuild(given)
    choice = selector.choose()
    return choice.model if choice else None


def outage() -> tuple[bool, bool]:
    """A service over a server that is then stopped: whether its choice says that it is stale, and is the same."""
    with tempfile.TemporaryDirectory() as folder:
        with OllamaEmulator(models=["llama3.2:1b", "qwen2.5:0.5b"], load_seconds=0.01) as ollama:
            service = ModelService(Settings.load({}, ollama_url=ollama.url, data_dir=folder))
            service.parts.observer.refresh(WAIT_S)
            before = service.recommend("coding", None).model
        try:
            service.parts.observer.refresh(WAIT_S)
            after = service.recommend("coding", None)
            return "stale" in after.flags, after.model == before
        finally:
            service.close()


def figures() -> Iterator[Figure]:
    """The breaker by class of failure, and selection in each fault."""
    opened = [failures_until_open(outcome) for outcome in FAILURES]
    yield _counted("failures in a row until a model rests, most", max(opened), at_most=3, sample=len(opened))
    yield _counted("failures in a row until a model rests, fewest", min(opened), at_least=3, sample=len(opened))
    half = judge(calls(["ok", "timeout"] * 3), 6.0).resting
    yield _counted("rests after half of the last six failed", half, at_least=1)
    innocent = sum(judge(calls([outcome] * 9), 9.0).resting for outcome in ("cancelled", "unreachable"))
    yield _counted("rests for what is not its doing", innocent, at_most=0, sample=2)
    rests = rests_s(8)
    yield _counted("first rest, s", rests[0], at_least=30, at_most=30)
    yield _counted("longest rest, s", max(rests), at_least=900, at_most=900, sample=len(rests))
    closed = judge((*calls(["timeout"] * 3), *calls(["ok"], start_s=40.0)), 41.0)
    yield _counted("rests after a good trial", closed.resting + closed.on_trial, at_most=0)
    failing = replace(inputs(GOOD, OTHER), calls={GOOD.name: calls(["oom"] * 3)}, summaries={GOOD.name: ModelSummary()})
    yield _counted("chosen while it rests", chosen(failing) == GOOD.name, at_most=0)
    yield _counted("chosen after it was removed", chosen(inputs(OTHER)) == GOOD.name, at_most=0)
    answered, same = outage()
    stopped = "server stopped: still chosen, and the same"
    yield _counted(stopped, answered + same, at_least=2, sample=2, source="emulated server")
    yield Figure(
        17,
        "server away: choice, p50, times as long",
        _slowdown(),
        1,
        at_most=2,
        sample=CALLS,
        source="two snapshots",
        steady=False,
    )


def _counted(name: str, value: float, *, sample: int = 1, source: str = "scripted calls", **bounds: float) -> Figure:
    return Figure(17, name, value, 0, sample=sample, source=source, **bounds)


def _slowdown() -> float:
    selector = Selector()
    selector.rebuild(inputs(GOOD, OTHER))
    usual, _ = quantiles_us(lambda: selector.choose("coding"), CALLS)
    selector.rebuild(inputs(GOOD, OTHER, reachable=False))
    return quantiles_us(lambda: selector.choose("coding"), CALLS)[0] / usual
