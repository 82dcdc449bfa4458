"""What can be checked in an answer without a judge: pure, deterministic, versioned with the suite.

Each check says yes only when the answer leaves no doubt; an answer that is right but not as it was asked for fails.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_TOLERANCE = 1e-6
_LONGEST_LITERAL = 2_000
_LONGEST_JSON = 20_000
_MARKS = " \t*_`\"'“”‘’"
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]*_]*(?=\s|\Z)")
_BULLET = re.compile(r"\s*[-*•]\s+\S")
_FENCE = re.compile(r"\A```[\w+-]*\n(.*?)\n?```\Z", re.DOTALL)
_ANSWER = re.compile(r"answer\W{0,3}:", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\d.,])[-−+]?(?:\d{1,3}(?:,\d{3})+|\d{1,18})(?:\.\d{1,18})?(?:\s*/\s*\d{1,18})?(?!\d)")
_UNDECIDED = re.compile(r"\d\s*[-–]\s*\d[^=]*\Z|\bor\b|\bnot\b", re.IGNORECASE)
_LEAD_IN = re.compile(r"\A(?:.*\b(?:is|are|was|equals)\s+)?(?:the\s+|an?\s+)?")
_DENIAL = re.compile(r"\b(?:not|never|no|neither|nor|cannot|isn't|wasn't|don't|doesn't|unless|or)\b")
_OUTPUT = re.compile(r"\A(?:the\s+)?(?:output|answer|result|program prints?)(?:\s+is)?(?:\s*:|\s)\s*", re.IGNORECASE)
_STRING = re.compile(r"'[^'\\\n]*'|\"[^\"\\\n]*\"")
_PLAIN = re.compile(r"(?:True|False|None|[\d\s.,:+\-\[\](){}])*\Z")
_CALL = re.compile(r"[\w\])}]\s*[\[({]")


@dataclass(frozen=True, slots=True)
class Check:
    """One demand on an answer; `value` is plain JSON, what it means depends on the kind (see `KINDS`)."""

    kind: str
    value: Any = None


def words(text: str) -> list[str]:
    """The words of a text; `don't` and `well-known` are one each."""
    return _WORD.findall(text)


def lines(text: str) -> list[str]:
    """The lines that are not empty, without surrounding white space."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _json_object(text: str) -> dict[str, Any] | None:
    fenced = _FENCE.match(text)
    try:
        found = json.loads((fenced[1] if fenced else text)[:_LONGEST_JSON])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _has_keys(text: str, keys: list[str]) -> bool:
    found = _json_object(text)
    return found is not None and set(found) == set(keys)


def _has_values(text: str, values: Mapping[str, Any]) -> bool:
    found = _json_object(text)
    return found is not None and found.keys() == values.keys() and all(_same(found[k], values[k]) for k in values)


def _same(found: Any, wanted: Any) -> bool:
    """Equal, and of one type; texts without regard to case and surrounding space."""
    if isinstance(wanted, str) and isinstance(found, str):
        return found.strip().casefold() == wanted.strip().casefold()
    return type(found) is type(wanted) and bool(found == wanted)


def _sentences(text: str) -> int:
    return sum(1 for part in _SENTENCE_END.split(text) if words(part))


def _bullets(text: str, count: int) -> bool:
    found = lines(text)
    return len(found) == count and all(_BULLET.match(line) for line in found)


def _holds(text: str, phrase: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase.casefold())}(?!\w)", text.casefold()) is not None


def _is_lower(text: str) -> bool:
    return text == text.lower() and any(letter.isalpha() for letter in text)


def _plain(text: str) -> str:
    """Lower case, without accents, and with nothing but single spaces around words."""
    bare = "".join(part for part in unicodedata.normalize("NFKD", text) if not unicodedata.combining(part))
    return " ".join(re.sub(r"[^\w\s'/+-]", " ", bare.casefold().replace("’", "'")).split()).strip("'")


def _is_answer(text: str, aliases: list[str]) -> bool:
    """The answer (what follows the last `Answer:`, else all of it) is one of the aliases, or `… is <alias>`."""
    given = _after_answer(text)
    if given is None:
        given = text
        if len(lines(text)) != 1:
            return False
    stated = _plain(given)
    if _DENIAL.search(stated):
        return False
    bare = _LEAD_IN.sub("", stated, count=1)
    return any(_plain(alias) in (stated, bare) for alias in aliases)


def _after_answer(text: str) -> str | None:
    """The line that follows the last `Answer:`, None without one."""
    marks = list(_ANSWER.finditer(text))
    stated = lines(text[marks[-1].end() :].strip(_MARKS + "\n")) if marks else []
    return stated[0] if stated else None


