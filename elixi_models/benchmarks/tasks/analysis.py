"""Analysis: word problems with numbers, tables, and who comes before whom."""

from __future__ import annotations

from ..checks import Check
from .question import NAMES, Dice, Question

_STEPS = "Think in a few short steps. End with a line of the form 'Answer: <{what}>'."
_GOODS = ("apples", "tickets", "bricks", "notebooks", "eggs", "bottles")
_MAX_TOKENS = 96


def make_question(dice: Dice, index: int) -> Question:
    """The index-th question: word problems, tables and logic in turn."""
    return _TEMPLATES[index % len(_TEMPLATES)](dice)


def _numeric(text: str, value: int) -> Question:
    prompt = f"{text}\n{_STEPS.format(what='number')}"
    return Question(prompt, (Check("number", value),), f"It comes to {value}.\nAnswer: {value}", _MAX_TOKENS)


def _named(text: str, name: str) -> Question:
    prompt = f"{text}\n{_STEPS.format(what='name')}"
    return Question(prompt, (Check("answer", [name]),), f"It must be so.\nAnswer: {name}", _MAX_TOKENS)


def _shopping(dice: Dice) -> Question:
    person, goods = dice.pick(NAMES), dice.pick(_GOODS)
    boxes, each, given, price = dice.number(3, 9), dice.number(4, 12), dice.number(2, 9), dice.number(2, 6)
    return _numeric(
        f"{person} has {boxes} boxes with {each} {goods} each, gives {given} {goods} away and sells the rest for"
        f" {price} coins apiece. How many coins does {person} get?",
        (boxes * each - given) * price,
    )


def _table(dice: Dice) -> Question:
    shops = dice.sample(("North", "South", "East", "West"), 3)
    sales = [[dice.number(11, 60) for _ in range(3)] for _ in shops]
    rows = "\n".join(f"{shop} | {' | '.join(map(str, row))}" for shop, row in zip(shops, sales, strict=True))
    first, second = dice.sample(range(3), 2)
    return _numeric(
        f"Sales by shop:\nshop | May | June | July\n{rows}\nHow many more did {shops[first]} and {shops[second]} sell"
        " together in July than in May? (The number may be negative.)",
        sum(sales[shop][2] - sales[shop][0] for shop in (first, second)),
    )


def _order(dice: Dice) -> Question:
    people = dice.sample(NAMES, 4)
    hints = [f"{people[at]} is older than {people[at + 1]}." for at in range(3)]
    place, word = dice.pick(((0, "oldest"), (3, "youngest"), (1, "second oldest")))
    return _named(f"{' '.join(dice.sample(hints, 3))} Who is the {word}?", people[place])


def _travel(dice: Dice) -> Question:
    speed, hours, pause = dice.number(4, 9) * 10, dice.number(2, 5), dice.number(1, 3) * 10
    rest = dice.number(2, 4) * 10
    return _numeric(
        f"A train goes {hours} hours at {speed} km/h, stands still for {pause} minutes, and then goes {rest} km more at"
        f" 60 km/h. How many minutes does the whole journey take?",
        hours * 60 + pause + rest,
    )


def _percent(dice: Dice) -> Question:
    goods = dice.pick(_GOODS)
    whole, share, added = dice.number(3, 9) * 40, dice.pick((25, 50, 75)), dice.number(5, 35)
    return _numeric(
        f"A store has {whole} {goods}. On Monday {share} percent of them are sold, on Tuesday {added} new ones arrive,"
        " and on Wednesday half of what is there is broken, rounded down. How many are broken?",
        (whole - whole * share // 100 + added) // 2,
    )


def _most(dice: Dice) -> Question:
    people = dice.sample(NAMES, 4)
    tables = dice.sample(range(12, 40), 4)
    chairs = dice.sample(range(12, 40), 4)
    totals = [4 * table + chair for table, chair in zip(tables, chairs, strict=True)]
    rows = "\n".join(f"{person} | {tables[at]} | {chairs[at]}" for at, person in enumerate(people))
    return _named(
        f"worker | tables | chairs\n{rows}\nA table brings 4 points, a chair 1 point. Who has the most points?",
        people[totals.index(max(totals))],
    )


def _shared(dice: Dice) -> Question:
    older, younger = dice.sample(NAMES, 2)
    gap, factor, small = dice.number(3, 12), dice.number(2, 4), dice.number(4, 15)
    return _numeric(
        f"{older} has {gap} more coins than {factor} times the coins of {younger}. Together they have"
        f" {(factor + 1) * small + gap} coins. How many coins does {older} have?",
        factor * small + gap,
    )


def _seats(dice: Dice) -> Question:
    left, middle, right = dice.sample(NAMES, 3)
    return _named(
        f"Three people sit in a row. {right} does not sit on the left. {middle} sits directly between the two others."
        f" Who sits on the left: {', '.join(sorted((left, middle, right)))}?",
        left,
    )


_TEMPLATES = (_shopping, _order, _table, _travel, _most, _percent, _seats, _shared)
