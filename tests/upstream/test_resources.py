"""Memory and CPU of an Ollama on this machine, seen from its processes; real processes stand in for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from elixi_models.inventory import InstalledModel, LoadedModel, ServerView
from elixi_models.records import ResourceSample
from elixi_models.settings import Settings
from elixi_models.upstream.resources import ResourceMonitor

A, B = "a" * 64, "b" * 64

SERVER = """
import os, socket, subprocess, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
runners = {}
for line in sys.stdin:
    verb, digest = line.split()
    if verb == "load":
        command = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()", "--ctx-size", "4096"]
        command += ["--model", f"/models/blobs/sha256-{digest}", "--port", "1"]
        runners[digest] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        runners[digest].stdout.readline()
    elif verb == "spin":
        end = sum(os.times()[:2]) + 0.3
        while sum(os.times()[:2]) < end:
            pass
    else:
        runners[digest].kill()
        if verb == "kill":
            runners.pop(digest).wait()
        else:
            os.waitid(os.P_PID, runners[digest].pid, os.WEXITED | os.WNOWAIT)  # ended, and its parent has not noticed
    print(runners[digest].pid if digest in runners else 0, flush=True)
for runner in runners.values():
    runner.kill()
    runner.wait()
"""


class Ollama:
    """A process that listens and has a child per loaded model, as a real server does."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.port = int(self._read())

    def tell(self, verb: str, digest: str = A) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{verb} {digest}\n")
        self._process.stdin.flush()
        return int(self._read())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture
def servers() -> Iterator[Callable[[], Ollama]]:
    with contextlib.ExitStack() as stack:

        def start() -> Ollama:
            server = Ollama()
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def ollama(servers: Callable[[], Ollama]) -> Ollama:
    return servers()


def monitor_of(port: int, **arguments: Any) -> ResourceMonitor:
    return ResourceMonitor(Settings.load({}, ollama_url=f"http://127.0.0.1:{port}"), **arguments)


def view_of(*loaded: str) -> ServerView:
    """A view in which those weights are resident; each model's manifest digest is its weights' in upper case."""
    models = tuple(InstalledModel(f"{digest[0]}:latest", digest.upper(), weights_digest=digest) for digest in (A, B))
    entries = tuple(LoadedModel(f"{digest[0]}:latest", digest.upper()) for digest in loaded)
    return ServerView("http://127.0.0.1", reachable=True, installed=models, loaded=entries)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often the processes of the machine are gone through."""
    counted: list[int] = []
    real = psutil.process_iter

    def counting(*args: Any, **kwargs: Any) -> Any:
        counted.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(psutil, "process_iter", counting)
    return counted


def test_nothing_is_known_before_the_first_sample() -> None:
    """`latest` is there at once and says that nothing is known."""
    assert monitor_of(1).latest == ResourceSample()


def test_a_remote_ollama_is_unknown() -> None:
    """This machine's memory says nothing about another's."""
    monitor = ResourceMonitor(Settings.load({}, ollama_url="http://gpu.example:11434"))
    monitor.refresh(view_of(A))
    assert monitor.latest == ResourceSample()


def test_memory_of_each_runner_by_its_weights(ollama: Ollama) -> None:
    """The resident memory of the child that runs those weights, and the machine's RAM."""
    pids = {digest: ollama.tell("load", digest) for digest in (A, B)}
    monitor = monitor_of(ollama.port)
    monitor.refresh(view_of(A, B))
    sample = monitor.latest
    assert sample.runner_bytes == {
        digest: pytest.approx(psutil.Process(pid).memory_info().rss, rel=0.2) for digest, pid in pids.items()
    }
    assert sample.ram_total_bytes == psutil.virtual_memory().total
    assert 0 < (sample.ram_available_bytes or 0) < psutil.virtual_memory().total


def test_another_server_with_the_same_weights_is_not_ours(servers: Callable[[], Ollama]) -> None:
    """Runners belong to the process that listens on our port."""
    ours, other = servers(), servers()
    mine = ours.tell("load")
    other.tell("load", A)
    other.tell("load", B)
    monitor = monitor_of(ours.port)
    monitor.refresh(view_of(A))
    assert monitor._runners[A].pid == mine
    assert set(monitor.latest.runner_bytes) == {A}


