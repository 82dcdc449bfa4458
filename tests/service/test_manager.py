"""The host's face: every method answers in its shape, and none raises."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from elixi_models import ModelManager, ModelService, create_model_manager
from elixi_models.errors import InvalidSetting
from elixi_models.testing import EmulatedModel, OllamaEmulator

Services = Callable[..., ModelService]
Eventually = Callable[..., Any]

NOBODY = "http://127.0.0.1:9"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")


@pytest.fixture
def ollama(ollama_emulators: Callable[..., OllamaEmulator]) -> OllamaEmulator:
    """Two chat models and an embedder."""
    models = [EmulatedModel("llama3.2:1b", answers="word " * 80), "qwen2.5:0.5b", "nomic-embed-text"]
    return ollama_emulators(models, load_seconds=0.01, pull_seconds=0.1)


@pytest.fixture
def manager(ollama: OllamaEmulator, make_service: Services) -> ModelManager:
    """A manager over that server."""
    return ModelManager(service=make_service(ollama.url))


@pytest.fixture
def lonely(make_service: Services) -> ModelManager:
    """A manager whose server is not there."""
    return ModelManager(service=make_service(NOBODY, pull_retries=0))


# Each method by its shape


def test_the_list_is_bare(manager: ModelManager) -> None:
    """The host wraps it itself."""
    models = manager.get_available_models()
    assert {"installed", "available", "active_model"} <= set(models)
    assert "success" not in models
    assert {model["name"] for model in models["installed"]} == {"llama3.2:1b", "qwen2.5:0.5b", "nomic-embed-text"}


def test_the_status_is_the_whole_envelope(manager: ModelManager) -> None:
    """The host sends it as it is."""
    manager.switch_model("qwen2.5:0.5b")
    status = manager.get_current_status()
    assert list(status) == ["success", "current_model", "data", "timestamp"]
    assert status["current_model"] == status["data"]["current_model"] == "qwen2.5:0.5b"
    assert STAMP.match(status["timestamp"])


def test_a_switch_is_flat(manager: ModelManager) -> None:
    """`success` beside the fields of the seed."""
    answer = manager.switch_model("qwen2.5:0.5b")
    assert (answer["success"], answer["status"], answer["message"]) == (
        True,
        "active",
        "Successfully switched to qwen2.5:0.5b",
    )


def test_downloads_are_flat(manager: ModelManager, eventually: Eventually) -> None:
    """Start, look, cancel: one shape."""
    begun = manager.download_model("smollm:135m")
    found = eventually(lambda: (job := manager.get_download_status("smollm:135m"))["status"] == "installed" and job)
    cancelled = manager.cancel_download("smollm:135m")
    assert set(begun) == set(found) == set(cancelled)
    assert (begun["success"], found["progress"], cancelled["status"]) == (True, 100, "installed")
    assert manager.download_model("smollm:135m", update=True, auto_switch=False)["success"]


def test_benchmarks_are_envelopes(manager: ModelManager, eventually: Eventually) -> None:
    """With the seed's argument or the host's."""
    answer = manager.benchmark_model("llama3.2:1b", num_prompts=1)
    assert (answer["success"], answer["data"]["model_name"], answer["data"]["suite"]) == (True, "llama3.2:1b", "quick")
    done = eventually(
        lambda: (job := manager.get_benchmark_status())["data"]["status"] not in ("queued", "running") and job
    )
    assert (done["data"]["status"], done["message"]) == ("ok", "Benchmark of llama3.2:1b is done")
    assert manager.get_benchmark_status("llama3.2:1b")["data"]["progress"] == 100
    own = ["Say hello."]
    assert manager.benchmark_model("llama3.2:1b", test_prompts=own)["success"]
    eventually(lambda: manager.get_benchmark_status()["data"]["status"] not in ("queued", "running"))


def test_unload_and_delete_are_flat(manager: ModelManager) -> None:
    """With what happened in words."""
    manager.switch_model("qwen2.5:0.5b")
    assert manager.unload_model("qwen2.5:0.5b")["message"] == "qwen2.5:0.5b is unloaded"
    refused = manager.delete_model("qwen2.5:0.5b")
    assert (refused["success"], refused["error_code"]) == (False, "MODEL_ACTIVE")
    assert manager.delete_model("qwen2.5:0.5b", force=True)["status"] == "deleted"


def test_choices_and_assignments_are_envelopes(manager: ModelManager) -> None:
    """The reason is in `data.why`."""
    assert manager.set_task_assignments({"coding": "qwen2.5:0.5b"})["data"]["assignments"]["coding"] == "qwen2.5:0.5b"
    assert manager.get_task_assignments()["data"]["missing"] == []
    choice = manager.recommend_model("coding")
    assert choice["data"]["model_name"] == "qwen2.5:0.5b"
    assert choice["data"]["why"]["text"] == "qwen2.5:0.5b: assigned to coding by the user"
    assert manager.select_best_model("coding") == "qwen2.5:0.5b"


def test_a_history_is_an_envelope(manager: ModelManager, eventually: Eventually) -> None:
    """Of any model in any spelling, over any time that a number, a text or a datetime names."""
    manager.chat("Hello", model="llama3.2:1b")
    day = eventually(lambda: (told := manager.get_model_history("LLAMA3.2:1B"))["data"]["points"] and told)
    assert (day["success"], day["data"]["total"]["requests"], day["data"]["bucket"]) == (True, 1, "hour")
    since, until = datetime(2020, 1, 1, tzinfo=timezone.utc), "2020-01-03T00:00:00+02:00"
    then = manager.get_model_history("llama3.2:1b", since=since, until=until, bucket="day")["data"]
    assert (then["from"], then["to"], then["points"]) == ("2020-01-01T00:00:00Z", "2020-01-03T00:00:00Z", [])
    assert manager.get_model_history("never-seen", since=1_577_836_800)["data"]["total"] is None


def test_a_chat_is_one_line(manager: ModelManager) -> None:
    """Reply, model and why; the figures come with it."""
    answer = manager.chat("Hello", model="llama3.2:1b")
    assert list(answer) == ["success", "reply", "model", "why"]
    assert (answer["success"], answer["model"], answer["why"]) == (True, "llama3.2:1b", None)
    assert manager.get_model_performance("llama3.2:1b")["tokens_per_second"] == 200.0


def test_performance_is_of_the_active_model_unless_one_is_named(manager: ModelManager) -> None:
    """And empty without either."""
    assert manager.get_model_performance() == {}
    manager.switch_model("qwen2.5:0.5b")
    assert manager.get_model_performance() == manager.get_model_performance("QWEN2.5:0.5b") != {}


def test_the_name_of_the_active_model_can_be_assigned(manager: ModelManager) -> None:
    """As the host's own code and tests do."""
    manager.current_model = "qwen2.5:0.5b"
    assert manager.current_model == "qwen2.5:0.5b"


