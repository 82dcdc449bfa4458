"""What a benchmark asks: the suites, their sizes and their prompts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from ..errors import InvalidRequest
from ..records import MAX_BENCHMARK_PROMPT_CHARS, MAX_BENCHMARK_PROMPTS
from .checks import Check
from .items import SCORED_TASKS, quality_items
from .verifiers import parse_checks

WARM_UP_TOKENS = 8
#: Sampling only: an option of the runner (`num_ctx` …) that chat does not send would cost a reload.
OPTIONS: Mapping[str, float] = MappingProxyType({"temperature": 0, "seed": 42, "top_k": 1, "repeat_penalty": 1})

#: A prompt of the user's own: a text, or `{"task", "prompt", "check"}`.
OwnPrompt: TypeAlias = str | Mapping[str, object]
Kind: TypeAlias = Literal["cold", "warm_up", "decode", "prefill", "custom", "quality"]

_SUBJECTS = (
    "a lighthouse keeper who repairs the lamp in a storm and talks with the sea",
    "a baker who opens a shop in a small mountain village at the end of winter",
    "two sisters who cross a wide desert by train and count the stations",
    "an old gardener who teaches a child how to read the weather in the leaves",
    "a crew that brings a wooden ship home through fog, ice and long nights",
)
_REQUEST = (
    "Write a long story about {subject}. Tell it in the past tense and in plain words. Describe the place first, then"
    " the people, what they carry, what they fear and what they hope for. Let something go wrong in the middle, let"
    " them find a way out together, and end the story on the next morning. Use at least six hundred words. Do not stop"
    " early, do not use headings or lists, do not explain what you are doing, do not ask a question, and do not repeat"
    " this request: begin with the first sentence of the story at once and go on until it is complete."
)
_PASSAGE = (
    "The {number}. report of the harbour says that the water stood calm, that eleven boats came in before noon with"
    " herring, salt and timber, that the crane was mended again, and that nobody knew when the ferry would sail. "
)
_PASSAGES = 22


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a benchmark; with `checks` its answer is held to them and counts for `task`.

    Before a prompt that measures speed a nonce is put each time; one whose answer counts is asked as it stands.
    """

    id: str
    kind: Kind
    prompt: str
    max_tokens: int
    task: str | None = None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of one benchmark in their order, and the hard deadline for all of them."""

    suite: str
    deadline_s: float
    items: tuple[Item, ...]

    @property
    def expected_s(self) -> float:
        """How long it takes at the reference speed (12 tokens/s out, 80 in: a 3B model on a few cores)."""
        return sum(item.max_tokens / 12 + len(item.prompt) / 4 / 80 for item in self.items)


@dataclass(frozen=True, slots=True)
class _Size:
    deadline_s: float
    cold_loads: int
    repetitions: int
    max_tokens: int
    prefills: int


_SIZES = {"quick": _Size(115.0, 0, 3, 64, 0), "full": _Size(870.0, 2, 5, 128, 2)}


def make_plan(suite: str, num_prompts: int | None = None, test_prompts: Sequence[OwnPrompt] | None = None) -> Plan:
    """The requests of a suite.

    Args:
        suite: `quick` or `full`.
        num_prompts: how many requests measure the speed (1-20); with `test_prompts`, how many of those are used.
        test_prompts: prompts of the user's own, measured apart from the standard ones: texts, whose speed is
            measured, or `{"task", "prompt", "check"}`, whose answers are checked too.

    Raises:
        InvalidRequest: naming the field and the reason.
    """
    size = _SIZES.get(suite) if isinstance(suite, str) else None
    if size is None:
        raise InvalidRequest(
            f"suite must be one of {', '.join(_SIZES)}", field="suite", reason="unknown", allowed=list(_SIZES)
        )
    wanted = _checked_number(num_prompts)
    own = _own_items(test_prompts, size.max_tokens)[:wanted]
    repetitions = size.repetitions if wanted is None or own else wanted
    # What the user asked for comes before what may be cut off by the deadline and still is balanced.
    return Plan(suite, size.deadline_s, (*_standard_items(size, repetitions), *own, *_quality_items(suite)))


def _standard_items(size: _Size, repetitions: int) -> list[Item]:
    story = _REQUEST.format(subject=_SUBJECTS[0])
    items = [Item(f"cold-{n}", "cold", story, WARM_UP_TOKENS) for n in range(1, size.cold_loads + 1)]
    items.append(Item("warm-up", "warm_up", story, WARM_UP_TOKENS))
    for n in range(1, repetitions + 1):
        subject = _SUBJECTS[(n - 1) % len(_SUBJECTS)]
        items.append(Item(f"decode-{n}", "decode", _REQUEST.format(subject=subject), size.max_tokens))
    report = "".join(_PASSAGE.format(number=n) for n in range(1, _PASSAGES + 1))
    return items + [
        Item(f"prefill-{n}", "prefill", f"{report}How many boats came in each day?", WARM_UP_TOKENS)
        for n in range(1, size.prefills + 1)
    ]


def _quality_items(suite: str) -> list[Item]:
    return [
        Item(item.id, "quality", item.question.prompt, item.question.max_tokens, item.task, item.question.checks)
        for item in quality_items(suite)
    ]


def _checked_number(num_prompts: int | None) -> int | None:
    if num_prompts is None:
        return None
    if isinstance(num_prompts, bool) or not isinstance(num_prompts, int):
        raise InvalidRequest("num_prompts must be a whole number", field="num_prompts", reason="type")
    if not 1 <= num_prompts <= MAX_BENCHMARK_PROMPTS:
        raise InvalidRequest(f"num_prompts must be 1 to {MAX_BENCHMARK_PROMPTS}", field="num_prompts", reason="range")
    return num_prompts


def _own_items(test_prompts: Sequence[OwnPrompt] | None, max_tokens: int) -> list[Item]:
    if test_prompts is None:
        return []
    if isinstance(test_prompts, str) or not isinstance(test_prompts, Sequence):
        raise InvalidRequest("test_prompts must be a list", field="test_prompts", reason="type")
    if len(test_prompts) > MAX_BENCHMARK_PROMPTS:
        raise InvalidRequest(
            f"test_prompts holds more than {MAX_BENCHMARK_PROMPTS} prompts", field="test_prompts", reason="length"
        )
    return [_own_item(prompt, number, max_tokens) for number, prompt in enumerate(test_prompts, start=1)]


def _own_item(given: object, number: int, max_tokens: int) -> Item:
    item_id = f"custom-{number}"
    if not isinstance(given, Mapping):
        return Item(item_id, "custom", _checked_prompt(given), max_tokens)
    task = given.get("task", "general")
    if task not in SCORED_TASKS:
        raise InvalidRequest(
            f"the task of a test prompt must be one of {', '.join(SCORED_TASKS)}",
            field="test_prompts",
            reason="unknown",
            allowed=list(SCORED_TASKS),
        )
    checks = parse_checks(given.get("check"), field="test_prompts")
    return Item(item_id, "custom", _checked_prompt(given.get("prompt")), max_tokens, task, checks)


def _checked_prompt(prompt: object) -> str:
    if not isinstance(prompt, str) or not prompt.strip():
        raise InvalidRequest("test_prompts must be a list of texts", field="test_prompts", reason="type")
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise InvalidRequest("a test prompt has half a character", field="test_prompts", reason="encoding")
    if len(prompt) > MAX_BENCHMARK_PROMPT_CHARS:
        raise InvalidRequest(
            f"a test prompt is longer than {MAX_BENCHMARK_PROMPT_CHARS} characters",
            field="test_prompts",
            reason="length",
        )
    return prompt