def test_remembered_processes_are_not_looked_for_again(ollama: Ollama, scans: list[int]) -> None:
    """Only a loaded model without a living process makes it go through the processes again."""
    ollama.tell("load", A)
    monitor = monitor_of(ollama.port)
    monitor.refresh(view_of(A))
    monitor.refresh(view_of(A))
    monitor.refresh(view_of())
    assert len(scans) == 1
    ollama.tell("load", B)
    monitor.refresh(view_of(A, B))
    assert len(scans) == 2
    assert set(monitor.latest.runner_bytes) == {A, B}


@pytest.mark.parametrize(
    "how", ["kill", pytest.param("zombie", marks=pytest.mark.skipif(os.name == "nt", reason="no such processes"))]
)
def test_a_reloaded_model_is_found_again(ollama: Ollama, scans: list[int], how: str) -> None:
    """A runner that ended is forgotten, also while its parent has not noticed; the next one takes its place."""
    ollama.tell("load")
    monitor = monitor_of(ollama.port)
    monitor.refresh(view_of(A))
    ollama.tell(how)
    monitor.refresh(view_of())
    assert monitor.latest.runner_bytes == {}
    assert monitor.latest.ram_total_bytes is not None
    pid = ollama.tell("load")
    monitor.refresh(view_of(A))
    assert monitor._runners[A].pid == pid
    assert len(scans) == 2


