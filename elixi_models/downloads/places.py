"""Who is pulled in this process and who waits: one download per model, a bounded number at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ..errors import Cancelled, OllamaBusy
from .worker import Download

_CLOSE_WAIT_S = 2.0


class Places:
    """The downloads of this process by the key of their model's name, in the order in which they came. Thread-safe.

    Args:
        pulls: how many may run at once.
        waiting: how many may wait for a place.
        work: does one download; called in a thread of its own.
        done: called in the same thread when the download's place is free again.
    """

    def __init__(
        self, *, pulls: int, waiting: int, work: Callable[[Download], None], done: Callable[[Download], None]
    ) -> None:
        self._pulls = pulls
        self._most_waiting = waiting
        self._work = work
        self._done = done
        self._lock = threading.Lock()
        self._here: dict[str, Download] = {}
        self._waiting: deque[str] = deque()
        self._threads: dict[Download, threading.Thread] = {}
        self._closed = False
        #: How many other processes pull from the same server; they take up places too.
        self.elsewhere = 0

    @property
    def free(self) -> int:
        """How many more downloads may start."""
        return self._pulls - self.elsewhere - len(self._threads)

    def all(self) -> list[Download]:
        """Those that run and those that wait."""
        with self._lock:
            return list(self._here.values())

    def find(self, key: str) -> Download | None:
        """The download of a model, or None."""
        return self._here.get(key)

    def is_waiting(self, key: str) -> bool:
        """Whether the download of a model has not begun."""
        return key in self._waiting

    def add(self, key: str, make: Callable[[], Download]) -> Download:
        """The download of a model: the one that is there, else a new one at the end of the line.

        Raises:
            OllamaBusy: too many wait.
            Cancelled: the places are closed.
        """
        with self._lock:
            if self._closed:
                raise Cancelled("The model manager is shutting down.")
            there = self._here.get(key)
            if there is None or not there.job.live:
                if len(self._waiting) >= self._most_waiting:
                    raise OllamaBusy(f"{len(self._waiting)} downloads wait already. Try again when some are done.")
                self._here[key] = make()
                self._waiting.append(key)
            return self._here[key]

    def remove(self, key: str) -> bool:
        """Forget a download that has not begun; False when it has, or is not there."""
        with self._lock:
            if key not in self._waiting:
                return False
            self._waiting.remove(key)
            del self._here[key]
            return True

    def fill(self) -> None:
        """Begin those who wait while there are places."""
        while self.free > 0:
            with self._lock:
                if not self._waiting:
                    return
                key = self._waiting[0]
            self.begin(key)

    def begin(self, key: str) -> None:
        """Begin a download now if it waits, whether or not there is a place."""
        with self._lock:
            if key not in self._waiting:
                return
            self._waiting.remove(key)
            download = self._here[key]
            thread = threading.Thread(target=self._run, args=(key, download), name="elixi-models-download", daemon=True)
            self._threads[download] = thread
            thread.start()

    def close(self) -> None:
        """Forget those who wait, have the others leave their jobs to other processes; waits at most 2 s."""
        with self._lock:
            self._closed = True
            for key in self._waiting:
                del self._here[key]
            self._waiting.clear()
            downloads, threads = list(self._here.values()), list(self._threads.values())
        for download in downloads:
            download.stop("closing")
        until = time.monotonic() + _CLOSE_WAIT_S
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _run(self, key: str, download: Download) -> None:
        try:
            self._work(download)
        finally:
            with self._lock:
                del self._threads[download]
                if self._here.get(key) is download:
                    del self._here[key]
            self.fill()
            self._done(download)
