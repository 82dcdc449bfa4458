"""What a choice costs: measured on the machine at hand, so the figures differ while the bounds hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from elixi_models.inventory import InstalledModel, ServerView
from elixi_models.records import ModelSummary, ResourceSample
from elixi_models.selection.snapshot import SelectionInputs, Selector

from . import Figure

CALLS, PROMPTS, REBUILDS = 50_000, 2_000, 50
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


def figures() -> Iterator[Figure]:
    """Choice with 100 models, with detection at 8,000 characters, and the rebuild."""
    hundred, given = selector(100)
    source = "the machine of the replay"
    p50, p99 = quantiles_us(lambda: hundred.choose("coding"), CALLS)
    yield Figure(13, "choice, 100 models, p50, µs", p50, 5, at_most=5, sample=CALLS, source=source, steady=False)
    yield Figure(13, "choice, 100 models, p99, µs", p99, 50, at_most=50, sample=CALLS, source=source, steady=False)
    p50, p99 = quantiles_us(lambda: hundred.choose(None, PROMPT), PROMPTS)
    yield Figure(
        13,
        "with detection, 8,000 characters, p50, µs",
        p50,
        100,
        at_most=100,
        sample=PROMPTS,
        source=source,
        steady=False,
    )
    yield Figure(
        13, "with detection, 8,000 characters, p99, µs", p99, 1000, at_most=1000, sample=PROMPTS, source=source
    )
    twenty, fewer = selector(20)
    # What takes milliseconds is interrupted on a busy machine; its own time is what it costs.
    p50, _ = quantiles_us(lambda: twenty.rebuild(fewer), REBUILDS, time.thread_time_ns)
    yield Figure(
        13, "rebuild, 20 models, p50, µs of CPU", p50, 1000, at_most=1000, sample=REBUILDS, source=source, steady=False
    )
    p50, _ = quantiles_us(lambda: hundred.rebuild(given), REBUILDS, time.thread_time_ns)
    yield Figure(13, "rebuild, 100 models, p50, µs of CPU", p50, 5000, sample=REBUILDS, source=source, steady=False)
