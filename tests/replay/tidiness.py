"""Benchmarks of a whole service over an emulated server: when they end, and what they leave loaded.

The times are real ones of the machine at hand; what is loaded before and after is the same on every machine.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from elixi_models.benchmarks.runner import Runner
from elixi_models.benchmarks.suites import Item, make_plan
from elixi_models.names import ModelName
from elixi_models.records import Failure, Measurement
from elixi_models.service import ModelService
from elixi_models.settings import Settings
from elixi_models.signals import benchmark_finished
from elixi_models.testing import EmulatedModel, OllamaEmulator
from elixi_models.upstream.cancellation import Cancellation

from . import Figure
from .deadlines import TOKEN_S

WAIT_S, LOOK_S, DEADLINE_S = 20.0, 0.01, 0.5
FAST, SLOW, OTHER, GENERATE = "fast:1b", "slow:1b", "other:1b", "/api/generate"
MODELS = tuple(
    EmulatedModel(name, answers="so " * 300, decode_tokens_per_s=rate, prefill_tokens_per_s=1e6)
    for name, rate in ((FAST, 1e5), (SLOW, 40.0), (OTHER, 1e5))
)
SITUATIONS = ("an answer comes", "the server hangs", "a person chats")
ENDS = {"ok": FAST, "cancelled": SLOW, "broken": SLOW}


@dataclass
class Stage:
    """A service over a server that holds one model at a time."""

    ollama: OllamaEmulator
    service: ModelService
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def asked(self) -> int:
        """How many prompts the server was sent."""
        return sum(path == GENERATE and bool(body.get("prompt")) for _, path, body in self.ollama.requests)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so."""
        pause, over = threading.Event(), time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > over:
                raise TimeoutError("it did not come about")
            pause.wait(LOOK_S)

    def start(self, model: str) -> None:
        """Begin a quick benchmark, and wait until its first request is on its way or it waits for its turn."""
        self.ended.clear()
        asked, chatting = self.asked, self.service.parts.chat.active_chats
        self.service.benchmark(ModelName.parse(model))
        self.until(lambda: self.asked > asked or chatting)

    def cancel_s(self) -> float:
        """Call the benchmark off, and say how long it takes until that is seen."""
        began = time.monotonic()
        self.service.cancel_benchmark()
        self.until(lambda: self.service.benchmark_status().state == "cancelled")
        lasted = time.monotonic() - began
        self.until(self.ended.is_set)
        return lasted

    def load(self, models: frozenset[str]) -> None:
        """Have exactly these models loaded."""
        for name in self.ollama.loaded:
            self.service.parts.gateway.unload(name)
        for name in models:
            self.service.parts.gateway.load(name)
        self.until(lambda: set(self.ollama.loaded) == models)


@contextmanager
def staged() -> Iterator[Stage]:
    """A fresh server and a fresh service."""
    with (
        tempfile.TemporaryDirectory() as folder,
        OllamaEmulator(models=MODELS, load_seconds=0.02, max_loaded=1) as ollama,
    ):
        service = ModelService(Settings.load({}, ollama_url=ollama.url, data_dir=folder))
        stage = Stage(ollama, service)

        def note(sender: object, job: object) -> None:
            stage.ended.set()

        service.start()
        service.parts.observer.refresh(WAIT_S)
        try:
            with benchmark_finished.connected_to(note, sender=service):
                yield stage
        finally:
            ollama.recover()
            service.close()


def call_off_s(stage: Stage, situation: str) -> float:
    """How long it takes until a benchmark in this situation is seen to be cancelled."""
    person = Cancellation()
    chat = threading.Thread(
        target=stage.service.parts.chat.ask, args=(SLOW, "Hi"), kwargs={"timeout_s": WAIT_S, "cancellation": person}
    )
    if situation == "a person chats":
        chat.start()
        stage.until(lambda: stage.ollama.answering)
    elif situation == "the server hangs":
        stage.ollama.hang(GENERATE)
    stage.start(SLOW)
    if situation == "an answer comes":
        stage.until(lambda: stage.ollama.answering)
    lasted = stage.cancel_s()
    person.cancel()
    stage.ollama.recover()
    if chat.ident is not None:
        chat.join(WAIT_S)
    return lasted


def overrun_s(stage: Stage, hangs: bool) -> float:
    """How long after its deadline a benchmark ends when the server says nothing, or still speaks."""
    plan, chat = replace(make_plan("quick"), deadline_s=DEADLINE_S), stage.service.parts.chat

    def ask(item: Item, nonce: str, timeout_s: float) -> tuple[str | None, Measurement, Failure | None]:
        options = {"num_predict": item.max_tokens}
        return chat.ask(SLOW, item.prompt, context=nonce, timeout_s=timeout_s, options=options, source="benchmark")

    runner = Runner(
        plan,
        ask,
        nonce=lambda: "nonce",
        monotonic=time.monotonic,
        wait_idle=chat.wait_idle,
        stopped=lambda: False,
        noted=lambda findings: None,
        load_timeout_s=WAIT_S,
    )
    if hangs:
        stage.ollama.hang(GENERATE)
    began = time.monotonic()
    runner.run()
    stage.ollama.recover()
    return time.monotonic() - began - DEADLINE_S


def left(stage: Stage, before: frozenset[str], end: str) -> tuple[int, int]:
    """How many models are loaded after a benchmark that were not before, and how many the other way round."""
    stage.load(before)
    stage.start(ENDS[end])
    if end == "cancelled":
        stage.until(lambda: stage.ollama.answering)
        stage.cancel_s()
    elif end == "broken":
        stage.until(lambda: stage.ollama.answering)
        stage.ollama.fail_next(GENERATE, times=2)
    stage.until(stage.ended.is_set)
    after = frozenset(stage.ollama.loaded)
    return len(after - before), len(before - after)


def figures() -> Iterator[Figure]:
    """The time until a benchmark is off and by how much it overruns; then what was loaded before and after."""
    source = "emulated server"
    with staged() as stage:
        for situation in SITUATIONS:
            name = f"called off while {situation}, s"
            lasted = call_off_s(stage, situation)
            yield Figure(3, name, lasted, 0.5, at_most=1, sample=1, source=source, steady=False)
        late = [overrun_s(stage, hangs) for hangs in (False, True)]
        name = "real time beyond a deadline, a slow and a hanging server, most, s"
        yield Figure(3, name, max(late), 0.05, at_most=TOKEN_S, sample=len(late), source=source, steady=False)
        cases = [(frozenset(before), end) for end in ENDS for before in ((), (OTHER,), (ENDS[end],))]
        found = [left(stage, *case) for case in cases]
    what = f"{source}; benchmarks that were {', '.join(ENDS)}"
    more, fewer = (sum(counts) for counts in zip(*found, strict=True))
    yield Figure(3, "models left loaded that were not before", more, 0, at_most=0, sample=len(found), source=what)
    yield Figure(3, "models gone that were loaded before", fewer, 0, at_most=0, sample=len(found), source=what)
