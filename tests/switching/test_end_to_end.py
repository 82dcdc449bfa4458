"""Switching over the real gateway, observer and store, on an emulated Ollama."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elixi_models.elixi import BrainLink
from elixi_models.errors import CannotChat, LoadFailed, OllamaUnavailable
from elixi_models.records import Activation, ActiveModel
from elixi_models.settings import Settings
from elixi_models.store.following import StoreFollower
from elixi_models.store.sqlite import SqliteStore
from elixi_models.switching.active import ActiveChoice
from elixi_models.switching.loading import ModelSwitch
from elixi_models.testing import OllamaEmulator
from elixi_models.upstream.gateway import OllamaGateway
from elixi_models.upstream.observer import Observer

WAIT_S = 20.0
MODELS = ["llama3.2:1b", "qwen2.5:0.5b", "nomic-embed-text"]


class Brain:
    """The host's brain: a name, and a method that makes it one."""

    model = "llama3.2"

    def generate_reply(self, prompt: str, context: str = "", timeout: float | None = None) -> str | None:
        return None


class App:
    """One process of the app on a server, without its service."""

    def __init__(self, url: str, path: Path, configured: str) -> None:
        settings = Settings.load(environ={}, ollama_url=url, store_follow_s=0.05, configured_model=configured)
        self.host_brain = Brain()
        self.host_brain.model = configured
        self.changed = threading.Condition()
        self.switched: list[ActiveModel] = []
        self.store = SqliteStore(path)
        self.gateway = OllamaGateway(settings)
        self.observer = Observer(self.gateway, settings)
        self.follower = StoreFollower(self.store, settings)
        self.active = ActiveChoice(
            follower=self.follower,
            observer=self.observer,
            brain=BrainLink(self.host_brain),
            settings=settings,
            on_switched=self.switched.append,
        )
        self.switching = ModelSwitch(
            gateway=self.gateway, observer=self.observer, active=self.active, settings=settings
        )
        self.follower.every(0.05, self._tick)
        self.follower.start()
        assert self.follower.first_read.wait(WAIT_S)
        self.active.restore()
        self.observer.refresh()

    def _tick(self, store: object) -> None:
        self.active.notice_brain()
        with self.changed:
            self.changed.notify_all()

    def to(self, name: str, wait_s: float = WAIT_S, **given: Any) -> Activation:
        model = self.observer.view.find(name)
        assert model is not None
        return self.switching.switch(model, wait_s=wait_s, **given)

    def wait_active(self, name: str) -> None:
        """Wait until this process serves by that model, with its brain."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.active.current.model == name == self.host_brain.model, WAIT_S)

    def close(self) -> None:
        for part in (self.switching, self.observer, self.follower, self.gateway, self.store):
            part.close()


@pytest.fixture
def open_app(tmp_path: Path) -> Iterator[Callable[..., App]]:
    """A function that opens an app on an emulator; all share one store."""
    apps: list[App] = []

    def begin(ollama: OllamaEmulator, configured: str = "llama3.2:1b") -> App:
        apps.append(App(ollama.url, tmp_path / "elixi.db", configured))
        return apps[-1]

    yield begin
    for app in apps:
        app.close()


@pytest.mark.parametrize("version", ["0.9.6", "0.24.0", "0.33.0"])
def test_a_switch_makes_the_target_resident_and_sets_the_brain(ollama_emulators: Any, open_app: Any, version: str):
    """On every version; the view shows it loaded as soon as the answer is there."""
    ollama = ollama_emulators(models=MODELS, version=version, load_seconds=0.2)
    app = open_app(ollama)
    done = app.to("qwen2.5:0.5b")
    assert (done.state, done.current, done.previous) == ("active", "qwen2.5:0.5b", "llama3.2:1b")
    assert done.load_ms >= 150
    assert app.host_brain.model == "qwen2.5:0.5b"
    assert ollama.loaded == ["qwen2.5:0.5b"]
    assert app.observer.view.residence(app.observer.view.find("qwen2.5:0.5b")) is not None


def test_a_long_load_is_acknowledged_and_finished_in_the_background(ollama_emulators: Any, open_app: Any):
    """`loading` within the wait; the old model serves until the commit."""
    app = open_app(ollama_emulators(models=MODELS, load_seconds=1.0))
    assert app.to("qwen2.5:0.5b", wait_s=0.05).state == "loading"
    assert (app.switching.pending, app.host_brain.model) == ("qwen2.5:0.5b", "llama3.2:1b")
    app.wait_active("qwen2.5:0.5b")


def test_a_superseded_load_never_becomes_resident(ollama_emulators: Any, open_app: Any):
    """The server drops it when we leave, and only the newer target is active."""
    ollama = ollama_emulators(models=MODELS, load_seconds=1.0)
    app = open_app(ollama)
    app.to("qwen2.5:0.5b", wait_s=0.05)
    assert app.to("llama3.2:1b").state == "active"
    assert ollama.loaded == ["llama3.2:1b"]


def test_a_model_that_cannot_chat_is_refused(ollama_emulators: Any, open_app: Any):
    """Its capabilities say so before anything is loaded."""
    ollama = ollama_emulators(models=MODELS)
    app = open_app(ollama)
    with pytest.raises(CannotChat):
        app.to("nomic-embed-text")
    assert ollama.loaded == []


def test_a_failed_load_keeps_the_active_model(ollama_emulators: Any, open_app: Any):
    """The error within the wait, in our words; brain and choice unmoved."""
    ollama = ollama_emulators(models=MODELS, load_seconds=0.05)
    app = open_app(ollama)
    app.to("llama3.2:1b")
    ollama.fail_next("/api/generate", status=500, error="llama runner process has terminated: exit status 2")
    with pytest.raises(LoadFailed):
        app.to("qwen2.5:0.5b")
    assert (app.active.current.model, app.host_brain.model) == ("llama3.2:1b", "llama3.2:1b")
    assert app.switching.last_failure.code == "LOAD_FAILED"


def test_a_server_that_is_gone_is_told(ollama_emulators: Any, open_app: Any):
    """OLLAMA_UNAVAILABLE at once, not after a timeout."""
    ollama = ollama_emulators(models=MODELS)
    app = open_app(ollama)
    ollama.go_down()
    with pytest.raises(OllamaUnavailable):
        app.to("qwen2.5:0.5b")


def test_two_processes_serve_by_one_model(ollama_emulators: Any, open_app: Any):
    """A switch in one is followed by the other, brain and all; only the one that switched tells."""
    ollama = ollama_emulators(models=MODELS, load_seconds=0.05)
    one, other = open_app(ollama), open_app(ollama)
    one.to("qwen2.5:0.5b", user="ada")
    other.wait_active("qwen2.5:0.5b")
    assert (len(one.switched), other.switched) == (1, [])
    assert other.active.current == one.active.current


def test_an_assignment_of_brain_model_reaches_every_process(ollama_emulators: Any, open_app: Any):
    """The host's own way to switch counts like ours."""
    ollama = ollama_emulators(models=MODELS)
    one, other = open_app(ollama), open_app(ollama)
    one.host_brain.model = "qwen2.5:0.5b"
    other.wait_active("qwen2.5:0.5b")
    assert one.active.current.previous == "llama3.2:1b"


