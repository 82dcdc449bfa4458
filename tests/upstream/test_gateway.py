"""The gateway against the emulator in three versions, and against a server that says what no Ollama should."""

from __future__ import annotations

import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from elixi_models import errors
from elixi_models.inventory import InstalledModel
from elixi_models.records import PullEvent, ReplyEvent
from elixi_models.settings import Settings
from elixi_models.testing import VERSIONS, OllamaEmulator
from elixi_models.upstream.cancellation import Cancellation
from elixi_models.upstream.gateway import OllamaGateway

Gateways = Callable[..., OllamaGateway]


@pytest.fixture
def gateways() -> Iterator[Gateways]:
    """Makes gateways that end with the test."""
    made: list[OllamaGateway] = []

    def make(url: str, **settings: Any) -> OllamaGateway:
        made.append(OllamaGateway(Settings.load({}, ollama_url=url, **settings)))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()


@pytest.fixture
def gateway(gateways: Gateways, ollama_emulator: OllamaEmulator) -> OllamaGateway:
    return gateways(ollama_emulator.url)


@pytest.fixture
def raw_gateway(gateways: Gateways, raw_server: Any) -> OllamaGateway:
    return gateways(raw_server.url)


def asked(emulator: OllamaEmulator, path: str) -> list[Any]:
    """The bodies of the requests for a path."""
    return [request.body for request in emulator.requests if request.path == path]


@pytest.mark.parametrize("version", VERSIONS)
def test_version_is_the_servers(
    gateways: Gateways, ollama_emulators: Callable[..., OllamaEmulator], version: str
) -> None:
    """Every version tells itself."""
    assert gateways(ollama_emulators([], version=version).url).version().startswith(version)


@pytest.mark.parametrize("version", VERSIONS)
def test_installed_and_completed(
    gateways: Gateways, ollama_emulators: Callable[..., OllamaEmulator], version: str
) -> None:
    """`tags` gives names and sizes, `show` the capabilities, for every version, also of an embedder."""
    gateway = gateways(ollama_emulators(["llama3.2:1b", "nomic-embed-text"], version=version).url)
    listed = {model.name: model for model in gateway.installed()}
    assert set(listed) == {"llama3.2:1b", "nomic-embed-text:latest"}
    assert all(model.capabilities is None and model.weights_digest is None for model in listed.values())
    chat = gateway.complete(listed["llama3.2:1b"])
    assert chat.can_chat is True
    assert len(chat.weights_digest or "") == len(chat.digest) == 64
    assert chat.context_length == 131072
    assert gateway.complete(listed["nomic-embed-text:latest"]).can_chat is False


@pytest.mark.parametrize("version", VERSIONS)
def test_load_ps_unload(gateways: Gateways, ollama_emulators: Callable[..., OllamaEmulator], version: str) -> None:
    """A loaded model is in `ps` by digest, an unloaded one is not; the keep-alive setting goes with the load."""
    emulator = ollama_emulators(["llama3.2:1b"], version=version, load_seconds=0.05)
    gateway = gateways(emulator.url)
    gateway.load("llama3.2:1b")
    assert [entry.digest for entry in gateway.loaded()] == [gateway.installed()[0].digest]
    gateway.unload("llama3.2:1b")
    _eventually(lambda: gateway.loaded() == [])
    gateway.unload("llama3.2:1b")
    bodies = asked(emulator, "/api/generate")
    assert [body["keep_alive"] for body in bodies] == ["30m", 0, 0]
    assert not any(body.get("prompt") or body.get("options") for body in bodies)


@pytest.mark.parametrize("version", VERSIONS)
def test_delete_removes(gateways: Gateways, ollama_emulators: Callable[..., OllamaEmulator], version: str) -> None:
    """A deleted model is gone from the list; deleting it again names it as not installed."""
    gateway = gateways(ollama_emulators(["llama3.2:1b"], version=version).url)
    gateway.delete("llama3.2:1b")
    assert gateway.installed() == []
    with pytest.raises(errors.ModelNotInstalled, match=r"^llama3\.2:1b is not installed"):
        gateway.delete("llama3.2:1b")


