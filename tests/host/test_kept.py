"""What the host's tests expect of its manager and ours keeps, through the same public behaviour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from elixi_models import ModelManager, create_model_manager
from elixi_models.elixi import AnalysisResult
from elixi_models.testing import OllamaEmulator

Emulators = Callable[..., OllamaEmulator]
Managers = Callable[..., ModelManager]
Eventually = Callable[..., Any]

NOBODY = "http://127.0.0.1:9"


def test_a_manager_over_a_mock_of_the_brain(make_manager: Managers) -> None:
    """What is no text in the brain is no model; logger and cache are there."""
    manager = make_manager(NOBODY, Mock())
    assert manager.current_model is None
    assert manager.cache is not None
    for level in (manager.logger.info, manager.logger.warning, manager.logger.error, manager.logger.debug):
        level("said", {"plain": 1})


def test_a_mock_of_the_brain_is_left_alone(make_manager: Managers) -> None:
    """Its methods are not replaced: it has no model by name."""
    brain = Mock()
    reply = brain.generate_reply
    make_manager(NOBODY, brain).get_current_status()
    assert brain.generate_reply is reply


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("codellama", "coding"),
        ("dolphin:7b", "creative"),
        ("dolphin-mixtral", "creative"),
        ("orca-mini", "fast"),
        ("neural-chat", "general"),
        ("mistral:7b", "general"),
        ("llama2", "general"),
        ("openchat", "general"),
    ],
)
def test_kinds_of_known_models(name: str, kind: str, make_manager: Managers) -> None:
    """The task words by which models are chosen."""
    assert make_manager(NOBODY)._classify_model_type(name) == kind


def test_the_one_special_name_stays_alone(make_manager: Managers) -> None:
    """The host's test wants `mistral-7b-instruct` as coding; "instruct" as such still says nothing."""
    manager = make_manager(NOBODY)
    assert manager._classify_model_type("mistral-7b-instruct") == "coding"
    assert manager._classify_model_type("mistral:7b-instruct") == "general"


@pytest.mark.parametrize(
    ("size", "text"), [(512, "512.0B"), (1024, "1.0KB"), (1024**2, "1.0MB"), (1024**3, "1.0GB"), (1024**4, "1.0TB")]
)
def test_the_earlier_size_text(size: int, text: str) -> None:
    """Binary units without a space, without an instance."""
    assert ModelManager._format_size(size) == text


def test_a_switch_to_an_installed_model(ollama_emulators: Emulators, make_manager: Managers, make_brain: Any) -> None:
    """Flat `success` and `current_model`; the manager and the brain have it."""
    ollama = ollama_emulators(["mistral:7b", "neural-chat"], load_seconds=0.01)
    brain = make_brain("neural-chat", ollama.url)
    manager = make_manager(ollama.url, brain)
    answer = manager.switch_model("mistral:7b")
    assert (answer["success"], answer["current_model"], answer["previous_model"]) == (True, "mistral:7b", "neural-chat")
    assert (manager.current_model, brain.model) == ("mistral:7b", "mistral:7b")


def test_a_switch_to_a_model_that_is_not_there(ollama_emulators: Emulators, make_manager: Managers) -> None:
    """The host looks for these words."""
    answer = make_manager(ollama_emulators(["mistral:7b"]).url).switch_model("phi")
    assert answer["success"] is False
    assert "not installed" in answer["error"]


def test_a_switch_with_auto_pull_pulls_and_then_switches(
    ollama_emulators: Emulators, make_manager: Managers, make_brain: Any, eventually: Eventually
) -> None:
    """It answers at once; the model becomes active when it is installed."""
    ollama = ollama_emulators(["mistral:7b"], pull_seconds=0.2, load_seconds=0.01)
    brain = make_brain("mistral:7b", ollama.url)
    answer = make_manager(ollama.url, brain, switch_wait_s=0.05).switch_model("phi:2.7b", auto_pull=True)
    assert (answer["success"], answer["status"], answer["current_model"]) == (True, "downloading", "mistral:7b")
    eventually(lambda: brain.model == "phi:2.7b")


