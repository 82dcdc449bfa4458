"""The commands, under `flask elixi-models` and alone: what they print, and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from elixi_models import create_blueprint
from elixi_models.errors import ModelNotInstalled, OllamaUnavailable
from elixi_models.names import ModelName
from elixi_models.quality import TaskScore, plain_score
from elixi_models.records import Activation
from elixi_models.web import commands

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(service: Any, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs one command of the list over the fake service, waiting for nothing."""
    monkeypatch.setattr(commands, "_POLL_S", 0.0)

    def run(*arguments: str) -> Result:
        known = {command.name: command for command in commands.commands_for(lambda: service)}
        return CliRunner().invoke(known[arguments[0]], list(arguments[1:]))

    return run


def test_list_shows_what_is_installed(invoke: Invoke) -> None:
    """The active model is marked; sizes and speed stand beside it."""
    result = invoke("list")

    assert result.exit_code == 0
    assert result.stdout.split() == ["*", "neural-chat", "7B", "4.1", "GB", "45.3", "tokens/s"]


def test_list_shows_what_can_be_downloaded(invoke: Invoke) -> None:
    """--available is the library."""
    assert invoke("list", "--available").stdout.split() == ["llama2", "7B", "3.8", "GB"]


def test_list_of_nothing_says_what_to_do(invoke: Invoke, service: Any) -> None:
    """An empty list is no silence."""
    service.answers["available"] = replace(service.answers["available"], cards=())

    assert "Try: pull" in invoke("list").stdout


def test_status_shows_unknown_as_unknown(invoke: Invoke, service: Any, host_app: Any) -> None:
    """Figures that nobody knows are not invented; a running download is told."""
    service.answers["status"] = replace(service.answers["status"], downloads=(service.answers["download"],))

    lines = dict(line.split(None, 1) for line in invoke("status").stdout.splitlines())

    assert lines["model"] == "neural-chat"
    assert lines["speed"] == "45.3 tokens/s"
    assert lines["memory"] == "unknown"
    assert lines["download"] == "llama2:7b 45 %"


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        (["list"], "installed"),
        (["status"], "current_model"),
        (["switch", "mistral:7b"], "status"),
        (["recommend", "--task", "coding"], "why"),
    ],
)
def test_json_is_the_envelope_of_the_route(invoke: Invoke, arguments: list[str], data: str) -> None:
    """--json prints what HTTP answers, and nothing else."""
    result = invoke(*arguments, "--json")

    body = json.loads(result.stdout)
    assert list(body) == ["success", "data", "message", "timestamp"]
    assert data in body["data"]
    assert result.exit_code == 0


def test_an_error_is_told_with_exit_code_1(invoke: Invoke, service: Any) -> None:
    """For people on stderr; with --json as the error envelope."""
    service.failure = OllamaUnavailable("Ollama does not answer.")

    plain, as_json = invoke("list"), invoke("list", "--json")

    assert (plain.exit_code, plain.stderr) == (1, "Error: Ollama does not answer.\n")
    assert (as_json.exit_code, json.loads(as_json.stdout)["error_code"]) == (1, "OLLAMA_UNAVAILABLE")


def test_a_wrong_name_is_told(invoke: Invoke) -> None:
    """Names are checked before anything is asked."""
    result = invoke("pull", "a b")

    assert (result.exit_code, result.stderr.startswith("Error: MODEL is not a valid model name")) == (1, True)


def test_switch_waits_for_the_load(invoke: Invoke, service: Any) -> None:
    """A terminal has time: the command waits as long as a load may take."""
    result = invoke("switch", "mistral:7b")

    assert result.stdout == "Successfully switched to mistral:7b\n"
    assert service.calls == [("switch", (ModelName.parse("mistral:7b"),), {"wait_s": service.settings.load_timeout_s})]


def test_a_switch_that_is_still_loading_fails(invoke: Invoke, service: Any) -> None:
    """A script must not take 'loading' for done."""
    service.answers["switch"] = Activation("loading", None, None, "mistral:7b")

    assert invoke("switch", "mistral:7b").exit_code == 1


def steps(service: Any, verb: str, *jobs: Any) -> None:
    """Make a verb answer one job after the other."""
    remaining = list(jobs)

    def answer(*arguments: Any, **options: Any) -> Any:
        service.calls.append((verb, arguments, options))
        return remaining.pop(0)

    setattr(service, verb, answer)


