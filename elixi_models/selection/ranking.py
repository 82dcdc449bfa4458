"""The policy: which models may take a task, how they rank, and why. Pure: values in, a Choice out.

Utility in points of 100: quality − w·10·log10(1 + T/5 s) − 40·ê − memory + pin, where T is the expected time of a
typical answer including a fifth of the load when the model is not resident.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from .. import names
from ..inventory import InstalledModel, ServerView
from ..quality import TaskScore
from ..records import Choice, ModelSummary, Rejection, ResourceSample, Task
from . import prior

#: Tokens of a typical answer, and how much its time weighs, by task.
_TOKENS: Mapping[Task, int] = {"general": 150, "coding": 300, "analysis": 250, "creative": 350, "fast": 80}
_TIME_WEIGHT: Mapping[Task, float] = {"general": 1.0, "coding": 0.8, "analysis": 0.7, "creative": 0.6, "fast": 4.0}
_DEFAULT_CONTEXT_TOKENS = 4096
_HEADROOM_BYTES = 512 * 1024 * 1024
_MARGIN = 1.1
#: Assumed until anything was measured: a desktop's memory bandwidth and disk, and the prompt of a typical message.
_BANDWIDTH_BYTES_PER_S = 45e9
_DISK_BYTES_PER_S = 0.5e9
_PROMPT_TOKENS = 256
_PREFILL_SPEEDUP = 8.0
_FREE_SHARE_WANTED = 0.1


@dataclass(frozen=True, slots=True)
class SelectionInputs:
    """Everything a choice depends on, read at one moment.

    `summaries` and `scores` (what benchmarks measured, by task) are by installed name; `assignments` map a task to a
    name in any spelling.
    """

    view: ServerView
    summaries: Mapping[str, ModelSummary]
    assignments: Mapping[str, str]
    resources: ResourceSample
    allow_cloud: bool = False
    active: str | None = None
    scores: Mapping[str, Mapping[str, TaskScore]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that passed the filters, scored. `terms` are points and sum to `utility`."""

    model: InstalledModel
    resident: bool
    utility: float
    terms: dict[str, float]
    evidence: dict[str, object]

    @property
    def order(self) -> tuple[float, bool, int, str]:
        """Best first when sorted; the same for any order of the inputs."""
        return (-round(self.utility, 1), not self.resident, self.model.size_bytes or 0, self.model.name)


def rank(
    task: Task, inputs: SelectionInputs, *, incumbent: str | None = None, hysteresis: float = 2.0
) -> Choice | None:
    """The best model for a task, or None when no installed model can take it.

    Args:
        incumbent: the present choice for this task; it stays unless another is ahead by more than `hysteresis` points.
    """
    usable, rejected = _usable(inputs)
    assigned = _assigned(task, inputs, usable)
    if assigned is not None:
        return Choice(
            assigned.name, task, "explicit", "assignment", rejected=tuple(rejected), flags=_flags(assigned, inputs)
        )
    fitting, too_large = _fitting(usable, inputs)
    bandwidth = effective_bandwidth(usable, inputs.summaries)
    rejected = sorted([*rejected, *too_large], key=lambda entry: entry.model)
    if not fitting:
        return _smallest(task, usable, inputs, rejected)
    candidates = sorted(
        (_score(task, model, inputs, bandwidth) for model in fitting), key=lambda candidate: candidate.order
    )
    best = _keep_incumbent(candidates, incumbent, hysteresis)
    others = [candidate for candidate in candidates if candidate is not best]
    rejected += [Rejection(other.model.name, f"scores {other.utility:.1f} of 100") for other in others]
    flags = _flags(best.model, inputs) + (("kept_by_hysteresis",) if best is not candidates[0] else ())
    return Choice(
        model=best.model.name,
        task=task,
        task_source="explicit",
        decided_by="score" if others else "only_candidate",
        utility=best.utility,
        terms=best.terms,
        evidence=best.evidence,
        runner_up=others[0].model.name if others else None,
        margin=best.utility - others[0].utility if others else None,
        rejected=tuple(rejected),
        flags=flags,
    )


def _usable(inputs: SelectionInputs) -> tuple[list[InstalledModel], list[Rejection]]:
    usable, rejected = [], []
    for model in inputs.view.installed:
        reason = _unusable(model, inputs)
        if reason is None:
            usable.append(model)
        else:
            rejected.append(Rejection(model.name, reason))
    return usable, rejected


def _unusable(model: InstalledModel, inputs: SelectionInputs) -> str | None:
    if model.remote and not inputs.allow_cloud:
        return "runs in the cloud, which is not allowed"
    if model.can_chat is False:
        return "cannot chat"
    if model.can_chat is None and prior.is_embedder_by_name(model):
        return "is known as an embedder"
    return None


def _assigned(task: Task, inputs: SelectionInputs, usable: Sequence[InstalledModel]) -> InstalledModel | None:
    wanted = inputs.assignments.get(task)
    if wanted is None:
        return None
    return next((model for model in usable if names.key(model.name) == names.key(wanted)), None)