@pytest.mark.parametrize("version", VERSIONS)
def test_pull_ends_with_success(
    gateways: Gateways, ollama_emulators: Callable[..., OllamaEmulator], version: str
) -> None:
    """The events of a pull start with the manifest, carry bytes, and end with success; then it is installed."""
    emulator = ollama_emulators([], version=version, pull_seconds=0.3)
    gateway = gateways(emulator.url)
    events = list(gateway.pull("qwen2.5:0.5b"))
    assert events[0] == PullEvent("pulling manifest")
    assert events[-1] == PullEvent("success")
    assert any(event.completed_bytes and event.total_bytes for event in events)
    assert [model.name for model in gateway.installed()] == ["qwen2.5:0.5b"]
    assert not asked(emulator, "/api/pull")[0].get("insecure")


@pytest.mark.parametrize("version", VERSIONS)
def test_generate_streams(gateways: Gateways, ollama_emulators: Callable[..., OllamaEmulator], version: str) -> None:
    """A reply comes in pieces; the last has the counts and durations that metrics are made of."""
    emulator = ollama_emulators(["llama3.2:1b"], version=version)
    events = list(gateways(emulator.url).generate("llama3.2:1b", "hello", options={"num_predict": 4}, timeout_s=10))
    last = events[-1]
    assert [event.done for event in events] == [False] * (len(events) - 1) + [True]
    assert "".join(event.text for event in events)
    assert (last.tokens, last.done_reason) == (4, "length")
    assert 0 < (last.eval_s or 0) < (last.total_s or 0) < 10
    body = asked(emulator, "/api/generate")[0]
    assert (body["prompt"], body["options"], body["keep_alive"]) == ("hello", {"num_predict": 4}, "30m")
    assert "think" not in body


def test_nothing_is_sent_before_the_first_event(gateway: OllamaGateway, ollama_emulator: OllamaEmulator) -> None:
    """A stream that nobody reads costs the server nothing."""
    gateway.pull("x").close()  # type: ignore[attr-defined]
    gateway.generate("llama3.2:1b", "x", timeout_s=1).close()  # type: ignore[attr-defined]
    assert ollama_emulator.requests == []


@pytest.mark.parametrize(("keep_alive", "sent"), [(None, None), (60, 60), ("5m", "5m")])
def test_keep_alive_of_one_reply(
    gateway: OllamaGateway, ollama_emulator: OllamaEmulator, keep_alive: Any, sent: Any
) -> None:
    """A reply may carry its own keep-alive, or none at all."""
    list(gateway.generate("llama3.2:1b", "x", keep_alive=keep_alive, options={"num_predict": 1}, timeout_s=10))
    assert asked(ollama_emulator, "/api/generate")[0].get("keep_alive") == sent


@pytest.mark.parametrize(("setting", "sent"), [("-1", -1.0), ("300", 300.0), ("24h", "24h")])
def test_bare_numbers_are_sent_as_numbers(
    gateways: Gateways, ollama_emulator: OllamaEmulator, setting: str, sent: Any
) -> None:
    """Ollama refuses "-1" and "300" as text, though its own variable takes them."""
    gateways(ollama_emulator.url, keep_alive=setting).load("llama3.2:1b")
    assert asked(ollama_emulator, "/api/generate")[0]["keep_alive"] == sent


def _client_without_think(client: Any, model: str, prompt: str, stream: bool, options: Any, keep_alive: Any) -> None:
    raise AssertionError("a client that does not know `think` would drop it")


