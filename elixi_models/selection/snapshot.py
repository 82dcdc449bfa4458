"""The answers, made beforehand: an immutable table that any thread reads without a lock."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..inventory import InstalledModel
from ..records import TASKS, Choice, Task
from .detection import detect
from .filters import ANSWER_TOKENS, has_room
from .ranking import Request, SelectionInputs, prepare, rank

__all__ = ["SelectionInputs", "Selector"]

#: The words for tasks: our own and those of the host's documents and answers.
_WORDS: Mapping[str, Task] = {
    **{task: task for task in TASKS},
    "general-purpose": "general",
    "general_purpose": "general",
    "conversation": "general",
    "code": "coding",
    "code-generation": "coding",
    "text-analysis": "analysis",
    "reasoning": "analysis",
    "creativity": "creative",
    "creative-writing": "creative",
    "fast-response": "fast",
}
_SOURCES = ("explicit", "unknown_task", "prompt", "default")


#: Telemetry that moved less than this leaves the snapshot as it is.
_SPEED_MOVED = 0.15
#: Points by which another model must lead before the present one goes: at any time, and in the middle of a talk.
_HYSTERESIS, _HYSTERESIS_TALKING = 2.0, 4.0
_CONVERSATION_S = 600.0
#: UTF-8 bytes for one token, low so that a prompt is rather thought too long than too short.
_BYTES_PER_TOKEN = 3
#: Prompts below this fit every context that Ollama serves; no need to count.
_SHORT_PROMPT_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All choices of one moment, by task and by how the task was found; `special` fills with what was asked beside."""

    built_at_s: float | None = None
    choices: Mapping[tuple[str, str], Choice] = field(default_factory=dict)
    inputs: SelectionInputs | None = None
    contexts: tuple[int, ...] = ()
    special: dict[tuple[Task, Request], Choice | None] = field(default_factory=dict)


class Selector:
    """Answers "which model?" from the last snapshot; rebuilt by others whenever something changed.

    `choose` may be called from any number of threads during a rebuild: it sees the old or the new snapshot, whole.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.snapshot = Snapshot()

    def rebuild(self, inputs: SelectionInputs) -> None:
        """Make the choices anew; about a millisecond for 20 models. One thread at a time."""
        previous = self.snapshot
        settled = _settled(inputs, previous.inputs)
        prepared = prepare(settled)
        choices: dict[tuple[str, str], Choice] = {}
        for task in TASKS:
            choice = rank(task, prepared, incumbents=_incumbents(previous, settled, task))
            if choice is not None:
                choices.update({(task, source): replace(choice, task_source=source) for source in _SOURCES})
        contexts = {model.context_length for model in inputs.view.installed if model.context_length}
        self.snapshot = Snapshot(self._clock(), choices, settled, tuple(sorted(contexts)))

    def has_room(self, model: InstalledModel) -> bool:
        """Whether the memory that a model takes could be had when last looked; unknown counts as yes."""
        inputs = self.snapshot.inputs
        return inputs is None or has_room(model, inputs)

    def choose(self, task_type: object = None, prompt: object = None, *, needs: Sequence[str] = ()) -> Choice | None:
        """The best model, or None when there is none or nothing was ever built.

        An explicit task beats the prompt; an unknown task means general. No I/O, no lock, never raises. A few
        microseconds; a ranking for the first prompt that is too long for some model, or for the first new needs.

        Args:
            needs: capabilities that the message takes, like `vision` or `tools`.
        """
        snapshot = self.snapshot
        task, source = _task(task_type, prompt)
        tokens = _prompt_tokens(prompt, snapshot.contexts)
        if not needs and not tokens:
            return snapshot.choices.get((task, source))
        choice = _special(snapshot, task, Request(tuple(needs), tokens))
        return None if choice is None else replace(choice, task_source=source)


def _special(snapshot: Snapshot, task: Task, request: Request) -> Choice | None:
    """Rank for one message that asks more than its task; threads that come at once do the same work twice."""
    if snapshot.inputs is None:
        return None
    known = (task, request)
    if known not in snapshot.special:
        incumbents = _incumbents(snapshot, snapshot.inputs, task)
        snapshot.special[known] = rank(task, snapshot.inputs, incumbents=incumbents, request=request)
    return snapshot.special[known]


def _incumbents(previous: Snapshot, inputs: SelectionInputs, task: Task) -> dict[str, float]:
    """Who answered somebody last, in any task, and then whom this task had: every other choice may cost a load.

    A benchmark is no answer to anybody.
    """
    used = [
        (summary.last_used_at_s, name)
        for name, summary in inputs.summaries.items()
        if summary.last_used_at_s and summary.requests
    ]
    held = previous.choices.get((task, "explicit"))
    known = {held.model: _HYSTERESIS} if held and held.decided_by != "assignment" else {}
    if not used:
        return known
    at_s, last = max(used)
    talking = inputs.now_s is not None and inputs.now_s - at_s <= _CONVERSATION_S
    return {last: _HYSTERESIS_TALKING if talking else _HYSTERESIS, **{k: v for k, v in known.items() if k != last}}


def _prompt_tokens(prompt: object, contexts: Sequence[int]) -> int:
    """0 when every model reads the prompt and has room to answer; else the most tokens that leave the same models.

    So there are no more special rankings than there are contexts.
    """
    if not isinstance(prompt, str) or len(prompt) < _SHORT_PROMPT_CHARS or not contexts:
        return 0
    wanted = len(prompt.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN + ANSWER_TOKENS
    place = bisect_left(contexts, wanted)
    if place == 0:
        return 0
    return (contexts[place] if place < len(contexts) else contexts[-1] + 1) - ANSWER_TOKENS


def _settled(inputs: SelectionInputs, previous: SelectionInputs | None) -> SelectionInputs:
    """The same inputs with the speed of before for every model that hardly got faster or slower."""
    if previous is None:
        return inputs
    summaries = dict(inputs.summaries)
    for name, now in inputs.summaries.items():
        before = previous.summaries.get(name)
        hardly = (
            before and not _moved(now.ms_per_token, before.ms_per_token) and not _moved(now.ttft_ms, before.ttft_ms)
        )
        if before is not None and hardly:
            summaries[name] = replace(now, ms_per_token=before.ms_per_token, ttft_ms=before.ttft_ms)
    return replace(inputs, summaries=summaries)


def _moved(now: float | None, before: float | None) -> bool:
    if now is None or before is None:
        return now is not before
    return abs(now - before) > _SPEED_MOVED * before


def _task(task_type: object, prompt: object) -> tuple[Task, str]:
    if isinstance(task_type, str) and task_type:
        task = _WORDS.get(task_type) or _WORDS.get(task_type.strip().lower())
        return (task, "explicit") if task else ("general", "unknown_task")
    if isinstance(prompt, str) and prompt.strip():
        return detect(prompt)[0], "prompt"
    return "general", "default"
