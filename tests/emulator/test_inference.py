"""Generating, chatting and embedding over HTTP, beyond what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from elixi_models.testing import EmulatedModel, OllamaEmulator

from .playing import until
from .servers import NUMBERS, Client, Task

STORY = "Once upon a time there was a server. " * 50
MODELS = [
    EmulatedModel("chat:1b", answers={"story": STORY, "": ""} | {"hello": "Good day."}, system="Be kind."),
    EmulatedModel("echo", answers=lambda prompt: f"<{prompt}>", parameters={"stop": ["#"], "num_ctx": 512}),
    EmulatedModel("thinker", answers="Yes.", thinking="Hm. "),
    EmulatedModel("caller", capabilities=("completion", "tools")),
    EmulatedModel("vectors", capabilities=("embedding",), embedding_length=16, template=None),
    EmulatedModel("far-cloud", remote="https://ollama.com:443"),
    EmulatedModel("gone", broken="missing"),
]


@pytest.fixture
def ollama() -> Iterator[OllamaEmulator]:
    """All of them, quick."""
    with OllamaEmulator(MODELS, load_seconds=0, time_scale=0.02) as running:
        yield running


@pytest.fixture
def client(ollama: OllamaEmulator) -> Client:
    """Its client."""
    return Client(ollama)


def ask(client: Client, path: str = "/api/generate", timeout: float = 20.0, **body: Any) -> dict[str, Any]:
    """One object."""
    return client.post(path, {"stream": False, **body}, timeout=timeout)


def messages(text: str) -> list[dict[str, str]]:
    """One question."""
    return [{"role": "user", "content": text}]


def test_a_stream_and_a_whole_say_the_same(client: Client) -> None:
    """Piece by piece, or at once."""
    pieces = [line for _, line in client.post("/api/chat", {"model": "echo", "messages": messages("a b c")})["lines"]]
    whole = ask(client, "/api/chat", model="echo", messages=messages("a b c"))["body"]

    assert "".join(piece["message"]["content"] for piece in pieces) == whole["message"]["content"] == "<a b c>"
    assert [piece["done"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert pieces[-1]["eval_count"] == whole["eval_count"] == len(pieces) - 1


def test_durations_add_up(client: Client) -> None:
    """The whole is no less than its parts."""
    told = ask(client, model="chat:1b", prompt="hello")["body"]

    assert told["total_duration"] >= told["load_duration"] + told["prompt_eval_duration"] + told["eval_duration"]


def test_a_models_own_system_text_and_stops_count(client: Client) -> None:
    """Unless the request has its own, or is raw."""
    own, other, raw = (
        ask(client, model="chat:1b", prompt="hello", **more)["body"]["prompt_eval_count"]
        for more in ({}, {"system": "Be short and kind and good."}, {"raw": True})
    )

    assert other > own > raw
    assert ask(client, model="echo", prompt="a#b")["body"]["response"] == "<a"


def test_a_conversation_with_a_system_text_keeps_it(client: Client) -> None:
    """The model's own is then not used."""
    talk = [{"role": "system", "content": "x"}, *messages("hello")]
    short = ask(client, "/api/chat", model="chat:1b", messages=talk)["body"]["prompt_eval_count"]

    assert short < ask(client, "/api/chat", model="chat:1b", messages=messages("hello"))["body"]["prompt_eval_count"]


def test_a_raw_answer_has_no_context(client: Client) -> None:
    """Nor has one of a chat."""
    assert "context" in ask(client, model="chat:1b", prompt="hello")["body"]
    assert "context" not in ask(client, model="chat:1b", prompt="hello", raw=True)["body"]


def test_thoughts_have_a_field_of_their_own(client: Client) -> None:
    """In both endpoints, streamed and whole."""
    whole = ask(client, model="thinker", prompt="Well?")["body"]
    talk = ask(client, "/api/chat", model="thinker", messages=messages("Well?"), think=True)["body"]
    pieces = [
        line for _, line in client.post("/api/chat", {"model": "thinker", "messages": messages("Well?")})["lines"]
    ]
    without = ask(client, model="thinker", prompt="Well?", think=False)["body"]

    assert (whole["response"], whole["thinking"]) == ("Yes.", "Hm. ")
    assert talk["message"] == {"role": "assistant", "content": "Yes.", "thinking": "Hm. "}
    assert pieces[0]["message"] == {"role": "assistant", "content": "", "thinking": "Hm"}
    assert "thinking" not in without


