"""Scripted answers: words, speeds, ends."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from elixi_models.emulator.models import EmulatedModel
from elixi_models.emulator.scripted import Ask, EngineFailed, Piece, ScriptedEngine, tokens_of

NEVER = threading.Event()


def engine(**facts: Any) -> ScriptedEngine:
    """An engine that takes no time."""
    return ScriptedEngine(EmulatedModel("m:1b", **facts), load_seconds=0, time_scale=0)


def asked(prompt: str = "Hello there", form: Any = None, **options: Any) -> Ask:
    """A plain question."""
    return Ask(({"role": "user", "content": prompt},), None, options, form)


def heard(given: ScriptedEngine, ask: Ask) -> list[Piece]:
    """All pieces."""
    return list(given.generate(ask, abort=NEVER))


def said(given: ScriptedEngine, ask: Ask) -> str:
    """The whole text."""
    return "".join(piece.text for piece in heard(given, ask))


@pytest.mark.parametrize(
    "text", ["", "Hello, world!", "  two  spaces\n\nand lines ", "Überlänge_x1", "日本語", "a-b c"]
)
def test_tokens_joined_are_the_text(text: str) -> None:
    """Nothing is lost."""
    assert "".join(tokens_of(text)) == text


@pytest.mark.parametrize(
    ("answers", "prompt", "text"),
    [
        ("Always this.", "anything", "Always this."),
        ({"capital": "Paris.", "Hello there": "Exactly."}, "Hello there", "Exactly."),
        ({"capital": "Paris."}, "The capital of France?", "Paris."),
        (lambda prompt: prompt.upper(), "loud", "LOUD"),
        ({"capital": "Paris."}, "Hi", "This is a scripted answer of m:1b, not of a real model. You said: Hi"),
        (None, "Hi", "This is a scripted answer of m:1b, not of a real model. You said: Hi"),
    ],
)
def test_answers_are_those_that_were_given(answers: Any, prompt: str, text: str) -> None:
    """A text, a mapping, a function; else what is said is plainly no real answer."""
    assert said(engine(answers=answers), asked(prompt)) == text


def test_the_last_question_counts() -> None:
    """Not what was said before, nor by others."""
    messages = (
        {"role": "user", "content": "one"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "x"},
    )
    echo = engine(answers=lambda prompt: prompt)

    assert said(echo, Ask(messages, None, {}, None)) == "two"
    assert said(echo, Ask(({"role": "system", "content": "x"},), None, {}, None)) == ""
    assert said(echo, Ask(None, "raw", {}, None)) == "raw"


def test_the_last_piece_has_the_counts() -> None:
    """And no other has."""
    pieces = heard(engine(answers="one two three", decode_tokens_per_s=100, prefill_tokens_per_s=1000), asked("a b"))

    assert [piece.text for piece in pieces] == ["one", " two", " three", ""]
    assert [piece.done_reason for piece in pieces] == [None, None, None, "stop"]
    assert (pieces[-1].tokens, pieces[-1].eval_ns) == (3, 20_000_000)
    assert (pieces[-1].prompt_tokens, pieces[-1].prompt_ns) == (14, 4_000_000)


@pytest.mark.parametrize(
    ("most", "text", "reason"),
    [
        (2, "one two", "length"),
        (3, "one two three", "length"),
        (4, "one two three", "stop"),
        (-1, "one two three", "stop"),
        (0, "", "length"),
    ],
)
def test_num_predict_caps(most: int, text: str, reason: str) -> None:
    """Who reaches the cap ends by length."""
    pieces = heard(engine(answers="one two three"), asked(num_predict=most))

    assert ("".join(piece.text for piece in pieces), pieces[-1].done_reason) == (text, reason)


def test_a_stop_text_ends_the_answer() -> None:
    """It is not part of it."""
    assert said(engine(answers="one. two."), asked(stop=["!", "."])) == "one"


def test_a_prompt_seen_before_takes_no_time_again() -> None:
    """Its tokens count all the same."""
    given = engine(prefill_tokens_per_s=1000)
    first, again, other = (heard(given, asked(prompt))[-1] for prompt in ("a b c d", "a b c d", "a b x d"))

    assert first.prompt_tokens == again.prompt_tokens == other.prompt_tokens
    assert (first.prompt_ns, again.prompt_ns, other.prompt_ns) == (6_000_000, 1_000_000, 2_000_000)


def test_thoughts_come_first() -> None:
    """Unless they are not wanted."""
    given = engine(answers="Yes.", thinking="Let me see.")
    pieces = heard(given, asked())

    assert "".join(piece.thinking for piece in pieces) == "Let me see."
    assert [bool(piece.thinking) for piece in pieces[:3]] == [True, True, True]
    assert pieces[-1].tokens == len(tokens_of("Let me see.")) + len(tokens_of("Yes."))
    assert all(not piece.thinking for piece in heard(given, asked(think=False)))


@pytest.mark.parametrize(
    ("answer", "form", "value"),
    [
        ("hi", True, {"answer": "hi"}),
        ('{"a": 1}', True, {"a": 1}),
        ("hi", {"type": "object", "properties": {"n": {"type": "integer"}}}, {"n": 1}),
        ("hi", {"properties": {"s": {"type": "string"}, "b": {"type": "boolean"}}}, {"s": "hi", "b": True}),
        ("hi", {"properties": {"l": {"type": "array"}, "x": {"type": "null"}}}, {"l": [], "x": None}),
        ("hi", {"type": "number"}, 1.0),
        ("hi", {"enum": ["red", "green"]}, "red"),
    ],
)  # fmt: skip
def test_json_is_json(answer: str, form: Any, value: Any) -> None:
    """Of the form that was asked for."""
    assert json.loads(said(engine(answers=answer), asked(form=form))) == value


def test_who_leaves_hears_nothing_more() -> None:
    """Not even an end."""
    gone = threading.Event()
    pieces = engine(answers="one two three").generate(asked(), abort=gone)
    first = next(pieces)
    gone.set()

    assert (first.text, list(pieces)) == ("one", [])


def test_a_killed_engine_breaks_off() -> None:
    """In the middle of its answer."""
    given = engine(answers="one two three")
    pieces = given.generate(asked(), abort=NEVER)
    next(pieces)
    given.kill()
    with pytest.raises(EngineFailed, match="unexpected EOF"):
        next(pieces)


def test_the_speed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """First the prompt's time, then a token every five milliseconds."""
    now = 100.0
    heard_at: list[float] = []

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal now
            now += timeout or 0.0
            return False

    monkeypatch.setattr("elixi_models.emulator.scripted.time.monotonic", lambda: now)
    facts = EmulatedModel("m", answers="a b c d", decode_tokens_per_s=200, prefill_tokens_per_s=40)
    for _ in ScriptedEngine(facts, load_seconds=0).generate(asked("Hi"), abort=Waiting()):
        heard_at.append(round(now - 100.0, 6))

    assert heard_at == [0.075, 0.08, 0.085, 0.09, 0.09]
