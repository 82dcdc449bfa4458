"""From single requests to speed figures with their uncertainty. Pure; the same input gives the same bytes."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from ..performance import believable_s, decode_rate, first_token_s, token_gaps
from ..quality import REFERENCE_TOKENS
from ..records import Measurement

T = TypeVar("T")
Figure: TypeAlias = dict[str, Any]

_RESAMPLES = 1_000
_SEED = 0
_CACHED = 3.0
UNSTABLE_CV = 0.10


def decode_figure(replies: Sequence[Measurement]) -> Figure:
    """Tokens per second over all replies of two tokens and more; the value is None below 64 token gaps."""
    gaps = [found for reply in replies if reply.outcome == "ok" and (found := token_gaps(reply)) is not None]
    value = decode_rate(sum(count for count, _ in gaps), sum(eval_s for _, eval_s in gaps))
    return {**_figure(gaps, _pooled_rate, known=value is not None), "cv": _rounded(variation(replies))}


def first_token_figure(replies: Sequence[Measurement]) -> Figure:
    """Milliseconds to the first token with the model loaded: the median."""
    times = [1000 * first for reply in replies if (first := first_token_s(reply)) is not None]
    return _figure(times, statistics.median)


def prefill_figure(replies: Sequence[Measurement]) -> Figure:
    """Prompt tokens per second: the median, without replies that were answered from a cache."""
    return _figure(_prefill_rates(replies), statistics.median)


def prefill_rate(replies: Sequence[Measurement]) -> float | None:
    """The value of that figure alone: its interval takes milliseconds."""
    rates = _prefill_rates(replies)
    return statistics.median(rates) if rates else None


def _prefill_rates(replies: Sequence[Measurement]) -> list[float]:
    rates = [
        reply.prompt_tokens / prompt_s
        for reply in replies
        if reply.outcome == "ok" and reply.prompt_tokens and (prompt_s := believable_s(reply.prompt_s))
    ]
    usual = statistics.median(rates) if rates else 0.0
    return [rate for rate in rates if rate <= _CACHED * usual]


def server_rate(replies: Sequence[Measurement]) -> float | None:
    """What Ollama itself calls the eval rate: all tokens by the time of all but the first; a little high."""
    usable = [reply for reply in replies if reply.outcome == "ok" and token_gaps(reply) is not None]
    eval_s = sum(reply.eval_s or 0.0 for reply in usable)
    return _rounded(sum(reply.tokens or 0 for reply in usable) / eval_s) if eval_s else None


def variation(replies: Sequence[Measurement]) -> float | None:
    """How much the decode rates of the replies differ: standard deviation by mean; None below two replies."""
    gaps = [found for reply in replies if reply.outcome == "ok" and (found := token_gaps(reply)) is not None]
    rates = [count / eval_s for count, eval_s in gaps]
    return statistics.stdev(rates) / statistics.mean(rates) if len(rates) > 1 else None


def is_unstable(replies: Sequence[Measurement]) -> bool:
    """True when the machine is too noisy for the figures to be taken at their word."""
    spread = variation(replies)
    return spread is not None and spread > UNSTABLE_CV


def reference_latency_s(decode: Figure, first_token: Figure) -> float | None:
    """How long a reply of 150 tokens takes a loaded model: one number for each model."""
    if not decode["value"] or first_token["value"] is None:
        return None
    return _rounded(first_token["value"] / 1000 + REFERENCE_TOKENS / decode["value"])


def bootstrap_ci90(values: Sequence[T], statistic: Callable[[Sequence[T]], float]) -> list[float] | None:
    """The middle 90 % of a statistic over 1,000 resamples; None below two values."""
    if len(values) < 2:
        return None
    generator = random.Random(_SEED)
    results = sorted(statistic(generator.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    return [round(results[int(0.05 * _RESAMPLES)], 3), round(results[int(0.95 * _RESAMPLES) - 1], 3)]


def _figure(values: Sequence[T], statistic: Callable[[Sequence[T]], float], *, known: bool = True) -> Figure:
    usable = bool(values) and known
    return {
        "value": _rounded(statistic(values)) if usable else None,
        "ci90": bootstrap_ci90(values, statistic) if usable else None,
        "n": len(values),
    }


def _pooled_rate(gaps: Sequence[tuple[int, float]]) -> float:
    return sum(count for count, _ in gaps) / sum(eval_s for _, eval_s in gaps)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
