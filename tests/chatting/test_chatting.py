"""Asking a model: the prompt's form, what is measured, how failures are told apart, who goes first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from elixi_models.chatting import Chat
from elixi_models.errors import (
    Cancelled,
    CannotChat,
    ElixiModelsError,
    LoadFailed,
    ModelNotInstalled,
    OllamaBusy,
    OllamaDisabled,
    OllamaError,
    OllamaTimeout,
    OllamaUnavailable,
    OutOfMemory,
)
from elixi_models.inventory import InstalledModel, ServerView
from elixi_models.records import Measurement, ReplyEvent
from elixi_models.settings import Settings
from elixi_models.testing import EmulatedModel, OllamaEmulator
from elixi_models.upstream.cancellation import Cancellation
from elixi_models.upstream.gateway import OllamaGateway
from elixi_models.upstream.observer import Observer

URL = "http://127.0.0.1:11434"
WAIT_S = 10.0
A = InstalledModel("a:1b", "d1", weights_digest="w1")


class Watch:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


class Gateway:
    """Replies with what it was given: events, seconds that pass, or an error."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.script: list[Any] = []
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def generate(self, name: str, prompt: str, **rest: Any) -> Iterator[ReplyEvent]:
        self.asked.append((name, prompt, rest))
        for step in self.script:
            if isinstance(step, ElixiModelsError):
                raise step
            if isinstance(step, float):
                self.watch.at += step
            elif callable(step):
                step(rest["cancellation"])
            else:
                yield step


class Looker:
    view = ServerView(URL, 1.0, True, installed=(A,))


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def gateway(watch: Watch) -> Gateway:
    return Gateway(watch)


@pytest.fixture
def measured() -> list[Measurement]:
    return []


@pytest.fixture
def chat(gateway: Gateway, watch: Watch, measured: list[Measurement]) -> Chat:
    return Chat(
        gateway=gateway,
        observer=Looker(),
        settings=Settings(ollama_url=URL),
        record=measured.append,
        clock=lambda: 1_000.0,
        monotonic=watch,
    )


def done(**counts: Any) -> ReplyEvent:
    return ReplyEvent(done=True, done_reason="stop", **counts)


def test_the_request_is_the_hosts(chat, gateway):
    """Context, blank line, `User:`, line, `Assistant:`; no options, no cap, the caller's time."""
    gateway.script = [ReplyEvent(text="Hi"), done()]

    chat.ask("a:1b", "Hello", context="You are ELIXI.", timeout_s=8.0, source="brain")

    name, prompt, rest = gateway.asked[0]
    assert (name, prompt) == ("a:1b", "You are ELIXI.\n\nUser: Hello\nAssistant:")
    assert rest.pop("cancellation").cancelled is False
    assert rest == {"options": None, "think": None, "schema": None, "timeout_s": 8.0}


@pytest.mark.parametrize(("context", "sent"), [("", "Hello"), ("You are kind.", "You are kind.\n\nHello")])
def test_a_chat_of_ours_is_sent_plain(chat, gateway, context, sent):
    """Ollama adds the model's own template; only the brain's callers expect the host's form."""
    gateway.script = [ReplyEvent(text="Hi"), done()]

    chat.ask("a:1b", "Hello", context=context, timeout_s=8.0)

    assert gateway.asked[0][1] == sent


def test_options_and_think_are_handed_on(chat, gateway):
    """A cap of `manager.chat`, and a benchmark's wish that a model does not think."""
    gateway.script = [ReplyEvent(text="Hi"), done()]

    chat.ask("a:1b", "Hello", timeout_s=8.0, options={"num_predict": 5}, think=False)

    assert gateway.asked[0][2]["options"] == {"num_predict": 5}
    assert gateway.asked[0][2]["think"] is False


def test_the_answer_is_the_text_without_thinking_and_white_space(chat, gateway):
    """Pieces are joined; what the model thought is not part of it, blank lines around it neither."""
    gateway.script = [
        ReplyEvent(thinking="Hm."),
        ReplyEvent(text=" \n\nIt "),
        ReplyEvent(text="is\n\nfive."),
        ReplyEvent(text="\n"),
        done(),
    ]

    text, _, failure = chat.ask("a:1b", "Time?", timeout_s=8.0)

    assert (text, failure) == ("It is\n\nfive.", None)


