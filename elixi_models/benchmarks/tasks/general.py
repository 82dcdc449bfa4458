"""General: does it do as it is told, know short facts, and find things in a text?"""

from __future__ import annotations

import json

from ..checks import Check
from .question import NAMES, Dice, Question

#: Facts that do not change, with the names that count as right.
_CAPITALS = (
    ("Chad", ("N'Djamena", "Ndjamena")), ("Mongolia", ("Ulaanbaatar", "Ulan Bator")), ("Uruguay", ("Montevideo",)),
    ("Latvia", ("Riga",)), ("Ghana", ("Accra",)), ("Laos", ("Vientiane",)), ("Bolivia", ("Sucre", "La Paz")),
    ("Iceland", ("Reykjavik",)), ("Oman", ("Muscat",)), ("Slovenia", ("Ljubljana",)), ("Senegal", ("Dakar",)),
    ("Nepal", ("Kathmandu",)), ("Paraguay", ("Asuncion",)), ("Zambia", ("Lusaka",)), ("Georgia", ("Tbilisi",)),
    ("Finland", ("Helsinki",)), ("Jordan", ("Amman",)), ("Cuba", ("Havana", "La Habana")), ("Mali", ("Bamako",)),
    ("New Zealand", ("Wellington",)), ("Bhutan", ("Thimphu",)), ("Ecuador", ("Quito",)), ("Estonia", ("Tallinn",)),
)  # fmt: skip
_SYMBOLS = (
    ("tungsten", "W"), ("sodium", "Na"), ("potassium", "K"), ("lead", "Pb"), ("silver", "Ag"), ("tin", "Sn"),
    ("mercury", "Hg"), ("antimony", "Sb"), ("gold", "Au"), ("iron", "Fe"), ("copper", "Cu"), ("zinc", "Zn"),
)  # fmt: skip
_ROMAN = ((100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_THINGS = (
    "a river",
    "a market",
    "a bicycle",
    "a winter coat",
    "a railway station",
    "an orchard",
    "a kitchen",
    "a harbour",
)
_KINDS = (
    ("colours", ("red", "blue", "green", "grey", "pink", "brown")),
    ("kitchen tools", ("knife", "whisk", "ladle", "grater", "pan", "sieve")),
    ("animals of the farm", ("cow", "goat", "hen", "pig", "sheep", "goose")),
    ("means of transport", ("bus", "ship", "train", "tram", "bicycle", "ferry")),
)
_GOODS = ("lamps", "ropes", "baskets", "candles", "blankets", "kettles")
_TOWNS = ("Norwick", "Eastmere", "Halden", "Oakby", "Ravenna", "Lisvane")


def make_question(dice: Dice, index: int) -> Question:
    """The index-th question: instructions, facts and extraction in turn."""
    return _TEMPLATES[index % len(_TEMPLATES)](dice)


def _bullets(dice: Dice) -> Question:
    count = dice.number(3, 5)
    kind, examples = dice.pick(_KINDS)
    return Question(
        f"List exactly {count} {kind}. Put each on a line of its own that begins with '- '. Write nothing else.",
        (Check("bullet_count", count),),
        "\n".join(f"- {example}" for example in examples[:count]),
        40,
    )


def _capital(dice: Dice) -> Question:
    country, names = dice.pick(_CAPITALS)
    return Question(
        f"What is the capital of {country}? Reply with the name of the city only.",
        (Check("answer", list(names)),),
        names[0],
        12,
    )


def _order(dice: Dice) -> Question:
    person, town, goods = dice.pick(NAMES), dice.pick(_TOWNS), dice.pick(_GOODS)
    count, price, day = dice.number(11, 89), dice.number(3, 9), dice.pick(_DAYS)
    shop = dice.pick([name for name in _TOWNS if name != town])
    values = {"customer": person, "town": town, "count": count}
    return Question(
        f"Order note: On {day} our shop in {shop} was called by {person}, who lives in {town} and wants {count} {goods}"
        f" at {price} coins each, sent before the {dice.number(3, 9)}th.\n"
        "Reply with one JSON object with the keys customer (text), town (text, where the customer lives) and count"
        " (whole number, how many are wanted). No other text.",
        (Check("json_values", values),),
        json.dumps(values),
        36,
    )


def _lower_end(dice: Dice) -> Question:
    thing = dice.pick(_THINGS)
    ending = dice.pick(("and then it rained", "until the morning", "as it always was", "and nobody knew why"))
    return Question(
        f"Write one sentence about {thing} in lower case letters only, without any capital letter. It must end with the"
        f" words: {ending}",
        (Check("lower_case"), Check("ends_with", ending), Check("word_range", [6, 40])),
        f"we looked at {thing} for a long time {ending}",
        36,
    )


def _roman(dice: Dice) -> Question:
    number = left = dice.number(21, 99)
    numeral = ""
    for value, letters in _ROMAN:
        numeral += letters * (left // value)
        left %= value
    return Question(
        f"Write the number {number} as a Roman numeral. Reply with the numeral only.",
        (Check("answer", [numeral]),),
        numeral,
        10,
    )


def _find_code(dice: Dice) -> Question:
    people = dice.sample(NAMES, 4)
    codes = [f"{dice.pick('BDFHKMR')}{dice.number(100, 999)}" for _ in people]
    wanted = dice.number(0, 3)
    lines = "; ".join(f"{person} has locker {code}" for person, code in zip(people, codes, strict=True))
    return Question(
        f"{lines}. Which locker does {people[wanted]} have? Reply with the locker only.",
        (Check("answer", [codes[wanted]]),),
        codes[wanted],
        12,
    )


def _sentences(dice: Dice) -> Question:
    count, thing = dice.number(2, 3), dice.pick(_THINGS)
    wanted, banned = dice.sample(("quiet", "early", "narrow", "bright", "heavy"), 2)
    more = ("Nobody was in a hurry.", "We stayed a while.")
    return Question(
        f"Describe {thing} in exactly {count} short sentences. Use the word '{wanted}' and do not use the word"
        f" '{banned}'.",
        (Check("sentence_count", count), Check("includes", [wanted]), Check("excludes", [banned])),
        " ".join((f"I remember {thing}, {wanted} and plain.", *more[: count - 1])),
        48,
    )


def _symbol(dice: Dice) -> Question:
    element, symbol = dice.pick(_SYMBOLS)
    return Question(
        f"What is the chemical symbol of {element}? Reply with the symbol only.",
        (Check("answer", [symbol]),),
        symbol,
        8,
    )


def _weekday(dice: Dice) -> Question:
    today, later = dice.number(0, 6), dice.number(9, 40)
    return Question(
        f"Today is {_DAYS[today]}. Which day of the week is it {later} days from now? Reply with the day only.",
        (Check("answer", [_DAYS[(today + later) % 7]]),),
        _DAYS[(today + later) % 7],
        8,
    )


def _keys(dice: Dice) -> Question:
    keys = dice.sample(("name", "colour", "weight", "price", "origin", "size"), 3)
    return Question(
        f"Reply with one JSON object that describes {dice.pick(_THINGS)}. It has exactly the keys {', '.join(keys)},"
        " each with a short text as its value. No other text.",
        (Check("json_keys", keys),),
        json.dumps(dict.fromkeys(keys, "plain")),
        48,
    )


def _words(dice: Dice) -> Question:
    count = dice.number(4, 7)
    return Question(
        f"Describe {dice.pick(_THINGS)} in exactly {count} words. Write nothing else.",
        (Check("word_count", count),),
        " ".join(("old", "quiet", "plain", "narrow", "grey", "wide", "cold")[:count]),
        16,
    )


def _largest(dice: Dice) -> Question:
    hundreds = dice.number(3, 8)
    numbers = dice.sample(range(hundreds * 1000, hundreds * 1000 + 1000), 5)
    second = sorted(numbers)[-2]
    return Question(
        f"Which of these numbers is the second largest: {', '.join(map(str, numbers))}? Reply with the number only.",
        (Check("answer", [str(second)]),),
        str(second),
        12,
    )


_TEMPLATES = (
    _bullets, _capital, _order, _lower_end, _roman, _find_code, _sentences, _weekday, _keys, _symbol, _words, _largest,
)  # fmt: skip
