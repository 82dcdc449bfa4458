"""A million stored measurements: what status, history and recording cost, and how often the store is asked."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from elixi_models import ElixiModels, ModelService
from elixi_models.metrics.archive import HistoryArchive, _Reading
from elixi_models.metrics.footprints import Footprints
from elixi_models.metrics.history import ModelHistory, span_of
from elixi_models.metrics.recorder import MetricsRecorder
from elixi_models.metrics.rollups import RollupBook
from elixi_models.metrics.summaries import Summaries
from elixi_models.records import Measurement
from elixi_models.settings import Settings
from elixi_models.store.base import Store
from elixi_models.store.documents import record_document
from elixi_models.store.following import StoreFollower
from elixi_models.store.sqlite import FILE_NAME, SqliteStore
from elixi_models.testing import OllamaEmulator

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

MILLION = 1_000_000
DAYS = 30
MODELS = [f"llama3.2:{size}b" for size in (1, 3)]
PATIENCE_S = 60.0
Row = Callable[..., None]


def median_us(action: Callable[[], object], *, times: int) -> float:
    """The median time of an action."""
    taken = []
    for _ in range(times):
        began = time.perf_counter_ns()
        action()
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1000


def call(draw: random.Random, number: int, url: str, at_s: float) -> Measurement:
    """A call as chat makes them."""
    return Measurement(
        id=f"{number:016x}",
        created_at_s=at_s,
        ollama_url=url,
        model=MODELS[number % 2],
        source="chat",
        outcome="ok" if number % 50 else "timeout",
        duration_s=draw.lognormvariate(0.5, 0.6),
        weights_digest=f"w{number % 2}",
        ttft_s=draw.lognormvariate(-1.5, 0.6),
        tokens=draw.randint(20, 300),
        eval_s=draw.uniform(0.5, 4.0),
    )


def fill(path: Path, url: str, count: int) -> None:
    """So many measurements over 30 days until now, with their roll-ups, straight into the file."""
    store = SqliteStore(path)
    store.ping()
    draw, book = random.Random(4), RollupBook(url, "earlier")
    sums: dict[str, dict[str, Any]] = {}
    began_s = time.time() - DAYS * 86_400
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    with connection:
        for first in range(0, count, 10_000):
            calls = [
                call(draw, number, url, began_s + number * DAYS * 86_400 / count)
                for number in range(first, first + 10_000)
            ]
            connection.executemany(
                "INSERT INTO measurements VALUES (?, ?, ?, ?)",
                [(one.id, url, one.created_at_s, json.dumps(record_document(one))) for one in calls],
            )
            for one in calls:
                book.add(one)
            for rollup_id, rollup in book.changed():
                sums[rollup_id] = deepcopy(rollup)
                book.written(rollup_id)
    connection.close()
    for rollup_id, rollup in sums.items():
        store.put_rollup(rollup_id, rollup)
    store.close()


class CountingStore:
    """A store that counts its round trips by verb and by thread."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.kind = store.kind
        self.trips: Counter[tuple[str, str]] = Counter()

    def __getattr__(self, verb: str) -> Any:
        act = getattr(self._store, verb)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.trips[threading.current_thread().name, verb] += 1
            return act(*arguments, **named)

        return counted


@contextmanager
def running(ollama: OllamaEmulator, folder: Path) -> Iterator[tuple[FlaskClient, ModelService, CountingStore]]:
    """A client of an app over that folder, once its service has read what it reads at the start."""
    app = Flask("bench")
    settings = Settings.load({}, ollama_url=ollama.url, data_dir=str(folder))
    extension = ElixiModels(app, settings=settings)
    parts = extension.service.parts
    counting = CountingStore(parts.store)
    parts.store = parts.follower._store = counting  # type: ignore[assignment]
    try:
        extension.service.start()
        parts.observer.refresh(PATIENCE_S)
        parts.follower.submit(lambda store: None).result(PATIENCE_S)
        yield app.test_client(), extension.service, counting
    finally:
        extension.close()


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaEmulator]:
    with OllamaEmulator(MODELS, load_seconds=0.01) as server:
        yield server