def test_everything_that_the_server_counts_is_measured(chat, gateway, measured):
    """Wall time, first token and the server's own counts, under the weights' digest."""
    gateway.script = [
        1.5,
        ReplyEvent(),
        0.5,
        ReplyEvent(text="Hi"),
        1.0,
        done(total_s=2.9, load_s=1.4, prompt_tokens=12, prompt_s=0.4, tokens=7, eval_s=1.1),
    ]

    _, measurement, _ = chat.ask("A:1B", "Hello", timeout_s=8.0)

    assert measured == [measurement]
    assert len(measurement.id) == 16
    assert measurement == Measurement(
        id=measurement.id,
        created_at_s=1_000.0,
        ollama_url=URL,
        model="a:1b",
        source="chat",
        outcome="ok",
        duration_s=3.0,
        digest="d1",
        weights_digest="w1",
        ttft_s=2.0,
        total_s=2.9,
        load_s=1.4,
        prompt_tokens=12,
        prompt_s=0.4,
        tokens=7,
        eval_s=1.1,
        done_reason="stop",
    )


def test_the_first_token_may_be_a_thought(chat, gateway):
    """What the model thinks is generated too."""
    gateway.script = [0.25, ReplyEvent(thinking="Hm."), 1.0, ReplyEvent(text="Five."), done()]

    assert chat.ask("a:1b", "Time?", timeout_s=8.0)[1].ttft_s == 0.25


def test_a_model_that_nobody_has_seen_is_measured_under_its_name(chat, gateway, measured):
    """The view may not know it yet."""
    gateway.script = [ReplyEvent(text="Hi"), done()]
    chat.ask("new:1b", "Hello", timeout_s=8.0)

    assert (measured[0].model, measured[0].digest, measured[0].weights_digest) == ("new:1b", None, None)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OllamaUnavailable("gone", reason="unreachable"), "unreachable"),
        (OllamaUnavailable("gone", reason="disconnected"), "disconnected"),
        (OllamaBusy("queue"), "http_5xx"),
        (OllamaDisabled("off"), "refused"),
        (OllamaTimeout("slow"), "timeout"),
        (OllamaError("odd"), "http_5xx"),
        (LoadFailed("broken"), "load_failed"),
        (OutOfMemory("large"), "oom"),
        (ModelNotInstalled("who"), "refused"),
        (CannotChat("embedder"), "refused"),
        (Cancelled("stop"), "cancelled"),
    ],
)
def test_a_failure_is_told_by_its_class_and_never_raised(chat, gateway, measured, error, outcome):
    """No text, the class of selection, and the error's code and words as the failure."""
    gateway.script = [0.5, error]

    text, measurement, failure = chat.ask("a:1b", "Hello", timeout_s=8.0)

    assert text is None
    assert (measurement.outcome, measurement.duration_s) == (outcome, 0.5)
    assert (failure.code, failure.message, failure.at_s) == (error.code, error.message, 1_000.0)
    assert failure.details == error.details
    assert measured == [measurement]


def test_a_reply_that_breaks_off_is_no_answer(chat, gateway):
    """Half a text is not shown as a whole one; that there was a first token is remembered."""
    gateway.script = [ReplyEvent(text="It is"), OllamaUnavailable("gone", reason="disconnected")]

    text, measurement, failure = chat.ask("a:1b", "Time?", timeout_s=8.0)

    assert (text, measurement.outcome, failure.code) == (None, "disconnected", "OLLAMA_UNAVAILABLE")
    assert measurement.ttft_s == 0.0


def test_a_stream_that_ends_without_done_is_disconnected(chat, gateway):
    """Ollama may end a stream so when a runner repeats itself."""
    gateway.script = [ReplyEvent(text="It is")]

    text, measurement, failure = chat.ask("a:1b", "Time?", timeout_s=8.0)

    assert (text, measurement.outcome, failure.code) == (None, "disconnected", "OLLAMA_UNAVAILABLE")