@pytest.mark.parametrize(
    ("form", "begins"),
    [("json", '{"answer"'), ({"type": "object", "properties": {"x": {"type": "integer"}}}, '{"x": 1}'), ("xml", "<")],
)
def test_json_can_be_asked_for(client: Client, form: Any, begins: str) -> None:
    """As such, or by a schema."""
    assert ask(client, model="echo", prompt="a", format=form)["body"]["response"].startswith(begins)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"model": "far-cloud", "prompt": "x"}, 403, "ollama cloud is disabled: remote model is unavailable"),
        ({"model": "vectors", "prompt": "x"}, 400, '"vectors" does not support generate'),
        ({"model": "echo", "prompt": "x", "think": True}, 400, '"echo" does not support thinking'),
        ({"model": "gone", "prompt": "x"}, 404, 'model "gone" not found, try pulling it first'),
    ],
)
def test_what_a_model_cannot_is_refused(client: Client, body: dict[str, Any], status: int, error: str) -> None:
    """Before anything is loaded."""
    answered = ask(client, **body)

    assert (answered["status"], answered["body"]) == (status, {"error": error})
    assert client.ps() == []


def test_tools_are_let_through_where_they_can_be_used(client: Client) -> None:
    """A scripted model calls none."""
    answered = ask(client, "/api/chat", model="caller", messages=messages("x"), tools=[{"type": "function"}])

    assert answered["status"] == 200


def test_embedding_loads_and_answers(client: Client) -> None:
    """One vector a text."""
    one = client.post("/api/embed", {"model": "vectors", "input": "a"})["body"]
    two = client.post("/api/embed", {"model": "vectors", "input": ["a", "b"], "keep_alive": "1h"})["body"]

    assert (len(one["embeddings"]), len(two["embeddings"]), len(two["embeddings"][0])) == (1, 2, 16)
    assert one["embeddings"][0] == two["embeddings"][0]
    assert [model["name"] for model in client.ps()] == ["vectors:latest"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_model_whose_file_is_gone_does_not_embed(number: str) -> None:
    """It is refused as a generation is."""
    with OllamaEmulator(MODELS, version=number) as ollama:
        answered = Client(ollama).post("/api/embed", {"model": "gone", "input": "x"})

    assert answered["status"] == (404 if number == "0.33.0" else 400)


@pytest.mark.parametrize("given", [5, [1, 2], {"a": 1}])
def test_what_is_no_text_is_not_embedded(client: Client, given: Any) -> None:
    """Status 400."""
    answered = client.post("/api/embed", {"model": "vectors", "input": given})

    assert (answered["status"], answered["body"]) == (400, {"error": "invalid input type"})


def test_a_models_own_context_is_its_default(client: Client) -> None:
    """A request's own counts more, the weights' own is the most."""
    seen = []
    for options in ({}, {"num_ctx": 64}, {"num_ctx": 1}, {"num_ctx": 10**6}):
        ask(client, model="echo", prompt="x", options=options)
        seen += [model["context_length"] for model in client.ps()]

    assert seen == [512, 64, 4, 8192]


def test_an_answer_under_way_can_be_left(client: Client, ollama: OllamaEmulator) -> None:
    """The model is free at once for the next."""
    client.post("/api/generate", {"model": "chat:1b", "prompt": "a story"}, lines=3)
    until(lambda: ollama.answering == [])

    assert ask(client, model="chat:1b", prompt="hello")["body"]["response"] == "Good day."


def test_a_whole_answer_can_be_left_too(ollama: OllamaEmulator, client: Client) -> None:
    """Nobody waits for it any more."""
    slow = EmulatedModel("slow", answers=STORY, decode_tokens_per_s=1)
    ollama.install(slow)
    left = ask(client, model="slow", prompt="x", timeout=0.1)
    until(lambda: ollama.answering == [])

    assert left == {"failed": "TimeoutError"}


def test_two_questions_to_one_model_take_turns(client: Client) -> None:
    """Both are answered."""
    asked = [Task(ask, client, model="echo", prompt=prompt) for prompt in "ab"]
    answers = [task.result()["body"]["response"] for task in asked]

    assert answers == ["<a>", "<b>"]


def test_a_truncated_file_fails_each_load(ollama: OllamaEmulator, client: Client) -> None:
    """Until it is mended."""
    ollama.break_file("echo", "truncated")
    broken = [ask(client, model="echo", prompt="x")["status"] for _ in range(2)]
    ollama.break_file("echo", None)

    assert (broken, ask(client, model="echo", prompt="x")["status"]) == ([500, 500], 200)


@pytest.mark.parametrize(("destination", "status"), [("a b", 400), ("", 400), ("copy", 200), ("ECHO", 200)])
def test_a_copy_needs_a_name(client: Client, ollama: OllamaEmulator, destination: str, status: int) -> None:
    """Onto itself, in whatever case, it is nothing."""
    answered = client.post("/api/copy", {"source": "echo", "destination": destination})

    assert answered["status"] == status
    assert ("copy:latest" in ollama.installed) == (destination == "copy")
    if status == 400:
        assert answered["body"] == {"error": f'destination "{destination}" is invalid'}