def test_status_without_any_server(make_manager: Managers) -> None:
    """It succeeds, with `current_model` settable and every object that a caller reaches into."""
    manager = make_manager(NOBODY)
    manager.current_model = "mistral:7b"
    status = manager.get_current_status()
    assert (status["success"], status["current_model"]) == (True, "mistral:7b")
    assert {"tokens_per_second", "avg_latency_ms", "error_rate", "total_requests"} <= set(status["data"]["performance"])
    assert {"memory_mb", "cpu_percent", "memory_percent"} <= set(status["data"]["resource_usage"])


@pytest.mark.parametrize(("name", "kind"), [("mistral:7b", "general"), ("codellama:7b", "coding")])
def test_capabilities_by_name(name: str, kind: str, make_manager: Managers) -> None:
    """Type, what it supports and its context, without a network."""
    capabilities = make_manager(NOBODY)._get_model_capabilities(name)
    assert set(capabilities) == {"type", "supports", "max_context"}
    assert capabilities["type"] == kind
    assert ("python" in capabilities["supports"]) is (kind == "coding")


def test_the_best_model_for_code_is_a_code_model(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """codellama over neural-chat."""
    manager = make_manager(ollama_emulators(["neural-chat", "codellama"]).url)
    eventually(lambda: manager.select_best_model("coding") == "codellama:latest")


def test_the_best_model_is_always_an_installed_one(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """Of what is there, by its exact name."""
    installed = {"neural-chat:latest", "mistral:7b"}
    manager = make_manager(ollama_emulators(installed).url)
    assert eventually(lambda: manager.select_best_model("general")) in installed


def test_an_unknown_task_is_a_general_one(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """Not None."""
    manager = make_manager(ollama_emulators(["mistral:7b"]).url)
    assert eventually(lambda: manager.select_best_model("no such task")) == "mistral:7b"


def test_no_server_is_no_choice(make_manager: Managers) -> None:
    """None, and no exception."""
    assert make_manager(NOBODY).select_best_model("coding") is None


def test_the_cache_gives_back_what_was_put_in(make_manager: Managers) -> None:
    """And a factory's own cache is used."""
    manager = make_manager(NOBODY)
    manager.cache.set("key", {"a": 1}, ttl_minutes=1)
    assert manager.cache.get("key") == {"a": 1}
    cache = Mock()
    assert create_model_manager(None, cache).cache is cache
    assert create_model_manager().cache is not None


@pytest.mark.parametrize("fault", ["down", "500"])
def test_a_broken_server_is_an_empty_private_list(
    fault: str, ollama_emulators: Emulators, make_manager: Managers
) -> None:
    """`_get_installed_models` is for those who do not ask why; the public list says it."""
    ollama = ollama_emulators(["mistral:7b"])
    if fault == "down":
        ollama.go_down()
    else:
        ollama.fail_next("*", status=500, times=None)
    manager = make_manager(ollama.url)
    assert manager._get_installed_models() == []
    models = manager.get_available_models()
    assert (models["installed"], models["error_code"]) == ([], "OLLAMA_UNAVAILABLE")


def test_the_list_has_its_shape_also_offline(make_manager: Managers) -> None:
    """Two lists and a name; what could be installed is known without a server."""
    models = make_manager(NOBODY, configured_model="mistral").get_available_models()
    assert models["installed"] == []
    assert len(models["available"]) > 200
    assert models["active_model"] == "mistral"


def test_analyze_is_the_status_as_a_result(make_manager: Managers) -> None:
    """The class is the one that the host's analyzers return."""
    result = make_manager(NOBODY).analyze()
    assert isinstance(result, AnalysisResult)
    assert result.metadata["analysis_type"] == "model_status"
    assert result.to_dict()["success"] is True