@pytest.mark.parametrize("said", ["", " \n\n\t"])
def test_an_empty_answer_is_a_failure(chat, gateway, said):
    """Nothing, or nothing but blank lines; the counts of the server are kept."""
    gateway.script = [ReplyEvent(text=said, thinking="Hm."), done(tokens=3)]

    text, measurement, failure = chat.ask("a:latest", "Time?", timeout_s=8.0)

    assert (text, measurement.outcome, measurement.tokens) == (None, "empty", 3)
    assert (failure.code, failure.message) == ("EMPTY_REPLY", "a answered nothing.")


def test_a_persons_chat_is_counted_while_it_runs(chat, gateway):
    """Also when it fails; and the model is known to have been asked."""
    seen = []
    gateway.script = [lambda cancellation: seen.append(chat.active_chats), OllamaTimeout("slow")]
    assert chat.last_asked_at_s("a:1b") is None

    chat.ask("a:1b", "Hello", timeout_s=8.0)

    assert (seen, chat.active_chats) == ([1], 0)
    assert chat.last_asked_at_s("A:1B") == 1_000.0
    assert chat.wait_idle(0.0)


def test_a_benchmark_is_nobodys_chat(chat, gateway):
    """It neither counts as a chat nor as a use of the model."""
    seen = []
    gateway.script = [lambda cancellation: seen.append(chat.active_chats), ReplyEvent(text="Hi"), done()]

    chat.ask("a:1b", "Hello", timeout_s=8.0, source="benchmark")

    assert seen == [0]
    assert chat.last_asked_at_s("a:1b") is None


class Meeting:
    """A benchmark's request and a person's chat at the same time, on threads of their own."""

    def __init__(self, chat: Chat, gateway: Gateway) -> None:
        self.chat, self.gateway = chat, gateway
        self.outcomes: dict[str, str] = {}

    def hold(self, source: str, *, until: threading.Event) -> threading.Thread:
        """Begin a request of that source, and return when it is under way; it lasts until `until` or a cancel."""
        under_way = threading.Event()

        def last(cancellation: Cancellation) -> None:
            under_way.set()
            with cancellation.on_cancel(until.set):
                assert until.wait(WAIT_S)
            if cancellation.cancelled:
                raise Cancelled("called off")

        def ask() -> None:
            self.outcomes[source] = self.chat.ask("a:1b", "Hello", timeout_s=8.0, source=source)[1].outcome

        self.gateway.script = [last, ReplyEvent(text="Hi"), done()]
        thread = threading.Thread(target=ask)
        thread.start()
        assert under_way.wait(WAIT_S)
        return thread


def test_a_persons_chat_breaks_a_benchmarks_request_off(chat, gateway):
    """The benchmark's request ends as cancelled, which is no error; the person gets the answer."""
    meeting, free = Meeting(chat, gateway), threading.Event()
    benchmark = meeting.hold("benchmark", until=free)
    gateway.script = [ReplyEvent(text="Hi"), done()]

    text, _, _ = chat.ask("a:1b", "Hello", timeout_s=8.0, source="brain")
    benchmark.join()

    assert text == "Hi"
    assert meeting.outcomes == {"benchmark": "cancelled"}


def test_a_benchmarks_request_during_a_chat_does_not_begin(chat, gateway):
    """Its cancellation is set before anything is sent."""
    meeting, free = Meeting(chat, gateway), threading.Event()
    person = meeting.hold("chat", until=free)
    seen = []
    gateway.script = [lambda cancellation: seen.append(cancellation.cancelled), Cancelled("called off")]

    assert not chat.wait_idle(0.0)
    outcome = chat.ask("a:1b", "Hello", timeout_s=8.0, source="benchmark")[1].outcome
    free.set()
    person.join()

    assert (seen, outcome) == ([True], "cancelled")
    assert meeting.outcomes == {"chat": "ok"}


def test_waiting_for_silence_ends_with_the_last_chat(chat, gateway):
    """Whoever waits is woken by the end of the chat, not by a clock."""
    meeting, free = Meeting(chat, gateway), threading.Event()
    person = meeting.hold("chat", until=free)
    idle = []
    waiter = threading.Thread(target=lambda: idle.append(chat.wait_idle(WAIT_S)))
    waiter.start()
    free.set()
    person.join()
    waiter.join()

    assert idle == [True]