def test_a_runner_that_is_just_ending_is_left_out(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process gives its memory back before it is gone; 0 bytes is no size of a model."""
    ollama.tell("load")
    monitor = monitor_of(ollama.port)
    monitor.refresh(view_of(A))
    memory = psutil.Process().memory_info()
    monkeypatch.setattr(psutil.Process, "memory_info", lambda self: memory._replace(rss=0))
    monitor.refresh(view_of(A))
    assert monitor.latest.runner_bytes == {}


def test_what_has_no_process_is_looked_for_twice_a_minute(ollama: Ollama, scans: list[int]) -> None:
    """An emulator with scripted models has no runners; that must not cost a scan every two seconds."""
    now = [0.0]
    monitor = monitor_of(ollama.port, monotonic=lambda: now[0])
    for _ in range(3):
        monitor.refresh(view_of(A))
        now[0] += 2
    assert len(scans) == 1
    now[0] = 30.0
    monitor.refresh(view_of(A))
    assert len(scans) == 2


def test_cpu_is_a_share_of_the_whole_machine(ollama: Ollama) -> None:
    """Unknown at the first sample; then the seconds used, over the time and all cores."""
    now = [100.0]
    monitor = monitor_of(ollama.port, monotonic=lambda: now[0])
    monitor.refresh(view_of())
    assert monitor.latest.cpu_percent is None
    ollama.tell("spin")
    now[0] += 3.0
    monitor.refresh(view_of())
    assert monitor.latest.cpu_percent == pytest.approx(100 * 0.3 / 3.0 / (psutil.cpu_count() or 1), rel=0.3)
    now[0] += 1.0
    monitor.refresh(view_of())
    assert monitor.latest.cpu_percent == pytest.approx(0, abs=3)


def test_cpu_is_unknown_without_time_between_samples(ollama: Ollama) -> None:
    """Two samples at the same moment say nothing."""
    monitor = monitor_of(ollama.port, monotonic=lambda: 5.0)
    monitor.refresh(view_of())
    monitor.refresh(view_of())
    assert monitor.latest.cpu_percent is None


def test_nobody_listens(ollama: Ollama) -> None:
    """On a machine without our server there is RAM to tell, and no other server's runners."""
    ollama.tell("load")
    port, _ = ollama.port, ollama.tell("load", B)
    monitor = monitor_of(1 if port != 1 else 2)
    monitor.refresh(view_of(A))
    assert (monitor.latest.runner_bytes, monitor.latest.cpu_percent) == ({}, None)
    assert monitor.latest.ram_total_bytes is not None


def _hide_pids(monkeypatch: pytest.MonkeyPatch, hide: Any) -> None:
    real = psutil.net_connections
    monkeypatch.setattr(psutil, "net_connections", lambda *args: hide(real(*args)))


def _without_pid(connections: list[Any]) -> list[Any]:
    return [connection._replace(pid=None) for connection in connections]


def _denied(connections: list[Any]) -> list[Any]:
    raise psutil.AccessDenied


@pytest.mark.parametrize("hide", [_without_pid, _denied])
def test_a_server_of_another_user_is_known_by_its_runners(
    servers: Callable[[], Ollama], monkeypatch: pytest.MonkeyPatch, hide: Any
) -> None:
    """Where the listener's pid is hidden, the parent whose runners are exactly those of `ps` is the server."""
    ours, other = servers(), servers()
    mine = ours.tell("load", A)
    other.tell("load", A)
    other.tell("load", B)
    _hide_pids(monkeypatch, hide)
    monitor = monitor_of(ours.port)
    monitor.refresh(view_of(A))
    assert monitor._server == psutil.Process(ours.pid)
    assert monitor._runners[A].pid == mine


def test_an_uncertain_owner_is_unknown(servers: Callable[[], Ollama], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers with the same model loaded and no pid of the listener: better nothing than the wrong one."""
    ours, other = servers(), servers()
    ours.tell("load", A)
    other.tell("load", A)
    _hide_pids(monkeypatch, _without_pid)
    monitor = monitor_of(ours.port)
    monitor.refresh(view_of(A))
    assert monitor.latest.runner_bytes == {}


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("virtual_memory", psutil.AccessDenied()),
        ("virtual_memory", RuntimeError("no /proc/meminfo")),
        ("process_iter", OSError("no /proc")),
        ("net_connections", psutil.NoSuchProcess(1)),
        ("cpu_count", ValueError("odd")),
    ],
)
def test_what_cannot_be_read_is_unknown(
    ollama: Ollama, monkeypatch: pytest.MonkeyPatch, function: str, error: Exception
) -> None:
    """An error of psutil makes the sample unknown, never the observer's thread end; the next sample is whole."""
    monitor = monitor_of(ollama.port)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(psutil, function, fail)
        monitor.refresh(view_of(A))
    assert monitor.latest == ResourceSample()
    monitor.refresh(view_of())
    assert monitor.latest.ram_total_bytes is not None


def test_a_server_that_restarted_is_found_again(servers: Callable[[], Ollama], scans: list[int]) -> None:
    """Once its process ended it is not taken for the server any more."""
    now = [0.0]
    server = Ollama()
    monitor = monitor_of(server.port, monotonic=lambda: now[0])
    monitor.refresh(view_of())
    assert monitor._server is not None
    server.close()
    now[0] += 30
    monitor.refresh(view_of())
    assert monitor._server is None
    assert len(scans) == 2


@pytest.mark.parametrize(("url", "port"), [("https://127.0.0.1", 443), ("http://127.0.0.1", 80)])
def test_the_port_of_the_scheme_is_meant_where_none_is_given(url: str, port: int) -> None:
    """A URL without a port names the default one."""
    assert ResourceMonitor(Settings.load({}, ollama_url=url))._port == port


def machine(url: str = "http://127.0.0.1:11434") -> str:
    return ResourceMonitor(Settings(ollama_url=url)).machine()


def test_a_machine_has_a_name_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another number of processors or another memory is another machine; a few megabytes more are not."""
    here = machine()
    assert here == machine("http://127.0.0.1:9999")
    assert len(here) == 16

    total = psutil.virtual_memory().total
    for bytes_more, same in ((5_000_000, True), (8 * 1024**3, False)):
        rounded = round(total / 1024**3) * 1024**3 + bytes_more
        monkeypatch.setattr(psutil, "virtual_memory", lambda rounded=rounded: type("Memory", (), {"total": rounded}))
        assert (machine() == here) is same
    monkeypatch.undo()
    monkeypatch.setattr(os, "cpu_count", lambda: 999)
    assert machine() != here


def test_of_a_server_elsewhere_only_the_address_is_known() -> None:
    """Two of them are two machines."""
    assert machine("http://10.0.0.5:11434") == machine("http://10.0.0.5:11434")
    assert len({machine(), machine("http://10.0.0.5:11434"), machine("http://10.0.0.6:11434")}) == 3


def test_a_machine_that_hides_its_memory_has_a_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is raised."""

    def refuse() -> None:
        raise OSError("no /proc")

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    assert len(machine()) == 16
