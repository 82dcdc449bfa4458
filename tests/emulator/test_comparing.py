"""The comparer itself: it knows a recording again, and rejects what has been changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from .comparing import differences
from .servers import NUMBERS, recorded

Exchange = dict[str, Any]
Change = Callable[[Exchange], Any]


def body(exchange: Exchange) -> Any:
    """The JSON body."""
    return exchange["response"]["body"]


def lines(exchange: Exchange) -> list[Any]:
    """The lines, with their times."""
    return exchange["response"]["lines"]  # type: ignore[no-any-return]


def last(exchange: Exchange) -> Any:
    """The last line."""
    return lines(exchange)[-1][1]


def then(exchange: Exchange, number: int = 0) -> Exchange:
    """What was asked after it."""
    return exchange["then"][number]  # type: ignore[no-any-return]


def replace_error(exchange: Exchange, old: str, new: str) -> None:
    """Change a word of the error."""
    error = body(exchange)["error"]
    assert old in error
    body(exchange)["error"] = error.replace(old, new)


def one_layer(exchange: Exchange) -> None:
    """Make all layer lines name one layer."""
    told = [line[1] for line in lines(exchange) if len(line) == 2 and "digest" in line[1]]
    for line in told:
        line["digest"], line["status"] = told[0]["digest"], told[0]["status"]


CHANGES: dict[str, tuple[str, Change]] = {
    "another status": ("tags", lambda e: e["response"].update(status=201)),
    "another content type": (
        "pull-no-stream",
        lambda e: e["response"]["headers"].update({"content-type": "text/plain"}),
    ),
    "a charset more": ("v1-models", lambda e: e["response"]["headers"].update({"content-type": "application/json; x"})),
    "no Allow header": ("wrong-method", lambda e: e["response"]["headers"].pop("allow")),
    "another method allowed": ("wrong-method", lambda e: e["response"]["headers"].update(allow="GET")),
    "a stream not chunked": ("generate-stream", lambda e: e["response"]["headers"].pop("transfer-encoding")),
    "a key missing": ("tags", lambda e: body(e)["models"][0].pop("digest")),
    "a key too many": ("tags", lambda e: body(e)["models"][0].update(extra=1)),
    "a nested key missing": ("tags", lambda e: body(e)["models"][0]["details"].pop("family")),
    "a model missing": ("tags", lambda e: body(e)["models"].pop()),
    "a model too many": ("tags", lambda e: body(e)["models"].append(body(e)["models"][0])),
    "another model": ("tags", lambda e: body(e)["models"][0].update(name="other:latest")),
    "a figure as text": ("tags", lambda e: body(e)["models"][0].update(size="12")),
    "a text as figure": ("tags", lambda e: body(e)["models"][0].update(digest=12)),
    "no list but null": ("tags-none", lambda e: body(e).update(models=None)),
    "no null but a list": ("tags-none", lambda e: body(then(e)).update(data=[])),
    "an integer as a float": ("generate", lambda e: body(e).update(eval_count=12.5)),
    "other capabilities": ("show-embed", lambda e: body(e).update(capabilities=["completion"])),
    "an array not left empty": ("show-chat", lambda e: body(e)["model_info"].update({"tokenizer.ggml.tokens": ["a"]})),
    "a size where none is known, or none where one is": (
        "load",
        lambda e: body(then(e))["models"][0].update(size=0 if body(then(e))["models"][0]["size"] else 7),
    ),
    "an error in other words": ("name-copy-missing", lambda e: replace_error(e, "not found", "missing")),
    "an error in other quotes": ("name-generate-missing", lambda e: replace_error(e, "'", '"')),
    "an error with another name": ("name-generate-missing", lambda e: replace_error(e, "no-such-model", "that")),
    "one space less": ("queue-full", lambda e: replace_error(e, ".  m", ". m")),
    "a text with a stop": ("unknown-path", lambda e: e["response"].update(text="404 page not found.")),
    "JSON instead of text": ("unknown-path", lambda e: e["response"].update(body={"error": e["response"].pop("text")})),
    "a body where none is": ("delete", lambda e: e["response"].update(text="{}")),
    "another reason to end": ("generate", lambda e: body(e).update(done_reason="load")),
    "not done": ("generate", lambda e: body(e).update(done=False)),
    "another role": ("chat", lambda e: body(e)["message"].update(role="user")),
    "no last line": ("generate-stream", lambda e: lines(e).pop()),
    "a last line without figures": ("generate-stream", lambda e: last(e).pop("eval_count")),
    "a piece without a date": ("chat-stream", lambda e: lines(e)[3][1].pop("created_at")),
    "no success": ("pull-fresh", lambda e: lines(e).pop()),
    "no first line": ("pull-fresh", lambda e: lines(e).pop(0)),
    "two lines swapped": ("pull-fresh", lambda e: lines(e).insert(-3, lines(e).pop())),
    "an unknown line": ("pull-fresh", lambda e: lines(e).insert(-1, [0, {"status": "removing unused layers"}])),
    "one layer less": ("pull-fresh", one_layer),
    "a layer line without total": ("pull-fresh", lambda e: lines(e)[1][1].pop("total")),
    "an error as a status": ("pull-unknown-model", lambda e: lines(e).append([0, {"status": last(e)["error"]}])),
    "another error line": ("pull-manifest-503", lambda e: last(e).update(error=last(e)["error"].replace("503", "500"))),
    "an answer where the client left": (
        "abort-load",
        lambda e: e.update(response={"status": 200, "headers": {}, "text": ""}),
    ),
    "nothing asked after it": ("load", lambda e: e.pop("then")),
    "a follow-up refused": ("load", lambda e: then(e)["response"].update(status=500)),
    "another model loaded": ("evicted", lambda e: body(then(e))["models"][0].update(name="other:latest")),
}


@pytest.mark.parametrize("number", NUMBERS)
def test_every_recording_is_like_itself(number: str) -> None:
    """Nothing is found where there is nothing."""
    cases = recorded(number)

    assert {case: differences(exchange, exchange) for case, exchange in cases.items()} == {case: [] for case in cases}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_changed_recording_is_rejected(number: str, change: str) -> None:
    """Whatever belongs to the contract is noticed."""
    case, make = CHANGES[change]
    changed = copy.deepcopy(recorded(number)[case])
    make(changed)

    assert differences(recorded(number)[case], changed) != []


@pytest.mark.parametrize("number", NUMBERS)
def test_figures_dates_and_digests_are_free(number: str) -> None:
    """Another machine has other figures."""
    changed = copy.deepcopy(recorded(number)["tags"])
    for model in body(changed)["models"]:
        model.update(size=5, digest="0" * 64, modified_at="2030-01-01T00:00:00Z")

    assert differences(recorded(number)["tags"], changed) == []


@pytest.mark.parametrize("number", NUMBERS)
def test_how_many_lines_of_a_kind_come_is_free(number: str) -> None:
    """A faster machine says less."""
    changed = copy.deepcopy(recorded(number)["pull-fresh"])
    del lines(changed)[2:60]

    assert differences(recorded(number)["pull-fresh"], changed) == []
