"""The answers, made beforehand: an immutable table that any thread reads without a lock."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..inventory import InstalledModel
from ..records import TASKS, Choice, ModelSummary, Task
from .detection import detect
from .filters import ANSWER_TOKENS, has_room
from .ranking import Decision, Prepared, Request, SelectionInputs, decide, prepare, rank

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
_NOTHING_MORE = Request()
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
    """All decisions of one moment by task, and what they were made from.

    `asked` fills with the choices that somebody asked the reasons of, or asked more for than a task. Each is made from
    this snapshot alone, so it does not matter when, nor that threads which come at once make it twice.
    """

    built_at_s: float | None = None
    decisions: Mapping[Task, Decision] = field(default_factory=dict)
    prepared: Prepared | None = None
    incumbents: Mapping[Task, Mapping[str, float]] = field(default_factory=dict)
    contexts: tuple[int, ...] = ()
    asked: dict[tuple[Task, Request], Choice | None] = field(default_factory=dict)


class Selector:
    """Answers "which model?" from the last snapshot; rebuilt by others whenever something changed.

    `best` and `choose` may be called from any number of threads during a rebuild: they see the old or the new
    snapshot, whole. No I/O but for the weights of the detector, which the first prompt reads; no lock; never raise.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.snapshot = Snapshot()

    def rebuild(self, inputs: SelectionInputs) -> None:
        """Decide anew for every task; less than a millisecond for 100 models. One thread at a time."""
        previous = self.snapshot
        prepared = prepare(_settled(inputs, previous))
        decisions: dict[Task, Decision] = {}
        incumbents = _incumbents(previous.decisions, prepared.inputs)
        for task in TASKS:
            decision = decide(task, prepared, incumbents[task])
            if decision is not None:
                decisions[task] = decision
        contexts = {model.context_length for model in inputs.view.installed if model.context_length}
        self.snapshot = Snapshot(self._clock(), decisions, prepared, incumbents, tuple(sorted(contexts)))

    def best(self, task_type: object = None, prompt: object = None, *, needs: Sequence[str] = ()) -> str | None:
        """The name alone of what `choose` chooses; a few microseconds, and the time to read a task from a prompt.

        A ranking for the first prompt that is too long for some model, or for the first new needs.
        """
        snapshot = self.snapshot
        task, _ = _task(task_type, prompt)
        tokens = _prompt_tokens(prompt, snapshot.contexts)
        if not needs and not tokens:
            decision = snapshot.decisions.get(task)
            return None if decision is None else decision.model.name
        choice = _choice(snapshot, task, Request(tuple(needs), tokens))
        return None if choice is None else choice.model

    def has_room(self, model: InstalledModel) -> bool:
        """Whether the memory that a model takes could be had when last looked; unknown counts as yes."""
        prepared = self.snapshot.prepared
        return prepared is None or has_room(model, prepared.inputs)

    def choose(self, task_type: object = None, prompt: object = None, *, needs: Sequence[str] = ()) -> Choice | None:
        """The best model with its reasons, or None when there is none or nothing was ever built.

        An explicit task beats the prompt; an unknown task means general. The first to ask after a rebuild waits until
        the reasons are written down: 0.1 ms for 20 models.

        Args:
            needs: capabilities that the message takes, like `vision` or `tools`.
        """
        snapshot = self.snapshot
        task, source = _task(task_type, prompt)
        choice = _choice(snapshot, task, Request(tuple(needs), _prompt_tokens(prompt, snapshot.contexts)))
        return choice if choice is None or source == choice.task_source else replace(choice, task_source=source)


def _choice(snapshot: Snapshot, task: Task, request: Request) -> Choice | None:
    """The choice with its reasons, made when first asked for."""
    if snapshot.prepared is None:
        return None
    known = (task, request)
    if known not in snapshot.asked:
        if request == _NOTHING_MORE:
            choice = rank(task, snapshot.prepared, incumbents=snapshot.incumbents[task])
        else:
            inputs = snapshot.prepared.inputs
            choice = rank(task, inputs, incumbents=_incumbents(snapshot.decisions, inputs)[task], request=request)
        snapshot.asked[known] = choice
    return snapshot.asked[known]


def _incumbents(held: Mapping[Task, Decision], inputs: SelectionInputs) -> dict[Task, dict[str, float]]:
    """By task: who answered somebody last, in any task, and then whom the task had; another may cost a load.

    A benchmark is no answer to anybody.
    """
    used = [
        (summary.last_used_at_s, name)
        for name, summary in inputs.summaries.items()
        if summary.last_used_at_s and summary.requests
    ]
    last: dict[str, float] = {}
    if used:
        at_s, name = max(used)
        talking = inputs.now_s is not None and inputs.now_s - at_s <= _CONVERSATION_S
        last = {name: _HYSTERESIS_TALKING if talking else _HYSTERESIS}
    incumbents = {task: dict(last) for task in TASKS}
    for task, decision in held.items():
        if decision.decided_by != "assignment":
            incumbents[task].setdefault(decision.model.name, _HYSTERESIS)
    return incumbents


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


def _settled(inputs: SelectionInputs, previous: Snapshot) -> SelectionInputs:
    """The same inputs with the speed of before for every model that hardly got faster or slower."""
    if previous.prepared is None:
        return inputs
    before = previous.prepared.inputs.summaries
    return replace(inputs, summaries={name: _steady(now, before.get(name)) for name, now in inputs.summaries.items()})


def _steady(now: ModelSummary, before: ModelSummary | None) -> ModelSummary:
    if before is None or (now.ms_per_token == before.ms_per_token and now.ttft_ms == before.ttft_ms):
        return now
    if _moved(now.ms_per_token, before.ms_per_token) or _moved(now.ttft_ms, before.ttft_ms):
        return now
    return replace(now, ms_per_token=before.ms_per_token, ttft_ms=before.ttft_ms)


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
