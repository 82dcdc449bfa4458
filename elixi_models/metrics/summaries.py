"""The figures of every model, in memory: the last 24 hours, and all requests ever."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

from .. import names
from ..inventory import InstalledModel
from ..performance import decode_rate
from ..records import Measurement, ModelSummary
from ..store.base import JsonObject, Store
from .rollups import LIFETIME, Group, group_of, is_request, percentiles
from .windows import MICROS, WINDOW_S, Sums, Window

_REREAD_S = 30.0
_TOTALS_S = 300.0
_REMEMBERED_IDS = 16_384
_MOST_READ = 10_000
_MOST_WINDOWS = 500
_MOST_UNCOUNTED = 1_000


class Summaries:
    """What is known about each model's calls, of this process and of others on the same store.

    Figures belong to weights: names that share them share evidence. Calls whose weights are unknown count for
    their name. Thread-safe; nothing here blocks but `load`.
    """

    def __init__(self, ollama_url: str, clock: Callable[[], float] = time.time) -> None:
        self._ollama_url = ollama_url
        self._clock = clock
        self._added: deque[Measurement] = deque()
        self._windows: dict[Group, Window] = {}
        self._own: Counter[Group] = Counter()
        self._others: Counter[Group] = Counter()
        self._others_base: Counter[Group] = Counter()
        self._last_used: dict[str, float] = {}
        self._totals_version = 0
        self._matching: dict[Group, list[Window]] = {}
        self._cache: dict[Group, tuple[tuple[int, ...], ModelSummary]] = {}
        self._seen: set[str] = set()
        self._seen_before: set[str] = set()
        self._read_until_s: float | None = None
        self._totals_at_s: float | None = None
        self._lock = threading.Lock()

    def add(self, measurement: Measurement) -> None:
        """Note a call of this process; one that is known by its id will be left alone. A microsecond.

        Counting takes ten times as long after a pause, so it is left to whoever looks next.
        """
        self._added.append(measurement)
        if len(self._added) >= _MOST_UNCOUNTED:
            self.settle()

    def settle(self) -> None:
        """Count what was added; done off the callers' threads now and then, so that a look has little left to do."""
        with self._lock:
            self._settle()

    def summary(self, model: InstalledModel) -> ModelSummary:
        """The figures of a model; microseconds while nothing changed."""
        now_s = self._clock()
        group = (names.key(model.name), model.weights_digest)
        with self._lock:
            self._settle()
            windows = self._windows_of(group, now_s)
            state = (self._totals_version, *[window.version for window in windows])
            cached = self._cache.get(group)
            if cached is None or cached[0] != state:
                cached = self._cache[group] = (state, self._summarise(group, windows))
            return cached[1]

    def recent(self, model: InstalledModel) -> tuple[Measurement, ...]:
        """The newest calls of a model within 24 hours, oldest first: at most 200 of each name of its weights."""
        now_s = self._clock()
        with self._lock:
            self._settle()
            windows = self._windows_of((names.key(model.name), model.weights_digest), now_s)
            calls = [call for window in windows for call in window.recent]
        return tuple(sorted(calls, key=lambda call: call.created_at_s))

    def load(self, store: Store, *, owner: str | None = None) -> None:
        """Take over what the store has: at first the newest 10,000 calls of 24 hours, later what others added.

        Blocks; called by the thread that follows the store.

        Args:
            owner: whose roll-ups are not counted, because its calls came through `add`.

        Raises:
            StoreUnavailable: nothing changed; the next call catches up.
        """
        now_s = self._clock()
        since_s = now_s - WINDOW_S
        if self._read_until_s is not None:
            # Others' clocks and their half second of delay: what is read twice is known by its id.
            since_s = max(since_s, min(self._read_until_s, now_s) - _REREAD_S)
        fresh = store.measurements(ollama_url=self._ollama_url, since_s=since_s, limit=_MOST_READ)
        due = self._totals_at_s is None or not 0 <= now_s - self._totals_at_s < _TOTALS_S
        lifetimes = store.rollups(ollama_url=self._ollama_url, since_s=LIFETIME, until_s=LIFETIME + 1) if due else None
        with self._lock:
            self._settle()
            for measurement in fresh:
                if self._count(measurement) and is_request(measurement):
                    self._others[group_of(measurement)] += 1
            if lifetimes is not None:
                self._replace_totals(rollup for rollup in lifetimes if rollup.get("owner") != owner)
                self._totals_at_s = now_s
            self._read_until_s = now_s

    def reset_after_fork(self) -> None:
        """In a forked child: the parent's calls are another process's now, and are read with the others'."""
        self._lock = threading.Lock()
        self._settle()
        self._own.clear()
        self._totals_at_s = None

    def _settle(self) -> None:
        for _ in range(len(self._added)):
            measurement = self._added.popleft()
            if self._count(measurement) and is_request(measurement):
                self._own[group_of(measurement)] += 1

    def _count(self, measurement: Measurement) -> bool:
        if measurement.id in self._seen or measurement.id in self._seen_before:
            return False
        if len(self._seen) >= _REMEMBERED_IDS:
            self._seen_before, self._seen = self._seen, set()
        self._seen.add(measurement.id)
        group = group_of(measurement)
        window = self._windows.get(group) or self._open_window(group)
        window.add(measurement, self._clock())
        self._note_use(group[0], window.last_used_at_s)
        return True

    def _open_window(self, group: Group) -> Window:
        if len(self._windows) >= _MOST_WINDOWS:
            del self._windows[min(self._windows, key=lambda known: self._windows[known].last_used_at_s or 0.0)]
        self._matching.clear()
        self._cache.clear()
        window = self._windows[group] = Window(*group)
        return window

    def _windows_of(self, group: Group, now_s: float) -> list[Window]:
        """The windows that are evidence for a name and its weights, without what is older than a day."""
        windows = self._matching.get(group)
        if windows is None:
            model_key, weights_digest = group
            windows = self._matching[group] = [
                window
                for window in self._windows.values()
                if (window.weights_digest == weights_digest and weights_digest is not None)
                or (window.model_key == model_key and None in (weights_digest, window.weights_digest))
            ]
        for window in windows:
            window.expire(now_s)
        return windows

    def _summarise(self, group: Group, windows: Iterable[Window]) -> ModelSummary:
        sums = Sums()
        for window in windows:
            sums.add(window.sums)
        rate = decode_rate(sums.gaps, sums.eval_us / MICROS)
        attempts = sums.requests - sums.cancelled
        return ModelSummary(
            tokens_per_second=rate,
            latency_ms=_mean_ms(sums.latency_us, sums.latencies),
            ms_per_token=1000 / rate if rate else None,
            ttft_ms=_mean_ms(sums.ttft_us, sums.ttfts),
            error_rate=sums.failures / attempts if attempts else None,
            requests=sums.requests,
            total_requests=self._total_requests(group),
            last_used_at_s=self._last_used.get(group[0]),
            latency_percentiles=percentiles(sums.latency_buckets),
            ttft_percentiles=percentiles(sums.ttft_buckets),
        )

    def _total_requests(self, group: Group) -> int:
        """All requests ever to this name or these weights: an update of a model does not make it unused."""
        model_key, weights_digest = group
        return sum(
            count
            for counter in (self._own, self._others, self._others_base)
            for (known_key, known_digest), count in counter.items()
            if known_key == model_key or (known_digest == weights_digest and weights_digest is not None)
        )

    def _note_use(self, model_key: str, at_s: float | None) -> None:
        if at_s is not None:
            self._last_used[model_key] = max(at_s, self._last_used.get(model_key, at_s))

    def _replace_totals(self, lifetimes: Iterable[JsonObject]) -> None:
        totals: Counter[Group] = Counter()
        for rollup in lifetimes:
            group = names.key(rollup["model"]), rollup.get("weights_digest")
            totals[group] += rollup["requests"]
            self._note_use(group[0], rollup.get("last_used_at_s"))
        self._others_base = totals
        self._others.clear()
        self._totals_version += 1


def _mean_ms(sum_us: int, count: int) -> float | None:
    return sum_us / count / 1000 if count else None
