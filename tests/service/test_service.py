"""All verbs of the service, over an emulated server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elixi_models import ModelService, signals
from elixi_models.errors import (
    BenchmarkRunning,
    CannotChat,
    ElixiModelsError,
    InvalidRequest,
    LoadFailed,
    ModelActive,
    ModelNotFound,
    ModelNotInstalled,
    NotFound,
    OllamaDisabled,
    OllamaUnavailable,
    RegistryNotAllowed,
)
from elixi_models.names import ModelName
from elixi_models.records import TASKS
from elixi_models.testing import EmulatedModel, OllamaEmulator

Emulators = Callable[..., OllamaEmulator]
Services = Callable[..., ModelService]
Eventually = Callable[..., Any]

NOBODY = "http://127.0.0.1:9"
LLAMA, QWEN = ModelName.parse("llama3.2:1b"), ModelName.parse("qwen2.5:0.5b")
EMBEDDER, NEW = ModelName.parse("nomic-embed-text"), ModelName.parse("smollm:135m")


class Brain:
    """The attribute by which the host names its model."""

    def __init__(self, model: str = "llama3.2:1b") -> None:
        self.model = model


@pytest.fixture
def ollama(ollama_emulators: Emulators) -> OllamaEmulator:
    """Two chat models and an embedder, quick."""
    return ollama_emulators(["llama3.2:1b", "qwen2.5:0.5b", "nomic-embed-text"], load_seconds=0.02, pull_seconds=0.2)


def history(service: ModelService) -> list[tuple[str, str | None, str]]:
    """Action, model and outcome of what was done, newest first."""
    return [(event.action, event.model, event.outcome) for event in service.usage_history()]


# Reading


def test_nothing_happens_before_the_first_verb(ollama: OllamaEmulator, make_service: Services, tmp_path: Path) -> None:
    """No request, no thread, no file."""
    before = threading.active_count()
    make_service(ollama.url, ready=False)
    assert threading.active_count() == before
    assert ollama.requests == []
    assert list(tmp_path.iterdir()) == []


def test_the_list_is_the_server_s_own(ollama: OllamaEmulator, make_service: Services) -> None:
    """Every name, with what can chat among them."""
    report = make_service(ollama.url).available()
    assert {card.model.name: card.model.can_chat for card in report.cards} == {
        "llama3.2:1b": True,
        "qwen2.5:0.5b": True,
        "nomic-embed-text:latest": False,
    }
    assert (report.reachable, report.active, report.active_installed) == (True, None, False)


@pytest.mark.parametrize(
    ("url", "settings", "error"),
    [(NOBODY, {}, OllamaUnavailable), (NOBODY, {"ollama_enabled": False}, OllamaDisabled)],
)
def test_without_any_look_there_is_no_list(
    url: str, settings: dict[str, Any], error: type[ElixiModelsError], make_service: Services
) -> None:
    """The reason is told; status and the catalogue answer all the same."""
    service = make_service(url, **settings)
    with pytest.raises(error):
        service.available()
    assert service.status().state == "offline"
    assert len(service.catalogue_alone().catalogue) > 200


def test_a_server_that_went_away_leaves_its_last_list(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """With `reachable` false and the time of the look."""
    service = make_service(ollama.url)
    seen = service.available()
    ollama.go_down()
    eventually(lambda: not service.available().reachable)
    report = service.available()
    assert len(report.cards) == 3
    assert report.as_of_s is not None
    assert seen.as_of_s is not None
    assert report.as_of_s >= seen.as_of_s
    ollama.come_back()
    eventually(lambda: service.available().reachable)


def test_health_tells_ok_and_down(ollama: OllamaEmulator, make_service: Services, eventually: Eventually) -> None:
    """With what stores and which version answers."""
    service = make_service(ollama.url)
    report = eventually(lambda: (found := service.health()).status == "ok" and found)
    assert (report.ollama["version"], report.store["kind"], report.live_downloads) == ("0.33.0", "sqlite", 0)
    ollama.go_down()
    eventually(lambda: service.health().status == "down")


def test_health_is_degraded_while_the_store_is_away(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """A MongoDB that nobody answers for; everything else works."""
    service = make_service(ollama.url, mongodb_uri="mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50")
    report = eventually(lambda: (found := service.health()).status == "degraded" and found)
    assert (report.store["kind"], report.store["available"]) == ("mongodb", False)
    assert service.switch(LLAMA).state == "active"


# Switching


def test_a_switch_is_stored_told_and_remembered(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """In the brain, in the history with who did it, and as a signal."""
    brain = Brain("qwen2.5:0.5b")
    service = make_service(ollama.url, brain)
    told: list[tuple[Any, dict[str, Any]]] = []

    def listen(sender: Any, **facts: Any) -> None:
        told.append((sender, facts))

    with signals.model_switched.connected_to(listen, sender=service):
        result = service.switch(LLAMA, user="ann")
        eventually(lambda: told)
    assert (result.state, result.current, result.previous) == ("active", "llama3.2:1b", "qwen2.5:0.5b")
    assert brain.model == "llama3.2:1b"
    assert told == [(service, {"model": "llama3.2:1b", "previous": "qwen2.5:0.5b"})]
    event = service.usage_history()[0]
    assert (event.action, event.model, event.user, event.details) == (
        "switch", "llama3.2:1b", "ann", {"previous": "qwen2.5:0.5b"}
    )  # fmt: skip


def test_the_same_model_again_loads_nothing(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """200 at once, no second entry in the history."""
    service = make_service(ollama.url)
    service.switch(LLAMA)
    assert service.switch(LLAMA).state == "active"
    eventually(lambda: history(service) == [("switch", "llama3.2:1b", "ok")])


def test_a_failed_load_leaves_the_active_model_and_is_told(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """As the error of the switch and as `last_failure` of the status, without a word of the server's."""
    service = make_service(ollama.url)
    service.switch(LLAMA)
    ollama.break_file("qwen2.5:0.5b", "truncated")
    with pytest.raises(LoadFailed) as caught:
        service.switch(QWEN)
    assert "/" not in caught.value.message.replace("llama3.2", "")
    report = service.status()
    assert (report.active.model, report.state) == ("llama3.2:1b", "active")
    assert report.last_failure is not None
    assert report.last_failure.code == "LOAD_FAILED"


