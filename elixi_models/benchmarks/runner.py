"""The order in which a benchmark asks, waits, repeats and gives up. No clock, server or chance but what is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..performance import MIN_GAPS, token_gaps
from ..records import Failure, Measurement
from .judgement import Judgement
from .speed import is_unstable, prefill_rate
from .suites import Item, Kind, Plan
from .turns import Ended, Reply, Turns
from .verifiers import Verdict, verify

_FIRST_TIMEOUT_S = 60.0
_SHORTEST_TIMEOUT_S = 10.0
_SLACK = 4.0
_CHARS_PER_TOKEN = 4
_TIMEOUTS = 3
_FAILURES = 2
_HOPELESS = frozenset({"refused", "oom", "load_failed"})
#: A model that thinks although it was asked not to, or does not say that it can, gets so many times the tokens.
_THINKING_SHARE = 4
_THOUGHT = "<think>"


class Ask(Protocol):
    """Sends one request, with the nonce, if any, before its prompt; blocks, raises nothing for what the server does."""

    def __call__(self, item: Item, nonce: str, timeout_s: float) -> Reply:
        """What came of it; `cancelled` when a person's chat went first."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request as it went; with a verdict where the answer was held to checks."""

    item: Item
    measurement: Measurement
    failure: Failure | None
    answer: str | None = None
    verdict: Verdict | None = None

    @property
    def truncated(self) -> bool:
        """True when the model cannot have seen its whole prompt: each word is at least one token."""
        seen = self.measurement.prompt_tokens
        return self.measurement.outcome == "ok" and seen is not None and 0 < seen < len(self.item.prompt.split())


@dataclass(slots=True)
class Findings:
    """What a benchmark has found so far. `reason` says why it ended early, None when it did not.

    `left_s` is what was left of the time when all was asked; `judgement` is None where no judge was wished for.
    """

    samples: list[Sample] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    done_items: int = 0
    remaining_s: float | None = None
    reason: str | None = None
    failure: Failure | None = None
    left_s: float = 0.0
    judgement: Judgement | None = None

    def replies(self, *kinds: Kind) -> list[Measurement]:
        """The measurements of the given kinds of requests."""
        return [sample.measurement for sample in self.samples if sample.item.kind in kinds]

    @property
    def measured(self) -> bool:
        """True when anything was answered beside warm-ups."""
        return any(reply.outcome == "ok" for reply in self.replies("decode", "prefill", "custom", "quality"))

    def warn(self, warning: str) -> None:
        """Note a warning once."""
        if warning not in self.warnings:
            self.warnings.append(warning)