@pytest.fixture(params=["this client", "one like 0.3"])
def any_client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed client, and one whose `generate` does not know `think`."""
    if request.param == "one like 0.3":
        import ollama

        monkeypatch.setattr(ollama.Client, "generate", _client_without_think)


@pytest.mark.usefixtures("any_client")
def test_think_is_sent_whatever_the_client_knows(raw_gateway: OllamaGateway, raw_server: Any) -> None:
    """Client 0.3.x has no `think`; it goes out all the same, and the reply is read alike."""
    raw_server.stream({"response": "a", "done": False}, {"response": "", "done": True, "done_reason": "stop"})
    events = list(raw_gateway.generate("m", "p", think=False, timeout_s=10))
    assert events == [ReplyEvent("a"), ReplyEvent(done=True, done_reason="stop")]
    body = json.loads(raw_server.requests[0][2])
    assert (body["think"], body["stream"], body["model"], body["prompt"]) == (False, True, "m", "p")


@pytest.mark.usefixtures("any_client")
def test_a_schema_is_sent_as_it_is_whatever_the_client_knows(raw_gateway: OllamaGateway, raw_server: Any) -> None:
    """As `format`, with its keys in their order, which a server fills in that order; without one nothing is sent."""
    raw_server.stream({"response": "{}", "done": True})
    schema = {"type": "object", "properties": {"b": {"type": "boolean"}, "a": {"type": "boolean"}}}
    assert list(raw_gateway.generate("m", "p", schema=schema, timeout_s=10))[-1].text == "{}"

    sent = json.loads(raw_server.requests[0][2])["format"]
    assert sent == schema
    assert list(sent["properties"]) == ["b", "a"]


@pytest.mark.usefixtures("any_client")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (("400 Bad Request", {"error": '"m" does not support thinking'}), errors.InvalidRequest),
        (("404 Not Found", {"error": "model 'm' not found"}), errors.ModelNotInstalled),
        (("200 OK", {"error": "out of memory"}), errors.OutOfMemory),
        (("200 OK", [1]), errors.OllamaError),
    ],
)
def test_failures_with_think_are_the_same(
    raw_gateway: OllamaGateway, raw_server: Any, answer: tuple[str, Any], expected: type[Exception]
) -> None:
    """Refused before the stream, in the stream, or with something odd: as every other reply."""
    raw_server.answer(answer[1], status=answer[0])
    with pytest.raises(errors.ElixiModelsError) as caught:
        list(raw_gateway.generate("m", "p", think=True, timeout_s=10))
    assert type(caught.value) is expected


@pytest.mark.usefixtures("any_client")
def test_thinking_is_told_apart(raw_gateway: OllamaGateway, raw_server: Any) -> None:
    """What a thinking model thinks is not its answer."""
    raw_server.stream({"response": "", "thinking": "hm", "done": False}, {"response": "42", "done": True})
    assert list(raw_gateway.generate("m", "p", think=True, timeout_s=10)) == [
        ReplyEvent(thinking="hm"),
        ReplyEvent("42", done=True),
    ]


def test_cloud_stubs_are_told_apart(raw_gateway: OllamaGateway, raw_server: Any) -> None:
    """The client's own list drops the remote fields; ours is read from the wire."""
    stub = {"name": "a:cloud", "model": "a:cloud", "size": 384, "digest": "d", "remote_host": "https://ollama.com:443"}
    raw_server.answer({"models": [stub]})
    assert raw_gateway.installed() == [InstalledModel("a:cloud", "d", size_bytes=384, remote=True)]


