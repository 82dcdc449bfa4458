"""The one thread that talks to the store for everybody who may not wait, and what it knows, in memory."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errands import fulfil
from ..errors import StoreUnavailable
from ..settings import Settings
from .base import JsonObject, Preference, Store
from .breaker import Breaker
from .preferences import PreferenceMemory
from .recollection import JobMemory

T = TypeVar("T")
_log = logging.getLogger("elixi_models.store")
_CLOSE_WAIT_S = 2.0
_MOST_QUEUED = 10_000


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store is, for health: `since_s` is the epoch time of the last change of `available`, `pending` the
    number of changes that only this process has."""

    kind: str
    available: bool
    since_s: float
    pending: int


@dataclass(eq=False, slots=True)
class _Periodic:
    interval_s: float
    action: Callable[[Store], None]
    at_close: bool
    due_at: float = 0.0


class StoreFollower:
    """Looks at the store every `store_follow_s`, runs submitted and periodic work in between. All methods may be
    called from any thread and none but `close` blocks.

    After a failure nobody asks the store but a ping after 1, 2, 4 ... 30 s; meanwhile reads give the last copy and
    changed preferences are held in memory.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._follow_s = settings.store_follow_s
        self._clock = clock
        self._monotonic = monotonic
        self._preferences = PreferenceMemory()
        self._jobs = JobMemory()
        self._periodic: list[_Periodic] = []
        self._begin()

    def _begin(self) -> None:
        #: Set after the first look at the store, whether it succeeded or not.
        self.first_read = threading.Event()
        self._breaker = Breaker(clock=self._clock, monotonic=self._monotonic)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._queue: deque[tuple[Callable[[Store], Any], Future[Any]]] = deque()
        self._look = _Periodic(self._follow_s, self._refresh, at_close=False)
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def status(self) -> StoreStatus:
        """From memory."""
        return StoreStatus(self._store.kind, self._breaker.available, self._breaker.since_s, self._preferences.pending)

    def start(self) -> None:
        """Start the thread unless it runs or the follower was closed."""
        with self._lock:
            if not self._closed:
                self._start()

    def submit(self, action: Callable[[Store], T]) -> Future[T]:
        """Run an action on the thread; the future has its outcome, StoreUnavailable at once while the store is away."""
        future: Future[T] = Future()
        with self._lock:
            if self._breaker.available and not self._closed and len(self._queue) < _MOST_QUEUED:
                self._queue.append((action, future))
                self._start()
            else:
                future.set_exception(_away())
        self._wake.set()
        return future

    def every(self, interval_s: float, action: Callable[[Store], None], *, at_close: bool = False) -> None:
        """Run an action on the thread now and at intervals; what it could not do for want of the store it does on the
        store's return. With `at_close` also once more in `close`. What else it raises is logged."""
        self._periodic.append(_Periodic(interval_s, action, at_close))
        self._wake.set()

    def watch_preference(self, key: str, listener: Callable[[Preference], None] | None = None) -> None:
        """Follow a preference. The listener is called on the thread with the first value that is seen and with every
        change, be it of this process or of another."""
        self._preferences.watch(key, listener)

    def preference(self, key: str) -> Preference | None:
        """The value in force, this process's own change included even before it is stored; from memory."""
        return self._preferences.get(key)

    def set_preference(self, key: str, value: Mapping[str, Any]) -> Future[Preference]:
        """Put a value in force here at once and store it as the next version.

        The future has the stored version. While the store is away it has the value from memory, at the version after
        the last known one; on return that is inserted, unless somebody stored a newer choice meanwhile: then that one
        is in force, and a warning says so.
        """
        future = self._preferences.change(key, value, now_s=self._clock())
        if self._breaker.available and not self._closed:
            self.start()
        else:
            self._preferences.hold()
        self._wake.set()
        return future

    def watch_jobs(self, kind: str, ollama_url: str, *, newest: int = 200) -> None:
        """Follow the newest jobs of a kind on a server: read every `store_follow_s`, so large ones must be few."""
        self._jobs.watch(kind, ollama_url, newest=newest)

    def jobs(self, kind: str) -> tuple[JsonObject, ...]:
        """The newest jobs of a followed kind, newest `updated_at_s` first, each with its `id`; from memory."""
        return self._jobs.get(kind)

    def note_job(self, job: Mapping[str, Any]) -> None:
        """Show this process's own write (with `id`, `kind`, `updated_at_s`) at once, before the next look."""
        self._jobs.note(job)

    def refresh_jobs(self) -> Future[None]:
        """Read the followed jobs now; the future is done when they are in memory."""
        return self.submit(self._jobs.refresh)

    def close(self) -> None:
        """Run what is queued, store what waits, and end the thread; waits at most 2 s. Idempotent."""
        with self._lock:
            last_work = bool(self._queue) or any(periodic.at_close for periodic in self._periodic)
            closed_before, self._closed = self._closed, True
            if last_work and not closed_before:
                self._start()
            thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_WAIT_S)

    def reset_after_fork(self) -> None:
        """In a forked child: forget the parent's thread, queue and unstored changes; the next use starts anew."""
        self._begin()
        self._preferences.reset_after_fork()
        self._jobs.reset_after_fork()
        for periodic in self._periodic:
            periodic.due_at = 0.0

    def turn(self) -> float:
        """Do all that is due, on the calling thread; gives the seconds until something is due again. Blocks."""
        self._wake.clear()
        if not self._breaker.available and self._breaker.probe_in_s == 0 and self._attempt(_ping):
            self._breaker.restore()
            _log.info("the store is back")
        if self._breaker.available:
            self._serve()
            for periodic in (self._look, *self._periodic):
                self._run_due(periodic)
                self._serve()
        self._tell()
        self.first_read.set()
        return self._pause_s()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="elixi-models-store", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self.turn())
        self._finish()

    def _finish(self) -> None:
        self._serve()
        for periodic in self._periodic:
            if periodic.at_close and self._breaker.available:
                self._attempt(periodic.action)
        if self._preferences.pending:
            _log.warning("%d changes could not be stored before the end", self._preferences.pending)

    def _serve(self) -> None:
        """Run what is queued and store what was changed."""
        # What is submitted meanwhile waits for the next time: work in many pieces lets the periodic work in between.
        for _ in range(len(self._queue)):
            if not self._breaker.available:
                break
            action, future = self._queue.popleft()
            if future.set_running_or_notify_cancel():
                self._fulfil(action, future)
        if self._breaker.available and self._preferences.pending:
            self._attempt(self._preferences.flush)

    def _run_due(self, periodic: _Periodic) -> None:
        if not self._breaker.available or periodic.due_at > self._monotonic():
            return
        self._attempt(periodic.action)
        if self._breaker.available:
            periodic.due_at = self._monotonic() + periodic.interval_s

    def _refresh(self, store: Store) -> None:
        self._preferences.refresh(store)
        self._jobs.refresh(store)

    def _tell(self) -> None:
        for listener, preference in self._preferences.tell():
            self._attempt(functools.partial(_call, listener, preference))

    def _attempt(self, action: Callable[[Store], object]) -> bool:
        """Run work that nobody waits for; True when it went well."""
        future: Future[object] = Future()
        self._fulfil(action, future)
        error = future.exception()
        if error is not None and not isinstance(error, StoreUnavailable):
            _log.error("background work failed", exc_info=error)
        return error is None

    def _fulfil(self, action: Callable[[Store], T], future: Future[T]) -> None:
        fulfil(future, lambda: action(self._store))
        error = future.exception()
        if isinstance(error, StoreUnavailable):
            self._trip(error)

    def _trip(self, error: StoreUnavailable) -> None:
        if self._breaker.available:
            _log.warning("the store is away: %s", error.message)
        with self._lock:
            self._breaker.trip()
            refused, self._queue = self._queue, deque()
        for _, future in refused:
            if future.set_running_or_notify_cancel():
                future.set_exception(_away())
        self._preferences.hold()

    def _pause_s(self) -> float:
        if not self._breaker.available:
            return self._breaker.probe_in_s
        due_at = min(periodic.due_at for periodic in (self._look, *self._periodic))
        return max(0.0, due_at - self._monotonic())


def _call(listener: Callable[[Preference], None], preference: Preference, store: Store) -> None:
    listener(preference)


def _ping(store: Store) -> None:
    store.ping()


def _away() -> StoreUnavailable:
    return StoreUnavailable("The store cannot be reached or written at the moment. Try again shortly.")
