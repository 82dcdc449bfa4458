"""Connections, faults told at run time, coming and going of the server."""

from __future__ import annotations

import http.client
import json
import logging
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import elixi_models.testing
from elixi_models.emulator.clock import Clock
from elixi_models.testing import VERSIONS, EmulatedModel, OllamaEmulator

from .playing import until
from .servers import Client, Task

CHAT = EmulatedModel("chat:1b", answers="word " * 400, decode_tokens_per_s=100)


@pytest.fixture
def ollama() -> Iterator[OllamaEmulator]:
    """One chat model."""
    with OllamaEmulator([CHAT], load_seconds=0.01, pull_seconds=0.1) as running:
        yield running


@pytest.fixture
def client(ollama: OllamaEmulator) -> Client:
    """Its client."""
    return Client(ollama)


def status(client: Client, path: str = "/api/version", **how: Any) -> int:
    """The status of a GET."""
    return client.ask("GET", path, **how)["status"]  # type: ignore[no-any-return]


def raw(ollama: OllamaEmulator, sent: bytes) -> bytes:
    """All that comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", ollama.port), timeout=10) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_failures_come_in_turn_and_so_many_times(client: Client, ollama: OllamaEmulator) -> None:
    """Then all is well again."""
    ollama.fail_next("/api/version", status=503, error="busy", times=2)
    ollama.fail_next("/api/version", status=403, error=None)
    answers = [client.ask("GET", "/api/version") for _ in range(4)]

    assert [answer["status"] for answer in answers] == [503, 503, 403, 200]
    assert (answers[0]["body"], answers[2]["text"]) == ({"error": "busy"}, "")


def test_a_failure_of_all_paths_lasts_until_recovery(client: Client, ollama: OllamaEmulator) -> None:
    """Without end, where none is given."""
    ollama.fail_next(times=None)
    before = [status(client), status(client, "/api/tags")]
    ollama.recover()

    assert (before, status(client)) == ([500, 500], 200)


def test_a_proxys_page_can_come_instead(client: Client, ollama: OllamaEmulator) -> None:
    """It is no JSON."""
    ollama.answer_html("/api/tags", times=1)
    answered = client.ask("GET", "/api/tags")

    assert (answered["status"], answered["headers"]["content-type"]) == (502, "text/html")
    assert answered["text"].startswith("<html>")
    assert status(client, "/api/tags") == 200


def test_a_hanging_path_waits_for_recovery(client: Client, ollama: OllamaEmulator) -> None:
    """Others go on."""
    ollama.hang("/api/tags")
    hanging = Task(status, client, "/api/tags")
    until(lambda: any(request.path == "/api/tags" for request in ollama.requests))
    other, waiting = status(client), not hanging.done()
    ollama.recover()

    assert (other, waiting, hanging.result()) == (200, True, 200)


def test_who_hangs_may_leave(client: Client, ollama: OllamaEmulator) -> None:
    """The server notices."""
    ollama.hang()
    left = client.ask("GET", "/api/tags", timeout=0.05)
    until(lambda: not any(thread.name == "emulator-connection" for thread in threading.enumerate()))

    assert left == {"failed": "TimeoutError"}


def test_who_leaves_before_the_first_word_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged, and the model is free for the next."""
    model = EmulatedModel("slow:1b", answers="word", prefill_tokens_per_s=0.5)
    with OllamaEmulator([model], load_seconds=0.01) as ollama:
        body = json.dumps({"model": "slow:1b", "prompt": "a long question"}).encode()
        with socket.create_connection(("127.0.0.1", ollama.port), timeout=10) as connection:
            head = b"POST /api/generate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)
            until(lambda: ollama.answering)
        until(lambda: not ollama.answering)

    assert caplog.records == []


