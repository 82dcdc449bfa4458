"""What the task of a message is read from: its words, their beginnings and neighbours, and its shape."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
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
_TOKEN = re.compile(r"\d+|[^\W\d_]+(?:['’][^\W\d_]+)*[+#]*")
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
_SIGNS = (
    *("```", "`", "{", "}", "()", ";", "=>", "==", "!=", "</", "->", "&&", "||", "::", "//", "\\", "$", "^"),
    *("+", "=", "*", "<", ">", "%", "?", "!", ":", '"', "/", "|", "[", "_", "…", "~", "@", "#", "#include"),
    *("def ", "\t", "\n    ", ";\n", ".\n", "\n-", "\n*", "\n\n", "...", " - ", " = ", " + ", " * "),
)


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
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = text.lower()
    tokens = _tokens(text, words)
    first = tokens[:_PAIRED_WORDS]
    return {
        *tokens,
        *[f"{token[:_STEM_CHARS]}~" for token in tokens if len(token) > _STEM_CHARS],
        *[f"{index}^{token}" for index, token in enumerate(first[:_FIRST_WORDS])],
        *map(" ".join, pairwise(first)),
        *_shape(text, tokens),
    }


def _tokens(text: str, words: Mapping[str, str]) -> list[str]:
    """Words; numbers as "0"; scripts without spaces as pairs of characters."""
    found = [token for token in _TOKEN.findall(text) if token not in _POLITE]
    if not text.isascii() and _UNSPACED.search(text):
        found = [part for token in found for part in _parts(token)]
    return ["0" if token.isdigit() else words.get(token, token) for token in found]


def _parts(token: str) -> list[str]:
    if len(token) < 3 or not _UNSPACED.match(token):
        return [token]
    return list(map("".join, pairwise(token)))


def _shape(text: str, tokens: list[str]) -> list[str]:
    numbers = tokens.count("0")
    found = [
        f"#numbers {min(numbers, 4) if numbers < 8 else 5}",
        f"#share of numbers {10 * numbers // (len(tokens) + 1)}",
        f"#words {len(tokens).bit_length()}",
    ]
    for sign in _SIGNS:
        count = text.count(sign)
        if count:
            found.append(f"#{sign}")
            if count >= 3:
                found.append(f"#3{sign}")
            if count >= 10:
                found.append(f"#10{sign}")
    return found
