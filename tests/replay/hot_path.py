"""What a choice costs: measured on the machine at hand, so the figures differ while the bounds hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from elixi_models.inventory import InstalledModel, ServerView
from elixi_models.records import ModelSummary, ResourceSample
from elixi_models.selection.snapshot import SelectionInputs, Selector

from . import Figure

CALLS, PROMPTS, REBUILDS, BATCHES, SLACK = 50_000, 2_500, 100, 5, 0.5
PROMPT = ("Please compare the two proposals below and tell me which of them you would rather follow, and why. " * 100)[
    :8000
]


def selector(models: int) -> tuple[Selector, SelectionInputs]:
    """A selector over so many models, all measured."""
    installed = tuple(
        InstalledModel(
            f"qwen2.5-v{number}:7b",
            f"d{number}",
            size_bytes=4_000_000_000 + number * 10_000_000,
            parameter_size="7.6B",
            quantization="Q4_K_M",
            capabilities=("completion",),
            context_length=32_768,
        )
        for number in range(models)
    )
    view = ServerView("http://127.0.0.1:1", 1.0, True, installed=installed)
    summaries = {
        model.name: ModelSummary(ms_per_token=20.0 + i, ttft_ms=100.0, requests=9) for i, model in enumerate(installed)
    }
    given = SelectionInputs(view, summaries, {}, ResourceSample(64 * 10**9, 60 * 10**9))
    made = Selector()
    made.rebuild(given)
    return made, given


def quantiles_us(
    action: Callable[[], object], times: int, clock_ns: Callable[[], int] = time.perf_counter_ns
) -> tuple[float, float]:
    """Median and 99th percentile of one call in microseconds."""
    taken = []
    for _ in range(times):
        began_ns = clock_ns()
        action()
        taken.append(clock_ns() - began_ns)
    taken.sort()
    return taken[times // 2] / 1000, taken[times * 99 // 100] / 1000


def best_us(action: Callable[[], object], times: int) -> tuple[float, float]:
    """The least median and 99th percentile of five batches, in the thread's own time: a busy machine is no excuse."""
    batches = [quantiles_us(action, times // BATCHES, time.thread_time_ns) for _ in range(BATCHES)]
    return min(p50 for p50, _ in batches), min(p99 for _, p99 in batches)


def figures() -> Iterator[Figure]:
    """Choice with 100 models, with detection at 8,000 characters, and the rebuild."""
    hundred, given = selector(100)
    twenty, fewer = selector(20)
    judged = (
        ("choice, 100 models", best_us(lambda: hundred.choose("coding"), CALLS), 5, 50, CALLS),
        (
            "with detection, 8,000 characters",
            best_us(lambda: hundred.choose(None, PROMPT), PROMPTS),
            100,
            1000,
            PROMPTS,
        ),
    )
    source = f"own time of the thread, best of {BATCHES} batches"
    for name, found, *bounds, sample in judged:
        for share, value, bound in zip(("p50", "p99"), found, bounds, strict=True):
            slack = bound * SLACK
            yield Figure(
                13, f"{name}, {share}, µs", value, slack, at_most=bound, sample=sample, source=source, steady=False
            )
    for models, action in ((20, lambda: twenty.rebuild(fewer)), (100, lambda: hundred.rebuild(given))):
        p50, _ = best_us(action, REBUILDS)
        name = f"rebuild, {models} models, p50, µs"
        yield Figure(13, name, p50, 1000, at_most=1000, sample=REBUILDS, source=source, steady=False)