@pytest.mark.parametrize(("name", "error"), [("nomic-embed-text", CannotChat), ("phi", ModelNotInstalled)])
def test_a_switch_to_what_cannot_chat_or_is_not_there(
    name: str, error: type[ElixiModelsError], ollama: OllamaEmulator, make_service: Services
) -> None:
    """Refused before anything is loaded."""
    with pytest.raises(error):
        make_service(ollama.url).switch(ModelName.parse(name))
    assert ollama.loaded == []


def test_what_is_not_there_is_told_with_what_helps(ollama: OllamaEmulator, make_service: Services) -> None:
    """Only a switch can pull it on the way."""
    service = make_service(ollama.url)
    with pytest.raises(ModelNotInstalled, match=r"Download it first, or send auto_pull: true\.$"):
        service.switch(NEW)
    for act in (service.benchmark, service.unload, service.delete):
        with pytest.raises(ModelNotInstalled, match=r"is not installed\. Download it first\.$"):
            act(NEW)


def test_a_model_installed_a_moment_ago_is_found(ollama: OllamaEmulator, make_service: Services) -> None:
    """By another program, after our last look."""
    service = make_service(ollama.url, observe_active_s=60.0)
    service.available()
    ollama.install("phi:2.7b")
    assert service.switch(ModelName.parse("phi:2.7b")).state == "active"


@pytest.mark.parametrize(
    "act",
    [
        lambda service: service.switch(LLAMA),
        lambda service: service.unload(LLAMA),
        lambda service: service.delete(LLAMA),
        lambda service: service.benchmark(LLAMA),
        lambda service: service.download(LLAMA),
    ],
    ids=["switch", "unload", "delete", "benchmark", "download"],
)
def test_nothing_acts_on_a_server_that_is_off_or_away(
    act: Callable[[ModelService], Any], make_service: Services
) -> None:
    """Switched off is told apart from away."""
    with pytest.raises(OllamaDisabled):
        act(make_service(NOBODY, ollama_enabled=False))
    with pytest.raises(OllamaUnavailable):
        act(make_service(NOBODY, pull_retries=0))


def test_a_name_for_the_active_model_is_checked(make_service: Services) -> None:
    """Without a look at the server: the host assigns it so."""
    service = make_service(NOBODY)
    service.set_active_model("Phi")
    assert service.active_model() == "Phi:latest"
    with pytest.raises(InvalidRequest):
        service.set_active_model("a b")


def test_an_assignment_of_the_brain_is_a_switch_at_once(ollama: OllamaEmulator, make_service: Services) -> None:
    """The next status knows it, whenever the store is looked at next."""
    brain = Brain("llama3.2:1b")
    service = make_service(ollama.url, brain, store_follow_s=1.0)
    service.switch(LLAMA)
    brain.model = "qwen2.5:0.5b"
    assert service.status().active.model == "qwen2.5:0.5b"