@pytest.mark.parametrize(("how", "ends"), [("close", b"}\n\r\n"), ("quiet", b"0\r\n\r\n"), ("half-line", b'"\r\n')])
def test_a_stream_can_be_cut(ollama: OllamaEmulator, how: str, ends: bytes) -> None:
    """After so many lines, in one of three ways; the next is whole."""
    ollama.cut_stream("/api/generate", after_lines=2, how=how)
    body = json.dumps({"model": "chat:1b", "prompt": "x", "options": {"num_predict": 5}}).encode()
    head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    cut, whole = (raw(ollama, head % len(body) + body) for _ in range(2))

    assert cut.count(b'"done":false}\n') == 2
    assert cut.endswith(ends) or how == "half-line"
    assert b'"done":true' not in cut
    assert whole.count(b'"done":false}\n') == 5


def test_every_answer_can_be_late() -> None:
    """By so many seconds; who does not wait is forgotten."""
    with OllamaEmulator(latency=0.15) as slow:
        client = Client(slow)
        began = time.monotonic()
        answered = status(client)
        took = time.monotonic() - began
        left = client.ask("GET", "/api/version", timeout=0.05)

    assert (answered, left) == (200, {"failed": "TimeoutError"})
    assert took >= 0.15


def test_requests_are_kept(client: Client, ollama: OllamaEmulator) -> None:
    """Method, path and body, oldest first, no more than 1,000."""
    client.ask("GET", "/api/tags?x=1")
    client.post("/api/show", {"model": "chat:1b"})
    client.send({"method": "POST", "path": "/api/show", "text": "{x"})
    kept = [tuple(request) for request in ollama.requests]

    assert kept == [
        ("GET", "/api/tags", ""),
        ("POST", "/api/show", {"model": "chat:1b"}),
        ("POST", "/api/show", "{x"),
    ]


def test_one_connection_serves_many_requests(ollama: OllamaEmulator) -> None:
    """Also after an error, a stream and a body that was not wanted."""
    connection = http.client.HTTPConnection("127.0.0.1", ollama.port, timeout=10)
    seen = []
    for method, path, body in [
        ("GET", "/api/version", None), ("POST", "/api/version", "{}"), ("POST", "/api/pull", '{"model": "nobody"}'),
        ("HEAD", "/api/tags", None), ("GET", "/api/nope", None), ("GET", "/api/version", None),
    ]:  # fmt: skip
        connection.request(method, path, body)
        response = connection.getresponse()
        response.read()
        seen.append(response.status)
    connection.close()

    assert seen == [200, 405, 200, 200, 404, 200]


def test_a_chunked_body_is_read(ollama: OllamaEmulator) -> None:
    """With its trailers."""
    head = b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answered = raw(ollama, head + b'9\r\n{"model":\r\na;x=1\r\n "chat:1b"\r\n1\r\n}\r\n0\r\nX: y\r\n\r\n')

    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("header", [b"Content-Length: x", b"Content-Length: -5", b"Transfer-Encoding: chunked"])
def test_a_body_without_a_right_length_is_refused(ollama: OllamaEmulator, header: bytes) -> None:
    """And the connection is closed."""
    answered = raw(ollama, b"POST /api/show HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\nzz\r\n")

    assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_large_answer_is_chunked(ollama: OllamaEmulator) -> None:
    """As Go does from 2,048 bytes on; a HEAD has no body."""
    for number in range(20):
        ollama.install(f"model-{number}")
    got = raw(ollama, b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head = raw(ollama, b"HEAD /api/tags HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    assert b"\r\nTransfer-Encoding: chunked\r\n" in got
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "localhost:11434"}, 200), ({"Host": "192.168.1.5"}, 200), ({"Host": "box.local"}, 200),
        ({"Host": "[::1]:11434"}, 200), ({"Host": socket.gethostname()}, 200), ({"Host": "8.8.8.8"}, 403),
        ({"Host": "evil.example"}, 403), ({"Origin": "http://127.0.0.1:3000"}, 200), ({"Origin": "app://x"}, 200),
        ({"Origin": "https://evil.example"}, 403), ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
    ],
)  # fmt: skip
def test_only_this_machine_is_let_in(client: Client, headers: dict[str, str], expected: int) -> None:
    """By the names it goes by."""
    sent = client.send({"method": "GET", "path": "/api/version", "headers": headers})

    assert sent["response"]["status"] == expected


