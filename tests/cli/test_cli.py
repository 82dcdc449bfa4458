"""The commands: what they print, how they begin, and how they end."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from elixi_models import __version__, demo
from elixi_models.cli import main
from elixi_models.testing import EmulatedModel, OllamaEmulator

Start = Callable[..., Any]
Eventually = Callable[..., Any]
Emulators = Callable[..., OllamaEmulator]

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def invoke(*arguments: str, **environment: str) -> Any:
    """A command in this process."""
    return CliRunner().invoke(main, list(arguments), env=environment)


# The verbs


@pytest.fixture
def ollama(ollama_emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> OllamaEmulator:
    """An emulated server that the environment names."""
    model = EmulatedModel("llama3.2:1b", size_bytes=1_300_000_000, parameter_size="1.2B")
    emulator = ollama_emulators([model, "qwen2.5:0.5b", "nomic-embed-text"], pull_seconds=0.1, load_seconds=0.01)
    monkeypatch.setenv("OLLAMA_API_URL", emulator.url)
    monkeypatch.setenv("ELIXI_MODELS_SWITCH_WAIT_S", "10")
    return emulator


def test_list_is_one_line_a_model(ollama: OllamaEmulator) -> None:
    """With its size, and a mark for the active and the loaded one."""
    invoke("switch", "llama3.2:1b")
    done = invoke("list")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].split() == ["*", "llama3.2:1b", "1.2B", "1.3", "GB"]
    assert len(lines) == 3


def test_json_is_what_the_route_answers(ollama: OllamaEmulator) -> None:
    """The envelope, alone on the output."""
    answer = json.loads(invoke("list", "--json").output)
    assert list(answer) == ["success", "data", "message", "timestamp"]
    assert len(answer["data"]["installed"]) == 3


def test_a_switch_waits_until_the_model_is_active(ollama: OllamaEmulator) -> None:
    """And the next command knows it."""
    done = invoke("switch", "qwen2.5:0.5b")
    assert (done.exit_code, done.output) == (0, "Successfully switched to qwen2.5:0.5b\n")
    assert ollama.loaded == ["qwen2.5:0.5b"]
    status = invoke("status").output
    assert "model     qwen2.5:0.5b" in status
    assert "state     active" in status


def test_pull_waits_until_the_model_is_installed(ollama: OllamaEmulator) -> None:
    """With a bar on the way."""
    done = invoke("pull", "smollm:135m")
    assert done.exit_code == 0, done.output
    assert done.stdout == "smollm:135m is installed\n"
    assert "smollm:135m" in ollama.installed


def test_recommend_says_which_and_why(ollama: OllamaEmulator) -> None:
    """For a task or for a prompt."""
    done = invoke("recommend", "--task", "coding")
    assert done.exit_code == 0, done.output
    assert "best for coding" in done.output
    assert json.loads(invoke("recommend", "--prompt", "Hello", "--json").output)["data"]["why"]["text"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("switch", "phi"), "Model phi is not installed"),
        (("switch", "a b"), "MODEL is not a valid model name"),
        (("switch", "nomic-embed-text"), "cannot chat"),
        (("pull", "nosuchmodel"), "nosuchmodel"),
        (("benchmark", "phi"), "not installed"),
    ],
)
def test_a_failure_is_one_line_and_an_exit_code(
    arguments: tuple[str, ...], message: str, ollama: OllamaEmulator
) -> None:
    """For people in words, for scripts as JSON."""
    done = invoke(*arguments)
    assert done.exit_code == 1
    assert message in done.output
    assert "Traceback" not in done.output
    answer = invoke(*arguments, "--json")
    assert answer.exit_code == 1
    told = json.loads(answer.stdout)
    # A download that failed a moment ago is told as that job, as over HTTP.
    assert told["success"] is False or told["data"]["status"] == "failed"


def test_a_server_that_is_not_there_is_one_line() -> None:
    """With what to do about it."""
    done = invoke("list", OLLAMA_API_URL="http://127.0.0.1:9")
    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 1
    assert "ollama serve" in done.output


def test_a_setting_that_cannot_be_used_is_one_line() -> None:
    """Of a verb and of a server alike."""
    for command in (["list"], ["serve", "--port", "0"]):
        done = invoke(*command, ELIXI_MODELS_MAX_PULLS="many")
        assert done.exit_code == 1
        assert "ELIXI_MODELS_MAX_PULLS" in done.output
        assert "Traceback" not in done.output


def test_the_version_is_the_package_s() -> None:
    """As `--version` prints it."""
    assert invoke("--version").output == f"elixi-models, version {__version__}\n"


# Servers


@posix
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_and_ends_cleanly(how: signal.Signals, start: Start, ollama_emulator: OllamaEmulator) -> None:
    """It says where it is, leads from / to the page, and ends with 0 and without a trace."""
    running = start("serve", "--port", "0", "--ollama-url", ollama_emulator.url)
    status, answer = running.ask("/ai/model-status")
    assert (status, answer["success"]) == (200, True)
    assert running.ask("/ai/health")[1]["data"]["store"]["kind"] == "sqlite"
    assert running.end(how) == 0
    assert [line.split()[0] for line in running.output] == ["Dashboard:", "API:"]


@posix
def test_serve_says_in_one_line_that_its_port_is_taken(start: Start) -> None:
    """With the address, on stderr, and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = start("serve", "--port", str(port))
        assert running.process.wait(30) == 1
        running.end()
    assert running.output == [f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"]


@posix
def test_the_emulator_alone(start: Start) -> None:
    """As the version asked for, with the models named."""
    running = start("emulator", "--port", "0", "--as-version", "0.24.0", "--model", "phi:2.7b")
    assert running.ask("/api/version") == (200, {"version": "0.24.0"})
    assert [model["name"] for model in running.ask("/api/tags")[1]["models"]] == ["phi:2.7b"]
    assert running.end() == 0


@posix
def test_the_emulator_says_in_one_line_that_its_port_is_taken(start: Start) -> None:
    """Most of the time it is a real Ollama's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = start("emulator", "--port", str(port))
        assert running.process.wait(30) == 1
        running.end()
    assert running.output == [f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"]


@pytest.mark.parametrize("given", ["phi", "=file", "phi=", "phi=not-there.gguf"])
def test_weights_that_are_not_there_are_refused(given: str) -> None:
    """Before anything is started."""
    done = invoke("emulator", "--gguf", given)
    assert done.exit_code == 2
    assert "expected NAME=FILE with a file that exists" in done.output


def test_an_unknown_version_is_refused_with_those_there_are() -> None:
    """The three that were recorded."""
    done = invoke("emulator", "--as-version", "1.0")
    assert done.exit_code == 2
    assert "0.24.0" in done.output


@posix
def test_the_demo_chats(start: Start, eventually: Eventually) -> None:
    """The whole main job by itself: list, chat with model and reason, switch, download."""
    running = start("demo", "--port", "0", ELIXI_MODELS_CHAT_MAX_TOKENS="12")
    eventually(lambda: running.ask("/ai/model-status")[1]["data"]["reachable"])
    status, answer = running.ask("/chat", {"prompt": "Say hello.", "task_type": "general"})
    assert (status, answer["success"]) == (200, True)
    assert answer["reply"]
    assert answer["model"] in (demo.REAL_MODEL, demo.SCRIPTED_MODEL)
    assert answer["why"]["text"]
    assert running.ask("/chat", {"prompt": ""})[0] == 400
    assert running.ask("/chat", [])[0] == 400
    assert running.ask("/ai/switch-model", {"model_name": demo.SCRIPTED_MODEL})[0] in (200, 202)
    assert running.ask("/ai/download-model", {"model_name": "llama3.2:1b"})[0] == 202
    assert running.end() == 0
    assert ("real weights" in running.output[0]) is (demo.real_weights() is not None)


@posix
def test_the_demo_over_a_given_server(start: Start, ollama_emulator: OllamaEmulator) -> None:
    """Its models, and no emulator of its own."""
    running = start("demo", "--port", "0", "--ollama-url", ollama_emulator.url)
    answer = running.ask("/chat", {"prompt": "Say hello.", "task_type": "general"})[1]
    assert answer["model"] in ("llama3.2:1b", "qwen2.5:0.5b")
    assert running.end() == 0


def test_without_the_parts_for_real_weights_the_demo_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripted answers are never passed off as a model's."""
    monkeypatch.setattr(demo, "can_run", lambda: False)
    assert demo.real_weights() is None
    assert "scripted answers" in demo.introduce(None)
    assert "real weights" in demo.introduce(Path("weights.gguf"))
    with demo.emulate(None) as ollama:
        assert ollama.installed == [demo.REAL_MODEL, demo.SCRIPTED_MODEL]


# What outlives the process


@posix
def test_a_download_survives_kill_9_and_never_goes_back(
    start: Start, ollama_emulators: Emulators, eventually: Eventually
) -> None:
    """The next start takes it over when the lease has run out, by itself; no poll sees less than one before."""
    ollama = ollama_emulators(["llama3.2:1b"])
    ollama.set_pull_rate(40_000_000)
    serve = ("serve", "--port", "0", "--ollama-url", ollama.url)
    seen: list[int] = []

    def progress(running: Any) -> Any:
        status, answer = running.ask("/ai/download-status?model_name=smollm:135m")
        if status == 200:
            seen.append(answer["data"]["progress"])
        return answer["data"]

    first = start(*serve, ELIXI_MODELS_LEASE_S="1")
    assert first.ask("/ai/download-model", {"model_name": "smollm:135m"})[0] == 202
    eventually(lambda: progress(first)["progress"] >= 20)
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    eventually(lambda: not ollama.pulling)
    second = start(*serve, ELIXI_MODELS_LEASE_S="1")
    done = eventually(lambda: (job := progress(second)) and job["status"] == "installed" and job)
    assert done["progress"] == 100
    assert done["attempt"] == 2
    assert seen == sorted(seen)
    assert second.end() == 0


@posix
def test_the_active_model_is_the_one_chosen_last(
    start: Start, ollama_emulator: OllamaEmulator, eventually: Eventually
) -> None:
    """Also when the process was killed right after the answer."""
    serve = ("serve", "--port", "0", "--ollama-url", ollama_emulator.url)
    first = start(*serve, ELIXI_MODELS_SWITCH_WAIT_S="10")
    assert first.ask("/ai/switch-model", {"model_name": "llama3.2:1b"})[1]["data"]["status"] == "active"
    assert first.ask("/ai/switch-model", {"model_name": "qwen2.5:0.5b"})[1]["data"]["status"] == "active"
    first.end(signal.SIGKILL)
    second = start(*serve)
    eventually(lambda: second.ask("/ai/model-status")[1]["data"]["current_model"] == "qwen2.5:0.5b")
    assert second.end() == 0
