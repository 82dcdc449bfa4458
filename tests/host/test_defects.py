"""What was wrong with the host's earlier model manager, one test for each defect by its number: none of it is ours."""

from __future__ import annotations

import re
import threading
import time
from calendar import timegm
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mongomock
import ollama as ollama_library
import pytest

from elixi_models import ModelManager
from elixi_models.elixi import AnalysisResult
from elixi_models.testing import EmulatedModel, OllamaEmulator

Emulators = Callable[..., OllamaEmulator]
Managers = Callable[..., ModelManager]
Clients = Callable[..., Any]
Eventually = Callable[..., Any]

SECONDS_Z = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
NOBODY = "http://127.0.0.1:9"
"""An address where nothing answers."""


def posted(ollama: OllamaEmulator, path: str) -> list[Any]:
    """The bodies of the POST requests for a path that the server has got."""
    return [request.body for request in ollama.requests if (request.method, request.path) == ("POST", path)]


def test_defect_01_a_switch_loads_the_model(
    ollama_emulators: Emulators, make_manager: Managers, make_brain: Any
) -> None:
    """Active means that it is in memory and will answer; `load_time_ms` is the time of that load."""
    ollama = ollama_emulators(["llama3.2:1b", "qwen2.5:0.5b"], load_seconds=0.2)
    brain = make_brain("llama3.2:1b", ollama.url)
    answer = make_manager(ollama.url, brain).switch_model("qwen2.5:0.5b")
    assert (answer["status"], answer["current_model"], brain.model) == ("active", "qwen2.5:0.5b", "qwen2.5:0.5b")
    assert ollama.loaded == ["qwen2.5:0.5b"]
    assert 200 <= answer["load_time_ms"] < 5000


def test_defect_01_until_it_is_loaded_the_old_model_answers(
    ollama_emulators: Emulators, make_manager: Managers, make_brain: Any, eventually: Eventually
) -> None:
    """A load that takes longer than the wait is told as loading, and the brain is left alone until it is done."""
    ollama = ollama_emulators(["llama3.2:1b", "qwen2.5:0.5b"], load_seconds=0.5)
    brain = make_brain("llama3.2:1b", ollama.url)
    manager = make_manager(ollama.url, brain, switch_wait_s=0.05)
    assert manager.switch_model("qwen2.5:0.5b")["status"] == "loading"
    assert brain.model == "llama3.2:1b"
    assert manager.get_current_status()["data"]["requested_model"] == "qwen2.5:0.5b"
    eventually(lambda: brain.model == "qwen2.5:0.5b")
    assert ollama.loaded == ["qwen2.5:0.5b"]


def test_defect_02_a_model_that_does_not_exist_never_becomes_active(
    ollama_emulators: Emulators, make_manager: Managers, make_brain: Any, eventually: Eventually
) -> None:
    """Ollama answers 200 to such a pull and tells the error in the stream; the brain keeps its model."""
    ollama = ollama_emulators(["llama3.2:1b"], pull_seconds=0.1)
    brain = make_brain("llama3.2:1b", ollama.url)
    manager = make_manager(ollama.url, brain)
    answer = manager.switch_model("nosuchmodel", auto_pull=True)
    assert (answer["success"], answer["error_code"]) == (False, "MODEL_NOT_FOUND")
    job = eventually(lambda: manager.get_download_status("nosuchmodel"))
    assert (job["status"], job["error_code"]) == ("failed", "MODEL_NOT_FOUND")
    assert (brain.model, manager.current_model) == ("llama3.2:1b", "llama3.2:1b")