class Runner:
    """Runs one plan once.

    Args:
        nonce: a new text for every request that measures speed, so that no prompt comes from the server's cache.
            Questions are asked without one: it might change their answers, and so the score.
        wait_idle: waits at most so many seconds until nobody chats; True when nobody does.
        stopped: True once the benchmark was called off.
        noted: called after every item, and once when the benchmark's turn has come.
        load_timeout_s: the longest load.
    """

    def __init__(
        self,
        plan: Plan,
        ask: Ask,
        *,
        nonce: Callable[[], str],
        monotonic: Callable[[], float],
        wait_idle: Callable[[float], bool],
        stopped: Callable[[], bool],
        noted: Callable[[Findings], None],
        load_timeout_s: float,
    ) -> None:
        self._plan = plan
        self._ask_server = ask
        self._nonce = nonce
        self._monotonic = monotonic
        self._noted = noted
        self._load_timeout_s = load_timeout_s
        self._findings = Findings(remaining_s=plan.expected_s)
        self._turns = Turns(wait_idle=wait_idle, stopped=stopped, monotonic=monotonic)
        self._streak: list[str] = []
        self._thinks: bool | None = None
        self._began_at = 0.0

    def run(self) -> Findings:
        """Ask everything, within the deadline; blocks for minutes. The clock stands while a person chats."""
        try:
            self._turns.begin(self._plan.deadline_s)
            self._began_at = self._monotonic()
            self._noted(self._findings)
            for item in self._plan.items:
                self._measure(item)
                self._findings.done_items += 1
                self._tell()
            self._measure_more()
        except Ended as end:
            # Repetitions beyond the plan may fall to the deadline: the plan is fulfilled all the same.
            if end.reason != "deadline" or self._findings.done_items < len(self._plan.items):
                self._findings.reason, self._findings.failure = end.reason, end.failure
        self._findings.remaining_s = 0.0
        self._findings.left_s = max(0.0, self._turns.left_s)
        return self._findings

    def _measure(self, item: Item) -> None:
        self._ask(item)
        if item.kind == "decode" and _is_short(self._findings.samples[-1]):
            self._findings.warn("short_answers")
            self._ask(item)

    def _measure_more(self) -> None:
        """Ask again where answers were too few for a rate, or once where they differ too much."""
        standard = [item for item in self._plan.items if item.kind == "decode"]
        for item in standard:
            if _gaps(self._findings.replies("decode")) >= MIN_GAPS:
                break
            self._ask(item)
            self._tell()
        if is_unstable(self._findings.replies("decode")):
            for item in standard:
                self._ask(item)
                self._tell()
            if is_unstable(self._findings.replies("decode")):
                self._findings.warn("unstable")

    def _ask(self, item: Item) -> None:
        """Ask once, a thinker that ran out of tokens once more; a failure ends the benchmark where it must."""
        sample = self._request(item)
        if item.checks and self._thinks is None and _ran_out_thinking(sample):
            self._thinks = True
            sample = self._request(item)
            self._thinks = not _ran_out_thinking(sample)
            if self._thinks:
                self._findings.warn("thinks_unasked")
        if sample.truncated:
            self._findings.warn("truncated_prompt")
        elif item.checks:
            sample = replace(sample, verdict=_judge(sample))
        self._findings.samples.append(sample if sample.verdict else replace(sample, answer=None))
        self._give_up_after(sample.measurement, sample.failure)

    def _request(self, item: Item) -> Sample:
        """One request, again whenever a person's chat went first."""
        if item.checks and self._thinks:
            item = replace(item, max_tokens=_THINKING_SHARE * item.max_tokens)
        answer, measurement, failure = self._turns.request(
            lambda timeout_s: self._ask_server(item, "" if item.checks else self._nonce(), timeout_s),
            lambda: self._timeout_s(item),
            lambda: self._warm_up_before(item),
        )
        return Sample(item, measurement, failure, answer)

    def _warm_up_before(self, item: Item) -> None:
        """A person chatted, perhaps with another model: the item is repeated as warm as it would have been."""
        self._findings.warn("interrupted_by_chat")
        if item.kind not in ("cold", "warm_up"):
            self._ask(next(warm for warm in self._plan.items if warm.kind == "warm_up"))

    def _timeout_s(self, item: Item) -> float:
        """Four times what the item should take at the measured speed, at least ten seconds."""
        if item.kind in ("cold", "warm_up"):
            return self._load_timeout_s
        replies = self._findings.replies("decode", "prefill", "custom")
        gaps = [found for reply in replies if (found := token_gaps(reply)) is not None]
        prefill = prefill_rate(replies)
        if not gaps or not prefill:
            return _FIRST_TIMEOUT_S
        token_s = sum(eval_s for _, eval_s in gaps) / sum(count for count, _ in gaps)
        expected_s = len(item.prompt) / _CHARS_PER_TOKEN / prefill + item.max_tokens * token_s
        return max(_SHORTEST_TIMEOUT_S, _SLACK * expected_s)

    def _give_up_after(self, measurement: Measurement, failure: Failure | None) -> None:
        if measurement.outcome in ("ok", "empty"):
            self._streak.clear()
            return
        self._streak.append(measurement.outcome)
        code = failure.code.lower() if failure else measurement.outcome
        if measurement.outcome == "timeout":
            if self._streak[-_TIMEOUTS:] == ["timeout"] * _TIMEOUTS:
                raise Ended("timeouts", failure)
        elif measurement.outcome in _HOPELESS or len(self._streak) >= _FAILURES:
            raise Ended(code, failure)

    def _tell(self) -> None:
        done, total = self._findings.done_items, len(self._plan.items)
        if done:
            pace_s = (self._monotonic() - self._began_at) / done
            self._findings.remaining_s = max(0.0, min(pace_s * (total - done), self._turns.left_s))
        self._noted(self._findings)


def _judge(sample: Sample) -> Verdict | None:
    """Silence is an answer, and a wrong one; a failure of the server says nothing of the model."""
    reply = sample.measurement
    if reply.outcome not in ("ok", "empty"):
        return None
    return verify(sample.answer, sample.item.checks, cut=reply.done_reason == "length")


def _ran_out_thinking(sample: Sample) -> bool:
    """Whether all the tokens went into thoughts: then nothing was said, or only thoughts between tags."""
    reply, said = sample.measurement, (sample.answer or "").lstrip()
    if reply.done_reason != "length":
        return False
    return reply.outcome == "empty" or (said.startswith(_THOUGHT) and "</think>" not in said)


def _gaps(replies: list[Measurement]) -> int:
    return sum(found[0] for reply in replies if (found := token_gaps(reply)) is not None)


def _is_short(sample: Sample) -> bool:
    reply = sample.measurement
    return reply.outcome == "ok" and reply.done_reason != "length" and (reply.tokens or 0) < sample.item.max_tokens / 2
