"""What a model is worth for a task, in points of 100.

Utility: quality − w·10·log10(1 + T/5 s) − 40·ê − memory + pin, where T is the expected time of a typical answer
including a fifth of the load when the model is not resident.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ..inventory import InstalledModel
from ..quality import TaskScore
from ..records import Candidate, ModelSummary, Task
from . import prior
from .breaker import error_share, smoothed_errors
from .filters import SelectionInputs, needed_bytes

#: Tokens of a typical answer, and how much its time weighs, by task.
_TOKENS: Mapping[Task, int] = {"general": 150, "coding": 300, "analysis": 250, "creative": 350, "fast": 80}
_TIME_WEIGHT: Mapping[Task, float] = {"general": 1.0, "coding": 0.8, "analysis": 0.7, "creative": 0.6, "fast": 4.0}
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


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds a token, to the first token and for the load (0 when resident); whether any of it was measured."""

    per_token_s: float
    first_s: float
    load_s: float
    source: str

    def answer_s(self, task: Task) -> float:
        """A typical answer: first token, the others, a fifth of the load."""
        return self.first_s + _TOKENS[task] * self.per_token_s + self.load_s / 5


@dataclass(frozen=True, slots=True)
class Standing:
    """What is the same for every task of one model."""

    model: InstalledModel
    summary: ModelSummary
    resident: bool
    speed: Speed
    penalty: float
    fixed: Mapping[str, float]


def standing(model: InstalledModel, inputs: SelectionInputs, resident: bool, bandwidth: float) -> Standing:
    """Look a model up once for all tasks."""
    summary = inputs.summaries.get(model.name) or ModelSummary()
    fixed = {
        "errors": round(0.0 - _ERROR_POINTS * _errors(model, summary, inputs), 4),
        "memory": 0.0 - _memory_cost(model, inputs, resident),
        "pin": _PIN_POINTS if model.name == inputs.preferred else 0.0,
    }
    penalty = prior.quantization_penalty(model.quantization, prior.billions_of_parameters(model))
    return Standing(model, summary, resident, expected_speed(model, summary, resident, bandwidth), penalty, fixed)


def score(task: Task, subject: Standing, inputs: SelectionInputs) -> Candidate:
    """The terms of one model for one task; a measured quality replaces the prior and its quantization penalty."""
    model = subject.model
    measured = measured_quality(task, model, inputs)
    quality = measured.score if measured else prior.estimate(model, task).score - subject.penalty
    terms = {
        "quality": round(quality, 4),
        "latency": round(0.0 - _TIME_WEIGHT[task] * 10 * math.log10(1 + subject.speed.answer_s(task) / 5), 4),
        **subject.fixed,
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
    return found if found is not None and math.isfinite(found.score) else None


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
