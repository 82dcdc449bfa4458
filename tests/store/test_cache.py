"""The 24-hour cache of performance figures: memory in front, the host's collection behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from elixi_models.settings import Settings
from elixi_models.store.base import Store
from elixi_models.store.cache import PerformanceCache

from .doubles import FakeTime, FragileStore
from .test_following import Idle

DAY_S = 86_400.0


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FragileStore]:
    store = FragileStore(tmp_path / "data.sqlite3")
    yield store
    store.close()


class Setup:
    """A cache and the follower that does its work."""

    def __init__(self, store: Store, time: FakeTime, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self.follower = Idle(store, settings, clock=time.clock, monotonic=time.monotonic)
        self.cache = PerformanceCache(follower=self.follower, settings=settings, clock=time.clock)


def test_what_was_noted_is_known_at_once(store: FragileStore, time: FakeTime) -> None:
    """From memory, with the time it was noted at."""
    cache = Setup(store, time).cache
    cache.note("mistral:latest", {"tokens_per_second": 31.5})
    assert cache.figures("mistral:latest") == {"tokens_per_second": 31.5, "as_of_s": time.now_s}
    assert cache.figures("phi:latest") is None


def test_figures_count_for_a_day(store: FragileStore, time: FakeTime) -> None:
    """`cache_hours` long, not a second more."""
    cache = Setup(store, time).cache
    cache.note("m", {"a": 1})
    time.advance(DAY_S - 1)
    assert cache.figures("m") is not None
    time.advance(1)
    assert cache.figures("m") is None


def test_the_next_process_finds_them(store: FragileStore, time: FakeTime) -> None:
    """A model that is asked for is read from the store in the background, with its age kept."""
    first = Setup(store, time)
    first.cache.note("m", {"a": 1})
    first.follower.turn()
    time.advance(3600)
    second = Setup(store, time)
    assert second.cache.figures("m") is None
    second.follower.turn()
    assert second.cache.figures("m") == {"a": 1, "as_of_s": time.now_s - 3600}
    time.advance(DAY_S - 3600)
    assert second.cache.figures("m") is None


def test_they_are_written_once_a_minute(store: FragileStore, time: FakeTime) -> None:
    """However often they change; the newest is written."""
    setup = Setup(store, time)
    key = setup.cache.key("m")
    setup.follower.turn()
    for n in range(3):
        setup.cache.note("m", {"n": n})
        setup.follower.turn()
        time.advance(19)
    assert store.cache_get(key, now_s=time.now_s) is None
    time.advance(3)
    setup.follower.turn()
    assert store.cache_get(key, now_s=time.now_s) == {"n": 2, "as_of_s": time.now_s - 22}


def test_a_model_is_read_once(store: FragileStore, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model without figures is not looked up every second."""
    reads: list[str] = []
    monkeypatch.setattr(store, "cache_get", lambda key, now_s: reads.append(key))
    setup = Setup(store, time)
    for _ in range(3):
        setup.cache.figures("m")
        setup.follower.turn()
        time.advance(1)
    assert reads == ["model_perf_m"]


def test_newer_figures_are_not_overwritten_by_stored_ones(store: FragileStore, time: FakeTime) -> None:
    """Noted between the question and the look."""
    store.cache_put("model_perf_m", {"a": "old", "as_of_s": time.now_s}, now_s=time.now_s, ttl_s=DAY_S)
    setup = Setup(store, time)
    setup.cache.figures("m")
    setup.cache.note("m", {"a": "new"})
    setup.follower.turn()
    assert setup.cache.figures("m") == {"a": "new", "as_of_s": time.now_s}


@pytest.mark.parametrize("foreign", [[1], {"a": 1}, {"as_of_s": "yesterday"}])
def test_a_value_of_another_shape_is_not_ours(store: FragileStore, time: FakeTime, foreign: object) -> None:
    """The host or an older version may have put anything under the key."""
    store.cache_put("model_perf_m", foreign, now_s=time.now_s, ttl_s=DAY_S)
    setup = Setup(store, time)
    setup.cache.figures("m")
    setup.follower.turn()
    assert setup.cache.figures("m") is None


def test_keys_name_the_model_as_shown_and_a_second_server(store: FragileStore, time: FakeTime) -> None:
    """The host's own key for the default server."""
    assert Setup(store, time).cache.key("neural-chat:latest") == "model_perf_neural-chat"
    elsewhere = Settings(ollama_url="http://10.0.0.2:11434")
    assert Setup(store, time, elsewhere).cache.key("mistral:7b") == "model_perf_mistral:7b@http://10.0.0.2:11434"


def test_what_was_noted_during_a_write_is_written_next_time(
    store: FragileStore, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change in the middle is not taken for the one that was written."""
    setup = Setup(store, time)
    original = store.cache_put

    def put(key: str, value: object, *, now_s: float, ttl_s: float) -> None:
        monkeypatch.undo()
        original(key, value, now_s=now_s, ttl_s=ttl_s)
        setup.cache.note("m", {"n": 2})

    monkeypatch.setattr(store, "cache_put", put)
    setup.cache.note("m", {"n": 1})
    setup.follower.turn()
    time.advance(60)
    setup.follower.turn()
    stored = store.cache_get("model_perf_m", now_s=time.now_s)
    assert stored is not None
    assert stored["n"] == 2


def test_questions_are_bounded(store: FragileStore, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many names asked while the store is away do not fill memory."""
    monkeypatch.setattr("elixi_models.store.cache._MOST_ASKED", 1)
    setup = Setup(store, time)
    for model in ("a", "b"):
        store.cache_put(f"model_perf_{model}", {"as_of_s": time.now_s}, now_s=time.now_s, ttl_s=DAY_S)
        setup.cache.figures(model)
    setup.follower.turn()
    assert setup.cache.figures("a") is not None
    assert setup.cache.figures("b") is None


def test_a_forked_child_writes_only_its_own(store: FragileStore, time: FakeTime) -> None:
    """What the parent noted is known, and the parent's to write."""
    setup = Setup(store, time)
    setup.cache.note("m", {"a": 1})
    setup.cache.reset_after_fork()
    setup.follower.turn()
    assert setup.cache.figures("m") is not None
    assert store.cache_get("model_perf_m", now_s=time.now_s) is None
