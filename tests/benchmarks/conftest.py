"""Time that passes when told to, replies to order, and a server that a runner can ask."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from elixi_models.benchmarks.runner import Findings, Runner
from elixi_models.benchmarks.suites import Item, Plan, make_plan
from elixi_models.records import Failure, Measurement, ReplyEvent
from elixi_models.upstream.gateway import OllamaGateway

URL = "http://127.0.0.1:11434"


class Watch:
    """Monotonic time that passes only when told to."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


def reply(**changes: Any) -> Measurement:
    """A benchmark's reply of 64 tokens at 40 tokens/s, changed by what is given."""
    given = {
        "id": "0",
        "created_at_s": 0.0,
        "ollama_url": URL,
        "model": "a:1b",
        "source": "benchmark",
        "outcome": "ok",
        "duration_s": 2.0,
        "ttft_s": 0.4,
        "load_s": 0.0,
        "prompt_tokens": 160,
        "prompt_s": 0.4,
        "tokens": 64,
        "eval_s": 63 / 40,
        "done_reason": "length",
    }
    return Measurement(**{**given, **changes})


class Asked:
    """Answers each request with the next of `replies`, then with ordinary ones; every request takes two seconds."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.replies: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, float]] = []
        self.before: Callable[[], None] = lambda: None

    def __call__(self, item: Item, nonce: str, timeout_s: float) -> tuple[str | None, Measurement, Failure | None]:
        self.before()
        self.requests.append((item.id, nonce, timeout_s))
        changes = self.replies.pop(0) if self.replies else {}
        self.watch.at += min(changes.pop("takes_s", 2.0), timeout_s)
        code, answer = changes.pop("code", None), changes.pop("answer", "An answer.")
        given = {"tokens": item.max_tokens, "eval_s": (item.max_tokens - 1) / 40, **changes}
        measurement = reply(**given)
        failed = measurement.outcome != "ok"
        return answer, measurement, Failure(code or measurement.outcome.upper(), "words", 0.0) if failed else None

    @property
    def ids(self) -> list[str]:
        return [item_id for item_id, _, _ in self.requests]


class Room:
    """Whether somebody chats: `busy_looks` looks find somebody, each 0.2 s apart."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.busy_looks = 0

    def wait_idle(self, timeout_s: float) -> bool:
        if self.busy_looks > 0:
            self.busy_looks -= 1
            self.watch.at += timeout_s
            return False
        return True


def speed_plan(suite: str = "quick", **wishes: Any) -> Plan:
    """A suite without its questions, to look at its order and its time."""
    plan = make_plan(suite, **wishes)
    return replace(plan, items=tuple(item for item in plan.items if item.kind != "quality"))


class Bench:
    """A runner over the doubles above."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.ask = Asked(self.watch)
        self.room = Room(self.watch)
        self.stopped = False
        self.notes: list[tuple[int, float | None, int]] = []

    def run(self, plan: Plan | None = None) -> Findings:
        numbers = itertools.count(1)
        return Runner(
            plan or speed_plan(),
            self.ask,
            nonce=lambda: f"nonce {next(numbers)}",
            monotonic=self.watch,
            wait_idle=self.room.wait_idle,
            stopped=lambda: self.stopped,
            noted=lambda found: self.notes.append((found.done_items, found.remaining_s, len(found.samples))),
            load_timeout_s=360.0,
        ).run()


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def timeless_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads and whole requests take a real server some time: here none, so that reports can be compared by the byte."""
    generate = OllamaGateway.generate

    def timeless(*wishes: Any, **more: Any) -> Iterator[ReplyEvent]:
        for event in generate(*wishes, **more):
            yield replace(event, load_s=event.load_s and 0.0, total_s=None)

    monkeypatch.setattr(OllamaGateway, "generate", timeless)
