"""The main job against a real Ollama: `ELIXI_TEST_OLLAMA_HOST=http://127.0.0.1:11434 pytest -m live`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from elixi_models import ModelManager

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

Eventually = Callable[..., Any]
PROMPT = "Tell a long story about a fox and a crow, with many details."


def shown(name: str) -> str:
    return name.removesuffix(":latest")


def test_the_list_is_the_server_s_own(server: Any, manager: ModelManager) -> None:
    """Every name with its digest, no other, and who can chat."""
    listed = manager.get_installed_models()
    assert {model["name"]: model["digest"] for model in listed} == {
        shown(name): digest for name, digest in server.installed().items()
    }
    assert {model["name"] for model in listed if model["can_chat"]} == {shown(name) for name in server.chat_models()}


def test_a_switch_makes_the_model_resident_and_sets_the_brain(
    server: Any, manager: ModelManager, brain: Any, pair: list[str], eventually: Eventually
) -> None:
    """There and back, by the server's own word; status follows."""
    for name in (pair[1], pair[0]):
        answer = manager.switch_model(name)
        assert answer["success"], answer
        eventually(lambda name=name: brain.model == name, 300.0)
        assert name in server.loaded()
        status = eventually(lambda: (found := manager.get_current_status()["data"])["status"] == "active" and found)
        assert status["current_model"] == shown(name)
        assert status["loaded"] is True


def test_a_switch_under_a_running_chat_breaks_no_reply(
    manager: ModelManager, brain: Any, pair: list[str], eventually: Eventually
) -> None:
    """Replies that began before, during and after it all end well."""
    manager.switch_model(pair[0])
    eventually(lambda: brain.model == pair[0], 300.0)
    stop = threading.Event()
    answers: list[dict[str, Any]] = []

    def chat() -> None:
        while not stop.is_set():
            answers.append(manager.chat(PROMPT, model=brain.model))

    chats = [threading.Thread(target=chat) for _ in range(2)]
    for thread in chats:
        thread.start()
    try:
        eventually(lambda: len(answers) >= 1, 300.0)
        assert manager.switch_model(pair[1])["success"]
        eventually(lambda: brain.model == pair[1], 300.0)
        count = len(answers)
        eventually(lambda: len(answers) >= count + 3, 300.0)
    finally:
        stop.set()
        for thread in chats:
            thread.join()
    assert [answer for answer in answers if not answer["success"] or not answer["reply"]] == []
    assert {answer["model"] for answer in answers} == {shown(name) for name in pair}


def test_chat_is_measured_by_the_server_s_clock(manager: ModelManager, pair: list[str]) -> None:
    """A rate that is a number, after a reply that is long enough for one."""
    answer = manager.chat(PROMPT, model=pair[0])
    assert answer["success"], answer
    performance = manager.get_model_performance(shown(pair[0]))
    assert performance["tokens_per_second"] is None or performance["tokens_per_second"] > 0
    assert performance["avg_latency_ms"] > 0


def test_the_brain_is_measured(manager: ModelManager, brain: Any, pair: list[str]) -> None:
    """Its replies go through us; they are not capped, so a small model may talk until the timeout."""
    brain.model = pair[0]
    assert brain.is_available() is True
    before = manager.get_current_status()["data"]["performance"]["total_requests"]
    brain.generate_reply("Say yes.", timeout=20)
    assert manager.get_current_status()["data"]["performance"]["total_requests"] == before + 1


def test_a_download_is_followed_to_its_end_and_deleted_again(
    server: Any, manager: ModelManager, pullable: str, follow: Callable[..., Any]
) -> None:
    """Progress only rises; the server has the model, then it has not, and the bytes are told."""
    begun = manager.download_model(pullable)
    assert begun["success"] or begun["error_code"] in ("REGISTRY_UNREACHABLE", "REGISTRY_DENIED", "MODEL_NOT_FOUND")
    seen = follow(pullable)
    progress = [job["progress"] for job in seen]
    assert progress == sorted(progress)
    assert (seen[-1]["status"], progress[-1]) == ("installed", 100)
    assert pullable in server.installed()
    deleted = manager.delete_model(pullable)
    assert (deleted["success"], deleted["status"]) == (True, "deleted")
    assert pullable not in server.installed()


