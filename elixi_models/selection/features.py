"""What the task of a message is read from: its words, their beginnings and neighbours, and its shape."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise

_HEAD_CHARS = 600
_TAIL_CHARS = 200
_GREETING = re.compile(
    r"\s*(?:hi|hello|hey|hallo|hola|bonjour|salut|ciao|olá|oi|dear|good (?:morning|evening|afternoon|day)|"
    r"guten (?:morgen|tag|abend)|buenos días|buenas tardes|bom dia|привет|здравствуйте|merhaba)\b"
    r"[^.!?,\n]{0,20}[,.!?\n]+\s*",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"\s*(?:please,? )?(?:(?:can|could|would|will) you|kannst du|könntest du|peux-tu|pouvez-vous|puedes|podrías|"
    r"você pode|puoi|potresti|можешь)\s+",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*[+#]*|\d+")
#: The same tokens of a text in lower-case ASCII, in half of the time.
_ASCII_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)*[+#]*|[0-9]+")
#: Said in front of any task, so they tell nothing and must not take a place among the first words.
_POLITE = {
    *("please", "pls", "plz", "kindly", "thanks", "thank", "thx", "hi", "hello", "hey", "hallo", "hola", "bonjour"),
    *("bitte", "danke", "gracias", "merci", "obrigado", "grazie", "пожалуйста", "спасибо", "привет"),
}
#: Thai, Lao, and all from the CJK radicals on: Chinese, Japanese, and Korean with its endings.
_UNSPACED = re.compile("[\u0e00-\u0eff\u2e80-\U0010ffff]")
_STEM_CHARS = 5
_FIRST_WORDS = 3
_PAIRED_WORDS = 12
#: By a character that each of them holds: most are not there, and one look at the character tells it for all.
_SIGNS: Mapping[str, Sequence[str]] = {
    **{sign: (sign,) for sign in '{}\\$^%?!["_…~@\t'},
    "`": ("`", "```"),
    "(": ("()",),
    ";": (";", ";\n"),
    "=": ("=", "=>", "==", "!=", " = "),
    "<": ("<", "</"),
    ">": (">", "->"),
    "&": ("&&",),
    "|": ("|", "||"),
    ":": (":", "::"),
    "/": ("/", "//"),
    "+": ("+", " + "),
    "*": ("*", "\n*", " * "),
    "-": ("\n-", " - "),
    "#": ("#", "#include"),
    ".": ("...",),
    "\n": ("\n    ", "\n\n", ".\n"),
    "d": ("def ",),
}


def excerpt(prompt: str) -> str:
    """The part of a message that is read: its first 600 and last 200 characters, without greeting and "can you"."""
    head = prompt[:_HEAD_CHARS]
    for opening in (_GREETING, _ASKING):
        found = opening.match(head)
        if found and found.end() < len(head):
            head = head[found.end() :]
    return head if len(prompt) <= _HEAD_CHARS else f"{head}\n{prompt[max(_HEAD_CHARS, len(prompt) - _TAIL_CHARS) :]}"


def features(text: str, words: Mapping[str, str]) -> set[str]:
    """The features of an excerpt, in no order; `words` maps words of other languages to English ones."""
    text = _plain(text)
    found = _tokens(text, words)
    known, first = set(found), found[:_PAIRED_WORDS]
    return {
        *known,
        *[f"{token[:_STEM_CHARS]}~" for token in known if len(token) > _STEM_CHARS],
        *[f"{index}^{token}" for index, token in enumerate(first[:_FIRST_WORDS])],
        *map(" ".join, pairwise(first)),
        *_shape(text, found),
    }


def tokens(text: str, words: Mapping[str, str]) -> list[str]:
    """The words of an excerpt as `features` sees them, in their order."""
    return _tokens(_plain(text), words)


def _plain(text: str) -> str:
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).lower()


def _tokens(text: str, words: Mapping[str, str]) -> list[str]:
    """Words; numbers as "0"; scripts without spaces as pairs of characters."""
    if text.isascii():
        found = _ASCII_TOKEN.findall(text)
    else:
        found = _TOKEN.findall(text)
        if _UNSPACED.search(text):
            found = [part for token in found if token not in _POLITE for part in _parts(token)]
    return ["0" if token.isdigit() else words.get(token, token) for token in found if token not in _POLITE]


def _parts(token: str) -> list[str]:
    if len(token) < 3 or not _UNSPACED.match(token):
        return [token]
    return list(map("".join, pairwise(token)))


def _shape(text: str, tokens: Sequence[str]) -> list[str]:
    numbers = tokens.count("0")
    found = [
        f"#numbers {min(numbers, 4) if numbers < 8 else 5}",
        f"#share of numbers {10 * numbers // (len(tokens) + 1)}",
        f"#words {len(tokens).bit_length()}",
    ]
    for sign in [sign for mark, signs in _SIGNS.items() if mark in text for sign in signs]:
        count = text.count(sign)
        if count:
            found.append(f"#{sign}")
            if count >= 3:
                found.append(f"#3{sign}")
            if count >= 10:
                found.append(f"#10{sign}")
    return found
