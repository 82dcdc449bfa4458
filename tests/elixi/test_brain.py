"""The link to the host's brain: found late, wrapped on the instance, given back."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import Mock

import pytest

from elixi_models.elixi import BrainLink
from elixi_models.errors import OllamaUnavailable


class Brain:
    """The host's OllamaAIBrain, without a server."""

    def __init__(self) -> None:
        self.api_url = "http://localhost:11434"
        self.model = "mistral"
        self.timeout = 8

    def is_available(self) -> bool:
        return False

    def generate_reply(self, prompt: str, context: str = "", timeout: float | None = None) -> str | None:
        return f"own {prompt}|{context}|{timeout}"

    def summarize(self, text: str) -> str | None:
        return self.generate_reply(f"sum {text}")


def reply(prompt: str, context: str, timeout_s: float | None) -> str | None:
    return f"ours {prompt}|{context}|{timeout_s}"


def wrapped(brain: Any) -> BrainLink:
    link = BrainLink(brain)
    link.wrap(reply=reply, available=lambda: True)
    return link


def test_a_brain_is_read() -> None:
    """Model, server and timeout are those of the brain."""
    link = BrainLink(Brain())
    assert (link.model(), link.api_url(), link.timeout_s()) == ("mistral", "http://localhost:11434", 8.0)


def test_no_brain_is_no_trouble() -> None:
    """Every method works without one and changes nothing."""
    link = BrainLink(None)
    link.set_model("a:latest")
    link.wrap(reply=reply, available=lambda: True)
    link.unwrap()
    assert (link.brain, link.model(), link.api_url(), link.timeout_s()) == (None, None, None, None)


@pytest.mark.parametrize("value", [None, "", 3, object()])
def test_only_text_is_a_model(value: Any) -> None:
    """What is no text is no model."""
    brain = Brain()
    brain.model = brain.api_url = value
    assert (BrainLink(brain).model(), BrainLink(brain).api_url()) == (None, None)


@pytest.mark.parametrize("value", [None, 0, -1, True, "8"])
def test_only_a_positive_number_is_a_timeout(value: Any) -> None:
    """Anything else leaves the choice to the caller."""
    brain = Brain()
    brain.timeout = value
    assert BrainLink(brain).timeout_s() is None


def test_a_mock_brain_is_left_alone() -> None:
    """A Mock has every attribute: no model is read from it, and its replies stay its own."""
    brain = Mock()
    link = wrapped(brain)
    brain.generate_reply("hi")
    brain.generate_reply.assert_called_once_with("hi")
    assert (link.brain, link.model(), link.api_url(), link.timeout_s()) == (brain, None, None, None)


def test_a_mock_brain_with_a_model_gets_its_methods_back() -> None:
    """Wrapping and unwrapping leaves even a Mock as it was."""
    brain = Mock(model="mistral")
    before = brain.generate_reply
    link = wrapped(brain)
    assert brain.generate_reply("hi") == "ours hi||None"
    link.unwrap()
    assert brain.generate_reply is before


def test_set_model_gives_the_exact_name() -> None:
    """The brain gets the tag that Ollama lists."""
    brain = Brain()
    BrainLink(brain).set_model("mistral:7b")
    assert brain.model == "mistral:7b"


def test_a_brain_that_takes_no_model_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """A read-only model is told in the log."""

    class Fixed:
        @property
        def model(self) -> str:
            return "mistral"

    BrainLink(Fixed()).set_model("a:latest")
    assert "does not take a model" in caplog.text


def test_a_getter_is_asked_late_and_once() -> None:
    """The host's `get_ollama_brain` is called at the first need and its brain kept."""
    brain, calls = Brain(), []

    def get_brain() -> Brain:
        calls.append(1)
        return brain

    link = BrainLink(get_brain)
    assert calls == []
    assert (link.brain, link.model()) == (brain, "mistral")
    assert calls == [1]


@pytest.mark.parametrize("answer", [None, ImportError("no requests"), RuntimeError("not yet")])
def test_a_getter_without_a_brain_yet_is_asked_again(answer: Any) -> None:
    """A getter that gives None or fails is no error; a brain that comes later is found, and wrapped then."""
    answers: list[Any] = [answer, answer, answer, Brain()]

    def get_brain() -> Any:
        given = answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    link = wrapped(get_brain)
    assert link.model() is None
    link.set_model("a:latest")
    brain = link.brain
    assert brain.generate_reply("hi") == "ours hi||None"


def test_a_class_is_a_factory() -> None:
    """A class is not mistaken for an instance: its methods stay as they are."""
    link = wrapped(Brain)
    assert isinstance(link.brain, Brain)
    assert link.brain.generate_reply("hi") == "ours hi||None"
    assert Brain().generate_reply("hi") == "own hi||None"


def test_a_callable_brain_is_no_getter() -> None:
    """An instance with `__call__` and the brain's methods is the brain."""

    class Callable(Brain):
        def __call__(self) -> None:
            raise AssertionError

    brain = Callable()
    assert BrainLink(brain).brain is brain


def test_wrapping_takes_over_this_instance() -> None:
    """Replies and availability come through us, also those the brain asks itself for; other instances are free."""
    brain = Brain()
    wrapped(brain)
    assert brain.generate_reply("hi", "before", timeout=3) == "ours hi|before|3"
    assert brain.is_available() is True
    assert brain.summarize("text") == "ours sum text||None"
    assert Brain().generate_reply("hi") == "own hi||None"


def test_none_is_an_answer() -> None:
    """A failed reply of ours is the host's None, not a second attempt."""
    brain = Brain()
    BrainLink(brain).wrap(reply=lambda prompt, context, timeout_s: None, available=lambda: False)
    assert brain.generate_reply("hi") is None
    assert brain.is_available() is False


