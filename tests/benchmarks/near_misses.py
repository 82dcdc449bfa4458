"""For every check of a question: the question's gold answer, changed so that this check nearly holds."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from typing import Any

from elixi_models.benchmarks.checks import Check


def near_misses(check: Check, gold: str) -> list[str]:
    """At least five answers that nearly pass."""
    return _MAKERS[check.kind](check.value, gold)


def _json_keys(keys: list[str], gold: str) -> list[str]:
    found, first = json.loads(gold), keys[0]
    without = {key: value for key, value in found.items() if key != first}
    return [
        json.dumps(without),
        json.dumps({**found, "more": "plain"}),
        json.dumps({**without, first.upper(): "plain"}),
        f"Here it is: {gold}",
        json.dumps(list(found)),
        gold[:-1],
        gold.replace('"', "'"),
    ]


def _json_values(values: Mapping[str, Any], gold: str) -> list[str]:
    changed = [{**values, key: _other(value)} for key, value in values.items()]
    as_text = {key: str(value) for key, value in values.items()}
    return [*map(json.dumps, (*changed, as_text, {**values, "more": 1})), f"Sure: {gold}", gold[:-1]]


def _other(value: Any) -> Any:
    return f"{value}s" if isinstance(value, str) else value + 1


def _bullet_count(count: int, gold: str) -> list[str]:
    lines = gold.splitlines()
    return [
        "\n".join(lines[:-1]),
        f"{gold}\n{lines[0]}",
        f"Here they are:\n{gold}",
        "\n".join(line[2:] for line in lines),
        "\n".join(f"{number}. {line[2:]}" for number, line in enumerate(lines, 1)),
        " ".join(lines),
        gold.replace("- ", "-"),
    ]


def _sentence_count(count: int, gold: str) -> list[str]:
    first = gold.partition(". ")[0]
    return [
        f"{gold} It was late.",
        f"Well! {gold}",
        f"{gold} Was it?",
        f"{first}.",
        gold.replace(". ", ", "),
        gold.replace(". ", "; "),
    ]


def _word_count(count: int, gold: str) -> list[str]:
    words = gold.split()
    return [" ".join(words[1:]), f"{gold} too", "-".join(words), "".join(words), f"{gold} {gold}", words[0]]


def _word_range(ends: list[int], gold: str) -> list[str]:
    low, high = ends
    few, many = [" ".join(f"word{n}" for n in range(count)) for count in (low - 1, high + 1)]
    return [few, many, f"{few} {many}", few.replace(" ", "-"), few.replace(" ", "\n"), many.replace(" ", ", ")]


def _line_count(count: int, gold: str) -> list[str]:
    lines = gold.splitlines()
    return ["\n".join(lines[1:]), f"{gold}\nAnd so on", f"A title\n\n{gold}", " / ".join(lines), f"{gold}\n{gold}"]


def _includes(phrases: list[str], gold: str) -> list[str]:
    word = phrases[0]
    return [gold.replace(word, other) for other in ("", f"{word}s", f"un{word}", word[:-1], f"{word[:2]} {word[2:]}")]


def _excludes(banned: list[str], gold: str) -> list[str]:
    word = banned[0]
    return [f"{gold} {form}" for form in (word, word.upper(), f"So {word}!", f"({word})", f"'{word.title()}',")]


def _lower_case(_: None, gold: str) -> list[str]:
    return [gold.capitalize(), gold.upper(), gold.title(), f"{gold[:-1]}{gold[-1].upper()}", f"{gold} with Ada"]


def _ends_with(ending: str, gold: str) -> list[str]:
    rest = gold.removesuffix(ending)
    return [f"{gold}.", f"{gold} again", gold[:-1], f"{ending} {rest}", f"{rest}{ending.title()}", f"{gold}\nThe end"]


def _answer(aliases: list[str], gold: str) -> list[str]:
    right = aliases[0]
    return [
        f"Answer: not {right}",
        f"Answer: {right} or Nobody",
        f"Answer: {right}x",
        f"Answer: {right[:-1]}",
        f"Answer: {right}, Nobody",
        f"Answer: {right}\nAnswer: Nobody",
        f"Nobody\n{right}",
    ]


def _number(value: float, gold: str) -> list[str]:
    return [
        f"It comes to {value}.",
        *(f"Answer: {other}" for other in (value + 1, value - 1, f"{value}1", f"{value}.5")),
        f"Answer: {-value}" if value else "Answer: none",
        f"Answer: {value} or {value + 1}",
        f"Answer: not {value}",
        f"Answer: {value}\nAnswer: {value + 2}",
    ]


def _literal(value: str, gold: str) -> list[str]:
    found = ast.literal_eval(value)
    return [
        repr([found]),
        repr((found,)),
        repr(value),
        f"print({value})",
        f"{value}\nThat is all.",
        f"{value} is printed",
        f"{value}, {value}",
    ]


def _acrostic(word: str, gold: str) -> list[str]:
    lines = gold.splitlines()
    return [
        "\n".join(lines[1:]),
        "\n".join(lines[::-1]),
        "\n".join([lines[1], lines[0], *lines[2:]]),
        f"{word}\n{gold}",
        f"{gold}\nAnd so on",
        " ".join(lines),
    ]


def _without_letters(letters: str, gold: str) -> list[str]:
    letter = letters[0]
    return [
        f"{gold} a{letter}a",
        f"{letter.upper()} {gold}",
        f"{gold}{letter}",
        f"{letter}\n{gold}",
        f"{gold} ({letter})",
    ]


def _varied(least: float, gold: str) -> list[str]:
    first = gold.splitlines()[0]
    return [f"{first} {first}", f"{gold}\n{gold}", "la la la la", "go on go on go on", "one word", f"{first}\n" * 3]


_MAKERS: Mapping[str, Callable[[Any, str], list[str]]] = {
    "json_keys": _json_keys,
    "json_values": _json_values,
    "bullet_count": _bullet_count,
    "sentence_count": _sentence_count,
    "word_count": _word_count,
    "word_range": _word_range,
    "line_count": _line_count,
    "includes": _includes,
    "excludes": _excludes,
    "lower_case": _lower_case,
    "ends_with": _ends_with,
    "answer": _answer,
    "number": _number,
    "literal": _literal,
    "acrostic": _acrostic,
    "without_letters": _without_letters,
    "varied": _varied,
}
