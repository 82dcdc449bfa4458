"""Creative: short pieces under constraints that can be checked; how good they are only a judge can say."""

from __future__ import annotations

from ..checks import Check
from .question import Dice, Question

_LINES = {
    "A": "A lamp is lit below the hill", "B": "Boats come home with silver rain", "C": "Clouds lie down upon the wood",
    "D": "Doors stand open to the wind", "E": "Every stone recalls a name", "F": "Far away a whistle calls",
    "H": "High above, the swallows turn", "I": "Ink runs out before the tale", "K": "Keys grow cold in empty hands",
    "L": "Leaves go drifting past my door", "M": "Morning mends the broken roof", "N": "Night has many quiet rooms",
    "O": "Oak and ivy share the sun", "R": "Roads remember every wheel", "S": "Snow forgets what summer said",
    "T": "Two old friends divide their bread", "W": "Water carries off the moon",
}  # fmt: skip
_ACROSTICS = ("STONE", "LIGHT", "RIVER", "HEART", "WINTER", "DREAM", "ISLAND", "FOREST", "OCEAN")
_TOPICS = ("the sea at night", "an empty house", "the first snow", "a forgotten song", "two brothers", "a long road")
_SPARE = {"G": "Grass is bending in the dew", "V": "Valleys fill with yellow smoke"}
_MAX_TOKENS = 90


def make_question(dice: Dice, index: int) -> Question:
    """The index-th question: acrostics, forbidden letters and tight stories in turn."""
    return _TEMPLATES[index % len(_TEMPLATES)](dice)


def _acrostic(dice: Dice) -> Question:
    word = dice.pick(_ACROSTICS)
    return Question(
        f"Write an acrostic poem for the word {word}: exactly {len(word)} lines, the first letters of the lines spell"
        f" {word}. Each line is a short phrase. Write the poem only, without a title.",
        (
            Check("acrostic", word),
            Check("line_count", len(word)),
            Check("word_range", [2 * len(word), 12 * len(word)]),
            Check("varied", 0.6),
        ),
        "\n".join({**_LINES, **_SPARE}[letter] for letter in word),
        _MAX_TOKENS,
    )


def _story(dice: Dice) -> Question:
    topic, low = dice.pick(_TOPICS), dice.number(24, 30)
    wanted = dice.sample(("copper", "bridge", "whisper", "candle", "orchard"), 2)
    gold = (
        f"Nobody spoke of {topic} any more. She kept a {wanted[0]} in her pocket and went down to the water, where one"
        f" {wanted[1]} waited. It was enough, she thought, for a beginning."
    )
    return Question(
        f"Write a tiny story about {topic} in {low} to {low + 20} words. Use the words '{wanted[0]}' and '{wanted[1]}',"
        " and do not use the word 'suddenly'. Write the story only.",
        (
            Check("word_range", [low, low + 20]),
            Check("includes", wanted),
            Check("excludes", ["suddenly"]),
            Check("varied", 0.6),
        ),
        gold,
        _MAX_TOKENS,
    )


def _lipogram(dice: Dice) -> Question:
    letter = dice.pick("bmpkc")
    count, topic = dice.number(2, 3), dice.pick(_TOPICS)
    more = ("Rain fell on the roof and on the garden.", "A door stood wide.")
    return Question(
        f"Write a poem of exactly {count} lines about {topic} that nowhere has the letter '{letter}'. Write the poem"
        " only, without a title.",
        (
            Check("line_count", count),
            Check("without_letters", letter),
            Check("word_range", [4 * count, 14 * count]),
            Check("varied", 0.6),
        ),
        "\n".join(("All that we were is gone with the tide.", *more)[:count]),
        _MAX_TOKENS,
    )


_TEMPLATES = (_acrostic, _story, _lipogram)