@pytest.fixture(scope="module")
def folders(ollama: OllamaEmulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An empty store, one with ten thousand measurements and one with a million, over the same 30 days."""
    found = {name: tmp_path_factory.mktemp(name) for name in ("empty", "small", "full")}
    fill(found["small"] / FILE_NAME, ollama.url, 10_000)
    fill(found["full"] / FILE_NAME, ollama.url, MILLION)
    return found


def costs(client: FlaskClient, service: ModelService) -> dict[str, float]:
    """Median µs of the views; a history from memory, and one that is read anew from the store each time."""
    path = f"/ai/model-history?model_name={MODELS[0]}"

    def read_anew() -> None:
        service.parts.archive._copies = {}
        assert not client.get(path).json["data"]["pending"]

    client.get(path)
    return {
        "model-status": median_us(lambda: client.get("/ai/model-status"), times=300),
        "model-history": median_us(lambda: client.get(path), times=300),
        "read anew": median_us(read_anew, times=100),
    }


def test_views_with_a_million_measurements(ollama: OllamaEmulator, folders: dict[str, Path], row: Row) -> None:
    """Status and the history of 24 hours against the same with an empty store.

    Where a history is read anew, every two seconds at most, there are 25 points to make instead of none. That cost
    follows the number of buckets, not of measurements: it stands beside a store of ten thousand.
    """
    found = {}
    for name, folder in folders.items():
        with running(ollama, folder) as (client, service, _):
            found[name] = costs(client, service)
    empty, small, full = found["empty"], found["small"], found["full"]
    for view in ("model-status", "model-history"):
        row(f"GET {view}, a million measurements over none", "us", empty[view], full[view], "2 x")
    row("model-history read anew, a million over ten thousand", "us", small["read anew"], full["read anew"], "")


def test_a_start_over_a_million_measurements(folders: dict[str, Path], ollama: OllamaEmulator, row: Row) -> None:
    """What the follower's thread reads at the start: the newest 10,000 calls of 24 hours, and the totals."""
    store = SqliteStore(folders["full"] / FILE_NAME)
    summaries = Summaries(ollama.url)
    began = time.perf_counter()
    summaries.load(store)
    row("first load of the figures, a million measurements", "s", None, time.perf_counter() - began, "")
    row("a look for what others added", "us", None, median_us(lambda: summaries.load(store), times=50), "")
    store.close()


def test_a_year_of_days_of_many_models(tmp_path: Path, row: Row) -> None:
    """The most that can be asked: 366 days of one model, beside 19 others, of 4 processes a day.

    It is read in pieces on the follower's thread; others have their turn after each, so the longest piece counts.
    """
    settings = Settings(ollama_url="http://127.0.0.1:11434")
    store = SqliteStore(tmp_path / FILE_NAME)
    count, size = fill_year(store, settings.ollama_url)
    follower = StoreFollower(store, settings)
    holds: list[float] = []
    take_turn = _Reading._take_turn

    def timed(reading: _Reading, store: Store) -> ModelHistory | None:
        began = time.perf_counter()
        try:
            return take_turn(reading, store)
        finally:
            holds.append(time.perf_counter() - began)

    span = span_of("m1:1b", "w1", from_s=0.0, to_s=None, bucket="day", now_s=time.time())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Reading, "_take_turn", timed)
        began = time.perf_counter()
        history = HistoryArchive(follower=follower, settings=settings).recall(span, wait_s=PATIENCE_S)
        took_s = time.perf_counter() - began
    assert len(history.points) == 366
    row(f"history of a year of one model, of {count} sums of {size} bytes", "ms", None, 1000 * took_s, "")
    row("the longest time that holds the store's thread", "ms", None, 1000 * max(holds), "100 ms")
    follower.close()
    store.close()


