"""The engine behind a loaded model: the interface, and the engine whose answers and speeds are scripted."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .architecture import shape_of, vector
from .clock import SECOND
from .models import EmulatedModel

_TOKEN = re.compile(r"\s?\w{1,7}|\s?[^\w\s]|\s+")
_FRAME_TOKENS = 10


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to a loaded model. `options` are those of the API, and `think` where it was asked for."""

    messages: tuple[dict[str, Any], ...] | None
    prompt: str | None
    options: Mapping[str, Any]
    json_format: bool | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Piece:
    """One streamed piece; only the last has a `done_reason` and the counts.

    `prompt_tokens` includes cached ones, `prompt_ns` is the time of the others alone.
    """

    text: str = ""
    thinking: str = ""
    done_reason: str | None = None
    prompt_tokens: int = 0
    prompt_ns: int = 0
    tokens: int = 0
    eval_ns: int = 0


class EngineFailed(Exception):
    """A load or a generation failed; `reason` is the server's text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Engine(Protocol):
    """What runs one loaded model."""

    @property
    def pid(self) -> int | None:
        """The child process, if there is one."""

    def load(self, *, context_length: int, abort: threading.Event) -> None:
        """Block until loaded; return early once `abort` is set; raise `EngineFailed` when it cannot be."""

    def generate(self, ask: Ask, *, abort: threading.Event) -> Iterator[Piece]:
        """Answer piece by piece; stop soon after `abort` is set or the iterator is closed."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector a text."""

    def unload(self) -> None:
        """Free everything."""


class ScriptedEngine:
    """Answers what it was told to, at the speed it was told to; the same request always gives the same answer."""

    pid: int | None = None

    def __init__(
        self, model: EmulatedModel, *, load_seconds: float, time_scale: float = 1.0, fails: str | None = None
    ) -> None:
        self._model = model
        self._load_seconds = load_seconds
        self._scale = time_scale
        self._fails = fails
        self._killed = threading.Event()
        self._cached: list[str] = []

    def load(self, *, context_length: int, abort: threading.Event) -> None:
        """Take as long as was set."""
        if self._fails:
            raise EngineFailed(self._fails)
        abort.wait(self._load_seconds * self._scale)

    def generate(self, ask: Ask, *, abort: threading.Event) -> Iterator[Piece]:
        """Wait for the prompt, then give a token at a time."""
        prompt = tokens_of(prompt_of(ask))
        fresh = max(len(prompt) - _shared(prompt, self._cached), 1)
        self._cached = prompt
        prompt_ns = int(fresh / self._model.prefill_tokens_per_s * SECOND)
        began = time.monotonic()
        pieces = self._pieces(ask)
        for count, piece in enumerate(pieces):
            due = began + (prompt_ns / SECOND + count / self._model.decode_tokens_per_s) * self._scale
            if abort.wait(max(due - time.monotonic(), 0.0)):
                return
            if self._killed.is_set():
                raise EngineFailed("unexpected EOF")
            yield piece
        yield Piece(
            done_reason="length" if len(pieces) == _limit(ask) else "stop",
            prompt_tokens=len(prompt) + _FRAME_TOKENS,
            prompt_ns=prompt_ns,
            tokens=len(pieces),
            eval_ns=int(max(len(pieces) - 1, 0) / self._model.decode_tokens_per_s * SECOND),
        )

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector a text, the same for the same text."""
        length = shape_of(self._model).embedding
        return [vector(text, length) for text in texts]

    def unload(self) -> None:
        """Nothing is held."""

    def kill(self) -> None:
        """Die as a process does that is killed: the answer under way breaks off."""
        self._killed.set()

    def _pieces(self, ask: Ask) -> list[Piece]:
        limit = _limit(ask)
        pieces = [Piece(thinking=token) for token in self._thoughts(ask)]
        pieces += [Piece(text=token) for token in tokens_of(self._answer(ask))]
        return pieces[:limit] if limit >= 0 else pieces

    def _thoughts(self, ask: Ask) -> list[str]:
        wanted = "thinking" in self._model.capabilities and ask.options.get("think") is not False
        return tokens_of(str(self._model.thinking or "")) if wanted else []

    def _answer(self, ask: Ask) -> str:
        text = _scripted_answer(self._model, question_of(ask))
        if ask.json_format:
            text = _as_json(text, ask.json_format)
        for stop in ask.options.get("stop") or ():
            text = text.partition(stop)[0]
        return text


def tokens_of(text: str) -> list[str]:
    """A text in pieces of about a token; joined they are the text."""
    return _TOKEN.findall(text)


def question_of(ask: Ask) -> str:
    """What was asked last."""
    if ask.messages is None:
        return ask.prompt or ""
    asked = [message for message in ask.messages if message.get("role") == "user"]
    return str(asked[-1].get("content") or "") if asked else ""


def prompt_of(ask: Ask) -> str:
    """The whole text that a model reads."""
    if ask.messages is None:
        return ask.prompt or ""
    return "\n".join(f"{message.get('role', '')}: {message.get('content') or ''}" for message in ask.messages)


def _limit(ask: Ask) -> int:
    return int(ask.options.get("num_predict", -1))


def _shared(left: list[str], right: list[str]) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def _scripted_answer(model: EmulatedModel, question: str) -> str:
    answers = model.answers
    if isinstance(answers, str):
        return answers
    if callable(answers):
        return answers(question)
    if answers is not None:
        parts = (text for part, text in answers.items() if part and part in question)
        found = answers.get(question) or next(parts, None)
        if found is not None:
            return found
    heard = " ".join(question.split()[:12])
    return f"This is a scripted answer of {model.name}, not of a real model. You said: {heard}"


def _as_json(text: str, form: bool | Mapping[str, Any]) -> str:
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(_instance(form, text) if isinstance(form, Mapping) else {"answer": text})
    return text


def _instance(schema: Mapping[str, Any], text: str) -> Any:
    """The plainest value that a schema of the usual kinds allows."""
    if choices := schema.get("enum"):
        return choices[0]
    kind = schema.get("type", "object")
    if kind == "object":
        return {key: _instance(part, text) for key, part in schema.get("properties", {}).items()}
    plain: dict[str, Any] = {"array": [], "string": text, "integer": 1, "number": 1.0, "boolean": True}
    return plain.get(kind)