def test_a_forked_child_has_no_chats(chat, gateway):
    """The parent's are not waited for."""
    meeting, free = Meeting(chat, gateway), threading.Event()
    person = meeting.hold("benchmark", until=free)
    chat.reset_after_fork()

    assert (chat.active_chats, chat.last_asked_at_s("a:1b")) == (0, None)
    free.set()
    person.join()


@pytest.fixture
def real() -> Iterator[tuple[OllamaEmulator, Chat, list[Measurement]]]:
    """A chat with an emulated server."""
    models = [
        EmulatedModel("quick:1b", answers="one two three four", decode_tokens_per_s=400.0),
        EmulatedModel("deep:1b", answers="Five.", thinking=True),
        EmulatedModel("embed:1b", capabilities=("embedding",)),
    ]
    with OllamaEmulator(models=models, load_seconds=0.05) as ollama:
        settings = Settings(ollama_url=ollama.url, keep_alive="17m")
        gateway = OllamaGateway(settings)
        observer = Observer(gateway, settings)
        observer.ask(WAIT_S)
        measured: list[Measurement] = []
        yield (
            ollama,
            Chat(gateway=gateway, observer=observer, settings=settings, record=measured.append),
            measured,
        )
        observer.close()
        gateway.close()


def test_a_chat_with_a_server(real):
    """One generate with the prompt and the keep-alive and nothing else; every count is measured."""
    ollama, chat, _ = real

    text, measurement, failure = chat.ask("quick:1b", "Count", timeout_s=WAIT_S)

    assert (text, failure) == ("one two three four", None)
    bodies = [body for method, path, body in ollama.requests if path == "/api/generate"]
    # The oldest client sends every field that it knows, empty.
    told = [{name: value for name, value in body.items() if value} for body in bodies]
    assert told == [{"model": "quick:1b", "prompt": "Count", "stream": True, "keep_alive": "17m"}]
    assert measurement.tokens == 4
    assert measurement.eval_s == pytest.approx(3 / 400)
    assert measurement.load_s >= 0.05
    assert measurement.weights_digest
    assert 0 < measurement.ttft_s <= measurement.duration_s


def test_a_thinking_model_answers_without_its_thoughts(real):
    """By default it thinks; told not to, it does not."""
    _, chat, _ = real

    assert chat.ask("deep:1b", "Two and three?", timeout_s=WAIT_S)[0] == "Five."
    short = chat.ask("deep:1b", "Two and three?", timeout_s=WAIT_S, think=False)[1].tokens
    assert short < chat.ask("deep:1b", "Two and three?", timeout_s=WAIT_S)[1].tokens


@pytest.mark.parametrize(
    ("model", "break_it", "outcome", "code"),
    [
        ("embed:1b", lambda ollama: None, "refused", "CANNOT_CHAT"),
        ("nobody:1b", lambda ollama: None, "refused", "MODEL_NOT_INSTALLED"),
        ("quick:1b", lambda ollama: ollama.cut_stream(how="quiet"), "disconnected", "OLLAMA_UNAVAILABLE"),
        ("quick:1b", lambda ollama: ollama.cut_stream(), "disconnected", "OLLAMA_UNAVAILABLE"),
        ("quick:1b", lambda ollama: ollama.fail_next("/api/generate"), "http_5xx", "OLLAMA_ERROR"),
        ("quick:1b", lambda ollama: ollama.answer_html("/api/generate"), "unreachable", "OLLAMA_UNAVAILABLE"),
        ("quick:1b", lambda ollama: ollama.hang("/api/generate"), "timeout", "OLLAMA_TIMEOUT"),
        ("quick:1b", lambda ollama: ollama.stop(), "unreachable", "OLLAMA_UNAVAILABLE"),
    ],
)
def test_what_a_server_does_wrong_is_told_apart(real, model, break_it, outcome, code):
    """Each fault of a real connection has its class, and no text of the server's."""
    ollama, chat, measured = real
    break_it(ollama)

    text, measurement, failure = chat.ask(model, "Count", timeout_s=0.5)

    assert (text, measurement.outcome, failure.code) == (None, outcome, code)
    assert "scripted failure" not in failure.message
    assert measured == [measurement]
