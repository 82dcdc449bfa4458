"""Choosing a model for a message, asking it, and answering for the host's brain."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from elixi_models import ModelService
from elixi_models.errors import InvalidRequest, NoUsableModel
from elixi_models.testing import EmulatedModel, OllamaEmulator

Emulators = Callable[..., OllamaEmulator]
Services = Callable[..., ModelService]
Eventually = Callable[..., Any]

NOBODY = "http://127.0.0.1:9"


class Brain:
    """As the host's."""

    model = "mistral:7b"
    timeout = 8

    def generate_reply(self, prompt: str, context: str = "", timeout: float | None = None) -> str | None:
        return "its own"

    def is_available(self) -> bool:
        return True


def asked(ollama: OllamaEmulator) -> list[Any]:
    """The bodies of the requests for a reply."""
    return [request.body for request in ollama.requests if request.path == "/api/generate" and request.body["prompt"]]


@pytest.fixture
def ollama(ollama_emulators: Emulators) -> OllamaEmulator:
    """A chat model that answers with one word, and a code model with another."""
    return ollama_emulators(
        [EmulatedModel("mistral:7b", answers="Words."), EmulatedModel("codellama:7b", answers="Code.")],
        load_seconds=0.01,
    )


def test_a_message_is_answered_by_the_model_chosen_for_it(ollama: OllamaEmulator, make_service: Services) -> None:
    """The reply comes with who gave it and the reason."""
    service = make_service(ollama.url)
    service.assign({"coding": "codellama:7b"})
    reply = service.chat("Sort a list", task_type="coding")
    assert (reply.text, reply.model, reply.failure) == ("Code.", "codellama:7b", None)
    assert reply.choice is not None
    assert reply.choice.decided_by == "assignment"


def test_a_named_model_is_asked_without_a_choice(ollama: OllamaEmulator, make_service: Services) -> None:
    """In any spelling."""
    reply = make_service(ollama.url).chat("Hello", model="MISTRAL:7B")
    assert (reply.text, reply.model, reply.choice) == ("Words.", "mistral:7b", None)


def test_context_and_cap_go_with_the_prompt(ollama: OllamaEmulator, make_service: Services) -> None:
    """In the host's form, with a limit of tokens and the keep-alive."""
    make_service(ollama.url, chat_max_tokens=7).chat("Hello", context="Be brief.", model="mistral:7b")
    (body,) = asked(ollama)
    assert body["prompt"] == "Be brief.\n\nHello"
    assert (body["options"]["num_predict"], body["keep_alive"]) == (7, "30m")


def test_a_chat_leaves_the_active_model_alone(ollama: OllamaEmulator, make_service: Services) -> None:
    """A choice holds for one message."""
    service = make_service(ollama.url)
    service.set_active_model("mistral:7b")
    service.chat("Sort a list", model="codellama:7b")
    assert service.active_model() == "mistral:7b"


