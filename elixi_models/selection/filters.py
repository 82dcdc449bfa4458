"""Which installed models may take a message at all; each that may not has its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .. import names
from ..inventory import InstalledModel, ServerView
from ..quality import TaskScore
from ..records import Measurement, ModelSummary, Rejection, ResourceSample
from . import breaker, prior

_DEFAULT_CONTEXT_TOKENS = 4096
_HEADROOM_BYTES = 512 * 1024 * 1024
_MARGIN = 1.1
#: Room for the answer behind the prompt.
ANSWER_TOKENS = 512


@dataclass(frozen=True, slots=True)
class SelectionInputs:
    """Everything a choice depends on, read at one moment.

    Attributes:
        summaries: figures by installed name.
        assignments: tasks to a name in any spelling.
        measured: qualities from benchmarks by installed name and task; one replaces the prior.
        calls: the newest calls by installed name, oldest first; they move the breaker and the error term.
        now_s: when this was read, in the clock of `calls`; without it the breaker stays closed.
        preferred: the installed name that the user likes best; it gets five points.
    """

    view: ServerView
    summaries: Mapping[str, ModelSummary]
    assignments: Mapping[str, str]
    resources: ResourceSample
    allow_cloud: bool = False
    active: str | None = None
    measured: Mapping[str, Mapping[str, TaskScore]] = field(default_factory=dict)
    calls: Mapping[str, Sequence[Measurement]] = field(default_factory=dict)
    now_s: float | None = None
    preferred: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What one message asks for beside its task: capabilities, and room for its prompt."""

    needs: tuple[str, ...] = ()
    prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Field:
    """Who may be chosen and who not.

    `usable` can take the message; `fitting` are those of them that also have the memory and the context and do not
    rest, or none. `flags` tell what had to be overlooked so that somebody is left.
    """

    usable: tuple[InstalledModel, ...]
    fitting: tuple[InstalledModel, ...]
    rejected: tuple[Rejection, ...]
    flags: tuple[str, ...]
    residents: frozenset[str]


def resident_names(view: ServerView) -> frozenset[str]:
    """The installed names that a loaded model serves: its own, and those that share its weights."""
    digests = {entry.digest for entry in view.loaded}
    keys = {names.key(entry.name) for entry in view.loaded}
    direct = [model for model in view.installed if model.digest in digests or names.key(model.name) in keys]
    weights = {model.weights_digest for model in direct} - {None}
    return frozenset(model.name for model in (*direct, *(m for m in view.installed if m.weights_digest in weights)))


def sift(inputs: SelectionInputs, request: Request) -> Field:
    """Split the installed models.

    Capability and cloud are never overlooked. Too little memory for all leaves `fitting` empty. Among those that fit,
    a context too short for the prompt or a rest is overlooked when it would leave nobody.
    """
    usable, rejected = _split(inputs.view.installed, lambda model: _unusable(model, inputs, request))
    free_bytes, residents = obtainable_bytes(inputs), resident_names(inputs.view)
    fitting, misfits = _split(usable, lambda model: _misfit(model, residents, free_bytes))
    rejected += misfits
    flags = []
    if request.prompt_tokens:
        roomy, cramped = _split(fitting, lambda model: _too_short(model, request))
        if fitting and not roomy:
            longest = max(model.context_length or 0 for model in fitting)
            roomy, cramped = _split(fitting, lambda model: _shorter(model, longest))
            flags.append("prompt_too_long")
        fitting, rejected = roomy, rejected + cramped
    if inputs.calls:
        awake, at_rest = _split(fitting, lambda model: resting(model, inputs))
        if fitting and not awake:
            flags.append("all_resting")
        else:
            fitting, rejected = awake, rejected + at_rest
    return Field(tuple(usable), tuple(fitting), tuple(rejected), tuple(flags), residents)


def _split(
    models: Sequence[InstalledModel], why_not: Callable[[InstalledModel], str | None]
) -> tuple[list[InstalledModel], list[Rejection]]:
    left, rejected = [], []
    for model in models:
        reason = why_not(model)
        if reason is None:
            left.append(model)
        else:
            rejected.append(Rejection(model.name, reason))
    return left, rejected


def _unusable(model: InstalledModel, inputs: SelectionInputs, request: Request) -> str | None:
    if model.remote and not inputs.allow_cloud:
        return "runs in the cloud, which is not allowed"
    able = model.can_chat
    if able is False:
        return "cannot chat"
    if able is None and prior.is_embedder_by_name(model):
        return "is known as an embedder"
    if not request.needs:
        return None
    lacking = next((need for need in request.needs if need not in (model.capabilities or ())), None)
    return None if lacking is None else f"is not known to have the capability {lacking}"


def _misfit(model: InstalledModel, residents: frozenset[str], free_bytes: int | None) -> str | None:
    need = needed_bytes(model)
    if model.remote or free_bytes is None or need is None or need <= free_bytes:
        return None
    if model.name in residents:
        return None
    return f"needs {need / 1e9:.1f} GB of memory, {free_bytes / 1e9:.1f} GB can be had"


def _too_short(model: InstalledModel, request: Request) -> str | None:
    wanted = request.prompt_tokens + ANSWER_TOKENS
    if model.context_length is None or model.context_length >= wanted:
        return None
    return f"reads {model.context_length} tokens, the prompt and its answer take about {wanted}"


def _shorter(model: InstalledModel, longest: int) -> str | None:
    return None if model.context_length == longest else f"reads fewer tokens than others, {model.context_length}"


def resting(model: InstalledModel, inputs: SelectionInputs) -> str | None:
    """Why the breaker keeps a model from being chosen, None when it does not."""
    calls = inputs.calls.get(model.name)
    if not calls or inputs.now_s is None:
        return None
    state = breaker.judge(calls, inputs.now_s)
    if not state.resting or state.until_s is None:
        return None
    return f"failed too often of late, is tried again in {state.until_s - inputs.now_s:.0f} s"


def has_room(model: InstalledModel, inputs: SelectionInputs) -> bool:
    """Whether the memory that a model takes can be had; unknown counts as yes."""
    return _misfit(model, resident_names(inputs.view), obtainable_bytes(inputs)) is None


def needed_bytes(model: InstalledModel) -> int | None:
    """Memory a loaded model takes: file, key-value cache at the default context, 0.5 GiB, and 10 % margin."""
    if not model.size_bytes:
        return None
    context = min(_DEFAULT_CONTEXT_TOKENS, model.context_length or _DEFAULT_CONTEXT_TOKENS)
    return int((model.size_bytes + (model.kv_bytes_per_token or 0) * context + _HEADROOM_BYTES) * _MARGIN)


def obtainable_bytes(inputs: SelectionInputs) -> int | None:
    """Free memory plus what idle runners would give back; None where a GPU or another machine hides it."""
    if inputs.resources.ram_available_bytes is None or any(entry.vram_bytes for entry in inputs.view.loaded):
        return None
    return inputs.resources.ram_available_bytes + sum(inputs.resources.runner_bytes.values())
