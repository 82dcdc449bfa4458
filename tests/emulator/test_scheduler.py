"""Loading, keeping and letting go of models."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from elixi_models.emulator.clock import FOREVER_NS, SECOND, Clock
from elixi_models.emulator.installed import Disk, Installed
from elixi_models.emulator.models import EmulatedModel
from elixi_models.emulator.names import Name
from elixi_models.emulator.scheduler import Aborted, Busy, Runner, Scheduler, Wanted
from elixi_models.emulator.scripted import Ask, EngineFailed, Piece
from elixi_models.emulator.versions import VERSIONS

from .playing import until
from .servers import Task

NEVER = threading.Event()


class Engine:
    """Counts, and loads when told to."""

    pid = None

    def __init__(self, log: list[str], name: str, hold: threading.Event | None, fails: bool) -> None:
        self.log, self.name, self.hold, self.fails = log, name, hold, fails

    def load(self, *, context_length: int, abort: threading.Event) -> None:
        """Wait for the word."""
        self.log.append(f"load {self.name} {context_length}")
        if self.fails:
            raise EngineFailed("no")
        while self.hold and not self.hold.wait(0.005) and not abort.is_set():
            pass

    def unload(self) -> None:
        """Say so."""
        self.log.append(f"unload {self.name}")

    def generate(self, ask: Ask, *, abort: threading.Event) -> Iterator[Piece]:
        """Not used."""
        raise AssertionError

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Not used."""
        raise AssertionError


class Bench:
    """A scheduler, models and a clock that stands still."""

    def __init__(self, version: str = "0.33.0", **settings: Any) -> None:
        self.now = 1_000 * SECOND
        self.clock = Clock(lambda: self.now)
        self.log: list[str] = []
        self.disk = Disk(self.clock.now_ns)
        self.scheduler = Scheduler(VERSIONS[version], self.clock, **settings)

    def entry(self, name: str, weights: str = "") -> Installed:
        """An installed model; `weights` begins its digest."""
        found = self.disk.find(Name.parse(name))
        facts = EmulatedModel(name, weights_digest=(weights or name[0]) * 64)
        return found or self.disk.install(Name.parse(name), facts)

    def wanted(self, name: str, *, context: int = 4096, hold: threading.Event | None = None, **how: Any) -> Wanted:
        """A request for a model."""
        weights, fails = how.pop("weights", ""), how.pop("fails", False)
        return Wanted(self.entry(name, weights), lambda: Engine(self.log, name, hold, fails), context, **how)

    def lease(
        self, name: str, *, abort: threading.Event = NEVER, **how: Any
    ) -> contextlib.AbstractContextManager[Runner]:
        """Hold a model."""
        return self.scheduler.lease(self.wanted(name, **how), abort)

    def use(self, name: str, **how: Any) -> None:
        """Use a model for a moment."""
        with self.lease(name, **how):
            pass

    @property
    def loaded(self) -> list[str]:
        """What is loaded."""
        return [runner.entry.name.shown for runner in self.scheduler.loaded()]

    @property
    def seconds_left(self) -> list[float]:
        """How long each may still idle."""
        return [(self.scheduler.expiry_ns(runner) - self.now) / SECOND for runner in self.scheduler.loaded()]


@pytest.fixture
def bench() -> Bench:
    """A bench of the newest version."""
    return Bench()


def test_a_loaded_model_is_not_loaded_again(bench: Bench) -> None:
    """Two uses, one load."""
    bench.use("a")
    bench.use("a")

    assert bench.log == ["load a 4096"]


def test_another_context_loads_it_again(bench: Bench) -> None:
    """The old one goes first."""
    bench.use("a")
    bench.use("a", context=1024)

    assert bench.log == ["load a 4096", "unload a", "load a 1024"]


def test_another_runner_option_loads_it_again(bench: Bench) -> None:
    """Such as the number of threads."""
    bench.use("a")
    bench.use("a", runner_options=(("num_thread", 2),))

    assert bench.log == ["load a 4096", "unload a", "load a 4096"]


def test_loads_come_one_after_another(bench: Bench) -> None:
    """In the order in which they were asked for."""
    hold = threading.Event()
    first = Task(bench.use, "a", hold=hold)
    until(lambda: bench.scheduler.waiting() == ["a:latest"])
    second = Task(bench.use, "b")
    until(lambda: bench.scheduler.waiting() == ["a:latest", "b:latest"])
    before = list(bench.log)
    hold.set()
    first.result()
    second.result()

    assert before == ["load a 4096"]
    assert bench.log == ["load a 4096", "load b 4096"]


def test_a_loaded_model_is_used_while_another_loads(bench: Bench) -> None:
    """It does not queue."""
    bench.use("a")
    hold = threading.Event()
    loading = Task(bench.use, "b", hold=hold)
    until(lambda: bench.scheduler.waiting() == ["b:latest"])
    bench.use("a")
    hold.set()
    loading.result()

    assert bench.log == ["load a 4096", "load b 4096"]


