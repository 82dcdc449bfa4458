"""Which task a message is about, from its words alone: rules over its head and tail, microseconds."""

from __future__ import annotations

import re

from ..records import Task

_HEAD_CHARS = 600
_TAIL_CHARS = 200
_GREETING = re.compile(r"^\s*(hi|hello|hey|dear|good (morning|evening|day))\b[^.!?\n]{0,20}[,.!?\n]\s*", re.IGNORECASE)
_REWRITING = re.compile(r"\b(translate|summari[sz]e|proofread)\b", re.IGNORECASE)

_SIGNS: tuple[tuple[Task, re.Pattern[str], float], ...] = (
    (
        "coding",
        re.compile(r"```|#include|\bdef \w+\(|\bfunction \w*\(|=>|\bimport \w+|</\w+>|;\s*$", re.MULTILINE),
        2.0,
    ),
    (
        "coding",
        re.compile(
            r"\b(python|javascript|typescript|java|c\+\+|rust|golang|sql|html|css|regex|bash|code|coding|function|"
            r"script|program|algorithm|compile|debug|refactor|api|unit test|class|method|stack trace|exception|bug)\b",
            re.IGNORECASE,
        ),
        1.0,
    ),
    ("analysis", re.compile(r"\d\s*[-+*/^=%]\s*\d|\\frac|\\sum|\$[^$]+\$"), 1.5),
    (
        "analysis",
        re.compile(
            r"\b(calculate|compute|solve|prove|how many|how much|equation|probability|percent|average|analy[sz]e|"
            r"compare|evaluate|step by step|logic|puzzle|derive|integral|statistics?|pros and cons|estimate)\b",
            re.IGNORECASE,
        ),
        1.0,
    ),
    (
        "creative",
        re.compile(
            r"\b(poem|haiku|story|stories|song|lyrics|novel|fiction|screenplay|limerick|fairy tale|slogan|tagline|"
            r"brainstorm|imagine|role-?play|character|plot|rhyme|metaphor|creative)\b",
            re.IGNORECASE,
        ),
        1.2,
    ),
)
_SURE_WEIGHT = 1.0


def detect(prompt: str) -> tuple[Task, float, str]:
    """Guess the task of a message.

    Args:
        prompt: the last message of the user; its first 600 and last 200 characters are read.

    Returns:
        The task (general, coding, analysis or creative; never fast, which is only asked for), the share 0-1 of
        the evidence that speaks for it, and "rules".
    """
    text = _GREETING.sub("", prompt[:_HEAD_CHARS], count=1)
    if len(prompt) > _HEAD_CHARS:
        text += "\n" + prompt[-_TAIL_CHARS:]
    weights: dict[Task, float] = {"general": _SURE_WEIGHT}
    for task, sign, weight in _SIGNS:
        found = len({match.group(0).lower() for match in sign.finditer(text)})
        weights[task] = weights.get(task, 0.0) + weight * min(found, 3)
    if "```" in text and _REWRITING.search(text):
        weights["coding"] = 0.0
    task = max(weights, key=lambda name: weights[name])
    return task, weights[task] / sum(weights.values()), "rules"