FAILURES: list[tuple[str, Callable[[OllamaEmulator], Any], Callable[[OllamaGateway], Any], type[Exception]]] = [
    ("load unknown", lambda e: None, lambda g: g.load("nosuch:1b"), errors.ModelNotInstalled),
    ("load embedder", lambda e: None, lambda g: g.load("nomic-embed-text:latest"), errors.CannotChat),
    ("unload unknown", lambda e: None, lambda g: g.unload("nosuch:1b"), errors.ModelNotInstalled),
    ("show unknown", lambda e: None, lambda g: g.complete(InstalledModel("nosuch:1b", "")), errors.ModelNotInstalled),
    ("generate unknown", lambda e: None, lambda g: list(g.generate("no", "x", timeout_s=5)), errors.ModelNotInstalled),
    ("pull unknown", lambda e: None, lambda g: list(g.pull("nosuch")), errors.ModelNotFound),
    ("pull invalid", lambda e: None, lambda g: list(g.pull("a b")), errors.InvalidRequest),
    (
        "truncated",
        lambda e: e.break_file("llama3.2:1b", "truncated"),
        lambda g: g.load("llama3.2:1b"),
        errors.LoadFailed,
    ),
    ("disk full", lambda e: e.set_disk_free(1000), lambda g: list(g.pull("llama3.2:3b")), errors.InsufficientStorage),
    ("damaged", lambda e: e.break_pull("corrupt"), lambda g: list(g.pull("smollm2:135m")), errors.DigestMismatch),
    ("offline", lambda e: e.break_pull("offline"), lambda g: list(g.pull("smollm2:135m")), errors.RegistryUnreachable),
    ("denied", lambda e: e.break_pull("manifest-403"), lambda g: list(g.pull("smollm2:135m")), errors.RegistryDenied),
    (
        "out of memory",
        lambda e: e.fail_next(
            "/api/generate", status=500, error="model requires more system memory (7.5 GiB) than is available (5.2 GiB)"
        ),
        lambda g: g.load("llama3.2:1b"),
        errors.OutOfMemory,
    ),
    (
        "queue full",
        lambda e: e.fail_next(
            "/api/generate", status=503, error="server busy, please try again.  maximum pending requests exceeded"
        ),
        lambda g: g.load("llama3.2:1b"),
        errors.OllamaBusy,
    ),
    ("html everywhere", lambda e: e.answer_html(), lambda g: g.installed(), errors.OllamaUnavailable),
    ("html for show", lambda e: e.answer_html(status=200), lambda g: g.complete(g.installed()[0]), errors.OllamaError),
    (
        "reply cut",
        lambda e: e.cut_stream("/api/generate"),
        lambda g: list(g.generate("llama3.2:1b", "x", timeout_s=5)),
        errors.OllamaUnavailable,
    ),
    (
        "reply cut in a line",
        lambda e: e.cut_stream("/api/generate", how="half-line"),
        lambda g: list(g.generate("llama3.2:1b", "x", timeout_s=5)),
        errors.OllamaUnavailable,
    ),
    (
        "reply ends without done",
        lambda e: e.cut_stream("/api/generate", how="quiet"),
        lambda g: list(g.generate("llama3.2:1b", "x", timeout_s=5)),
        errors.OllamaUnavailable,
    ),
    (
        "pull ends without success",
        lambda e: e.cut_stream("/api/pull", how="quiet"),
        lambda g: list(g.pull("smollm2:135m")),
        errors.OllamaUnavailable,
    ),
    ("down", lambda e: e.go_down(), lambda g: g.version(), errors.OllamaUnavailable),
    ("down for a stream", lambda e: e.go_down(), lambda g: list(g.pull("x")), errors.OllamaUnavailable),
]


@pytest.mark.parametrize(
    ("arrange", "act", "expected"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES]
)
def test_failures_of_a_server(
    gateway: OllamaGateway,
    ollama_emulator: OllamaEmulator,
    arrange: Callable[[OllamaEmulator], Any],
    act: Callable[[OllamaGateway], Any],
    expected: type[Exception],
) -> None:
    """Each failure of a real server is one error of ours."""
    arrange(ollama_emulator)
    with pytest.raises(errors.ElixiModelsError) as caught:
        act(gateway)
    assert type(caught.value) is expected