def test_all_who_wait_for_a_load_share_it(bench: Bench) -> None:
    """Eight requests, one runner."""
    hold = threading.Event()
    asked = [Task(bench.use, "a", hold=hold) for _ in range(8)]
    until(lambda: len(bench.scheduler.waiting()) == 8)
    hold.set()
    for one in asked:
        one.result()

    assert bench.log == ["load a 4096"]


def test_the_first_to_leave_ends_the_load_for_all(bench: Bench) -> None:
    """The server starts it again for the next in the queue."""
    leaving, hold = threading.Event(), threading.Event()
    first = Task(bench.use, "a", hold=hold, abort=leaving)
    until(lambda: bench.scheduler.waiting() == ["a:latest"])
    second = Task(bench.use, "a")
    until(lambda: len(bench.scheduler.waiting()) == 2)
    leaving.set()

    assert isinstance(first.exception(), Aborted)
    assert second.result() is None
    assert bench.log == ["load a 4096", "unload a", "load a 4096"]


def test_who_leaves_the_queue_loads_nothing(bench: Bench) -> None:
    """Only the other load happens."""
    leaving, hold = threading.Event(), threading.Event()
    first = Task(bench.use, "a", hold=hold)
    until(lambda: bench.scheduler.waiting() == ["a:latest"])
    second = Task(bench.use, "b", abort=leaving)
    until(lambda: len(bench.scheduler.waiting()) == 2)
    leaving.set()
    left = second.exception()
    hold.set()
    first.result()

    assert isinstance(left, Aborted)
    assert bench.log == ["load a 4096"]


def test_a_full_queue_refuses() -> None:
    """One is served, so many may wait."""
    bench, hold = Bench(max_queue=1), threading.Event()
    waiting = [Task(bench.use, name, hold=hold) for name in ("a", "b")]
    until(lambda: len(bench.scheduler.waiting()) == 2)
    with pytest.raises(Busy):
        bench.use("c")
    hold.set()
    for one in waiting:
        one.result()

    assert sorted(bench.loaded) == ["a:latest", "b:latest"]


def test_a_failed_load_leaves_the_queue_free(bench: Bench) -> None:
    """The failure is told, and the next load goes on."""
    with pytest.raises(EngineFailed):
        bench.use("a", fails=True)
    bench.use("b")

    assert bench.loaded == ["b:latest"]


def test_an_idle_model_goes_after_its_keep_alive(bench: Bench) -> None:
    """Not a second before."""
    bench.use("a", keep_alive_s=60)
    bench.clock.advance(59)
    before = bench.loaded
    bench.clock.advance(1)

    assert (before, bench.loaded) == (["a:latest"], [])


def test_the_keep_alive_begins_anew_with_each_use(bench: Bench) -> None:
    """And is that of the last request that had one."""
    bench.use("a", keep_alive_s=60)
    bench.now += 30 * SECOND
    bench.use("a")

    assert bench.seconds_left == [60.0]


def test_the_keep_alive_is_lost_when_it_is_loaded_again(bench: Bench) -> None:
    """Then the server's own holds."""
    bench.use("a", keep_alive_s=60)
    bench.use("a", context=1024)

    assert bench.seconds_left == [300.0]


def test_for_ever_is_three_hundred_years(bench: Bench) -> None:
    """As many nanoseconds as Go can count."""
    bench.use("a", keep_alive_s=-1)
    bench.clock.advance(1e9)

    assert bench.loaded == ["a:latest"]
    assert bench.seconds_left == [FOREVER_NS / SECOND]


def test_no_keep_alive_is_gone_after_use(bench: Bench) -> None:
    """It is there while it is used."""
    with bench.lease("a", keep_alive_s=0):
        during = bench.loaded

    assert (during, bench.loaded) == (["a:latest"], [])


def test_a_model_in_use_does_not_go(bench: Bench) -> None:
    """However late it is; what is told is a moment past."""
    bench.use("a", keep_alive_s=60)
    with bench.lease("a"):
        bench.now += 100 * SECOND
        during = (bench.loaded, bench.seconds_left)

    assert during == (["a:latest"], [-40.0])


def test_a_model_in_its_first_use_tells_its_whole_keep_alive(bench: Bench) -> None:
    """Nothing has begun to run yet."""
    with bench.lease("a", keep_alive_s=60):
        assert bench.seconds_left == [60.0]


def test_idle_models_go_by_themselves(bench: Bench) -> None:
    """Nobody needs to look."""
    bench.scheduler.start()
    bench.use("a", keep_alive_s=60)
    bench.use("b", keep_alive_s=-1)
    bench.clock.advance(60)
    bench.scheduler.wake()
    until(lambda: "unload a" in bench.log)
    bench.scheduler.stop()

    assert bench.log == ["load a 4096", "load b 4096", "unload a", "unload b"]


