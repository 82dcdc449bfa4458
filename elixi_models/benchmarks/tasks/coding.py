"""Coding: what does this program print? The programs are built from a small grammar and worked out while they are
built; nothing that a model wrote is ever run."""

from __future__ import annotations

from collections.abc import Callable

from ..checks import Check
from .question import Dice, Question

_MAX_TOKENS = 28
_WORDS = ("lantern", "harbour", "meadow", "violet", "copper", "marble", "garden", "winter", "saddle", "button")

#: A step: a line of the program, and the list after it.
_Step = Callable[[Dice, list[int]], tuple[str, list[int]]]


def make_question(dice: Dice, index: int) -> Question:
    """The index-th question: lists, loops, texts and functions in turn, with more steps as the index grows."""
    program, printed = _PROGRAMS[index % len(_PROGRAMS)](dice, 1 + index // len(_PROGRAMS) % 3)
    return Question(
        "What does this Python program print? Work it out, then reply with the printed value only, on one line.\n\n"
        f"```python\n{program}\n```",
        (Check("literal", repr(printed)),),
        repr(printed),
        _MAX_TOKENS,
    )


def _scaled(dice: Dice, values: list[int]) -> tuple[str, list[int]]:
    factor = dice.number(2, 4)
    return f"xs = [x * {factor} for x in xs]", [value * factor for value in values]


def _filtered(dice: Dice, values: list[int]) -> tuple[str, list[int]]:
    divisor = dice.number(2, 3)
    return f"xs = [x for x in xs if x % {divisor} != 0]", [value for value in values if value % divisor]


def _reversed(dice: Dice, values: list[int]) -> tuple[str, list[int]]:
    return "xs = xs[::-1]", values[::-1]


def _sliced(dice: Dice, values: list[int]) -> tuple[str, list[int]]:
    start = dice.number(1, 2)
    return f"xs = xs[{start}:]", values[start:]


def _sorted(dice: Dice, values: list[int]) -> tuple[str, list[int]]:
    return "xs = sorted(xs)", sorted(values)


def _indexed(dice: Dice, values: list[int]) -> tuple[str, list[int]]:
    return "xs = [x + i for i, x in enumerate(xs)]", [value + at for at, value in enumerate(values)]


def _appended(dice: Dice, values: list[int]) -> tuple[str, list[int]]:
    more = dice.number(1, 9)
    return f"xs.append({more})", [*values, more]


_STEPS: tuple[_Step, ...] = (_scaled, _filtered, _reversed, _sliced, _sorted, _indexed, _appended)


def _list_program(dice: Dice, steps: int) -> tuple[str, object]:
    values = [dice.number(1, 19) for _ in range(4 + steps)]
    lines = [f"xs = {values}"]
    for step in dice.sample(_STEPS, 1 + steps):
        line, values = step(dice, values)
        lines.append(line)
    return "\n".join([*lines, "print(xs)"]), values


def _loop_program(dice: Dice, steps: int) -> tuple[str, object]:
    values = [dice.number(1, 15) for _ in range(3 + steps)]
    limit, bonus, total = dice.number(4, 9), dice.number(2, 5), 0
    for value in values:
        total += value if value > limit else bonus
    program = (
        f"total = 0\nfor x in {values}:\n    if x > {limit}:\n        total += x\n    else:\n        total += {bonus}\n"
        "print(total)"
    )
    return program, total


def _text_program(dice: Dice, steps: int) -> tuple[str, object]:
    word = dice.pick(_WORDS)
    old = dice.pick(word)
    start = dice.number(0, 2)
    text = word.replace(old, "x")[start:]
    lines = [f's = "{word}"', f's = s.replace("{old}", "x")', f"s = s[{start}:]"]
    if steps > 1:
        text = text[::-1]
        lines.append("s = s[::-1]")
    if steps > 2:
        text = text.upper()
        lines.append("s = s.upper()")
    return "\n".join([*lines, "print(repr(s))"]), text


def _function_program(dice: Dice, steps: int) -> tuple[str, object]:
    start, divisor, more = dice.number(11, 40), dice.number(2, 3), dice.number(1, 4)
    results = []
    for value in range(start, start + 1 + steps):
        results.append(value // divisor if value % divisor == 0 else value + more)
    program = (
        f"def f(n):\n    if n % {divisor} == 0:\n        return n // {divisor}\n    return n + {more}\n\n"
        f"print([f(n) for n in range({start}, {start + 1 + steps})])"
    )
    return program, results


def _count_program(dice: Dice, steps: int) -> tuple[str, object]:
    letters = [dice.pick("abc") for _ in range(4 + steps)]
    counts: dict[str, int] = {}
    for letter in letters:
        counts[letter] = counts.get(letter, 0) + 1
    program = f'counts = {{}}\nfor c in "{"".join(letters)}":\n    counts[c] = counts.get(c, 0) + 1\nprint(counts)'
    return program, counts


def _while_program(dice: Dice, steps: int) -> tuple[str, object]:
    number, limit, rounds = dice.number(2, 5), dice.number(20, 60) * steps, 0
    lines = f"n = {number}\nk = 0\nwhile n < {limit}:\n    n = n * 2 + 1\n    k += 1\nprint((k, n))"
    while number < limit:
        number, rounds = number * 2 + 1, rounds + 1
    return lines, (rounds, number)


_PROGRAMS = (_list_program, _loop_program, _text_program, _function_program, _count_program, _while_program)