def test_a_download_is_cancelled_and_goes_on_from_there(
    server: Any, manager: ModelManager, pullable: str, follow: Callable[..., Any], eventually: Eventually
) -> None:
    """What came stays on the server; the second try ends installed."""
    manager.service.download(name_of(pullable), wait_s=0.1)
    job = eventually(
        lambda: (
            (found := manager.get_download_status(pullable))
            and (found["status"] not in ("queued", "downloading") or found["progress"] > 0)
            and found
        ),
        300.0,
    )
    if job["status"] != "downloading":
        pytest.skip(f"{pullable} came too fast to be cancelled, or not at all: {job['status']} {job['error_code']}")
    manager.cancel_download(pullable)
    cancelled = eventually(lambda: (found := manager.get_download_status(pullable))["status"] == "cancelled" and found)
    assert pullable not in server.installed()
    assert manager.download_model(pullable)["status"] == "cancelled"
    again = manager.download_model(pullable, restart=True)
    assert again["success"], again
    seen = follow(pullable)
    assert seen[-1]["status"] == "installed"
    assert seen[0]["progress"] + 1 >= cancelled["progress"] or seen[0]["progress"] == 0
    assert pullable in server.installed()


def name_of(text: str) -> Any:
    from elixi_models.names import ModelName

    return ModelName.parse(text)


def test_a_typo_is_told_as_one(manager: ModelManager, eventually: Eventually) -> None:
    """At once, or in the job a little later."""
    answer = manager.download_model("no-such-model-anywhere")
    if answer["success"]:
        answer = eventually(
            lambda: (found := manager.get_download_status("no-such-model-anywhere"))["status"] == "failed" and found,
            300.0,
        )
    if answer["error_code"] == "REGISTRY_UNREACHABLE":
        pytest.skip("the server reaches no registry")
    assert answer["error_code"] == "MODEL_NOT_FOUND"


def test_a_model_that_is_not_there_cannot_be_switched_to(manager: ModelManager, brain: Any) -> None:
    """The brain keeps its model."""
    before = brain.model
    answer = manager.switch_model("no-such-model-anywhere")
    assert (answer["success"], answer["error_code"]) == (False, "MODEL_NOT_INSTALLED")
    assert brain.model == before


def test_two_models_are_benchmarked_and_the_server_is_left_as_it_was(
    server: Any, manager: ModelManager, pair: list[str], eventually: Eventually
) -> None:
    """In under 120 s each, scored for every task, twice alike; what was loaded before is loaded after.

    On a machine too slow for the whole suite the deadline cuts it, and only what both runs reached is compared.
    """
    manager.switch_model(pair[0])
    eventually(lambda: manager.get_current_status()["data"]["loaded"], 300.0)
    before, digests = server.loaded(), server.installed()
    for name in pair:
        first, second = (benchmarked(manager, name, eventually) for _ in range(2))
        assert server.loaded() == before
        assert first["report"]["digest"] == second["report"]["digest"] == digests[name]
        assert first["scores"]
        for task, score in first["scores"].items():
            assert score["ci90"][0] < score["score"] < score["ci90"][1]
            if score["n"] == second["scores"].get(task, {}).get("n"):
                assert score["score"] == pytest.approx(second["scores"][task]["score"], abs=3.0)
    eventually(lambda: manager.recommend_model("general")["data"]["why"]["evidence"]["estimated"] is False)


def benchmarked(manager: ModelManager, name: str, eventually: Eventually) -> dict[str, Any]:
    """A quick benchmark that went through, or as far as the deadline let it."""
    begun = manager.benchmark_model(name)
    assert begun["success"], begun
    job: dict[str, Any] = eventually(
        lambda: (found := manager.get_benchmark_status(name)["data"])["finished_at"] and found, 120.0
    )
    assert job["status"] == "ok" or (job["status"], job["reason"]) == ("partial", "deadline"), job
    return job


def test_unload_takes_it_out_of_memory(server: Any, manager: ModelManager, pair: list[str]) -> None:
    """By the server's own word."""
    assert manager.switch_model(pair[0])["success"]
    answer = manager.unload_model(pair[0])
    assert (answer["success"], answer["status"]) == (True, "unloaded")
    assert pair[0] not in server.loaded()