def test_the_choice_survives_a_restart_and_a_new_configuration_beats_it(ollama_emulators: Any, open_app: Any):
    """Decision by decision: restored under the same OLLAMA_MODEL, overruled by another."""
    ollama = ollama_emulators(models=MODELS, load_seconds=0.05)
    first = open_app(ollama)
    first.to("qwen2.5:0.5b")
    first.close()
    open_app(ollama).wait_active("qwen2.5:0.5b")
    open_app(ollama, "nomic-embed-text").wait_active("nomic-embed-text:latest")


def test_eight_threads_and_a_hundred_clicks_end_at_the_newest_request(ollama_emulators: Any, open_app: Any):
    """One active model, the last one asked for, in memory, in the brain and in the store."""
    ollama = ollama_emulators(models=MODELS, load_seconds=0.05)
    app = open_app(ollama)
    barrier = threading.Barrier(8)

    def click(first: int) -> None:
        barrier.wait(WAIT_S)
        for number in range(first, 100, 8):
            app.to(MODELS[number % 2], wait_s=0.0)

    threads = [threading.Thread(target=click, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert app.to("qwen2.5:0.5b").current == "qwen2.5:0.5b"
    assert (app.active.current.model, app.host_brain.model) == ("qwen2.5:0.5b", "qwen2.5:0.5b")
    assert app.store.preference(app.active.key).value["model"] == "qwen2.5:0.5b"
