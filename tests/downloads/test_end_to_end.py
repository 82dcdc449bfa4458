"""Downloads over the real gateway, observer and store, from an emulated Ollama."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elixi_models.downloads import policy, worker
from elixi_models.downloads.jobs import DownloadQueue
from elixi_models.errors import InsufficientStorage, ModelNotFound, OllamaUnavailable, RegistryDenied
from elixi_models.names import ModelName
from elixi_models.records import DownloadJob
from elixi_models.settings import Settings
from elixi_models.store.following import StoreFollower
from elixi_models.store.sqlite import SqliteStore
from elixi_models.testing import OllamaEmulator
from elixi_models.upstream.gateway import OllamaGateway
from elixi_models.upstream.observer import Observer

WAIT_S = 20.0


class App:
    """One process of the app on a server, without its service."""

    def __init__(self, url: str, path: Path, owner: str) -> None:
        settings = Settings.load(environ={}, ollama_url=url, store_follow_s=0.05)
        self.finished: queue.Queue[DownloadJob] = queue.Queue()
        self.store = SqliteStore(path)
        self.gateway = OllamaGateway(settings)
        self.observer = Observer(self.gateway, settings)
        self.follower = StoreFollower(self.store, settings)
        self.downloads = DownloadQueue(
            store=self.store,
            follower=self.follower,
            gateway=self.gateway,
            observer=self.observer,
            settings=settings,
            owner=owner,
            on_finished=self.finished.put,
        )
        self.follower.every(0.05, lambda store: self.downloads.resume())
        self.follower.start()

    def start(self, name: str, wait_s: float = WAIT_S, **given: Any) -> DownloadJob:
        return self.downloads.start(ModelName.parse(name), wait_s=wait_s, **given)

    def find(self, name: str) -> DownloadJob | None:
        return self.downloads.find(ModelName.parse(name))

    def end(self) -> DownloadJob:
        return self.finished.get(timeout=WAIT_S)

    def close(self) -> None:
        for part in (self.downloads, self.observer, self.follower, self.gateway, self.store):
            part.close()


@pytest.fixture
def open_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., App]]:
    """A function that opens an app on an emulator: `open_app(ollama, owner="one")`; all share one store."""
    monkeypatch.setattr(policy, "_FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(worker, "_TICK_S", 0.02)
    apps: list[App] = []

    def begin(ollama: OllamaEmulator, owner: str = "one") -> App:
        apps.append(App(ollama.url, tmp_path / "elixi.db", owner))
        return apps[-1]

    yield begin
    for app in apps:
        app.close()


@contextlib.contextmanager
def watched(app: App, name: str) -> Iterator[list[float]]:
    """Every fraction that a poll could see while the block runs."""
    seen: list[float] = []
    done = threading.Event()

    def poll() -> None:
        while not done.wait(0.002):
            job = app.find(name)
            if job is not None:
                seen.append(job.progress.fraction)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("version", ["0.9.6", "0.24.0", "0.33.0"])
def test_a_download_moves_and_ends_installed(ollama_emulators: Any, open_app: Any, version: str):
    """On every version: bytes, total, a bar that only rises, and the model in the list at the end."""
    ollama = ollama_emulators(version=version, pull_seconds=1.2)
    app = open_app(ollama)
    with watched(app, "llama3.2:1b") as seen:
        assert app.start("llama3.2:1b").state == "downloading"
        done = app.end()
    assert (done.state, done.progress.fraction) == ("installed", 1.0)
    assert done.progress.completed_bytes == done.progress.total_bytes > 0
    assert seen == sorted(seen)
    assert {fraction for fraction in seen if 0 < fraction < 0.99}
    assert app.observer.view.find("llama3.2:1b") is not None
    assert ollama.installed == ["llama3.2:1b"]


def test_a_pull_without_layer_lines_is_installed_within_the_wait(ollama_emulators: Any, open_app: Any):
    """At full speed no layer shows."""
    assert open_app(ollama_emulators(pull_seconds=0.0)).start("llama3.2:1b").state == "installed"


def test_a_typo_is_found_at_once(ollama_emulators: Any, open_app: Any):
    """The registry's answer comes within the wait."""
    with pytest.raises(ModelNotFound):
        open_app(ollama_emulators()).start("lama3.2", wait_s=5.0)


def test_cancel_keeps_the_parts_and_the_next_pull_goes_on(ollama_emulators: Any, open_app: Any):
    """The server stops within a moment, keeps what it has, and resumes from there."""
    ollama = ollama_emulators(pull_seconds=2.0)
    app = open_app(ollama)
    app.start("llama3.2:1b")
    assert app.downloads.cancel(ModelName.parse("llama3.2:1b")).state == "cancelled"
    app.end()
    assert sum(ollama.parts.values()) > 0
    assert ollama.installed == []
    again = app.start("llama3.2:1b", restart=True)
    assert (again.state, again.id[-2:]) == ("downloading", "#2")
    assert app.end().state == "installed"