def test_pull_shows_a_bar_until_the_end(invoke: Invoke, service: Any) -> None:
    """Progress goes to stderr, once per change; the outcome to stdout."""
    job = service.answers["download"]
    steps(service, "download_status", job, replace(job, state="verifying"), replace(job, state="installed"))

    result = invoke("pull", "llama2:7b", "--update")

    assert service.calls[0][2] == {"update": True}
    assert result.stderr.splitlines() == [
        f"downloading  [{'#' * 13:<30}]  45 % of 100 B  6 s left",
        f"verifying    [{'#' * 13:<30}]  45 % of 100 B  6 s left",
    ]
    assert (result.exit_code, result.stdout) == (0, "llama2:7b is installed\n")


def test_a_failed_pull_fails(invoke: Invoke, service: Any) -> None:
    """The reason is told, and scripts see it in the exit code; --json keeps stderr quiet."""
    steps(service, "download_status", service.answers["download_status"])

    result = invoke("pull", "llama2:7b", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["data"]["error_code"] == "MODEL_NOT_FOUND"
    assert result.stderr == ""


def test_switch_pulls_first_when_asked(invoke: Invoke, service: Any) -> None:
    """--pull downloads a missing model and then switches."""
    outcomes = [ModelNotInstalled("No."), Activation("active", "m:latest", None, "m:latest", load_ms=1.0)]

    def switch(*arguments: Any, **options: Any) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    service.switch = switch
    steps(service, "download_status", replace(service.answers["download"], state="installed"))

    result = invoke("switch", "m", "--pull")

    assert (result.exit_code, result.stdout) == (0, "Successfully switched to m\n")


def test_switch_without_pull_does_not_download(invoke: Invoke, service: Any) -> None:
    """The error stands; nothing is downloaded unasked."""
    service.failure = ModelNotInstalled("Not installed.")

    assert invoke("switch", "m").exit_code == 1
    assert [call[0] for call in service.calls] == ["switch"]


def test_switch_stops_when_the_pull_fails(invoke: Invoke, service: Any) -> None:
    """A failed download ends the command."""
    service.switch = lambda *arguments, **options: (_ for _ in ()).throw(ModelNotInstalled("No."))
    steps(service, "download_status", service.answers["download_status"])

    result = invoke("switch", "m", "--pull")

    assert result.exit_code == 1
    assert "failed" in result.stdout


def test_recommend_says_why(invoke: Invoke, service: Any) -> None:
    """The reason is the answer."""
    result = invoke("recommend", "--prompt", "def f", "--needs", "tools", "--needs", "vision")

    assert result.stdout == "codellama: the only usable model for coding\n"
    assert service.calls == [("recommend", (None, "def f"), {"needs": ("tools", "vision")})]


def test_benchmark_waits_for_the_result(invoke: Invoke, service: Any) -> None:
    """Progress by items, then what was found and how it ended; no report is no failure of ours."""
    figure = {"value": 41.5, "ci90": [40, 43], "n": 3}
    scores = {"coding": plain_score(TaskScore(61.2, (48.0, 72.5), 6, "quick+table", 0.4, 0.83))}
    report = {"speed": {"decode_tokens_per_second": figure, "first_token_ms": {"value": None}}, "scores": scores}
    service.answers["benchmark_status"] = replace(service.answers["benchmark_status"], report=report)
    result = invoke("benchmark", "mistral:7b")

    assert result.stderr == "running      1 of 5\n"
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        [
            "speed        41.5 tokens/s",
            "first token  unknown",
            "coding       61.2 of 100, 90 % sure of 48.0 to 72.5, 6 questions",
            "Benchmark of mistral:7b is done",
        ],
    )
    service.answers["benchmark_status"] = replace(service.answers["benchmark_status"], report=None)
    assert invoke("benchmark", "mistral:7b").stdout == "Benchmark of mistral:7b is done\n"


def test_flask_has_the_commands(service: Any) -> None:
    """`flask elixi-models …` finds the service of the app; a second server has a group of its own."""
    app = Flask("host")
    app.register_blueprint(create_blueprint(service=service))
    app.register_blueprint(create_blueprint(service=service, name="gpu_box", url_prefix="/gpu"))
    runner = app.test_cli_runner()

    result = runner.invoke(args=["elixi-models", "status"])

    assert (result.exit_code, "neural-chat" in result.output) == (0, True)
    assert runner.invoke(args=["gpu-box", "list"]).exit_code == 0
    names = ["list", "status", "switch", "pull", "recommend", "benchmark"]
    assert all(name in runner.invoke(args=["elixi-models", "--help"]).output for name in names)