@pytest.mark.parametrize(
    ("prompt", "context", "model", "field", "reason"),
    [
        ("", "", None, "prompt", "empty"),
        ("  \n", "", None, "prompt", "empty"),
        (None, "", None, "prompt", "empty"),
        ("x" * 999_999, "xx", None, "prompt", "length"),
        ("Hello", "", "a b", "model", "syntax"),
        ("Hello", "", 5, "model", "type"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(
    prompt: Any, context: str, model: Any, field: str, reason: str, make_service: Services
) -> None:
    """Before any server is asked."""
    with pytest.raises(InvalidRequest) as caught:
        make_service(NOBODY).chat(prompt, context=context, model=model)
    assert (caught.value.details["field"], caught.value.details["reason"]) == (field, reason)


@pytest.mark.parametrize(
    ("url", "model", "code"),
    [
        (NOBODY, "mistral:7b", "OLLAMA_UNAVAILABLE"),
        (NOBODY, None, "NO_USABLE_MODEL"),
        (None, "phi", "MODEL_NOT_INSTALLED"),
    ],
)
def test_what_prevents_a_reply_is_told_in_the_reply(
    url: str | None, model: str | None, code: str, ollama: OllamaEmulator, make_service: Services
) -> None:
    """Nothing of the server is ever raised out of a chat."""
    reply = make_service(url or ollama.url).chat("Hello", model=model)
    assert reply.text is None
    assert reply.failure is not None
    assert reply.failure.code == code


def test_a_reply_that_takes_too_long_is_given_up(ollama_emulators: Emulators, make_service: Services) -> None:
    """After the timeout of the call."""
    slow = EmulatedModel("mistral:7b", answers="word " * 500, decode_tokens_per_s=5)
    reply = make_service(ollama_emulators([slow], load_seconds=0.01).url).chat(
        "Hello", model="mistral:7b", timeout_s=0.3
    )
    assert reply.failure is not None
    assert (reply.text, reply.failure.code) == (None, "OLLAMA_TIMEOUT")


def test_without_a_model_that_chats_there_is_no_choice(ollama_emulators: Emulators, make_service: Services) -> None:
    """An embedder is none."""
    with pytest.raises(NoUsableModel, match="Download one"):
        make_service(ollama_emulators(["nomic-embed-text"]).url).recommend("coding")


def test_a_message_that_needs_more_goes_to_a_model_that_has_it(
    ollama_emulators: Emulators, make_service: Services
) -> None:
    """Every need must be met, in whatever order they are named; else there is no choice, and the error names them."""
    seeing = EmulatedModel("llava:7b", capabilities=("completion", "vision"))
    service = make_service(ollama_emulators([EmulatedModel("mistral:7b"), seeing], load_seconds=0.01).url)
    choice = service.recommend("general", needs=("vision",))
    assert choice.model == "llava:7b"
    assert [(it.model, it.reason) for it in choice.rejected] == [
        ("mistral:7b", "is not known to have the capability vision")
    ]
    with pytest.raises(NoUsableModel, match="is known to have vision and tools"):
        service.recommend(needs=("vision", "tools"))
    with pytest.raises(InvalidRequest, match="needs must be among vision, tools, thinking, insert, audio"):
        service.recommend(needs=("telepathy",))


def test_choices_for_the_same_needs_are_made_once(ollama: OllamaEmulator, make_service: Services) -> None:
    """However they are spelled out: what a caller sends must not fill the memory."""
    service = make_service(ollama.url)
    for needs in (("vision", "tools"), ("tools", "vision"), ("tools", "vision", "tools")):
        with pytest.raises(NoUsableModel):
            service.recommend("coding", needs=needs)
        with pytest.raises(NoUsableModel):
            service.best("coding", needs=needs)
    assert len(service.parts.selector.snapshot.asked) == 1


@pytest.mark.parametrize(
    ("preferred", "model"), [("ZETA:1b", "zeta:1b"), ("nobody:1b", "alpha:1b"), ("??", "alpha:1b")]
)
def test_the_preferred_model_is_chosen_among_equals(
    ollama_emulators: Emulators, make_service: Services, preferred: str, model: str
) -> None:
    """In any spelling; a name that nobody has changes nothing."""
    alike = [EmulatedModel("alpha:1b"), EmulatedModel("zeta:1b")]
    service = make_service(ollama_emulators(alike, load_seconds=0.01).url, preferred_model=preferred)
    choice = service.recommend("general")
    assert choice.model == model
    assert choice.terms["pin"] == (5.0 if model == "zeta:1b" else 0.0)


def test_the_brain_answers_through_us_with_its_own_model(ollama: OllamaEmulator, make_service: Services) -> None:
    """Same prompt form, no options of ours, the exact installed tag."""
    brain = Brain()
    make_service(ollama.url, brain).start()
    assert brain.generate_reply("Hello", "Be brief.") == "Words."
    (body,) = asked(ollama)
    assert (body["model"], body["prompt"]) == ("mistral:7b", "Be brief.\n\nUser: Hello\nAssistant:")
    assert not body.get("options")


def test_the_brain_has_the_timeout_that_its_caller_gives(ollama_emulators: Emulators, make_service: Services) -> None:
    """A reply that takes longer is None, as from the brain itself."""
    slow = EmulatedModel("mistral:7b", answers="word " * 500, decode_tokens_per_s=5)
    brain = Brain()
    make_service(ollama_emulators([slow], load_seconds=0.01).url, brain).start()
    assert brain.generate_reply("Hello", timeout=0.3) is None


def test_the_brain_is_available_for_its_exact_model_only(ollama: OllamaEmulator, make_service: Services) -> None:
    """The host's own test takes any name that begins so."""
    brain = Brain()
    service = make_service(ollama.url, brain)
    service.start()
    assert brain.is_available() is True
    brain.model = "mistral:7b-other"
    assert brain.is_available() is False


def test_the_brain_of_a_server_that_is_down_is_not_available(make_service: Services) -> None:
    """And its reply is None."""
    brain = Brain()
    make_service(NOBODY, brain).start()
    assert brain.is_available() is False
    assert brain.generate_reply("Hello") is None


def test_a_closed_service_gives_the_brain_its_methods_back(ollama: OllamaEmulator, make_service: Services) -> None:
    """The host goes on without us."""
    brain = Brain()
    service = make_service(ollama.url, brain)
    service.start()
    assert brain.generate_reply("Hello") == "Words."
    service.close()
    assert brain.generate_reply("Hello") == "its own"


def test_without_any_model_the_brain_has_no_reply(make_service: Services) -> None:
    """Neither the brain nor the configuration names one."""
    service = make_service(NOBODY, SimpleNamespace(model=None))
    assert service._conversation.reply_for_brain("Hello", "", None) is None
