"""The servers behind the commands, in this process."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask

from elixi_models import cli, demo, serving
from elixi_models.testing import OllamaEmulator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def _handlers() -> Iterator[None]:
    """The signal handlers that were there before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def raised(_handlers: None, eventually: Callable[..., Any]) -> Iterator[Callable[..., None]]:
    """`raised(action)` sends SIGTERM to this process after the action, but not before somebody catches it."""
    before, threads = signal.getsignal(signal.SIGTERM), []

    def send(action: Callable[[], None] = lambda: None) -> None:
        def later() -> None:
            eventually(lambda: signal.getsignal(signal.SIGTERM) is not before)
            action()
            os.kill(os.getpid(), signal.SIGTERM)

        threads.append(threading.Thread(target=later))
        threads[-1].start()

    yield send
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(("host", "start"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_requests_are_answered_until_the_signal(host: str, start: str, raised: Callable[..., None]) -> None:
    """The address is told once; what is to be stopped is stopped after the last request."""
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    app = Flask("served")
    app.add_url_rule("/", "home", lambda: "here")
    told: list[str] = []
    answers: list[bytes] = []

    def ask() -> None:
        with urllib.request.urlopen(f"{told[0]}/", timeout=10) as answer:
            answers.append(answer.read())

    def announce(url: str) -> None:
        told.append(url)
        raised(ask)

    serving.run(app, host=host, port=0, announce=announce, on_stop=lambda: answers.append(b"stopped"))
    assert told[0].startswith(start)
    assert answers == [b"here", b"stopped"]


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Flask, Any]]:
    """The apps that a command would serve, each with its answer to a message; nothing listens."""
    apps: list[tuple[Flask, Any]] = []

    def run(app: Flask, *, host: str, port: int, announce: Callable[[str], None], on_stop: Callable[[], None]) -> None:
        announce(f"http://{host}:{port}")
        client = app.test_client()
        apps.append((app, [client.get("/"), client.get("/ai/health"), client.post("/chat", json={"prompt": "Hello"})]))
        on_stop()

    monkeypatch.setattr(serving, "run", run)
    return apps


def test_serve_has_the_api_and_no_chat(served: list[Any], ollama_emulator: OllamaEmulator) -> None:
    """/ leads to the page; a chat route is the host's business."""
    done = CliRunner().invoke(cli.main, ["serve", "--ollama-url", ollama_emulator.url])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        "Dashboard: http://127.0.0.1:5050/ai/dashboard",
        "API:       http://127.0.0.1:5050/ai/available-models",
    ]
    home, health, chat = served[0][1]
    assert (home.status_code, home.headers["Location"]) == (302, "ai/dashboard")
    assert (health.status_code, chat.status_code) == (200, 404)


def test_demo_has_a_chat_over_its_own_server(served: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what answers, and whether that is real."""
    monkeypatch.setattr(demo, "can_run", lambda: False)
    done = CliRunner().invoke(cli.main, ["demo", "--port", "5051"])
    assert done.exit_code == 0, done.output
    first, *_, last = done.output.splitlines()
    assert "give scripted answers" in first
    assert last == 'Chat:      curl -d \'{"prompt": "Hello"}\' http://127.0.0.1:5051/chat'
    chat = served[0][1][2]
    assert (chat.status_code, chat.get_json()["success"]) == (200, True)


def test_demo_over_a_given_server_starts_none(served: list[Any], ollama_emulator: OllamaEmulator) -> None:
    """A server that is not there is told in the chat's own answer."""
    done = CliRunner().invoke(cli.main, ["demo", "--ollama-url", ollama_emulator.url])
    assert done.exit_code == 0, done.output
    assert "Emulated" not in done.output
    assert served[0][1][2].get_json()["model"] in ("llama3.2:1b", "qwen2.5:0.5b")


def test_a_chat_that_cannot_be_answered_is_503(served: list[Any]) -> None:
    """With the reason."""
    CliRunner().invoke(cli.main, ["demo", "--ollama-url", "http://127.0.0.1:9"])
    chat = served[0][1][2]
    assert chat.status_code == 503
    assert chat.get_json()["error_code"] in ("NO_USABLE_MODEL", "OLLAMA_UNAVAILABLE")


def test_an_address_that_cannot_be_listened_on_is_one_line(ollama_emulator: OllamaEmulator) -> None:
    """For both kinds of servers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in (["serve", "--ollama-url", ollama_emulator.url], ["emulator"]):
            done = CliRunner().invoke(cli.main, [*command, "--port", port])
            assert done.exit_code == 1
            assert done.output == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_the_emulator_runs_until_the_signal(raised: Callable[..., None]) -> None:
    """With the models named."""
    raised()
    done = CliRunner().invoke(cli.main, ["emulator", "--port", "0", "--model", "phi:2.7b", "--as-version", "0.9.6"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Emulated Ollama 0.9.6 at http://127.0.0.1:")


def test_the_package_can_be_run_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m elixi_models` is the command."""
    import runpy

    monkeypatch.setattr(sys, "argv", ["elixi-models", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("elixi_models", run_name="__main__")
    assert ended.value.code == 0