def test_defect_03_a_download_does_not_block_and_tells_how_far_it_is(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """The answer comes while the pull goes on, with every field of the seed, and others are answered meanwhile."""
    ollama = ollama_emulators(["llama3.2:1b"], pull_seconds=60)
    manager = make_manager(ollama.url, switch_wait_s=0.2)
    answer = manager.download_model("llama2:7b")
    assert ollama.pulling == ["llama2:7b"]
    assert {
        "model_name", "status", "progress", "download_size", "estimated_time_seconds", "install_path", "message"
    } <= set(answer)  # fmt: skip
    assert (answer["model_name"], answer["status"]) == ("llama2:7b", "downloading")
    known = eventually(lambda: (job := manager.download_model("llama2:7b"))["estimated_time_seconds"] and job)
    assert 0 < known["estimated_time_seconds"] <= 120
    assert known["download_size"] == "3.8 GB"
    assert manager.get_current_status()["data"]["downloads"][0]["model_name"] == "llama2:7b"
    assert manager.cancel_download("llama2:7b")["success"]


def test_defect_04_a_name_without_a_tag_is_the_installed_latest(
    ollama_emulators: Emulators, make_manager: Managers, make_brain: Any
) -> None:
    """In any spelling; nothing is pulled again, and the brain gets the exact installed tag."""
    ollama = ollama_emulators(["neural-chat:latest", "mistral:7b"], load_seconds=0.01)
    brain = make_brain("mistral:7b", ollama.url)
    manager = make_manager(ollama.url, brain)
    assert manager.switch_model("Neural-Chat", auto_pull=True)["current_model"] == "neural-chat"
    assert brain.model == "neural-chat:latest"
    assert posted(ollama, "/api/pull") == []


def test_defect_05_the_active_model_is_the_one_that_chat_uses(
    ollama_emulators: Emulators, make_manager: Managers, make_brain: Any, eventually: Eventually
) -> None:
    """Not the first of the list; list and status agree."""
    ollama = ollama_emulators(["neural-chat:latest", "mistral:latest"])
    manager = make_manager(ollama.url, make_brain("mistral", ollama.url))
    models = eventually(lambda: (found := manager.get_available_models())["installed"] and found)
    assert models["active_model"] == "mistral"
    assert [model["name"] for model in models["installed"] if model["active"]] == ["mistral"]
    assert manager.get_current_status()["data"]["current_model"] == "mistral"


def test_defect_06_status_is_the_truth(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """`current_model` is inside `data` too; not loaded, active and offline are told apart by asking the server."""
    ollama = ollama_emulators(["llama3.2:1b"], load_seconds=0.01)
    manager = make_manager(ollama.url, configured_model="llama3.2:1b")

    def state() -> str:
        answer = manager.get_current_status()
        assert answer["success"]
        assert answer["data"]["current_model"] == answer["current_model"] == "llama3.2:1b"
        return str(answer["data"]["status"])

    eventually(lambda: state() == "not_loaded")
    manager.switch_model("llama3.2:1b")
    eventually(lambda: state() == "active")
    ollama.go_down()
    eventually(lambda: state() == "offline")


def test_defect_07_uptime_is_that_of_the_model(ollama_emulators: Emulators, make_manager: Managers) -> None:
    """It counts since the model became active and starts anew with a switch."""
    ahead = [0.0]
    ollama = ollama_emulators(["llama3.2:1b", "qwen2.5:0.5b"], load_seconds=0.01)
    manager = make_manager(ollama.url, clock=lambda: time.time() + ahead[0])
    manager.switch_model("llama3.2:1b")
    ahead[0] = 100.0
    assert 100 <= manager.get_current_status()["data"]["uptime_seconds"] < 120
    manager.switch_model("qwen2.5:0.5b")
    assert manager.get_current_status()["data"]["uptime_seconds"] < 20


def test_defect_08_memory_is_the_model_s_and_nobody_sleeps_for_it(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """7168 MiB as the server tells, not the size of this Python; the figure is there, no call measures it."""
    big = EmulatedModel("mistral:7b", memory_bytes=7168 * 1024**2)
    ollama = ollama_emulators([big], load_seconds=0.01)
    manager = make_manager(ollama.url)
    manager.switch_model("mistral:7b")
    usage = eventually(lambda: (found := manager.get_current_status()["data"]["resource_usage"])["memory_mb"] and found)
    assert usage["memory_mb"] == 7168
    began = time.perf_counter()
    for _ in range(20):
        manager.get_current_status()
    assert time.perf_counter() - began < 20 * 0.1


def test_defect_09_figures_outlive_the_process(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """A new manager on the same data folder shows what the last one measured."""
    ollama = ollama_emulators([EmulatedModel("mistral:7b", answers="word " * 80)], load_seconds=0.01)
    manager = make_manager(ollama.url)
    eventually(lambda: manager.get_available_models()["installed"])
    assert manager.chat("hello")["success"]
    measured = manager.get_model_performance("mistral:7b")
    assert measured["tokens_per_second"] == 200.0
    manager.close()
    later = make_manager(ollama.url)
    assert eventually(lambda: later.get_model_performance("mistral:7b").get("tokens_per_second")) == 200.0


def test_defect_10_what_happened_is_stored_in_the_host_s_database(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """`mongodb=` takes the host's getter; the choice, the measurements and the history are in its collections."""
    database = mongomock.MongoClient()["ELIXIDB"]
    ollama = ollama_emulators(["llama3.2:1b"], load_seconds=0.01)
    manager = make_manager(ollama.url, mongodb=lambda: database)
    assert manager.switch_model("llama3.2:1b")["status"] == "active"
    assert manager.chat("hello")["success"]
    manager.close()
    assert [found["model"] for found in database["model_measurements"].find({"source": "chat"})] == ["llama3.2:1b"]
    assert [found["action"] for found in database["model_usage"].find()] == ["switch"]
    assert [found["value"]["model"] for found in database["model_preferences"].find()] == ["llama3.2:1b"]


def test_defect_11_the_host_s_own_chat_is_measured(
    ollama_emulators: Emulators, make_manager: Managers, make_brain: Any, eventually: Eventually
) -> None:
    """Requests and errors are those of real replies, not of a benchmark."""
    ollama = ollama_emulators([EmulatedModel("mistral:7b", answers="An answer.")], load_seconds=0.01)
    brain = make_brain("mistral:7b", ollama.url)
    manager = make_manager(ollama.url, brain)
    eventually(lambda: manager.get_current_status()["data"]["reachable"])
    assert brain.generate_reply("hello") == "An answer."
    ollama.fail_next("/api/generate", status=500)
    assert brain.generate_reply("hello") is None
    performance = manager.get_current_status()["data"]["performance"]
    assert (performance["total_requests"], performance["error_rate"]) == (2, 0.5)


def test_defect_12_speed_is_what_the_server_s_own_clock_says(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """50 tokens a second by its durations are 50, though everything around takes no time; a failure changes nothing."""
    slow = EmulatedModel("mistral:7b", decode_tokens_per_s=50.0, answers="word " * 100)
    ollama = ollama_emulators([slow], load_seconds=0.01, time_scale=0.01)
    manager = make_manager(ollama.url)
    eventually(lambda: manager.get_available_models()["installed"])
    answer = manager.benchmark_model("mistral:7b", num_prompts=1)
    assert answer["success"], answer
    done = eventually(
        lambda: (
            (job := manager.get_benchmark_status("mistral:7b"))["data"]["status"] not in ("queued", "running") and job
        )
    )
    assert done["data"]["status"] == "ok"
    assert done["data"]["report"]["speed"]["decode_tokens_per_second"]["value"] == 50.0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("llama3.1:8b-instruct-q4_0", "general"),
        ("nomic-embed-text", "embedding"),
        ("encode-model", "general"),
        ("deepseek-r1:7b", "analysis"),
        ("codellama:13b", "coding"),
    ],
)
def test_defect_13_a_kind_is_not_a_substring(name: str, kind: str, make_manager: Managers) -> None:
    """ "instruct" is not code, "encode" neither, an embedder is none that chats."""
    assert make_manager(NOBODY)._classify_model_type(name) == kind


def test_defect_13_types_are_the_seed_s_words(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """`general-purpose` and `code-generation`, as the front end expects."""
    manager = make_manager(ollama_emulators(["codellama:13b", "mistral:7b"]).url)
    installed = eventually(lambda: manager.get_installed_models())
    assert {model["name"]: model["type"] for model in installed} == {
        "codellama:13b": "code-generation",
        "mistral:7b": "general-purpose",
    }


def test_defect_14_capabilities_are_the_model_s_own(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """Context length and quantization come from the server, not from a constant."""
    model = EmulatedModel("phi3:mini", context_length=131_072, quantization="Q8_0")
    ollama = ollama_emulators([model])
    manager = make_manager(ollama.url, configured_model="phi3:mini")
    capabilities = eventually(
        lambda: (found := manager.get_current_status()["data"]["capabilities"])["max_context"] and found
    )
    assert (capabilities["max_context"], capabilities["quantization"]) == (131_072, "Q8_0")


@pytest.mark.parametrize(
    ("installed", "task", "best"),
    [
        (["codellama:13b", "nomic-embed-text"], "coding", "codellama:13b"),
        (["dolphin-mistral:7b"], "general", "dolphin-mistral:7b"),
        (["orca-mini:3b"], "fast", "orca-mini:3b"),
        (["nomic-embed-text:latest"], "coding", None),
        (["deepseek-coder:6.7b", "llama3:8b"], "coding", "deepseek-coder:6.7b"),
    ],
)
def test_defect_15_a_choice_is_an_installed_model_that_can_do_it(
    installed: list[str],
    task: str,
    best: str | None,
    ollama_emulators: Emulators,
    make_manager: Managers,
    eventually: Eventually,
) -> None:
    """The exact installed name, never a piece of it, never an embedder."""
    manager = make_manager(ollama_emulators(installed).url)
    eventually(lambda: len(manager.get_installed_models()) == len(installed))
    eventually(lambda: manager.select_best_model(task) == best)


def test_defect_16_the_two_lists_do_not_overlap(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """The catalogue is the public library's, each entry with its source, without the families that are installed."""
    manager = make_manager(ollama_emulators(["llama2:7b", "mistral:7b"]).url)
    models = eventually(lambda: (found := manager.get_available_models())["installed"] and found)
    available = {entry["name"] for entry in models["available"]}
    assert len(available) > 200
    assert not available & {"llama2", "mistral"}
    assert {entry["source"] for entry in models["available"]} == {"ollama"}


def test_defect_17_a_listed_model_has_the_fields_of_the_seed(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """`size` is the parameter count, `performance` is there before anything was measured, `last_used` is known."""
    model = EmulatedModel("mistral:7b", size_bytes=4_100_000_000, parameter_size="7.2B")
    manager = make_manager(ollama_emulators([model]).url)
    card = eventually(lambda: manager.get_installed_models())[0]
    assert (card["size"], card["format"], card["last_used"]) == ("7.2B", "gguf", None)
    assert card["performance"] == {
        "tokens_per_second": None,
        "avg_latency_ms": None,
        "ms_per_token": None,
        "time_to_first_token_ms": None,
        "memory_mb": None,
    }
    assert card["disk_size"] == "4.1 GB"
    manager.chat("hello")
    assert SECONDS_Z.match(eventually(lambda: manager.get_installed_models()[0]["last_used"]))


def test_defect_18_a_failure_is_told_as_one(ollama_emulators: Emulators, make_client: Clients) -> None:
    """A server that is down is 503 with the reason in `error`, a model that is not there 404; no success inside."""
    answer = make_client(NOBODY).get("/ai/available-models")
    body = answer.get_json()
    assert (answer.status_code, body["success"], body["error_code"]) == (503, False, "OLLAMA_UNAVAILABLE")
    assert "ollama serve" in body["error"]
    answer = make_client(ollama_emulators(["mistral:7b"]).url).post("/ai/switch-model", json={"model_name": "phi"})
    body = answer.get_json()
    assert (answer.status_code, body["success"], body["data"]) == (404, False, None)
    assert body["error_code"] == "MODEL_NOT_INSTALLED"


def test_defect_19_analyze_takes_the_argument_that_all_others_take(
    make_manager: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without it; a failure is a result too, not a TypeError."""
    manager = make_manager(NOBODY)
    for result in (manager.analyze(), manager.analyze(None), manager.analyze({"anything": 1})):
        assert isinstance(result, AnalysisResult)
        assert (result.success, result.metadata["analysis_type"]) == (True, "model_status")
        assert result.data["status"] == "offline"
    monkeypatch.setattr(manager.service, "status", lambda: 1 / 0)
    failed = manager.analyze({})
    assert (failed.success, failed.error_code) == (False, "INTERNAL_ERROR")


def test_defect_20_the_methods_that_the_seed_names_exist(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """`get_installed_models` and `get_model_performance`."""
    manager = make_manager(ollama_emulators(["mistral:7b"]).url)
    assert [model["name"] for model in eventually(manager.get_installed_models)] == ["mistral:7b"]
    assert manager.get_model_performance("mistral:7b")["avg_latency_ms"] is None
    assert manager.get_model_performance("not-there") == {}


def test_defect_21_many_clicks_are_one_pull(
    ollama_emulators: Emulators, make_manager: Managers, eventually: Eventually
) -> None:
    """Eight at once give one job and one request to the server."""
    ollama = ollama_emulators(["mistral:7b"], pull_seconds=60)
    manager = make_manager(ollama.url, switch_wait_s=1.0)
    answers: list[Any] = []
    clicks = [threading.Thread(target=lambda: answers.append(manager.download_model("phi:2.7b"))) for _ in range(8)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert {answer["status"] for answer in answers} <= {"queued", "downloading"}
    eventually(lambda: ollama.pulling == ["phi:2.7b"])
    assert len(posted(ollama, "/api/pull")) == 1
    assert len(manager.service.downloads()) == 1
    manager.cancel_download("phi:2.7b")


def test_defect_22_manager_and_chat_talk_to_the_same_server(
    make_brain: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An address that was not given is the brain's, else OLLAMA_API_URL; a given one counts."""
    monkeypatch.setenv("OLLAMA_API_URL", "http://10.0.0.2:11434")
    assert ModelManager(make_brain(api_url="http://10.0.0.5:11434")).service.settings.ollama_url == (
        "http://10.0.0.5:11434"
    )
    assert ModelManager().service.settings.ollama_url == "http://10.0.0.2:11434"
    assert ModelManager(None, "http://10.0.0.9:11434").service.settings.ollama_url == "http://10.0.0.9:11434"


def test_defect_23_the_official_client_is_used(
    ollama_emulators: Emulators, make_manager: Managers, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Everything that reaches the server went through `ollama.Client`, made for that address."""
    hosts: list[str] = []

    class Watched(ollama_library.Client):
        def __init__(self, host: str | None = None, **options: Any) -> None:
            hosts.append(str(host))
            super().__init__(host, **options)

    monkeypatch.setattr(ollama_library, "Client", Watched)
    ollama = ollama_emulators(["mistral:7b"], load_seconds=0.01)
    manager = make_manager(ollama.url)
    assert manager.switch_model("mistral:7b")["success"]
    assert manager.chat("hello")["success"]
    assert set(hosts) == {ollama.url}


def test_defect_24_every_answer_has_its_time_in_utc(ollama_emulators: Emulators, make_client: Clients) -> None:
    """`YYYY-MM-DDTHH:MM:SSZ`, on successes and errors alike."""
    client = make_client(ollama_emulators(["mistral:7b"]).url)
    for answer in (
        client.get("/ai/model-status"),
        client.get("/ai/health"),
        client.post("/ai/switch-model", json={}),
        client.get("/ai/nothing"),
        client.delete("/ai/model-status"),
    ):
        stamp = answer.get_json()["timestamp"]
        assert SECONDS_Z.match(stamp)
        assert abs(time.time() - timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"))) < 60