def test_the_choice_survives_a_restart(ollama: OllamaEmulator, make_service: Services, eventually: Eventually) -> None:
    """Unless the configuration has changed since, which then wins."""
    first = make_service(ollama.url, configured_model="llama3.2:1b")
    first.switch(QWEN)
    first.close()
    brain = Brain("llama3.2:1b")
    second = make_service(ollama.url, brain, configured_model="llama3.2:1b")
    second.start()
    eventually(lambda: second.active_model() == "qwen2.5:0.5b" and brain.model == "qwen2.5:0.5b")
    second.close()
    third = make_service(ollama.url, configured_model="nomic-embed-text")
    third.start()
    eventually(lambda: third.active_model() == "nomic-embed-text:latest")


def test_two_processes_follow_each_other(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """A switch and an assignment of one are the other's within a second."""
    one, other = make_service(ollama.url), make_service(ollama.url)
    other.start()
    one.switch(QWEN)
    eventually(lambda: other.active_model() == "qwen2.5:0.5b", 5.0)
    assigned = one.assign({"fast": "llama3.2:1b"}).chosen["fast"]
    assert assigned is not None
    assert (assigned.model, assigned.decided_by) == ("llama3.2:1b", "assignment")
    eventually(lambda: other.assignments().tasks["fast"] == "llama3.2:1b", 5.0)
    eventually(lambda: other.recommend("fast").model == "llama3.2:1b", 5.0)
    assert other.assignments().chosen == {task: other.recommend(task) for task in TASKS}


# Downloads


def test_a_download_ends_installed_told_and_remembered(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """In the list, in the history, as a signal."""
    service = make_service(ollama.url)
    told: list[Any] = []

    def listen(sender: Any, job: Any) -> None:
        told.append(job.state)

    with signals.download_finished.connected_to(listen, sender=service):
        assert service.download(NEW, user="ann").live
        eventually(lambda: service.download_status(NEW).state == "installed")
        eventually(lambda: told)
    assert told == ["installed"]
    eventually(lambda: history(service) == [("download", "smollm:135m", "installed")])
    assert "smollm:135m" in ollama.installed


def test_a_typo_is_told_within_the_wait(ollama: OllamaEmulator, make_service: Services) -> None:
    """Once as the answer, later as the job."""
    service = make_service(ollama.url)
    with pytest.raises(ModelNotFound):
        service.download(ModelName.parse("nosuchmodel"))
    job = service.download_status(ModelName.parse("nosuchmodel"))
    assert job.failure is not None
    assert (job.state, job.failure.code) == ("failed", "MODEL_NOT_FOUND")


@pytest.mark.parametrize("name", ["evil.example/a/b", "gpt-oss:20b-cloud"])
def test_foreign_registries_and_cloud_models_are_refused_at_once(
    name: str, ollama: OllamaEmulator, make_service: Services
) -> None:
    """Nothing is sent to the server."""
    with pytest.raises(RegistryNotAllowed):
        make_service(ollama.url).download(ModelName.parse(name))
    assert [request for request in ollama.requests if request.path == "/api/pull"] == []


def test_a_download_can_be_called_off(ollama: OllamaEmulator, make_service: Services, eventually: Eventually) -> None:
    """The server stops pulling; what came is kept there."""
    service = make_service(ollama.url)
    ollama.set_pull_rate(1_000_000)
    service.download(NEW)
    eventually(lambda: ollama.pulling)
    service.cancel_download(NEW)
    eventually(lambda: service.download_status(NEW).state == "cancelled")
    eventually(lambda: not ollama.pulling)
    assert sum(ollama.parts.values()) > 0


@pytest.mark.parametrize("verb", ["download_status", "cancel_download"])
def test_what_was_never_downloaded_is_not_found(verb: str, ollama: OllamaEmulator, make_service: Services) -> None:
    """By its shown name."""
    with pytest.raises(NotFound):
        getattr(make_service(ollama.url), verb)(NEW)


def test_auto_pull_is_a_download_that_becomes_active(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """The answer names the download; the model is active when it is installed."""
    service = make_service(ollama.url)
    service.switch(LLAMA)
    result = service.switch(NEW, auto_pull=True, user="ann")
    assert (result.state, result.current, result.requested) == ("downloading", "llama3.2:1b", "smollm:135m")
    assert result.download is not None
    assert result.download.auto_switch
    eventually(lambda: service.active_model() == "smollm:135m")
    eventually(lambda: next(event.user for event in service.usage_history() if event.action == "switch") == "ann")


def test_who_switched_meanwhile_is_not_overruled(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """An explicit switch after the request counts as a change of mind."""
    service = make_service(ollama.url)
    service.switch(NEW, auto_pull=True)
    service.switch(QWEN)
    eventually(lambda: service.download_status(NEW).state == "installed")
    eventually(lambda: ("download", "smollm:135m", "installed") in history(service))
    assert service.active_model() == "qwen2.5:0.5b"
    assert service.status().pending is None


def test_a_switch_may_join_a_download_that_runs(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """The wish is newer than the download; it becomes active at the end all the same."""
    service = make_service(ollama.url)
    service.download(NEW)
    service.switch(NEW, auto_pull=True)
    eventually(lambda: service.active_model() == "smollm:135m")


def test_auto_switch_of_a_model_that_is_there_switches_at_once(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """There is nothing to pull, only the wish to fulfil."""
    service = make_service(ollama.url)
    assert service.download(QWEN, auto_switch=True).state == "installed"
    eventually(lambda: service.active_model() == "qwen2.5:0.5b")


def test_an_embedder_is_not_switched_to_at_the_end_of_its_download(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """The download is fine, the history tells the refusal, the active model stays."""
    service = make_service(ollama.url)
    service.switch(LLAMA)
    service.download(ModelName.parse("all-minilm:22m"), auto_switch=True)
    eventually(lambda: ("switch", "all-minilm:22m", "CANNOT_CHAT") in history(service))
    assert service.active_model() == "llama3.2:1b"


# Memory and disk


def test_unload_takes_a_model_out_of_memory(ollama: OllamaEmulator, make_service: Services) -> None:
    """And says so in the history."""
    service = make_service(ollama.url)
    service.switch(LLAMA)
    result = service.unload(LLAMA, user="ann")
    assert (result.model, result.state) == ("llama3.2:1b", "unloaded")
    assert ollama.loaded == []
    assert history(service)[0] == ("unload", "llama3.2:1b", "ok")


def test_a_model_that_answers_somebody_is_stopping(
    ollama_emulators: Emulators, make_service: Services, eventually: Eventually
) -> None:
    """The reply is not broken off."""
    slow = EmulatedModel("llama3.2:1b", answers="word " * 30, decode_tokens_per_s=30)
    ollama = ollama_emulators([slow], load_seconds=0.01)
    service = make_service(ollama.url)
    replies: list[Any] = []
    chat = threading.Thread(target=lambda: replies.append(service.chat("Hello", model="llama3.2:1b")))
    chat.start()
    eventually(lambda: ollama.answering)
    assert service.unload(LLAMA, wait_s=0.05).state == "stopping"
    chat.join()
    assert replies[0].text.split() == ["word"] * 30


def test_delete_frees_what_nobody_else_uses(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """Off the disk and out of memory, with its size."""
    service = make_service(ollama.url)
    size = next(card.model.size_bytes for card in service.available().cards if card.model.name == "qwen2.5:0.5b")
    result = service.delete(QWEN, user="ann")
    assert (result.model, result.state, result.freed_bytes) == ("qwen2.5:0.5b", "deleted", size)
    assert "qwen2.5:0.5b" not in ollama.installed
    event = service.usage_history()[0]
    assert (event.action, event.user, event.details) == ("delete", "ann", {"freed_bytes": size})


def test_the_active_model_is_deleted_by_force_only(ollama: OllamaEmulator, make_service: Services) -> None:
    """A wrong click does not take away the model that answers."""
    service = make_service(ollama.url)
    service.switch(LLAMA)
    with pytest.raises(ModelActive):
        service.delete(LLAMA)
    assert service.delete(LLAMA, force=True).state == "deleted"
    assert (ollama.installed, ollama.loaded) == (["qwen2.5:0.5b", "nomic-embed-text:latest"], [])


def test_a_slow_delete_goes_on_by_itself(
    ollama_emulators: Emulators, make_service: Services, eventually: Eventually
) -> None:
    """Told as deleting after the wait."""
    ollama = ollama_emulators(["qwen2.5:0.5b"], latency=0.2)
    service = make_service(ollama.url)
    assert service.delete(QWEN, wait_s=0.01).state == "deleting"
    eventually(lambda: ollama.installed == [])


# Benchmarks


def test_a_benchmark_is_measured_told_and_remembered(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """In the history and as a signal; the newest is found by its model or without a name."""
    service = make_service(ollama.url)
    told: list[Any] = []

    def listen(sender: Any, job: Any) -> None:
        told.append(job.state)

    with signals.benchmark_finished.connected_to(listen, sender=service):
        assert service.benchmark(LLAMA, num_prompts=1).live
        eventually(lambda: told)
    assert told == ["ok"]
    assert service.benchmark_status().model == service.benchmark_status(LLAMA).model == "llama3.2:1b"
    assert [job.state for job in service.benchmarks()] == ["ok"]
    eventually(lambda: history(service) == [("benchmark", "llama3.2:1b", "ok")])


def test_one_benchmark_at_a_time_and_it_can_be_called_off(
    ollama_emulators: Emulators, make_service: Services, eventually: Eventually
) -> None:
    """A second is refused with the first in its details; cancel ends it soon."""
    slow = EmulatedModel("llama3.2:1b", answers="word " * 500, decode_tokens_per_s=20)
    service = make_service(ollama_emulators([slow, "qwen2.5:0.5b"], load_seconds=0.01).url)
    service.benchmark(LLAMA)
    with pytest.raises(BenchmarkRunning):
        service.benchmark(QWEN)
    service.cancel_benchmark()
    eventually(lambda: service.benchmark_status().state in ("cancelled", "partial"), 5.0)


@pytest.mark.parametrize("verb", ["benchmark_status", "cancel_benchmark"])
def test_no_benchmark_is_not_found(verb: str, ollama: OllamaEmulator, make_service: Services) -> None:
    """Neither to look at nor to cancel."""
    with pytest.raises(NotFound):
        getattr(make_service(ollama.url), verb)()


def test_no_benchmark_of_a_model_names_it(ollama: OllamaEmulator, make_service: Services) -> None:
    """In its shown form."""
    with pytest.raises(NotFound, match=r"of nomic-embed-text\."):
        make_service(ollama.url).benchmark_status(EMBEDDER)


@pytest.mark.parametrize(("name", "error"), [(EMBEDDER, CannotChat), (NEW, ModelNotInstalled)])
def test_only_an_installed_model_that_chats_is_measured(
    name: ModelName, error: type[ElixiModelsError], ollama: OllamaEmulator, make_service: Services
) -> None:
    """Refused at once."""
    with pytest.raises(error):
        make_service(ollama.url).benchmark(name)


# Assignments and history


def test_an_assignment_beats_the_scores_and_is_remembered(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """Also after a restart."""
    service = make_service(ollama.url)
    service.assign({"coding": "qwen2.5:0.5b"}, user="ann")
    choice = service.recommend("coding")
    assert (choice.model, choice.decided_by) == ("qwen2.5:0.5b", "assignment")
    assert history(service)[0] == ("assign", "qwen2.5:0.5b", "ok")
    service.close()
    later = make_service(ollama.url)
    eventually(lambda: later.assignments().tasks["coding"] == "qwen2.5:0.5b")


def test_the_history_is_paged_and_filtered(ollama: OllamaEmulator, make_service: Services) -> None:
    """By number, by time and by model in any spelling."""
    times = iter(range(1_000, 9_000))
    service = make_service(ollama.url, clock=lambda: float(next(times)))
    for name in (LLAMA, QWEN, LLAMA):
        service.switch(name)
    events = service.usage_history()
    assert [event.model for event in events] == ["llama3.2:1b", "qwen2.5:0.5b", "llama3.2:1b"]
    assert service.usage_history(limit=1) == events[:1]
    assert service.usage_history(before_s=events[0].created_at_s) == events[1:]
    assert service.usage_history(model=ModelName.parse("qwen2.5:0.5b")) == events[1:2]


# Beginning and end


def test_start_and_close_may_be_repeated(ollama: OllamaEmulator, make_service: Services) -> None:
    """From any thread, in any order."""
    service = make_service(ollama.url, ready=False)
    threads = [threading.Thread(target=service.start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service.close()
    service.close()


def test_close_is_quick_in_the_middle_of_everything(
    ollama_emulators: Emulators, make_service: Services, eventually: Eventually
) -> None:
    """A load of an hour and a pull of an hour do not hold it up; no thread stays (the fixture looks)."""
    ollama = ollama_emulators(["llama3.2:1b"], load_seconds=3600, pull_seconds=3600)
    service = make_service(ollama.url, switch_wait_s=0.1)
    eventually(service.available)
    assert service.switch(LLAMA, wait_s=0.1).state == "loading"
    assert service.download(NEW, wait_s=0.1).live
    began = time.monotonic()
    service.close()
    assert time.monotonic() - began < 5.0


def test_a_history_asked_for_first_starts_the_service(ollama: OllamaEmulator, make_service: Services) -> None:
    """Every verb may be the first one."""
    assert make_service(ollama.url, ready=False).usage_history() == []
    assert make_service(ollama.url, ready=False).downloads() == []
    assert make_service(ollama.url, ready=False).benchmarks() == []