def _is_number(text: str, wanted: float) -> bool:
    """The last number of the line after the last `Answer:`; fractions and thousands separators are understood."""
    stated = _after_answer(text) or ""
    found = _NUMBER.findall(stated)
    if not found or _UNDECIDED.search(stated):
        return False
    numerator, _, denominator = found[-1].replace(",", "").replace("−", "-").partition("/")
    if denominator and not int(denominator):
        return False
    value = Fraction(numerator.strip()) / (int(denominator) if denominator else 1)
    return bool(abs(value - Fraction(wanted)) <= _TOLERANCE)


def _is_literal(text: str, wanted: str) -> bool:
    """The last line is a Python literal equal to the wanted one, types included."""
    bare = [line for line in lines(text) if not line.startswith("```")]
    if not bare:
        return False
    stated = _OUTPUT.sub("", bare[-1].strip("*` "), count=1).strip("*` ")
    found, expected = _literal(stated), _literal(wanted)
    return found is not None and expected is not None and _alike(found[0], expected[0])


def _alike(found: Any, wanted: Any) -> bool:
    """Equal all the way down, `True` apart from `1` and `1` from `1.0`."""
    if type(found) is not type(wanted):
        return False
    if isinstance(found, (list, tuple)):
        return len(found) == len(wanted) and all(map(_alike, found, wanted))
    if isinstance(found, dict):
        return found.keys() == wanted.keys() and all(_alike(found[key], wanted[key]) for key in found)
    return bool(found == wanted)


def _literal(text: str) -> tuple[Any] | None:
    """The value of a literal, in a tuple of its own.

    What is not plainly one is not even parsed: Python warns of some answers on the host's stderr.
    """
    skeleton = _STRING.sub("0", text)
    if len(text) > _LONGEST_LITERAL or not _PLAIN.match(skeleton) or _CALL.search(skeleton):
        return None
    try:
        return (ast.literal_eval(text),)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _is_acrostic(text: str, word: str) -> bool:
    initials = [next((letter for letter in line if letter.isalpha()), "") for line in lines(text)]
    return "".join(initials).casefold() == word.casefold()


def _is_varied(text: str, least: float) -> bool:
    """The share of pairs of neighbouring words that are different from all others; under three words there is none."""
    spoken = [word.casefold() for word in words(text)]
    pairs = Counter(itertools.pairwise(spoken))
    return len(spoken) > 2 and len(pairs) / (len(spoken) - 1) >= least


def _number_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_count(entry) for entry in value)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10_000


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200


def _texts(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 20 and all(_text(entry) for entry in value)


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e15


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of check: what its value must be, whether it holds for an answer, whether a cut answer can pass."""

    accepts: Callable[[Any], bool]
    holds: Callable[[str, Any], bool]
    needs_end: bool = True
    form: str = ""


KINDS: Mapping[str, Kind] = {
    "json_keys": Kind(_texts, _has_keys, form="list of the keys of a JSON object, no more and no fewer"),
    "json_values": Kind(
        lambda value: isinstance(value, dict) and 0 < len(value) <= 20, _has_values, form="the JSON object itself"
    ),
    "bullet_count": Kind(_count, _bullets, form="number of lines, each with a bullet"),
    "sentence_count": Kind(_count, lambda text, count: _sentences(text) == count, form="number"),
    "word_count": Kind(_count, lambda text, count: len(words(text)) == count, form="number"),
    "word_range": Kind(
        _number_list, lambda text, ends: ends[0] <= len(words(text)) <= ends[1], form="[fewest, most] words"
    ),
    "line_count": Kind(
        _count, lambda text, count: len(lines(text)) == count, form="number of lines that are not empty"
    ),
    "includes": Kind(
        _texts, lambda text, phrases: all(_holds(text, phrase) for phrase in phrases), False, "list of words or phrases"
    ),
    "excludes": Kind(
        _texts, lambda text, phrases: not any(_holds(text, phrase) for phrase in phrases), form="list of words"
    ),
    "lower_case": Kind(lambda value: value is None, lambda text, _: _is_lower(text), form="no value"),
    "ends_with": Kind(_text, lambda text, phrase: text.rstrip(_MARKS).endswith(phrase), form="exact text"),
    "answer": Kind(_texts, _is_answer, form="list of right answers"),
    "number": Kind(_finite, _is_number, form="number, stated after `Answer:`"),
    "literal": Kind(
        lambda value: _text(value) and _literal(value) is not None, _is_literal, form="Python literal of the last line"
    ),
    "acrostic": Kind(_text, _is_acrostic, form="word that the first letters of the lines spell"),
    "without_letters": Kind(
        _text,
        lambda text, letters: bool(words(text)) and not set(letters.casefold()) & set(text.casefold()),
        form="letters",
    ),
    "varied": Kind(
        lambda value: _finite(value) and 0 < value <= 1, _is_varied, False, "least share of different word pairs"
    ),
}
