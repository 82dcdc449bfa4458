"""A million stored measurements: what status, history and recording cost, and how often the store is asked."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from elixi_models import ElixiModels, ModelService
from elixi_models.metrics.archive import HistoryArchive
from elixi_models.metrics.footprints import Footprints
from elixi_models.metrics.history import span_of
from elixi_models.metrics.recorder import MetricsRecorder
from elixi_models.metrics.rollups import RollupBook
from elixi_models.metrics.summaries import Summaries
from elixi_models.records import Measurement
from elixi_models.settings import Settings
from elixi_models.store.documents import record_document
from elixi_models.store.following import StoreFollower
from elixi_models.store.sqlite import FILE_NAME, SqliteStore
from elixi_models.testing import OllamaEmulator

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

MILLION = 1_000_000
DAYS = 30
MODELS = [f"llama3.2:{size}b" for size in (1, 3)]
PATIENCE_S = 60.0
Report = Callable[..., None]


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
            changed = book.changed()
            connection.executemany(
                "INSERT OR REPLACE INTO rollups VALUES (?, ?, ?, ?)",
                [(rollup_id, url, rollup["hour_s"], json.dumps(rollup)) for rollup_id, rollup in changed],
            )
            for rollup_id, _ in changed:
                book.written(rollup_id)
    connection.close()
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
    """Median µs of the views; a history once from memory and once read anew from the store each time."""
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


def test_views_with_a_million_measurements(ollama: OllamaEmulator, folders: dict[str, Path], report: Report) -> None:
    """Status and the history of 24 hours stay within twice what they cost with an empty store.

    Where a history is read anew, every two seconds at most, there are 25 points to make instead of none. That cost
    follows the number of buckets, not of measurements: beside it stands a store of ten thousand.
    """
    found = {}
    for name, folder in folders.items():
        with running(ollama, folder) as (client, service, _):
            found[name] = costs(client, service)
    empty, small, full = found["empty"], found["small"], found["full"]
    for view in ("model-status", "model-history"):
        report(f"{view}: {full[view]:.0f} µs, empty store {empty[view]:.0f} µs", full[view] / empty[view], "x", 2.0)
    report("model-history read anew, ten thousand measurements", small["read anew"] / 1000, "ms")
    report("model-history read anew, a million", full["read anew"] / 1000, "ms", 50.0)


def test_a_start_over_a_million_measurements(folders: dict[str, Path], ollama: OllamaEmulator, report: Report) -> None:
    """What the follower's thread reads at the start: the newest 10,000 calls of 24 hours, and the totals."""
    store = SqliteStore(folders["full"] / FILE_NAME)
    summaries = Summaries(ollama.url)
    began = time.perf_counter()
    summaries.load(store)
    report("first load", time.perf_counter() - began, "s", 2.0)
    report("a look for what others added", median_us(lambda: summaries.load(store), times=50) / 1000, "ms", 20.0)
    store.close()


