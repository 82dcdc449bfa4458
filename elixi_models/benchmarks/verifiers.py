"""From an answer to its credit: the share of its checks that hold, nothing for an answer that is none. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidRequest
from .checks import KINDS, Check, words

MAX_CHECKS = 10
_LOOP_WORDS = 12
_LOOP_TIMES = 4
_OPENING_CHARS = 200
#: More than any cap of tokens allows; what is longer is read as if it had been cut here.
_LONGEST_CHARS = 20_000
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_REFUSAL = re.compile(
    r"\A\W*(?:(?:i'm|i am) (?:so |very )?sorry\b|sorry,? (?:but )?i\b|as an? (?:ai|language model|artificial)\b"
    r"|(?:unfortunately,? )?i(?: can't| cannot| can not| won't| will not| am unable to|'m unable to| am not able to"
    r"|'m not able to| must decline to) (?:help|assist|provide|write|create|fulfil|fulfill|comply|do|answer|generate"
    r"|complete|produce|respond|engage|discuss|give)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer is worth: `credit` 0-1, the kinds of the checks that failed, and why it is void where it is."""

    credit: float
    failed: tuple[str, ...] = ()
    void: str | None = None

    @property
    def passed(self) -> bool:
        """True when every check holds."""
        return self.credit == 1.0


def verify(answer: str | None, checks: Sequence[Check], *, cut: bool = False) -> Verdict:
    """Hold an answer to its checks.

    Args:
        answer: what the model said; its thinking between tags does not count.
        checks: at least one.
        cut: it ended because its tokens were used up; what needs the end of the answer fails then.

    Returns:
        The share of checks that hold; zero for an answer that is empty, refuses, or says the same again and again.
    """
    whole = answer or ""
    cut = cut or len(whole) > _LONGEST_CHARS
    text = without_thinking(whole[:_LONGEST_CHARS]).strip()
    void = _void(text)
    if void is not None:
        return Verdict(0.0, tuple(check.kind for check in checks), void)
    failed = tuple(check.kind for check in checks if not _holds(text, check, cut))
    return Verdict(1 - len(failed) / len(checks), failed)


def without_thinking(answer: str) -> str:
    """An answer without what stands between tags of thinking."""
    return _THINKING.sub("", answer)


def _holds(text: str, check: Check, cut: bool) -> bool:
    kind = KINDS[check.kind]
    return not (cut and kind.needs_end) and kind.holds(text, check.value)


def _void(text: str) -> str | None:
    spoken = [word.casefold() for word in words(text)]
    if not spoken and not re.search(r"\d|[\[\](){}]", text):
        return "empty"
    if _REFUSAL.match(text[:_OPENING_CHARS].replace("’", "'")):
        return "refused"
    grams = Counter(tuple(spoken[at : at + _LOOP_WORDS]) for at in range(len(spoken) - _LOOP_WORDS + 1))
    return "looping" if any(times >= _LOOP_TIMES for times in grams.values()) else None


def parse_checks(given: object, *, field: str) -> tuple[Check, ...]:
    """The checks that a user wrote: `{"kind": …, "value": …}`, or a list of them.

    Raises:
        InvalidRequest: naming the field and the reason.
    """
    wanted = given if isinstance(given, list) else [given]
    if not 1 <= len(wanted) <= MAX_CHECKS:
        raise InvalidRequest(f"{field} must hold 1 to {MAX_CHECKS} checks", field=field, reason="length")
    return tuple(_parse_check(check, field) for check in wanted)


def _parse_check(given: Any, field: str) -> Check:
    if not isinstance(given, Mapping) or not isinstance(given.get("kind"), str):
        raise InvalidRequest(
            f'{field} must be objects like {{"kind": "number", "value": 5}}', field=field, reason="type"
        )
    kind = KINDS.get(given["kind"])
    if kind is None:
        raise InvalidRequest(
            f"{field} has no kind {given['kind']!r:.40}", field=field, reason="unknown", allowed=[*KINDS]
        )
    if not kind.accepts(given.get("value")):
        raise InvalidRequest(f"the value of {given['kind']} must be: {kind.form}", field=field, reason="value")
    return Check(given["kind"], given.get("value"))
