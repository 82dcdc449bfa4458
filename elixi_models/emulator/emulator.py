"""`OllamaEmulator`: an Ollama server in this process."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Literal

from .clock import Clock
from .faults import PULL_FAULTS, Cut, Failure, Faults, PullFault
from .installed import Disk
from .library import Library, catalogued, known_model
from .machine import Machine
from .models import EmulatedModel, with_weights
from .names import Name
from .pulling import Pacing, Pulls
from .scheduler import Scheduler
from .scripted import ScriptedEngine
from .server import Received, Server
from .versions import version_of

_KEPT_REQUESTS = 1000
_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class OllamaEmulator:
    """An Ollama server for tests and demos: real HTTP on 127.0.0.1, real timing, nothing to install.

    >>> with OllamaEmulator(models=["llama3.2:1b"], pull_seconds=0.5) as ollama:
    ...     client = ollama_library.Client(host=ollama.url)

    `models` are installed from the start: names, whose facts come from the catalogue where it knows them, or
    `EmulatedModel`. `pull_seconds` is how long any pull takes, `load_seconds` a load. `gguf` gives models real weights
    by name. `library` can be pulled beside the catalogue. `time_scale` shrinks the server's own times (its lines every
    60 ms, its retries, its speeds), `disk_free_bytes` limits the disk, `latency` delays every answer by so many
    seconds; `max_loaded`, `max_queue` and `keep_alive_s` are the server's settings of these meanings.
    """

    def __init__(
        self,
        models: Iterable[str | EmulatedModel] = (),
        version: str = "0.33.0",
        pull_seconds: float = 2.0,
        load_seconds: float = 0.2,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        latency: float = 0.0,
        time_scale: float = 1.0,
        disk_free_bytes: int | None = None,
        max_loaded: int = 3,
        max_queue: int = 512,
        keep_alive_s: float = 300.0,
        gguf: Mapping[str, str | os.PathLike[str]] | None = None,
        library: Iterable[EmulatedModel] = (),
        models_dir: str = "/usr/share/ollama/.ollama/models",
        clock: Clock | None = None,
    ) -> None:
        if time_scale <= 0:
            raise ValueError("time_scale must be above 0")
        self._address = (host, port)
        self._latency = latency
        self._server: Server | None = None
        self._received: deque[Received] = deque(maxlen=_KEPT_REQUESTS)
        self._machine = _machine(
            version, clock or Clock(), Library(library), models_dir, load_seconds, time_scale, Pacing(pull_seconds)
        )
        self._machine.disk.limit(disk_free_bytes)
        scheduler = self._machine.scheduler
        scheduler.max_loaded, scheduler.max_queue, scheduler.keep_alive_s = max_loaded, max_queue, keep_alive_s
        # The first is the newest, so that the server lists them in the order given.
        for model in reversed(_with_files(models, gguf or {})):
            self.install(model)

    def __enter__(self) -> OllamaEmulator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> OllamaEmulator:
        """Listen; with port 0 on a free one, which it keeps from then on."""
        self._server = Server(self._address, self._machine, self._received, self._latency)
        self._address = (self._address[0], self._server.server_address[1])
        self._machine.pulls.halted.clear()
        self._machine.scheduler.start()
        return self

    def stop(self) -> None:
        """End every connection, thread and loaded model."""
        self.go_down()

    def wait(self) -> None:
        """Serve until somebody calls `stop`, or interrupts."""
        while self._server and not self._server.stopping.wait(0.2):
            pass

    @property
    def url(self) -> str:
        """The base URL that clients are given, with the port in it."""
        host, port = self._address
        return f"http://{host}:{port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._address[1]

    @property
    def requests(self) -> list[Received]:
        """The last 1,000 requests as `(method, path, body)`, oldest first."""
        return list(self._received)

    @property
    def installed(self) -> list[str]:
        """Names of the installed models, changed last first."""
        return [entry.name.shown for entry in self._machine.disk.all()]

    @property
    def loaded(self) -> list[str]:
        """Names of the loaded models as `/api/ps` has them, the one that stays longest first."""
        return [runner.entry.name.shown for runner in self._machine.scheduler.loaded()]

    @property
    def loading(self) -> list[str]:
        """Names of the models whose load is under way or waits for its turn, in that order."""
        return self._machine.scheduler.waiting()

    @property
    def answering(self) -> list[str]:
        """Names of the loaded models that are answering right now."""
        return [runner.entry.name.shown for runner in self._machine.scheduler.loaded() if runner.busy]

    @property
    def pulling(self) -> list[str]:
        """Names of the models that are being pulled, once for each client that waits."""
        return self._machine.pulls.active()

    @property
    def parts(self) -> dict[str, int]:
        """Bytes kept of blobs that are not whole, by digest."""
        return self._machine.pulls.kept()

    def install(self, model: str | EmulatedModel) -> None:
        """Put a model on the disk as if it had always been there; it can also be pulled."""
        facts = known_model(model) if isinstance(model, str) else model
        name = Name.parse(facts.name)
        if catalogued(name) != facts:
            self._machine.library.publish(facts)
        self._machine.disk.provide(name, facts)

    def publish(self, model: str | EmulatedModel) -> None:
        """Offer a model for pulling; under a name there is already it is an update of that."""
        self._machine.library.publish(known_model(model) if isinstance(model, str) else model)

    def fail_next(
        self, path: str = "*", *, status: int = 500, error: str | None = "scripted failure", times: int | None = 1
    ) -> None:
        """Answer the next requests for the path with an error, `times=None` until `recover`.

        The path is such as `/api/tags`, or `*`; with `error=None` the body is empty.
        """
        self._machine.faults.fail(path, Failure(status, error, times=times))

    def answer_html(self, path: str = "*", *, status: int = 502, times: int | None = None) -> None:
        """Answer with a proxy's HTML page, until `recover` or so many times."""
        self._machine.faults.fail(path, Failure(status, None, _HTML, times))

    def hang(self, path: str = "*") -> None:
        """Accept requests for the path and do not answer them until `recover`."""
        self._machine.faults.hang(path)

    def cut_stream(self, path: str = "*", *, after_lines: int = 1, how: str = "close", times: int | None = 1) -> None:
        """End streams early: `close` breaks the connection, `half-line` in mid-line, `quiet` ends without `done`."""
        self._machine.faults.cut(path, Cut(after_lines, how, times))

    def break_pull(
        self, kind: str, name: str | None = None, *, text: str = "registry fault", times: int | None = None
    ) -> None:
        """Break pulls, of that name or all, until `mend_pull` or `recover`, or for so many pulls.

        Kinds: stall, cut, corrupt, disk-full, blob-missing, registry-down, offline, manifest-<status>, where `text` is
        the registry's message. `stall` also holds up pulls that are under way.
        """
        if kind not in PULL_FAULTS and not kind.startswith("manifest-"):
            raise ValueError(f"unknown fault {kind!r}; there are {', '.join(PULL_FAULTS)}, manifest-<status>")
        parsed = Name.parse(name) if name else None
        self._machine.faults.break_pull(parsed.shown if parsed else "*", PullFault(kind, text, times))
        if kind == "stall":
            self._machine.pulls.stall(parsed)

    def mend_pull(self, name: str | None = None) -> None:
        """Take back what `break_pull` did for the name (or for all)."""
        self._machine.faults.mend_pull(Name.parse(name).shown if name else "*")
        self._machine.pulls.release()

    def set_pull_rate(self, bytes_per_s: float | None) -> None:
        """Let pulls come at that rate instead of in a given time; None is at once."""
        self._machine.pulls.set_rate(bytes_per_s)

    def break_file(self, name: str, how: Literal["truncated", "missing"] | None) -> None:
        """Damage the weights of an installed model, or mend them."""
        self._machine.disk.change(Name.parse(name), broken=how)

    def set_disk_free(self, free_bytes: int | None) -> None:
        """Say how much room there is on the disk; None is no limit."""
        self._machine.disk.limit(free_bytes)

    def recover(self) -> None:
        """Take back every fault."""
        self._machine.faults.recover()
        self._machine.pulls.release()

    def kill_runner(self, name: str) -> None:
        """Kill the process of a loaded model: answers under way break off, the next request loads it again."""
        entry = self._machine.disk.find(Name.parse(name))
        runner = self._machine.scheduler.find(entry.weights) if entry else None
        if runner is None:
            raise ValueError(f"{name} is not loaded")
        runner.dead = True
        if isinstance(runner.engine, ScriptedEngine):
            runner.engine.kill()
        elif runner.engine.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(runner.engine.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def advance(self, seconds: float) -> None:
        """Move the server's time of day forward: what has been idle for longer than its keep-alive goes."""
        self._machine.clock.advance(seconds)
        self._machine.scheduler.wake()

    def go_down(self) -> None:
        """Die: connections break, the port refuses, nothing is loaded any more. Models and parts of pulls are kept."""
        server, self._server = self._server, None
        if server:
            self._machine.pulls.halted.set()
            server.close()
            self._machine.scheduler.stop()

    def come_back(self) -> None:
        """Listen again, on the same port."""
        if self._server is None:
            self.start()


def _machine(
    number: str, clock: Clock, library: Library, models_dir: str, load_seconds: float, time_scale: float, pacing: Pacing
) -> Machine:
    version, faults, disk = version_of(number), Faults(), Disk(clock.now_ns)
    pulls = Pulls(version, disk, library, faults, models_dir, time_scale, pacing)
    return Machine(
        version=version,
        clock=clock,
        library=library,
        disk=disk,
        scheduler=Scheduler(version, clock),
        pulls=pulls,
        faults=faults,
        models_dir=models_dir,
        load_seconds=load_seconds,
        time_scale=time_scale,
    )


def _with_files(
    models: Iterable[str | EmulatedModel], files: Mapping[str, str | os.PathLike[str]]
) -> list[EmulatedModel]:
    """The facts of all models; a file gives its model real weights, and a model of its own where none has its name."""
    facts = [known_model(model) if isinstance(model, str) else model for model in models]
    weights = {Name.parse(name).key: file for name, file in files.items()}
    names = {Name.parse(model.name).key for model in facts}
    facts += [known_model(name) for name in files if Name.parse(name).key not in names]
    return [with_weights(m, weights[k]) if (k := Name.parse(m.name).key) in weights else m for m in facts]