def _fitting(usable: Sequence[InstalledModel], inputs: SelectionInputs) -> tuple[list[InstalledModel], list[Rejection]]:
    fitting, rejected = [], []
    free_bytes = _obtainable_bytes(inputs)
    for model in usable:
        need = needed_bytes(model)
        resident = inputs.view.residence(model) is not None
        if resident or model.remote or free_bytes is None or need is None or need <= free_bytes:
            fitting.append(model)
        else:
            reason = f"needs {need / 1e9:.1f} GB of memory, {free_bytes / 1e9:.1f} GB can be had"
            rejected.append(Rejection(model.name, reason))
    return fitting, rejected


def needed_bytes(model: InstalledModel) -> int | None:
    """Memory a loaded model takes: file, key-value cache at the default context, 0.5 GiB, and 10 % margin."""
    if not model.size_bytes:
        return None
    context = min(_DEFAULT_CONTEXT_TOKENS, model.context_length or _DEFAULT_CONTEXT_TOKENS)
    return int((model.size_bytes + (model.kv_bytes_per_token or 0) * context + _HEADROOM_BYTES) * _MARGIN)


def _obtainable_bytes(inputs: SelectionInputs) -> int | None:
    """Free memory plus what idle runners would give back; None where a GPU or another machine hides it."""
    if inputs.resources.ram_available_bytes is None or any(entry.vram_bytes for entry in inputs.view.loaded):
        return None
    return inputs.resources.ram_available_bytes + sum(inputs.resources.runner_bytes.values())


def _smallest(
    task: Task, usable: Sequence[InstalledModel], inputs: SelectionInputs, rejected: list[Rejection]
) -> Choice | None:
    if not usable:
        return None
    smallest = min(usable, key=lambda model: (model.size_bytes or 0, model.name))
    others = tuple(entry for entry in rejected if entry.model != smallest.name)
    flags = (*_flags(smallest, inputs), "does_not_fit")
    return Choice(smallest.name, task, "explicit", "degraded", rejected=others, flags=flags)


def _flags(model: InstalledModel, inputs: SelectionInputs) -> tuple[str, ...]:
    flags = []
    if _obtainable_bytes(inputs) is None or needed_bytes(model) is None:
        flags.append("memory_unknown")
    if model.capabilities is None:
        flags.append("capabilities_unknown")
    if not inputs.view.reachable:
        flags.append("stale")
    return tuple(flags)


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


def _score(task: Task, model: InstalledModel, inputs: SelectionInputs, bandwidth: float) -> Candidate:
    summary = inputs.summaries.get(model.name, ModelSummary())
    resident = inputs.view.residence(model) is not None
    score = prior.assess(model, task, inputs.scores.get(model.name, {}))
    time_s, speed_source = expected_time_s(task, model, summary, resident=resident, bandwidth=bandwidth)
    terms = {
        "quality": score.score,
        "latency": 0.0 - _TIME_WEIGHT[task] * 10 * math.log10(1 + time_s / 5),
        "errors": 0.0 - 40 * _error_share(summary),
        "memory": 0.0 - _memory_cost(model, inputs, resident),
    }
    evidence: dict[str, object] = {
        "quality": score.source,
        "quality_sd": prior.estimate(model, task).sd if score.estimated else None,
        "ci90": list(score.ci90),
        "n": score.n,
        "estimated": score.estimated,
        "speed": speed_source,
        "expected_time_s": round(time_s, 2),
        "requests": summary.requests,
        "resident": resident,
    }
    return Candidate(model, resident, sum(terms.values()), terms, evidence)


def expected_time_s(
    task: Task,
    model: InstalledModel,
    summary: ModelSummary,
    *,
    resident: bool,
    bandwidth: float = _BANDWIDTH_BYTES_PER_S,
) -> tuple[float, str]:
    """Seconds of a typical answer, and whether its speed was measured or estimated from size and bandwidth."""
    if summary.ms_per_token is not None:
        per_token_s, source = summary.ms_per_token / 1000, "measured"
    else:
        per_token_s, source = (model.size_bytes or 0) / bandwidth, "estimated"
    first_s = summary.ttft_ms / 1000 if summary.ttft_ms is not None else _PROMPT_TOKENS * per_token_s / _PREFILL_SPEEDUP
    load_s = 0.0 if resident or model.remote else (model.size_bytes or 0) / _DISK_BYTES_PER_S
    return first_s + _TOKENS[task] * per_token_s + load_s / 5, source


def _error_share(summary: ModelSummary) -> float:
    """Failures above a tolerance of 5 %, smoothed: an untried model pays nothing, one failure is no verdict."""
    failures = (summary.error_rate or 0.0) * summary.requests
    return max(0.0, (failures + 0.5) / (summary.requests + 10) - 0.05)


def _memory_cost(model: InstalledModel, inputs: SelectionInputs, resident: bool) -> float:
    free, total, need = inputs.resources.ram_available_bytes, inputs.resources.ram_total_bytes, needed_bytes(model)
    if resident or free is None or not total or need is None:
        return 0.0
    return 3.0 if (free - need) / total < _FREE_SHARE_WANTED else 0.0


def _keep_incumbent(candidates: Sequence[Candidate], incumbent: str | None, hysteresis: float) -> Candidate:
    best = candidates[0]
    held = next((candidate for candidate in candidates if candidate.model.name == incumbent), None)
    return held if held is not None and best.utility - held.utility <= hysteresis else best