@pytest.mark.parametrize(("version", "gone"), [("0.33.0", "a"), ("0.24.0", "a"), ("0.9.6", "b")])
def test_who_goes_among_equals(version: str, gone: str) -> None:
    """New servers take the first file, for old ones it is chance: here always the middle one."""
    bench = Bench(version, max_loaded=3)
    for name in ("c", "a", "b", "d"):
        bench.use(name)

    assert bench.log[-2:] == [f"unload {gone}", "load d 4096"]


def test_the_shortest_keep_alive_goes_first(bench: Bench) -> None:
    """For ever goes last, but it goes."""
    bench.scheduler.max_loaded = 2
    bench.use("a", keep_alive_s=-1)
    bench.use("b", keep_alive_s=600)
    bench.use("c", keep_alive_s=-1)
    bench.use("d", keep_alive_s=-1)

    assert [line for line in bench.log if line.startswith("unload")] == ["unload b", "unload a"]


def test_an_idle_model_goes_before_a_busy_one(bench: Bench) -> None:
    """Whatever their keep-alive."""
    bench.scheduler.max_loaded = 2
    bench.use("b", keep_alive_s=-1)
    with bench.lease("a", keep_alive_s=1):
        bench.use("c")

    assert [line for line in bench.log if line.startswith("unload")] == ["unload b"]


def test_a_load_waits_for_a_busy_model(bench: Bench) -> None:
    """It is never broken off."""
    bench.scheduler.max_loaded = 1
    with bench.lease("a"):
        loading = Task(bench.use, "b")
        until(lambda: bench.scheduler.waiting() == ["b:latest"])
        during = list(bench.log)
    loading.result()

    assert during == ["load a 4096"]
    assert bench.log == ["load a 4096", "unload a", "load b 4096"]


def test_a_context_too_large_clears_the_old_server() -> None:
    """It counts the memory before it cuts the context."""
    bench = Bench("0.9.6")
    bench.use("a")
    bench.use("b")
    bench.use("c", needs_all_memory=True)

    assert bench.loaded == ["c:latest"]


@pytest.mark.parametrize(
    ("version", "named"), [("0.33.0", "base:latest"), ("0.24.0", "base:latest"), ("0.9.6", "alias:latest")]
)
def test_two_names_of_the_same_weights_share_a_runner(version: str, named: str) -> None:
    """New servers name the first, old ones the last that was used."""
    bench = Bench(version)
    bench.use("base", weights="f")
    bench.use("alias", weights="f")

    assert (bench.log, bench.loaded) == (["load base 4096"], [named])


def test_unloading_waits_for_who_uses_it(bench: Bench) -> None:
    """There is no force."""
    with bench.lease("a"):
        bench.scheduler.unload("a" * 64)
        during = bench.loaded

    assert (during, bench.loaded) == (["a:latest"], [])


def test_unloading_what_is_not_loaded_does_nothing(bench: Bench) -> None:
    """It is no error either."""
    bench.scheduler.unload("a" * 64)

    assert bench.log == []


def test_what_was_told_to_go_is_not_used_again() -> None:
    """On an old server it is still listed for a moment, but the next request loads it anew."""
    bench = Bench("0.9.6")
    bench.use("a")
    bench.scheduler.unload("a" * 64)
    listed = bench.loaded
    bench.use("a")

    assert listed == ["a:latest"]
    assert bench.log == ["load a 4096", "unload a", "load a 4096"]


def test_an_old_server_lists_for_a_moment_what_was_told_to_go() -> None:
    """Then it is gone by itself."""
    bench = Bench("0.9.6")
    bench.scheduler.start()
    bench.use("a")
    bench.scheduler.unload("a" * 64)
    until(lambda: bench.log == ["load a 4096", "unload a"])
    bench.scheduler.stop()

    assert bench.loaded == []


def test_a_dead_runner_is_listed_until_it_is_asked_for(bench: Bench) -> None:
    """Then it is loaded again."""
    with bench.lease("a") as runner:
        runner.dead = True
    listed = bench.loaded
    bench.use("a")

    assert listed == ["a:latest"]
    assert bench.log == ["load a 4096", "unload a", "load a 4096"]


def test_a_runner_answers_one_at_a_time(bench: Bench) -> None:
    """The next waits its turn, or leaves."""
    leaving = threading.Event()

    def answer() -> None:
        with bench.lease("a") as again, bench.scheduler.turn(again, leaving):
            raise AssertionError

    with bench.lease("a") as runner, bench.scheduler.turn(runner, NEVER):
        waiting = Task(answer)
        until(lambda: runner.users == 2)
        leaving.set()

        assert isinstance(waiting.exception(), Aborted)


def test_stopping_ends_all_waiting(bench: Bench) -> None:
    """And lets every model go."""
    bench.scheduler.start()
    bench.scheduler.max_loaded = 1
    with bench.lease("a"):
        loading = Task(bench.use, "b")
        until(lambda: bench.scheduler.waiting() == ["b:latest"])
        bench.scheduler.stop()
        left = loading.exception()

    assert isinstance(left, Aborted)
    assert bench.log == ["load a 4096", "unload a"]