CALLS: dict[str, Callable[[OllamaGateway], Any]] = {
    "version": lambda gateway: gateway.version(),
    "installed": lambda gateway: gateway.installed(),
    "complete": lambda gateway: gateway.complete(InstalledModel("a:latest", "d")),
    "loaded": lambda gateway: gateway.loaded(),
    "load": lambda gateway: gateway.load("a:latest"),
    "unload": lambda gateway: gateway.unload("a:latest"),
    "delete": lambda gateway: gateway.delete("a:latest"),
    "pull": lambda gateway: list(gateway.pull("a:latest")),
    "generate": lambda gateway: list(gateway.generate("a:latest", "x", timeout_s=5)),
    "think": lambda gateway: list(gateway.generate("a:latest", "x", think=True, timeout_s=5)),
}
READS = ("version", "installed", "loaded")
STREAMS = ("pull", "generate", "think")
ODD_ANSWERS: dict[str, tuple[bytes, str]] = {
    "a page": (b"<!doctype html><title>Welcome</title>", "200 OK"),
    "no body": (b"", "200 OK"),
    "half JSON": (b'{"models": [{"name": "a', "200 OK"),
    "a list": (b"[1, 2]", "200 OK"),
    "a number": (b"42", "200 OK"),
    "null": (b"null", "200 OK"),
    "models null": (b'{"models": null}', "200 OK"),
    "models of the wrong type": (b'{"models": {"a": 1}}', "200 OK"),
    "not UTF-8": (b'{"version": "\xff\xfe"', "200 OK"),
    "nested too deep": (b"[" * 100_000, "200 OK"),
    "an error object": (b'{"error": {"message": "nested", "code": null}}', "400 Bad Request"),
    "an error of null": (b'{"error": null}', "500 Internal Server Error"),
    "an error list": (b"[]", "500 Internal Server Error"),
    "an error without JSON": (b"boom", "500 Internal Server Error"),
    "empty 403": (b"", "403 Forbidden"),
    "text 404": (b"404 page not found", "404 Not Found"),
    "text 405": (b"405 method not allowed", "405 Method Not Allowed"),
    "a redirect": (b"", "307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/x"),
    "a proxy's 502": (b"<html>Bad Gateway</html>", "502 Bad Gateway"),
    "a proxy's 504": (b"<html>Gateway Time-out</html>", "504 Gateway Time-out"),
    "too many requests": (b"{}", "429 Too Many Requests"),
    "status 600": (b"{}", "600 Odd"),
}


@pytest.mark.parametrize("odd", ODD_ANSWERS)
@pytest.mark.parametrize("call", CALLS)
def test_odd_answers_are_errors_of_ours(raw_gateway: OllamaGateway, raw_server: Any, call: str, odd: str) -> None:
    """Whatever answers in Ollama's place, every call raises an Ollama error and nothing else."""
    body, status = ODD_ANSWERS[odd]
    raw_server.answer(body, status=status)
    if status == "200 OK" and call == "delete":
        CALLS[call](raw_gateway)  # a deletion is told by its status alone
        return
    with pytest.raises((errors.OllamaError, errors.OllamaUnavailable, errors.OllamaTimeout)) as caught:
        CALLS[call](raw_gateway)
    assert "nested" not in caught.value.message
    assert "boom" not in caught.value.message


def test_a_redirect_is_not_followed(raw_gateway: OllamaGateway, raw_server: Any) -> None:
    """An address that sends elsewhere is told, not obeyed: the target would get prompts that are not meant for it."""
    raw_server.answer(b"", status=f"307 Temporary Redirect\r\nLocation: {raw_server.url}/elsewhere")
    with pytest.raises(errors.OllamaError, match="redirects elsewhere"):
        raw_gateway.version()
    assert len(raw_server.requests) == 1