@pytest.mark.parametrize("fault", [OllamaUnavailable("x"), KeyError("x"), TypeError("x"), AssertionError()])
def test_an_error_of_ours_goes_to_the_brain_itself(fault: Exception) -> None:
    """The host's chat does not suffer from a defect of ours."""
    brain = Brain()

    def fail(*args: Any) -> Any:
        raise fault

    BrainLink(brain).wrap(reply=fail, available=fail)
    assert brain.generate_reply("hi", timeout=2) == "own hi||2"
    assert brain.is_available() is False


def test_unknown_arguments_go_to_the_brain_itself() -> None:
    """A brain of another make may take more; what it refuses it refuses itself."""

    class Wider(Brain):
        def generate_reply(self, prompt: str, *extra: Any, **more: Any) -> str | None:
            return f"wide {prompt} {sorted(more)}"

    brain = Wider()
    wrapped(brain)
    assert brain.generate_reply("hi", images=[]) == "wide hi ['images']"
    narrow = Brain()
    wrapped(narrow)
    with pytest.raises(TypeError, match="images"):
        narrow.generate_reply("hi", images=[])  # type: ignore[call-arg]


def test_wrapping_twice_is_wrapping_once() -> None:
    """A second call changes nothing, and one `unwrap` gives everything back."""
    brain = Brain()
    link = wrapped(brain)
    first = brain.generate_reply
    link.wrap(reply=lambda *args: "other", available=lambda: False)
    assert brain.generate_reply is first
    link.unwrap()
    link.unwrap()
    assert vars(brain).keys() == {"api_url", "model", "timeout"}
    assert brain.generate_reply("hi") == "own hi||None"


def test_it_can_be_wrapped_again() -> None:
    """After `unwrap` a new service may take the brain over."""
    brain = Brain()
    link = wrapped(brain)
    link.unwrap()
    link.wrap(reply=lambda *args: "again", available=lambda: True)
    assert brain.generate_reply("hi") == "again"


def test_a_method_of_the_instance_is_given_back() -> None:
    """Where the host itself had replaced the method on the instance, that one returns."""
    brain = Brain()
    own = brain.generate_reply = lambda prompt: "patched"  # type: ignore[method-assign,assignment,misc]
    wrapped(brain).unwrap()
    assert brain.generate_reply is own


def test_links_may_leave_in_any_order() -> None:
    """Two services on one brain: the later one answers, and the brain's own method is back when both are gone."""
    brain = Brain()
    first = wrapped(brain)
    second = BrainLink(brain)
    second.wrap(reply=lambda *args: "second", available=lambda: True)
    assert brain.generate_reply("hi") == "second"
    first.unwrap()
    assert brain.generate_reply("hi") == "second"
    second.unwrap()
    assert brain.generate_reply("hi") == "own hi||None"


class Slotted:
    __slots__ = ("model",)

    def __init__(self) -> None:
        self.model = "mistral"

    def generate_reply(self, prompt: str) -> str:
        return "own"


class Frozen(Brain):
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "generate_reply":
            raise AttributeError(name)
        super().__setattr__(name, value)


class Poorer:
    model = "mistral"

    def generate_reply(self, prompt: str) -> str:
        return "own"


@pytest.mark.parametrize("make", [Slotted, Frozen])
def test_a_brain_that_cannot_be_wrapped_stays_itself(make: Any) -> None:
    """No instance attributes, no wrapping, no error."""
    brain = make()
    link = wrapped(brain)
    assert brain.generate_reply("hi").startswith("own")
    link.unwrap()


def test_only_methods_that_are_there_are_replaced() -> None:
    """A brain without `is_available` does not get one."""
    brain = Poorer()
    wrapped(brain)
    assert brain.generate_reply("hi") == "ours hi||None"
    assert not hasattr(brain, "is_available")


def test_a_raising_property_is_absent() -> None:
    """A brain that fails to tell its model has none."""

    class Raising:
        @property
        def model(self) -> str:
            raise RuntimeError("no config")

        def generate_reply(self) -> None: ...

    assert BrainLink(Raising()).model() is None


def test_a_brain_without_a_truth_value_is_fine() -> None:
    """The brain is never tested for truth."""

    class Untestable(Brain):
        def __bool__(self) -> bool:
            raise NotImplementedError

    link = wrapped(Untestable())
    assert link.brain.generate_reply("hi") == "ours hi||None"
    link.unwrap()


def test_many_threads_find_one_brain() -> None:
    """The getter is called once although all ask at the same time."""
    started, calls = threading.Barrier(8), []

    def get_brain() -> Brain:
        calls.append(1)
        return Brain()

    link, found = BrainLink(get_brain), []

    def find() -> None:
        started.wait(10)
        found.append(link.brain)

    threads = [threading.Thread(target=find) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert calls == [1]
    assert len({id(brain) for brain in found}) == 1


def test_a_forked_child_keeps_the_brain() -> None:
    """After the reset the brain and its wrapping are there as before."""
    brain = Brain()
    link = wrapped(brain)
    link.reset_after_fork()
    assert link.brain is brain
    assert brain.generate_reply("hi") == "ours hi||None"
    link.unwrap()
    assert brain.generate_reply("hi") == "own hi||None"


@pytest.mark.parametrize(
    ("api_url", "server_url"),
    [("http://localhost:11434/", "http://127.0.0.1:11434"), ("ftp://x", None), (7, None), ("http://h:1", "http://h:1")],
)
def test_the_brains_server_is_told_in_the_form_of_the_settings(api_url: object, server_url: str | None) -> None:
    """So that it can be compared with ours; what cannot be used is None."""
    brain = Brain()
    brain.api_url = api_url
    assert BrainLink(brain).server_url() == server_url
