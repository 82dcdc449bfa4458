"""What a model is worth for a task, in points of 100.

Utility: quality − w·10·log10(1 + T/5 s) − 40·ê − memory + pin, where T is the expected time of a typical answer
including a fifth of the load when the model is not resident.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import isfinite, log10
from statistics import median
from typing import NamedTuple

from .. import names
from ..inventory import InstalledModel
from ..quality import TaskScore
from ..records import TASKS, Candidate, ModelSummary, Task
from . import prior
from .breaker import error_share, smoothed_errors
from .filters import SelectionInputs, needed_bytes

#: Tokens of a typical answer and points for each tenfold of its time, by task, in the order of TASKS.
_TOKENS = (150, 300, 250, 350, 80)
_TIME_POINTS = (10.0, 8.0, 7.0, 6.0, 40.0)
#: Assumed until anything was measured: a desktop's memory bandwidth and disk, and the prompt of a typical message.
_BANDWIDTH_BYTES_PER_S = 45e9
_DISK_BYTES_PER_S = 0.5e9
_PROMPT_TOKENS = 256
_PREFILL_SPEEDUP = 8.0
_FREE_SHARE_WANTED = 0.1
_FREE_CLASS_BYTES = 2 * 1024**3
_MEMORY_POINTS = 3.0
_PIN_POINTS = 5.0
_ERROR_POINTS = 40.0
_UNTRIED = ModelSummary()


class Speed(NamedTuple):
    """Seconds a token, to the first token and for the load (0 when resident); whether any of it was measured."""

    per_token_s: float
    first_s: float
    load_s: float
    source: str

    def answers_s(self) -> list[float]:
        """A typical answer of each of TASKS: first token, the others, a fifth of the load."""
        per_token_s, first_s, load_s = self.per_token_s, self.first_s, self.load_s / 5
        return [first_s + tokens * per_token_s + load_s for tokens in _TOKENS]

    def answer_s(self, task: Task) -> float:
        """That of one task."""
        return self.answers_s()[TASKS.index(task)]


class Standing(NamedTuple):
    """What one model is worth, in points that are not rounded yet; by task in the order of TASKS where it matters.

    `key` is what the name is compared by; `utilities` are the sums of the terms.
    """

    model: InstalledModel
    key: str
    summary: ModelSummary
    resident: bool
    speed: Speed
    qualities: Sequence[float]
    errors: float
    memory: float
    pin: float
    utilities: Sequence[float]


def standing(model: InstalledModel, inputs: SelectionInputs, resident: bool, bandwidth: float) -> Standing:
    """Judge a model for all tasks. Rounding costs more than all the rest: that is left to `candidate`."""
    summary = inputs.summaries.get(model.name) or _UNTRIED
    speed = expected_speed(model, summary, resident, bandwidth)
    qualities = _qualities(model, inputs)
    errors = 0.0 - _ERROR_POINTS * _errors(model, summary, inputs)
    memory = 0.0 - _memory_cost(model, inputs, resident)
    pin = _PIN_POINTS if model.name == inputs.preferred else 0.0
    rest = errors + memory + pin
    utilities = [
        quality - points * log10(1 + time_s / 5) + rest
        for quality, points, time_s in zip(qualities, _TIME_POINTS, speed.answers_s(), strict=True)
    ]
    key = names.key(model.name)
    return Standing(model, key, summary, resident, speed, qualities, errors, memory, pin, utilities)


def candidate(task: Task, subject: Standing) -> Candidate:
    """One model for one task, as it is compared and shown: all to four decimals, so that the sums can be done again."""
    at, model = TASKS.index(task), subject.model
    terms = {
        "quality": round(subject.qualities[at], 4),
        "latency": round(0.0 - _TIME_POINTS[at] * log10(1 + subject.speed.answer_s(task) / 5), 4),
        "errors": round(subject.errors, 4),
        "memory": subject.memory,
        "pin": subject.pin,
    }
    return Candidate(model.name, round(sum(terms.values()), 4), terms, subject.resident, model.size_bytes or 0)


def evidence(task: Task, subject: Standing, inputs: SelectionInputs) -> dict[str, object]:
    """Where the terms come from: source, sample and 90 % interval of the quality, and the expected time."""
    measured = measured_quality(task, subject.model, inputs)
    believed = measured or prior.assess(subject.model, task, {})
    return {
        "quality": believed.source,
        "estimated": believed.estimated,
        "n": believed.n,
        "ci90": list(believed.ci90),
        "speed": subject.speed.source,
        "expected_time_s": round(subject.speed.answer_s(task), 2),
        "requests": subject.summary.requests,
        "resident": subject.resident,
    }


def measured_quality(task: Task, model: InstalledModel, inputs: SelectionInputs) -> TaskScore | None:
    """What a benchmark says, if it is a figure at all; `fast` is judged as general."""
    found = inputs.measured.get(model.name, {}).get("general" if task == "fast" else task)
    return found if found is not None and isfinite(found.score) else None


def _qualities(model: InstalledModel, inputs: SelectionInputs) -> Sequence[float]:
    """By task: what was measured; elsewhere the prior less what the quantization costs."""
    believed = _believed(model)
    if not inputs.measured.get(model.name):
        return believed
    measured = [measured_quality(task, model, inputs) for task in TASKS]
    return [known.score if known else prior for known, prior in zip(measured, believed, strict=True)]


@lru_cache(maxsize=1024)
def _believed(model: InstalledModel) -> Sequence[float]:
    penalty = prior.quantization_penalty(model.quantization, prior.billions_of_parameters(model))
    return tuple(prior.estimate(model, task).score - penalty for task in TASKS)


def effective_bandwidth(models: Sequence[InstalledModel], summaries: Mapping[str, ModelSummary]) -> float:
    """Bytes per second at which this machine reads weights, by the median of the models that were measured.

    Without it a model that was never asked would look fast beside one that was measured on a slow machine.
    """
    rates = [
        model.size_bytes / (summary.ms_per_token / 1000)
        for model in models
        if (summary := summaries.get(model.name)) and summary.ms_per_token and model.size_bytes and not model.remote
    ]
    return median(rates) if rates else _BANDWIDTH_BYTES_PER_S


def expected_speed(
    model: InstalledModel, summary: ModelSummary, resident: bool, bandwidth: float = _BANDWIDTH_BYTES_PER_S
) -> Speed:
    """Measured where it was, else from size and bandwidth."""
    if summary.ms_per_token is not None:
        per_token_s, source = summary.ms_per_token / 1000, "measured"
    else:
        per_token_s, source = (model.size_bytes or 0) / bandwidth, "estimated"
    first_s = summary.ttft_ms / 1000 if summary.ttft_ms is not None else _PROMPT_TOKENS * per_token_s / _PREFILL_SPEEDUP
    load_s = 0.0 if resident or model.remote else (model.size_bytes or 0) / _DISK_BYTES_PER_S
    return Speed(per_token_s, first_s, load_s, source)


def _errors(model: InstalledModel, summary: ModelSummary, inputs: SelectionInputs) -> float:
    calls = inputs.calls.get(model.name)
    if calls and inputs.now_s is not None:
        return error_share(calls, inputs.now_s)
    return smoothed_errors((summary.error_rate or 0.0) * summary.requests, summary.requests)


def _memory_cost(model: InstalledModel, inputs: SelectionInputs, resident: bool) -> float:
    """Points for leaving the machine short of memory; free memory counts in steps of 2 GiB, so that noise is none."""
    free, total, need = inputs.resources.ram_available_bytes, inputs.resources.ram_total_bytes, needed_bytes(model)
    if resident or free is None or not total or need is None:
        return 0.0
    stepped = free // _FREE_CLASS_BYTES * _FREE_CLASS_BYTES
    return _MEMORY_POINTS if (stepped - need) / total < _FREE_SHARE_WANTED else 0.0