ODD_CONNECTIONS: dict[str, bytes] = {
    "closed at once": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "body cut short": b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"models":',
    "chunk cut short": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{",
    "bad encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("odd", ODD_CONNECTIONS)
@pytest.mark.parametrize("call", CALLS)
def test_broken_connections_are_errors_of_ours(
    raw_gateway: OllamaGateway, raw_server: Any, call: str, odd: str
) -> None:
    """A connection that breaks at any point is a server that went away or is none."""
    raw_server.reply = ODD_CONNECTIONS[odd]
    with pytest.raises((errors.OllamaError, errors.OllamaUnavailable)):
        CALLS[call](raw_gateway)


ODD_LINES: dict[str, bytes] = {
    "blank": b"\n",
    "no JSON": b"hello\n",
    "a list": b"[1]\n",
    "a number": b"7\n",
    "null": b"null\n",
    "half a line": b'{"response": "a", "do',
    "an error object": b'{"error": {"message": "nested"}}\n',
}


@pytest.mark.parametrize("odd", ODD_LINES)
@pytest.mark.parametrize("call", STREAMS)
def test_odd_lines_are_errors_of_ours(raw_gateway: OllamaGateway, raw_server: Any, call: str, odd: str) -> None:
    """A stream that is well until a line that makes no sense ends as an Ollama error."""
    raw_server.stream({"response": "a", "status": "pulling manifest", "done": False}, ODD_LINES[odd])
    with pytest.raises((errors.OllamaError, errors.OllamaUnavailable)):
        CALLS[call](raw_gateway)


@pytest.mark.parametrize("call", STREAMS)
def test_a_stream_that_just_stops_was_disconnected(raw_gateway: OllamaGateway, raw_server: Any, call: str) -> None:
    """Without its last line a stream is not finished, also when it ended properly."""
    raw_server.stream({"response": "a", "status": "pulling manifest", "done": False})
    with pytest.raises(errors.OllamaUnavailable) as caught:
        CALLS[call](raw_gateway)
    assert caught.value.details["reason"] == "disconnected"


def test_a_load_that_says_something_else_failed(raw_gateway: OllamaGateway, raw_server: Any) -> None:
    """Only `done` ends a load."""
    raw_server.answer({"model": "a", "created_at": "x", "response": "hi", "done": False})
    with pytest.raises(errors.OllamaError):
        raw_gateway.load("a:latest")


@pytest.mark.parametrize("call", CALLS)
def test_nobody_there(gateways: Gateways, call: str) -> None:
    """A closed port is an unavailable Ollama, for plain calls and streams alike; the message says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(errors.OllamaUnavailable, match="Start Ollama") as caught:
        CALLS[call](gateways(url))
    assert caught.value.details["reason"] == "unreachable"


def test_a_refused_tls_connection_may_be_the_certificate(gateways: Gateways, raw_server: Any) -> None:
    """The client tells no difference between no server and one that cannot be trusted; the message names both."""
    with pytest.raises(errors.OllamaUnavailable, match=r"Start Ollama.* certificate"):
        gateways(raw_server.url.replace("http:", "https:")).version()


def test_a_hanging_server_is_given_up(gateways: Gateways, raw_server: Any) -> None:
    """Each kind of call has its own time."""
    raw_server.hold = True
    gateway = gateways(raw_server.url, control_timeout_s=0.5, ps_timeout_s=0.6, load_timeout_s=1.0)
    for call, timeout_s in (("version", 0.5), ("loaded", 0.6), ("load", 1.0)):
        began = time.monotonic()
        with pytest.raises(errors.OllamaTimeout) as caught:
            CALLS[call](gateway)
        assert caught.value.details["timeout_s"] == timeout_s
        assert timeout_s <= time.monotonic() - began < timeout_s + 2


@pytest.mark.parametrize("first_line", [False, True], ids=["before the first word", "in the middle"])
def test_a_reply_has_one_deadline(gateways: Gateways, raw_server: Any, first_line: bool) -> None:
    """A reply that stands still is given up at its time, counted from the request."""
    raw_server.stream({"response": "a", "done": False}, ended=False)
    if not first_line:
        raw_server.reply = b""
    raw_server.hold = True
    began = time.monotonic()
    with pytest.raises(errors.OllamaTimeout) as caught:
        list(gateways(raw_server.url).generate("m", "x", timeout_s=0.3))
    assert 0.3 <= time.monotonic() - began < 2
    assert caught.value.details["timeout_s"] == 0.3


def test_a_reply_that_goes_on_and_on_has_a_deadline_too(gateways: Gateways, raw_server: Any) -> None:
    """Words that keep coming do not prolong the time for the whole reply."""
    raw_server.stream(ended=False)
    line = json.dumps({"response": "a", "done": False}).encode() + b"\n"
    raw_server.drip = b"%x\r\n%s\r\n" % (len(line), line)
    words = itertools.islice(gateways(raw_server.url).generate("m", "x", timeout_s=0.3), 1000)
    assert next(words) == next(words) == ReplyEvent("a")
    with pytest.raises(errors.OllamaTimeout):
        list(words)


@pytest.mark.parametrize("call", ["load", "pull", "generate"])
@pytest.mark.parametrize("started", [False, True], ids=["before the answer", "in the answer"])
def test_cancelled_from_another_thread(raw_gateway: OllamaGateway, raw_server: Any, call: str, started: bool) -> None:
    """A blocked call ends within a tenth of a second, as cancelled, and the server sees the client leave."""
    if started:
        raw_server.stream({"response": "a", "status": "pulling manifest", "done": False}, ended=False)
    raw_server.hold = True
    cancellation = Cancellation()
    ended: list[float] = []
    calls: dict[str, Callable[[], Any]] = {
        "load": lambda: raw_gateway.load("m", cancellation=cancellation),
        "pull": lambda: list(raw_gateway.pull("m", cancellation=cancellation)),
        "generate": lambda: list(raw_gateway.generate("m", "x", timeout_s=60, cancellation=cancellation)),
    }

    def run() -> None:
        with pytest.raises(errors.Cancelled):
            calls[call]()
        ended.append(time.monotonic())

    working = threading.Thread(target=run)
    working.start()
    assert raw_server.arrived.wait(10)
    cancelled_at = time.monotonic()
    cancellation.cancel()
    working.join(10)
    assert ended[0] - cancelled_at < 0.5
    assert raw_server.client_left.wait(10)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cancelled_load_is_given_up_by_the_server(
    gateways: Gateways, ollama_emulators: Callable[..., OllamaEmulator], version: str
) -> None:
    """The server notices at once: nothing is being loaded, nothing gets loaded."""
    emulator = ollama_emulators(["llama3.2:1b"], version=version, load_seconds=60)
    gateway, cancellation = gateways(emulator.url), Cancellation()

    def load() -> None:
        with pytest.raises(errors.Cancelled):
            gateway.load("llama3.2:1b", cancellation=cancellation)

    loading = threading.Thread(target=load)
    loading.start()
    _eventually(lambda: emulator.loading == ["llama3.2:1b"])
    cancellation.cancel()
    loading.join(10)
    _eventually(lambda: emulator.loading == [])
    assert gateway.loaded() == []


def test_what_is_cancelled_already_is_not_asked_for(gateway: OllamaGateway, ollama_emulator: OllamaEmulator) -> None:
    """A job that was called off in the queue sends nothing."""
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(errors.Cancelled, match=r"^The load was called off\.$"):
        gateway.load("llama3.2:1b", cancellation=cancellation)
    with pytest.raises(errors.Cancelled, match=r"^The download was called off\.$"):
        next(gateway.pull("x", cancellation=cancellation))
    assert ollama_emulator.requests == []


def test_closing_a_stream_ends_the_work_on_the_server(
    gateways: Gateways, ollama_emulators: Callable[..., OllamaEmulator]
) -> None:
    """Leaving the loop over a pull is enough; the server stops and keeps its parts."""
    emulator = ollama_emulators([], pull_seconds=60)
    pull = gateways(emulator.url).pull("smollm2:135m")
    for event in pull:
        if event.completed_bytes:
            break
    pull.close()  # type: ignore[attr-defined]
    _eventually(lambda: emulator.pulling == [])
    assert emulator.parts


def test_close_ends_what_runs_and_all_that_comes(raw_gateway: OllamaGateway, raw_server: Any) -> None:
    """A load under way ends as cancelled, and so does every later call."""
    raw_server.hold = True

    def load() -> None:
        with pytest.raises(errors.Cancelled):
            raw_gateway.load("m")

    loading = threading.Thread(target=load)
    loading.start()
    assert raw_server.arrived.wait(10)
    raw_gateway.close()
    loading.join(10)
    assert not loading.is_alive()
    raw_server.hold = False
    with pytest.raises(errors.Cancelled):
        raw_gateway.version()
    assert len(raw_server.requests) == 1
    raw_gateway.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("told", [True, False])
def test_a_forked_child_has_its_own_connections(gateway: OllamaGateway, told: bool) -> None:
    """Parent and child do not read each other's answers, also when nobody told the gateway of the fork."""
    gateway.version()
    (shared,) = gateway._shared.values()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if told:
                gateway.reset_after_fork()
            gateway.installed()
            status = 0 if gateway._shared and shared not in gateway._shared.values() else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert len(gateway.installed()) == 3
    assert shared in gateway._shared.values()


def test_short_calls_share_a_connection(gateways: Gateways, ollama_emulator: OllamaEmulator) -> None:
    """Looking every two seconds does not open a connection each time."""
    gateway = gateways(ollama_emulator.url)
    gateway.version()
    (client,) = gateway._shared.values()
    gateway.installed()
    gateway.complete(gateway.installed()[0])
    assert list(gateway._shared.values()) == [client]


def test_the_environment_does_not_leak_in(
    raw_gateway: OllamaGateway, raw_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cloud key goes to this server, no proxy is used, no OLLAMA_HOST counts; Host is the server's own."""
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    raw_server.answer({"version": "1"})
    assert raw_gateway.version() == "1"
    _, headers, _ = raw_server.requests[0]
    assert b"authorization" not in headers
    assert headers[b"host"].decode() == raw_gateway.url.removeprefix("http://")


@pytest.mark.parametrize("broken", [ImportError("socksio"), ValueError("bad OLLAMA_HOST")])
def test_a_client_that_cannot_be_imported_says_why(
    gateway: OllamaGateway, monkeypatch: pytest.MonkeyPatch, broken: Exception
) -> None:
    """The client reads proxy variables and OLLAMA_HOST when imported, and fails on odd ones."""
    import builtins

    real_import = builtins.__import__

    def fail(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "ollama":
            raise broken
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(errors.OllamaError, match="OLLAMA_HOST"):
        gateway.version()


def test_a_path_before_the_api_is_kept(gateways: Gateways, raw_server: Any) -> None:
    """Ollama behind a reverse proxy may live below a path."""
    raw_server.answer({"version": "1"})
    gateways(f"{raw_server.url}/ollama/").version()
    assert raw_server.requests[0][0] == b"GET /ollama/api/version HTTP/1.1\r\n"


def test_building_a_gateway_loads_no_client() -> None:
    """The client and its HTTP library come with the first call."""
    import subprocess
    import sys

    script = (
        "import sys; from elixi_models.settings import Settings;"
        "from elixi_models.upstream.gateway import OllamaGateway;"
        "OllamaGateway(Settings()); sys.exit(bool({'ollama', 'httpx', 'psutil', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def _eventually(holds: Callable[[], bool]) -> None:
    """Wait, at most ten seconds, until something in another thread has happened."""
    ends_at = time.monotonic() + 10
    tick = threading.Event()
    while not holds():
        assert time.monotonic() < ends_at
        tick.wait(0.005)