def fill_year(store: Store, url: str) -> tuple[int, int]:
    """The sums of every day of a year of 20 models in 4 processes, each as full as 400 calls make it."""
    draw, book, today = random.Random(4), RollupBook(url, "x"), int(time.time()) // 86_400
    for number in range(400):
        book.add(call(draw, number, url, 1_799_971_200.0 + number))
    day = next(rollup for _, rollup in book.changed() if rollup["hour_s"] < 0)
    for back, model, owner in itertools.product(range(366), range(20), range(4)):
        whose = {"model": f"m{model}:1b", "weights_digest": f"w{model}", "hour_s": -(today - back) * 86_400}
        store.put_rollup(f"{back}|{model}|{owner}", {**day, **whose})
    return 366 * 20 * 4, len(json.dumps(day))


def test_recording_a_call(tmp_path: Path, row: Row) -> None:
    """On the caller's thread, while the follower's thread writes."""
    settings = Settings(ollama_url="http://127.0.0.1:11434")
    store = SqliteStore(tmp_path / FILE_NAME)
    follower = StoreFollower(store, settings)
    summaries = Summaries(settings.ollama_url)
    machine = Footprints(cache=None, summarise=summaries.summary)  # type: ignore[arg-type]
    recorder = MetricsRecorder(
        follower=follower,
        settings=settings,
        owner="bench",
        summaries=summaries,
        machine=machine,
        measured_at=lambda at_s: {},
    )
    draw, pause = random.Random(4), threading.Event()
    calls = iter([call(draw, number, settings.ollama_url, time.time()) for number in range(20_000)])

    def record() -> None:
        recorder.record(next(calls))

    row("recording a call, one after the other", "us", None, median_us(record, times=15_000), "20 us")
    # Caches are cold and the processor idles before each: beside it stands what a look at the clock costs then.
    idle, taken = [], []
    for _ in range(500):
        pause.wait(0.002)
        idle.append(median_us(time.time, times=1))
        pause.wait(0.002)
        taken.append(median_us(record, times=1))
    row("recording a call, 2 ms apart", "us", statistics.median(idle), statistics.median(taken), "20 us")
    follower.close()
    store.close()


def test_round_trips_and_the_cache(ollama: OllamaEmulator, tmp_path: Path, row: Row) -> None:
    """No view asks the store on its own thread; a second service finds every figure of the first in the 24 h cache."""
    pause = threading.Event()
    with running(ollama, tmp_path) as (_, service, _):
        for model in MODELS:
            service.chat("Tell me a story", model=model)
        service.parts.observer.refresh(PATIENCE_S)
    with running(ollama, tmp_path) as (client, service, counting):
        cache = service.parts.cache
        for model in MODELS:
            cache.figures(model)
        pause.wait(1.5)
        hits = sum(cache.figures(model) is not None for model in MODELS)
        row("24 h cache after a restart, hits", "%", None, 100 * hits / len(MODELS), "100 %")
        asked, trips = polled(client, counting, seconds=10.0)
        own = sum(count for (thread, _), count in trips.items() if thread != "elixi-models-store")
        reads = sum(count for (_, verb), count in trips.items() if verb == "rollups")
        row("round trips on the threads of views, per request", "", None, own / asked, "0")
        row(f"round trips of the follower, per request of {asked}", "", None, sum(trips.values()) / asked, "")
        row("round trips of the follower, per second", "", None, sum(trips.values()) / 10, "")
        row("histories answered from memory", "%", None, 100 * (1 - 4 * reads / asked), "")
        before = counting.trips.copy()
        for _ in range(20):
            service.chat("Tell me a story", model=MODELS[0])
        pause.wait(1.0)
        writes = [
            made for (_, verb), made in (counting.trips - before).items() if verb in ("add_measurements", "put_rollup")
        ]
        row("round trips for writing, per chat", "", None, sum(writes) / 20, "")


def polled(client: FlaskClient, counting: CountingStore, *, seconds: float) -> tuple[int, Counter[tuple[str, str]]]:
    """How many requests were made in that time, a quarter of them for a history, and the round trips meanwhile."""
    before, until, asked = counting.trips.copy(), time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        for path in ("model-status", "available-models", "usage-history", f"model-history?model_name={MODELS[0]}"):
            client.get(f"/ai/{path}")
            asked += 1
    return asked, counting.trips - before