def test_another_process_cancels(ollama_emulators: Any, open_app: Any):
    """Through the store, within about a second."""
    ollama = ollama_emulators(pull_seconds=30.0)
    one, other = open_app(ollama, "one"), open_app(ollama, "other")
    one.start("llama3.2:1b")
    other.follower.refresh_jobs().result(WAIT_S)
    other.downloads.cancel(ModelName.parse("llama3.2:1b"))
    assert one.end().state == "cancelled"


def test_another_process_goes_on_after_one_has_closed(ollama_emulators: Any, open_app: Any):
    """By itself, and no poll there sees the bar fall."""
    ollama = ollama_emulators(pull_seconds=1.5)
    one, other = open_app(ollama, "one"), open_app(ollama, "other")
    one.start("llama3.2:1b")
    with watched(other, "llama3.2:1b") as seen:
        one.close()
        done = other.end()
    assert (done.state, done.attempt, one.finished.empty()) == ("installed", 2, True)
    assert seen == sorted(seen)


_OWNER = """
import sys
from pathlib import Path
from elixi_models.downloads.jobs import DownloadQueue
from elixi_models.names import ModelName
from elixi_models.settings import Settings
from elixi_models.store.following import StoreFollower
from elixi_models.store.sqlite import SqliteStore
from elixi_models.upstream.gateway import OllamaGateway
from elixi_models.upstream.observer import Observer

class TellingStore(SqliteStore):
    def write_job(self, job_id, job):
        super().write_job(job_id, job)
        if job["progress"]["fraction"] >= 0.2:
            print("pulling", flush=True)

settings = Settings.load(environ={}, ollama_url=sys.argv[1], lease_s=1.0)
store, gateway = TellingStore(Path(sys.argv[2])), OllamaGateway(settings)
downloads = DownloadQueue(
    store=store, follower=StoreFollower(store, settings), gateway=gateway,
    observer=Observer(gateway, settings), settings=settings, owner="victim",
)
downloads.start(ModelName.parse("llama3.2:1b"), wait_s=20)
sys.stdin.read()
"""


def test_a_killed_owner_is_replaced_and_the_bar_does_not_fall(ollama_emulators: Any, open_app: Any, tmp_path: Path):
    """After kill -9 another process goes on when the lease has run out, from what was shown."""
    ollama = ollama_emulators(pull_seconds=3.0)
    command = [sys.executable, "-c", _OWNER, ollama.url, str(tmp_path / "elixi.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline().strip() == b"pulling"
        victim.kill()
    app = open_app(ollama)
    app.follower.refresh_jobs().result(WAIT_S)
    with watched(app, "llama3.2:1b") as seen:
        done = app.end()
    assert (done.state, done.attempt) == ("installed", 2)
    assert (min(seen) >= 0.2, seen) == (True, sorted(seen))


def test_a_server_that_restarts_is_survived(ollama_emulators: Any, open_app: Any):
    """It goes down in the middle and comes back: the same job goes on."""
    ollama = ollama_emulators(pull_seconds=1.5)
    app = open_app(ollama)
    job = app.start("llama3.2:1b")
    ollama.go_down()
    ollama.come_back()
    done = app.end()
    assert (done.id, done.state) == (job.id, "installed")


def test_a_server_that_is_not_there_is_told_at_once(ollama_emulators: Any, open_app: Any):
    """OLLAMA_UNAVAILABLE, with what to do about it."""
    ollama = ollama_emulators()
    ollama.go_down()
    with pytest.raises(OllamaUnavailable, match="Start Ollama"):
        open_app(ollama).start("llama3.2:1b")


@pytest.mark.parametrize(
    ("fault", "code"), [("disk-full", "INSUFFICIENT_STORAGE"), ("manifest-403", "REGISTRY_DENIED")]
)
def test_final_faults_are_told_in_our_words(ollama_emulators: Any, open_app: Any, fault: str, code: str):
    """No path and no upstream text reaches the job."""
    ollama = ollama_emulators(pull_seconds=0.0)
    ollama.break_pull(fault)
    app = open_app(ollama)
    with contextlib.suppress(InsufficientStorage, RegistryDenied):
        app.start("llama3.2:1b")
    failure = app.end().failure
    assert (failure.code, "/" in failure.message) == (code, False)


def test_a_damaged_file_is_downloaded_once_again(ollama_emulators: Any, open_app: Any):
    """The second time it is whole."""
    ollama = ollama_emulators(pull_seconds=0.0)
    ollama.break_pull("corrupt", times=1)
    assert open_app(ollama).start("llama3.2:1b").state == "installed"


def test_a_registry_that_comes_back_is_waited_for(ollama_emulators: Any, open_app: Any):
    """Two failures, then the pull."""
    ollama = ollama_emulators(pull_seconds=0.0)
    ollama.break_pull("registry-down", times=2)
    assert open_app(ollama).start("llama3.2:1b").state == "installed"


def test_update_pulls_the_newer_model(ollama_emulators: Any, open_app: Any):
    """An installed tag is left alone until asked for with `update`."""
    ollama = ollama_emulators(models=["llama3.2:1b"], pull_seconds=0.0)
    app = open_app(ollama)
    app.observer.refresh()
    assert app.start("llama3.2:1b").id.endswith("#0")
    assert app.start("llama3.2:1b", update=True).id.endswith("#1")
    assert sum(request[1] == "/api/pull" for request in ollama.requests) == 1
