"""The grammar of model names, their forms, and what is refused at the door."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elixi_models import names
from elixi_models.errors import InvalidRequest
from elixi_models.names import ModelName


@pytest.mark.parametrize(
    ("raw", "installed", "shown"),
    [
        ("llama3", "llama3:latest", "llama3"),
        ("mistral:7b", "mistral:7b", "mistral:7b"),
        ("  neural-chat:latest ", "neural-chat:latest", "neural-chat"),
        ("user/model:tag", "user/model:tag", "user/model:tag"),
        ("library/llama3", "llama3:latest", "llama3"),
        ("registry.ollama.ai/library/llama3:8b", "llama3:8b", "llama3:8b"),
        ("registry.ollama.ai/me/x", "me/x:latest", "me/x"),
        ("hf.co/bartowski/Llama-3.2-1B-GGUF:Q4_K_M",) + ("hf.co/bartowski/Llama-3.2-1B-GGUF:Q4_K_M",) * 2,
        ("localhost:5000/library/x:t", "localhost:5000/library/x:t", "localhost:5000/library/x:t"),
        ("LLAMA3", "LLAMA3:latest", "LLAMA3"),
        ("x:LATEST", "x:LATEST", "x"),
        ("a" * 80, "a" * 80 + ":latest", "a" * 80),
    ],
)
def test_a_valid_name_has_an_installed_and_a_shown_form(raw: str, installed: str, shown: str) -> None:
    """Default host, namespace and tag are left out as Ollama and the host expect."""
    name = ModelName.parse(raw)
    assert (name.installed, name.shown) == (installed, shown)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "missing"),
        (7, "type"),
        (["x"], "type"),
        ("", "empty"),
        ("   ", "empty"),
        ("x" * 257, "length"),
        ("x" * 81, "syntax"),
        ("a b", "syntax"),
        ("llama3:", "syntax"),
        (":7b", "syntax"),
        ("../../etc/passwd", "syntax"),
        ("..", "syntax"),
        ("-a", "syntax"),
        ("a/b/c/d", "syntax"),
        ("localhost:5000/foo", "syntax"),
        ("hf.co/a.b/c", "syntax"),
        ("http://x/y/z", "syntax"),
        ("x@sha256:00", "syntax"),
        ("llama\x00", "syntax"),
        ("llama\n3", "syntax"),
        ("lläma", "syntax"),
        ("x:a/b", "syntax"),
    ],
)
def test_an_invalid_name_is_refused_with_field_and_reason(raw: object, reason: str) -> None:
    """Nothing that Ollama would not take, and nothing that is no name, gets past the door."""
    with pytest.raises(InvalidRequest) as caught:
        ModelName.parse(raw, field="model")
    assert caught.value.details == {"field": "model", "reason": reason}
    assert caught.value.message.startswith("model ")


def test_names_are_compared_without_regard_to_case_or_defaults() -> None:
    """One key for every spelling of a model."""
    spellings = ["Llama3", "llama3:latest", "library/LLAMA3", "registry.ollama.ai/library/llama3:Latest"]
    assert {ModelName.parse(spelling).key for spelling in spellings} == {"llama3:latest"}
    assert names.key("Llama3:Latest") == "llama3:latest"


@pytest.mark.parametrize(
    ("raw", "cloud"), [("x:cloud", True), ("x:20b-CLOUD", True), ("cloud:7b", False), ("x:cloudy", False)]
)
def test_cloud_models_are_known_by_their_tag(raw: str, cloud: bool) -> None:
    """`:cloud` and `:…-cloud` leave the machine."""
    assert ModelName.parse(raw).is_cloud is cloud


def test_a_family_is_the_name_without_its_tag() -> None:
    """Families of the library have no slash; others keep where they come from."""
    assert names.family("Llama3.2:1b") == "llama3.2"
    assert names.family("hf.co/Me/X:Q4") == "hf.co/me/x"
    assert names.family("what is this") == "what is this"


def test_a_listed_name_outside_the_grammar_is_shown_as_it_is() -> None:
    """A model never disappears because we do not know its kind of name."""
    assert names.shown("odd name:latest") == "odd name:latest"
    assert names.key("Odd Name") == "odd name"


@given(st.text(max_size=300))
def test_parsing_any_text_gives_a_name_that_parses_to_itself_or_an_error(raw: str) -> None:
    """No text crashes the parser, and the installed form is stable."""
    try:
        name = ModelName.parse(raw)
    except InvalidRequest:
        return
    assert ModelName.parse(name.installed).installed == name.installed
    assert ModelName.parse(name.shown).key == name.key