def test_one_model_by_the_other_api(client: Client) -> None:
    """Its errors are nested."""
    found, lost, odd = (client.ask("GET", f"/v1/models/{name}") for name in ("chat:1b", "nobody", "a%20b"))

    assert (found["status"], found["body"]["id"], found["body"]["owned_by"]) == (200, "chat:1b", "library")
    assert (lost["status"], odd["status"]) == (404, 404)
    assert lost["body"]["error"]["type"] == "not_found_error"


def test_a_cloud_model_is_listed_as_such(client: Client, ollama: OllamaEmulator) -> None:
    """With its host, without what only weights have."""
    ollama.install(EmulatedModel("far:20b-cloud", remote="https://ollama.com:443", size_bytes=400))
    listed = client.ask("GET", "/api/tags")["body"]["models"][0]
    shown = client.post("/api/show", {"model": "far:20b-cloud"})["body"]

    assert (listed["remote_host"], listed["remote_model"]) == ("https://ollama.com:443", "far:20b")
    assert (shown["model_info"], "tensors" in shown, shown["details"]["format"]) == ({}, False, "")


def test_down_is_down_and_back_is_back(client: Client, ollama: OllamaEmulator) -> None:
    """On the same port, with the same models and parts, but nothing is loaded."""
    client.post("/api/generate", {"model": "chat:1b"})
    ollama.break_pull("stall")
    client.post("/api/pull", {"model": "llama3.2:1b"}, lines=3)
    before = (ollama.url, ollama.loaded, ollama.parts)
    ollama.go_down()
    ollama.go_down()
    refused = client.ask("GET", "/api/version")
    ollama.come_back()
    ollama.come_back()

    assert refused == {"failed": "ConnectionRefusedError"}
    assert (status(client), ollama.installed) == (200, ["chat:1b"])
    assert (ollama.url, ollama.loaded, ollama.parts) == (before[0], [], before[2])
    assert (before[1], len(before[2])) == (["chat:1b"], 1)