# What goes wrong


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (lambda m: m.switch_model(None), "INVALID_REQUEST", "model_name is required"),
        (lambda m: m.switch_model(123), "INVALID_REQUEST", "model_name must be a string"),
        (lambda m: m.switch_model("a b"), "INVALID_REQUEST", None),
        (lambda m: m.switch_model("phi", auto_pull="yes"), "INVALID_REQUEST", "auto_pull must be true or false"),
        (lambda m: m.download_model("phi", auto_switch=1), "INVALID_REQUEST", "auto_switch must be true or false"),
        (lambda m: m.download_model("phi", update="x"), "INVALID_REQUEST", "update must be true or false"),
        (lambda m: m.download_model("phi", fast=True), "INVALID_REQUEST", "unknown flag: fast"),
        (lambda m: m.delete_model("phi", force=None), "INVALID_REQUEST", "force must be true or false"),
        (lambda m: m.get_download_status("phi"), "NOT_FOUND", None),
        (lambda m: m.cancel_download("phi"), "NOT_FOUND", None),
        (lambda m: m.unload_model("phi"), "OLLAMA_UNAVAILABLE", None),
        (lambda m: m.benchmark_model("phi"), "OLLAMA_UNAVAILABLE", None),
        (lambda m: m.get_benchmark_status("phi"), "NOT_FOUND", None),
        (lambda m: m.get_model_history(None), "INVALID_REQUEST", "model_name is required"),
        (lambda m: m.get_model_history("phi", bucket=7), "INVALID_REQUEST", "bucket must be hour or day"),
        (lambda m: m.get_model_history("phi", since=True), "INVALID_REQUEST", "since must be a time"),
        (lambda m: m.get_model_history("phi", since=9.0, until=8.0), "INVALID_REQUEST", None),
        (lambda m: m.recommend_model("coding"), "NO_USABLE_MODEL", None),
        (lambda m: m.set_task_assignments({"cooking": "phi"}), "INVALID_REQUEST", "unknown task: cooking"),
        (lambda m: m.chat(""), "INVALID_REQUEST", "prompt is required"),
        (lambda m: m.chat("Hello", model="phi"), "OLLAMA_UNAVAILABLE", None),
    ],
)
def test_a_failure_is_an_answer(
    call: Callable[[ModelManager], Any], code: str, message: str | None, lonely: ModelManager
) -> None:
    """`success` false, `error` in words, the code for programs."""
    answer = call(lonely)
    assert (answer["success"], answer["error_code"]) == (False, code)
    assert answer["error"] == message if message else answer["error"]


def test_lists_and_choices_without_a_server_are_empty(lonely: ModelManager) -> None:
    """Where the host expects a list, a dict or a name, it gets one or None."""
    assert lonely.get_installed_models() == []
    assert lonely.get_model_performance("phi") == {}
    assert lonely.select_best_model("coding") is None
    models = lonely.get_available_models()
    assert (models["installed"], models["error_code"]) == ([], "OLLAMA_UNAVAILABLE")


def test_a_defect_of_ours_keeps_the_shape_of_the_list(lonely: ModelManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also then both lists are there."""
    monkeypatch.setattr(lonely.service, "available", lambda: 1 / 0)
    models = lonely.get_available_models()
    assert (models["installed"], models["available"], models["active_model"]) == ([], [], None)
    assert models["error_code"] == "INTERNAL_ERROR"


def test_a_list_that_is_refused_for_another_reason_says_so(
    lonely: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only an absent server leaves the catalogue."""

    def refuse() -> Any:
        raise InvalidSetting("no")

    monkeypatch.setattr(lonely.service, "available", refuse)
    assert lonely.get_available_models()["error_code"] == "INVALID_SETTING"


# How it is made


def test_a_setting_that_cannot_be_used_is_told_when_the_manager_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one thing that may raise: nothing could work with it."""
    monkeypatch.setenv("ELIXI_MODELS_MAX_PULLS", "many")
    with pytest.raises(InvalidSetting, match="ELIXI_MODELS_MAX_PULLS"):
        ModelManager()


def test_the_factory_takes_what_the_class_takes() -> None:
    """And the host's positional order."""
    manager = create_model_manager(None, None, ollama_base_url="http://10.0.0.9:11434", enable_cache=False)
    assert (manager.service.settings.ollama_url, manager.cache) == ("http://10.0.0.9:11434", None)
    assert ModelManager(None, "http://10.0.0.8:1").service.settings.ollama_url == "http://10.0.0.8:1"
