"""What a choice costs: measured on the machine at hand, so the figures differ while the bounds hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, islice

from elixi_models.inventory import InstalledModel, ServerView
from elixi_models.records import ModelSummary, ResourceSample
from elixi_models.selection.snapshot import SelectionInputs, Selector

from . import Figure
from .detection import prompts

CALLS, PROMPTS, REBUILDS, BATCHES, SLACK = 50_000, 2_500, 100, 5, 0.5
PROMPT_CHARS, VARIETY = 8000, 50
PROMPT = ("Please compare the two proposals below and tell me which of them you would rather follow, and why. " * 100)[
    :PROMPT_CHARS
]


def long_prompts() -> Iterator[str]:
    """Prompts of 8,000 characters of Vicuna and MT-bench one after the other, no two with the same beginning."""
    text = "\n".join(record["prompt"] for record in prompts())
    step = len(text) // VARIETY
    return cycle([(text[start * step :] + text)[:PROMPT_CHARS] for start in range(VARIETY)])


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


def moved(given: SelectionInputs) -> Iterator[SelectionInputs]:
    """The same server again and again, every model read anew and much faster or slower than before."""
    for factor in cycle((1.5, 1.0)):
        models = tuple(replace(model) for model in given.view.installed)
        summaries = {
            name: replace(summary, ms_per_token=factor * (summary.ms_per_token or 0.0))
            for name, summary in given.summaries.items()
        }
        yield replace(given, view=replace(given.view, installed=models), summaries=summaries)


def figures() -> Iterator[Figure]:
    """The name of the best of 100 models, the same with detection at 8,000 characters, reasons, and the rebuild."""
    hundred, given = selector(100)
    twenty, fewer = selector(20)
    texts = long_prompts()
    hundred.best(prompt=PROMPT)
    judged = (
        ("choice, 100 models", best_us(lambda: hundred.best("coding"), CALLS), 5, 50, CALLS),
        (
            f"with detection, {PROMPT_CHARS:,} characters",
            best_us(lambda: hundred.best(prompt=PROMPT), PROMPTS),
            100,
            1000,
            PROMPTS,
        ),
        (
            f"with detection, {PROMPT_CHARS:,} characters that differ",
            best_us(lambda: hundred.best(prompt=next(texts)), PROMPTS),
            None,
            None,
            PROMPTS,
        ),
    )
    source = f"own time of the thread, best of {BATCHES} batches"
    for name, found, *bounds, sample in judged:
        for share, value, bound in zip(("p50", "p99"), found, bounds, strict=True):
            slack = SLACK * (bound or 100)
            yield Figure(
                13, f"{name}, {share}, µs", value, slack, at_most=bound, sample=sample, source=source, steady=False
            )
    changed = [*islice(moved(given), REBUILDS)]
    for name, action, bound in (
        ("rebuild, 20 models", lambda: twenty.rebuild(fewer), 1000),
        ("rebuild, 100 models", lambda: hundred.rebuild(given), 1000),
        ("rebuild, 100 models, all of them changed", lambda: hundred.rebuild(changed.pop()), 1000),
        ("reasons, 100 models, when first asked for", lambda: told(hundred), None),
    ):
        p50, _ = best_us(action, REBUILDS)
        yield Figure(13, f"{name}, p50, µs", p50, 1000, at_most=bound, sample=REBUILDS, source=source, steady=False)


def told(asked: Selector) -> object:
    """The reasons of a choice that nobody asked for yet."""
    asked.snapshot.asked.clear()
    return asked.choose("coding")