def open_files() -> int:
    """Open sockets and files of this process."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_nothing_is_left_after_it_stopped() -> None:
    """Neither threads nor sockets, whatever was under way."""
    threads, files = threading.active_count(), open_files()
    slow = EmulatedModel("slow", load_seconds=600)
    ollama = OllamaEmulator([CHAT, slow], pull_seconds=600, load_seconds=0.01).start()
    ollama.hang("/api/tags")
    client = Client(ollama)
    bodies = [
        ("GET", "/api/tags", None),
        ("POST", "/api/generate", {"model": "slow"}),
        ("POST", "/api/generate", {"model": "chat:1b", "prompt": "x"}),
        ("POST", "/api/pull", {"model": "llama3.2:1b"}),
    ]
    under_way = [Task(client.ask, *body) for body in bodies]
    until(lambda: ollama.loading[:1] == ["slow:latest"] and len(ollama.requests) == 4 and bool(ollama.pulling))
    ollama.stop()
    for task in under_way:
        task.result()
        task.join()

    assert (threading.active_count(), open_files()) == (threads, files)


def test_stopping_does_not_wait_for_verifying() -> None:
    """The model is not installed then."""
    ollama = OllamaEmulator(library=[EmulatedModel("huge", size_bytes=10**13)]).start()
    ollama.set_pull_rate(None)
    client, verifying = Client(ollama), threading.Event()
    pulling = Task(
        client.post, "/api/pull", {"model": "huge"}, on_line=lambda number: verifying.set() if number == 2 else None
    )
    verifying.wait(10)
    ollama.stop()
    said = [line["status"] for _, line in pulling.result()["lines"]]

    assert said == ["pulling manifest", "verifying sha256 digest"]
    assert ollama.installed == []


def test_a_taken_port_is_an_error_that_leaves_nothing(ollama: OllamaEmulator) -> None:
    """No thread is started for it."""
    threads = threading.active_count()
    with pytest.raises(OSError, match="in use"):
        OllamaEmulator(port=ollama.port).start()

    assert threading.active_count() == threads


def test_an_unknown_version_is_an_error() -> None:
    """Those there are, are named."""
    with pytest.raises(ValueError, match=r"unknown Ollama version '0.1'; there are 0.9.6, 0.24.0, 0.33.0"):
        OllamaEmulator(version="0.1")
    assert list(VERSIONS) == ["0.9.6", "0.24.0", "0.33.0"]


def test_time_must_pass() -> None:
    """A server without time would never say a line."""
    with pytest.raises(ValueError, match="time_scale must be above 0"):
        OllamaEmulator(time_scale=0)


def test_only_what_is_loaded_can_be_killed(ollama: OllamaEmulator) -> None:
    """Neither an idle model nor an unknown one."""
    for name in ("chat:1b", "nobody"):
        with pytest.raises(ValueError, match="is not loaded"):
            ollama.kill_runner(name)


def test_time_can_be_moved(client: Client, ollama: OllamaEmulator) -> None:
    """What has idled for longer than its keep-alive is gone."""
    client.post("/api/generate", {"model": "chat:1b", "keep_alive": 3600})
    ollama.advance(3590)
    before = ollama.loaded
    ollama.advance(20)

    assert (before, ollama.loaded) == (["chat:1b"], [])


def test_the_time_of_day_can_be_given() -> None:
    """Dates are then what they are to be."""
    with OllamaEmulator(["llama3.2:1b"], clock=Clock(lambda: 1_700_000_000_000_000_000)) as ollama:
        listed = Client(ollama).ask("GET", "/api/tags")["body"]["models"][0]

    assert listed["modified_at"] == "2023-11-14T22:13:20Z"


def test_models_are_listed_in_the_order_given() -> None:
    """The first is the newest."""
    with OllamaEmulator(["b", EmulatedModel("a"), "c:1"]) as ollama:
        assert ollama.installed == ["b:latest", "a:latest", "c:1"]


def test_a_function_that_fails_is_logged(ollama: OllamaEmulator, caplog: pytest.LogCaptureFixture) -> None:
    """And its answer breaks off."""
    ollama.install(EmulatedModel("odd", answers=lambda prompt: prompt[99]))
    with caplog.at_level(logging.ERROR):
        answered = Client(ollama).post("/api/generate", {"model": "odd", "prompt": "x"})
        until(lambda: bool(caplog.records))

    assert "failed" in answered
    assert caplog.records[0].getMessage() == "the emulator failed to answer"


def test_it_can_be_waited_for(ollama: OllamaEmulator) -> None:
    """Until somebody stops it."""
    waiting = threading.Thread(target=ollama.wait)
    waiting.start()
    ollama.stop()
    waiting.join(10)

    assert not waiting.is_alive()


def test_importing_it_is_light() -> None:
    """No test library, no client, nothing of the rest of the package."""
    heavy = "{'pytest', 'flask', 'ollama', 'xllamacpp', 'pymongo'}"
    code = f"import sys, elixi_models.testing; print(*sorted(set(sys.modules) & {heavy}))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert printed.stdout.strip() == ""


def test_the_fixtures_give_running_emulators(tmp_path: pathlib.Path) -> None:
    """One that is ready, or as many as are wanted."""
    (tmp_path / "conftest.py").write_text("from elixi_models.testing import ollama_emulator, ollama_emulators")
    (tmp_path / "test_it.py").write_text(FIXTURES_USED)
    root = pathlib.Path(elixi_models.testing.__file__).parents[1]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    ran = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)

    assert "2 passed" in ran.stdout, ran.stdout


def test_the_ready_fixture_has_models(ollama_emulator: OllamaEmulator) -> None:
    """Two that chat and one that embeds."""
    assert ollama_emulator.installed == ["llama3.2:1b", "qwen2.5:0.5b", "nomic-embed-text:latest"]


FIXTURES_USED = """
import urllib.request

def test_ready(ollama_emulator):
    assert urllib.request.urlopen(ollama_emulator.url).read() == b"Ollama is running"
    assert ollama_emulator.installed[0] == "llama3.2:1b"

def test_many(ollama_emulators):
    old, new = ollama_emulators(version="0.9.6"), ollama_emulators(["mine"])
    assert (old.installed, new.installed, old.port != new.port) == ([], ["mine:latest"], True)
"""
