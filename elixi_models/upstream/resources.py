"""What Ollama costs this machine: memory of its runners, CPU, RAM. The only module that knows psutil."""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..inventory import ServerView
from ..records import ResourceSample
from ..settings import Settings, is_local

if TYPE_CHECKING:
    import psutil

RESCAN_S = 30.0
"""How often processes are looked through again for what was not found."""

_BYTES_PER_GIB = 1_073_741_824
_BLOB = re.compile(r"sha256-([0-9a-f]{64})\Z")


class ResourceMonitor:
    """Looks at the processes of an Ollama on this machine; of one elsewhere everything is None.

    `refresh` is for one thread, `latest` for any. Nothing here ever raises: what cannot be read is unknown.
    """

    def __init__(self, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._url = settings.ollama_url
        self._local = is_local(settings.ollama_url)
        parts = urlsplit(settings.ollama_url)
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._monotonic = monotonic
        self._forget()
        self._latest = ResourceSample()
        self._machine: str | None = None

    @property
    def latest(self) -> ResourceSample:
        """The last sample; `runner_bytes` maps a weights digest to the resident memory of its runner."""
        return self._latest

    def machine(self) -> str:
        """A name for the hardware that Ollama runs on, the same until its processors, memory or system change.

        Of a server elsewhere only its address is known. Reads the memory's size once.
        """
        if self._machine is None:
            parts = [self._url]
            if self._local:
                parts = [str(os.cpu_count()), str(_ram_gibibytes()), platform.system(), platform.machine()]
            self._machine = hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
        return self._machine

    def refresh(self, view: ServerView) -> None:
        """Take a sample: some 0.1 ms, a few more when the view names a loaded model whose process is not known."""
        if not self._local:
            return
        import psutil

        try:
            memory = psutil.virtual_memory()
            self._find_processes(_loaded_digests(view))
            self._latest = ResourceSample(
                ram_total_bytes=memory.total,
                ram_available_bytes=memory.available,
                cpu_percent=self._measure_cpu(psutil.cpu_count() or 1),
                runner_bytes={digest: size for digest, size in self._measure_memory() if size > 0},
            )
        except (psutil.Error, OSError, RuntimeError, ValueError):
            # A process may end between any two questions; the next sample starts from what is there then.
            self._forget()
            self._latest = ResourceSample()

    def _forget(self) -> None:
        self._server: psutil.Process | None = None
        self._runners: dict[str, psutil.Process] = {}
        self._not_found: frozenset[str] = frozenset()
        self._scanned_at = float("-inf")
        self._cpu_s: dict[int, float] = {}
        self._cpu_read_at = float("-inf")

    def _find_processes(self, wanted: frozenset[str]) -> None:
        """Keep the server and its runners known; scan only for what is missing and was not just looked for."""
        self._runners = {digest: runner for digest, runner in self._runners.items() if _lives(runner)}
        if self._server is not None and not _lives(self._server):
            self._server = None
        missing = wanted - self._runners.keys()
        if self._server is not None and not missing:
            return
        now = self._monotonic()
        if missing <= self._not_found and now - self._scanned_at < RESCAN_S:
            return
        families = _runner_families()
        self._server = _find_server(self._port, families, wanted)
        self._runners = {} if self._server is None else families.get(self._server.pid, {})
        self._not_found, self._scanned_at = wanted - self._runners.keys(), now

    def _measure_memory(self) -> Iterator[tuple[str, int]]:
        for digest, runner in self._runners.items():
            yield digest, runner.memory_info().rss

    def _measure_cpu(self, cores: int) -> float | None:
        """Percent of the whole machine since the last sample; None without a sample before or a known server."""
        now = self._monotonic()
        elapsed_s, self._cpu_read_at = now - self._cpu_read_at, now
        before, self._cpu_s = self._cpu_s, {}
        if self._server is None:
            return None
        for process in (self._server, *self._runners.values()):
            times = process.cpu_times()
            self._cpu_s[process.pid] = times.user + times.system
        known = before.keys() & self._cpu_s.keys()
        if not known or elapsed_s <= 0:
            return None
        used_s = sum(self._cpu_s[pid] - before[pid] for pid in known)
        return min(100.0, max(0.0, 100.0 * used_s / elapsed_s / cores))


def _ram_gibibytes() -> int | None:
    """In whole GiB: what the system keeps for itself differs a little from start to start."""
    import psutil

    try:
        return round(psutil.virtual_memory().total / _BYTES_PER_GIB)
    except (psutil.Error, OSError, RuntimeError, ValueError):
        return None


def _loaded_digests(view: ServerView) -> frozenset[str]:
    weights = {model.digest: model.weights_digest for model in view.installed}
    found = (weights.get(entry.digest) for entry in view.loaded)
    return frozenset(digest for digest in found if digest is not None)


def _lives(process: psutil.Process) -> bool:
    import psutil

    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _runner_families() -> dict[int, dict[str, psutil.Process]]:
    """All processes that run a model, by the pid of their parent and the digest of the weights."""
    import psutil

    families: dict[int, dict[str, psutil.Process]] = {}
    for process in psutil.process_iter(["cmdline", "ppid"]):
        digest = _digest_of(process.info["cmdline"] or ())
        if digest is not None:
            families.setdefault(process.info["ppid"], {})[digest] = process
    return families


def _digest_of(command: Iterable[str]) -> str | None:
    words = list(command)
    for flag, value in itertools.pairwise(words):
        found = _BLOB.search(value) if flag == "--model" else None
        if found:
            return found.group(1)
    return None


def _find_server(
    port: int, families: dict[int, dict[str, psutil.Process]], wanted: frozenset[str]
) -> psutil.Process | None:
    """The process that listens on the port, or, where that is not ours to see, the only one that can be it."""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return _owner_of(families, wanted)
    listening = [entry for entry in connections if entry.status == psutil.CONN_LISTEN and _port(entry.laddr) == port]
    owners = [entry.pid for entry in listening if entry.pid is not None]
    if owners:
        return psutil.Process(owners[0])
    return _owner_of(families, wanted) if listening else None


def _port(address: tuple[object, ...]) -> object:
    return address[1] if len(address) > 1 else None


def _owner_of(families: dict[int, dict[str, psutil.Process]], wanted: frozenset[str]) -> psutil.Process | None:
    """The one parent whose runners are those that our server says it has; None when that is not certain."""
    import psutil

    owners = [pid for pid, runners in families.items() if runners.keys() & wanted]
    if len(owners) > 1:
        owners = [pid for pid in owners if families[pid].keys() == wanted]
    return psutil.Process(owners[0]) if len(owners) == 1 else None