def test_a_year_of_days_of_many_processes(tmp_path: Path, report: Report) -> None:
    """The worst that can be asked: 366 days, 10 models, 4 processes a day; on the follower's thread."""
    settings = Settings(ollama_url="http://127.0.0.1:11434")
    url, draw = settings.ollama_url, random.Random(4)
    path = tmp_path / FILE_NAME
    store = SqliteStore(path)
    store.ping()
    book = RollupBook(url, "x")
    for number in range(400):
        book.add(call(draw, number, url, 1_799_971_200.0 + number % 1_000))
    day = next(rollup for _, rollup in book.changed() if rollup["hour_s"] < 0)
    now_s = time.time()
    rows = [
        (
            f"{back}|{model}|{owner}",
            url,
            hour_s := -(int(now_s) // 86_400 - back) * 86_400,
            json.dumps({**day, "hour_s": hour_s, "model": f"m{model}:1b", "weights_digest": f"w{model}"}),
        )
        for back in range(366)
        for model in range(10)
        for owner in range(4)
    ]
    connection = sqlite3.connect(path)
    with connection:
        connection.executemany("INSERT INTO rollups VALUES (?, ?, ?, ?)", rows)
    connection.close()
    archive = HistoryArchive(follower=StoreFollower(store, settings), settings=settings)
    span = span_of("m1:1b", "w1", from_s=0.0, to_s=None, bucket="day", now_s=now_s)
    began = time.perf_counter()
    history = archive._read(store, span)
    took_s = time.perf_counter() - began
    assert len(history.points) == 366
    report(f"{len(rows)} sums of a day, {len(rows[0][3])} bytes each", took_s, "s", 3.0)
    store.close()


def test_recording_a_call(tmp_path: Path, report: Report) -> None:
    """On the caller's thread, while the follower's thread writes: at most 20 µs."""
    settings = Settings(ollama_url="http://127.0.0.1:11434")
    store = SqliteStore(tmp_path / FILE_NAME)
    follower = StoreFollower(store, settings)
    summaries = Summaries(settings.ollama_url)
    machine = Footprints(cache=None, summarise=summaries.summary)  # type: ignore[arg-type]
    recorder = MetricsRecorder(
        follower=follower, settings=settings, owner="bench", summaries=summaries, machine=machine
    )
    draw = random.Random(4)
    calls = iter([call(draw, number, settings.ollama_url, time.time()) for number in range(20_000)])
    pace = threading.Event()

    def record() -> None:
        recorder.record(next(calls))

    report("recording, one after the other", median_us(record, times=15_000), "µs", 20.0)
    taken = []
    for _ in range(500):
        pace.wait(0.002)
        taken.append(median_us(record, times=1))
    # Cold caches and a clock that idles: told, not judged.
    report("recording, after a pause of 2 ms each", sorted(taken)[250], "µs")
    follower.close()
    store.close()


def test_round_trips_and_the_cache(ollama: OllamaEmulator, tmp_path: Path, report: Report) -> None:
    """No view asks the store on its own thread; a second service finds every figure of the first in the 24 h cache."""
    with running(ollama, tmp_path) as (client, service, _):
        for model in MODELS:
            service.chat("Tell me a story", model=model)
        service.parts.observer.refresh(PATIENCE_S)
    with running(ollama, tmp_path) as (client, service, counting):
        for model in MODELS:
            service.parts.cache.figures(model)
        threading.Event().wait(1.5)
        hits = sum(service.parts.cache.figures(model) is not None for model in MODELS)
        report("24 h cache, misses after a restart", 100 * (1 - hits / len(MODELS)), "%", 0.0)
        before, began = counting.trips.copy(), time.perf_counter()
        asked, reads = 0, 0
        while time.perf_counter() - began < 10:
            for path in ("model-status", "available-models", "usage-history", f"model-history?model_name={MODELS[0]}"):
                client.get(f"/ai/{path}")
                asked += 1
        trips = counting.trips - before
        reads = sum(count for (_, verb), count in trips.items() if verb == "rollups")
        own = sum(count for (thread, _), count in trips.items() if thread != "elixi-models-store")
        report("round trips on the threads of views, per request", own / asked, "", 0.0)
        report(f"round trips of the follower, per request of {asked}", sum(trips.values()) / asked, "", None)
        report("round trips of the follower, per second", sum(trips.values()) / 10, "/s", 10.0)
        report("history, answered without the store", 100 * (1 - reads / (asked / 4)), "%", None)
        trips_before = counting.trips.copy()
        for _ in range(20):
            service.chat("Tell me a story", model=MODELS[0])
        threading.Event().wait(1.0)
        writes = counting.trips - trips_before
        count = sum(made for (_, verb), made in writes.items() if verb in ("add_measurements", "put_rollup"))
        report("round trips for writing, per chat", count / 20, "", 4.0)
