"""Which models are loaded, who may use them, and when they go."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .clock import FOREVER_NS, SECOND, Clock
from .installed import Installed
from .scripted import Engine
from .versions import Version

_GLANCE_S = 0.02


class Busy(Exception):
    """As many requests wait for a load as may."""


class Aborted(Exception):
    """The client went away before its turn came."""


@dataclass(frozen=True, eq=False, slots=True)
class Wanted:
    """A model as a request needs it. `keep_alive_s` below 0 is for ever; None leaves it as it is."""

    entry: Installed
    make_engine: Callable[[], Engine]
    context_length: int
    runner_options: tuple[tuple[str, object], ...] = ()
    keep_alive_s: float | None = None
    needs_all_memory: bool = False


@dataclass(eq=False, slots=True)
class Runner:
    """A loaded model."""

    entry: Installed
    engine: Engine
    context_length: int
    runner_options: tuple[tuple[str, object], ...]
    keep_alive_s: float
    users: int = 0
    busy: bool = False
    dead: bool = False
    expires_ns: int | None = None
    gone_at: float | None = None

    @property
    def patience(self) -> float:
        """How long it may idle, for ever being longest: what goes first when room is needed."""
        return self.keep_alive_s if self.keep_alive_s >= 0 else float("inf")


@dataclass(eq=False, slots=True)
class Scheduler:
    """Loads one model at a time, in the order asked for, and keeps at most `max_loaded`.

    A loaded model is found by the digest of its weights, so copies and Modelfile children share a runner.
    """

    version: Version
    clock: Clock
    max_loaded: int = 3
    max_queue: int = 512
    keep_alive_s: float = 300.0
    _runners: dict[str, Runner] = field(default_factory=dict)
    _queue: list[Wanted] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _reaper: threading.Thread | None = None
    _stopped: bool = False

    def start(self) -> None:
        """Begin to let idle models go when their time is over."""
        self._stopped = False
        self._reaper = threading.Thread(target=self._reap, name="emulator-keep-alive", daemon=True)
        self._reaper.start()

    def stop(self) -> None:
        """Let every model go, now."""
        with self._changed:
            self._stopped = True
            for runner in list(self._runners.values()):
                self._remove(runner)
            self._changed.notify_all()
        if self._reaper:
            self._reaper.join()

    @contextlib.contextmanager
    def lease(self, wanted: Wanted, abort: threading.Event) -> Iterator[Runner]:
        """Hold the model loaded; load it first if need be. Raises `Busy`, `Aborted` or the engine's `EngineFailed`."""
        runner = self._acquire(wanted, abort)
        try:
            yield runner
        finally:
            self._release(runner)

    @contextlib.contextmanager
    def turn(self, runner: Runner, abort: threading.Event) -> Iterator[None]:
        """Have a runner alone for one generation."""
        with self._changed:
            self._wait(lambda: not runner.busy, abort)
            runner.busy = True
        try:
            yield
        finally:
            with self._changed:
                runner.busy = False
                self._changed.notify_all()

    def unload(self, weights: str) -> None:
        """Let a model go as soon as nobody uses it; nothing happens where it is not loaded."""
        with self._changed:
            runner = self._runners.get(weights)
            if runner is None:
                return
            runner.keep_alive_s = 0.0
            runner.expires_ns = self.clock.now_ns()
            runner.gone_at = time.monotonic() + self.version.unload_lag_s
            self._sweep()
            self._changed.notify_all()

    def loaded(self) -> list[Runner]:
        """What is loaded, the one that stays longest first."""
        with self._changed:
            self._sweep()
            return sorted(self._runners.values(), key=lambda runner: -self.expiry_ns(runner))

    def expiry_ns(self, runner: Runner) -> int:
        """When a runner is let go; a moment past for one that is being used longer than that."""
        if runner.expires_ns is not None:
            return runner.expires_ns
        return self._expiry_from_now(runner)

    def find(self, weights: str) -> Runner | None:
        """The runner of those weights."""
        with self._changed:
            return self._runners.get(weights)

    def waiting(self) -> list[str]:
        """Names of the models that are being loaded or wait for that."""
        with self._changed:
            return [wanted.entry.name.shown for wanted in self._queue]

    def wake(self) -> None:
        """Look again: the clock was moved."""
        with self._changed:
            self._changed.notify_all()

    def _acquire(self, wanted: Wanted, abort: threading.Event) -> Runner:
        with self._changed:
            self._sweep()
            runner = self._usable(wanted) or self._load_in_turn(wanted, abort)
            runner.users += 1
            if wanted.keep_alive_s is not None:
                runner.keep_alive_s = wanted.keep_alive_s
            if self.version.ps_last_alias:
                runner.entry = wanted.entry
            return runner

    def _usable(self, wanted: Wanted) -> Runner | None:
        runner = self._runners.get(wanted.entry.weights)
        if runner is None or runner.dead or runner.gone_at is not None:
            return None
        same = (runner.context_length, runner.runner_options) == (wanted.context_length, wanted.runner_options)
        return runner if same else None

    def _load_in_turn(self, wanted: Wanted, abort: threading.Event) -> Runner:
        # One request is being served while `max_queue` more wait.
        if len(self._queue) > self.max_queue:
            raise Busy
        self._queue.append(wanted)
        try:
            self._wait(lambda: self._queue[0] is wanted, abort)
            return self._usable(wanted) or self._load(wanted, abort)
        finally:
            self._queue.remove(wanted)
            self._changed.notify_all()

    def _load(self, wanted: Wanted, abort: threading.Event) -> Runner:
        self._make_room(wanted, abort)
        engine = wanted.make_engine()
        self._changed.release()
        try:
            engine.load(context_length=wanted.context_length, abort=abort)
        finally:
            self._changed.acquire()
        if abort.is_set() or self._stopped:
            engine.unload()
            raise Aborted
        # A reload starts with the server's keep-alive again: what an earlier request asked for is lost.
        runner = Runner(wanted.entry, engine, wanted.context_length, wanted.runner_options, self.keep_alive_s)
        self._runners[wanted.entry.weights] = runner
        return runner

    def _make_room(self, wanted: Wanted, abort: threading.Event) -> None:
        stale = self._runners.get(wanted.entry.weights)
        if stale:
            self._let_go(stale, abort)
        most = 0 if wanted.needs_all_memory else self.max_loaded - 1
        while len(self._runners) > most:
            self._let_go(self._victim(), abort)

    def _victim(self) -> Runner:
        """The runner that goes: an idle one if there is any, of the shortest keep-alive."""
        waiting = [runner for runner in self._runners.values() if not runner.users] or list(self._runners.values())
        shortest = min(runner.patience for runner in waiting)
        equals = sorted((r for r in waiting if r.patience == shortest), key=lambda runner: runner.entry.weights)
        # Where a server leaves the order to chance, the middle one is as right as any other.
        return equals[0] if self.version.ordered_eviction else equals[len(equals) // 2]

    def _let_go(self, runner: Runner, abort: threading.Event) -> None:
        self._wait(lambda: not runner.users, abort)
        if self._runners.get(runner.entry.weights) is runner:
            self._remove(runner)

    def _release(self, runner: Runner) -> None:
        with self._changed:
            runner.users -= 1
            if not runner.users and runner.gone_at is None:
                runner.expires_ns = self._expiry_from_now(runner)
                if runner.keep_alive_s == 0:
                    runner.gone_at = time.monotonic()
            self._sweep()
            self._changed.notify_all()

    def _expiry_from_now(self, runner: Runner) -> int:
        now = self.clock.now_ns()
        return now + (FOREVER_NS if runner.keep_alive_s < 0 else int(runner.keep_alive_s * SECOND))

    def _sweep(self) -> None:
        for runner in list(self._runners.values()):
            if not runner.users and self._is_over(runner):
                self._remove(runner)

    def _is_over(self, runner: Runner) -> bool:
        if runner.gone_at is not None:
            return time.monotonic() >= runner.gone_at
        return runner.expires_ns is not None and self.clock.now_ns() >= runner.expires_ns

    def _remove(self, runner: Runner) -> None:
        self._runners = {weights: other for weights, other in self._runners.items() if other is not runner}
        runner.engine.unload()

    def _reap(self) -> None:
        with self._changed:
            while not self._stopped:
                self._sweep()
                self._changed.wait(self._seconds_to_next())

    def _seconds_to_next(self) -> float | None:
        idle = [runner for runner in self._runners.values() if not runner.users]
        waits = [runner.gone_at - time.monotonic() for runner in idle if runner.gone_at is not None]
        now = self.clock.now_ns()
        waits += [(runner.expires_ns - now) / SECOND for runner in idle if runner.expires_ns is not None]
        soonest = min(waits, default=None)
        # A thread can wait for months, but not for the 292 years of "for ever".
        return None if soonest is None or soonest > 1e6 else max(soonest, 0.001)

    def _wait(self, ready: Callable[[], bool], abort: threading.Event) -> None:
        while not ready():
            if abort.is_set() or self._stopped:
                raise Aborted
            self._changed.wait(_GLANCE_S)
