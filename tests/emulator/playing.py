"""Every recorded case played again, in the order and from the state in which it was recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from elixi_models.testing import OllamaEmulator

from .servers import DEADLINE_S, LEAVE, Client, OnLine, Task, emulator, freshened, models, recorded

Exchange = dict[str, Any]
Played = Iterator[tuple[str, Exchange]]

FULL_SIZE = 739_313_303

BASICS = (
    "root",
    "root-head",
    "version",
    "status",
    "tags",
    "ps-empty",
    "unknown-path",
    "wrong-method",
    "delete-wrong-method",
    "recommendations",
    "v1-models",
    "forbidden-host",
    "forbidden-origin",
    "allowed-origin",
    *(
        f"show-{name}"
        for name in ("chat", "embed", "slow", "missing", "invalid", "empty", "traversal", "long", "upper")
    ),
    *(
        f"name-{task}-{name}"
        for task in ("generate", "chat", "embed")
        for name in ("none", "empty", "invalid", "missing")
    ),
    *(f"name-pull-{name}" for name in ("none", "empty", "invalid")),
    *(f"name-copy-{name}" for name in ("none", "empty", "invalid", "missing")),
    *(f"name-delete-{name}" for name in ("none", "invalid", "missing")),
    "body-missing",
    "body-broken",
    "body-cut",
    "body-wrong-type",
)
INFERENCE = (
    "load",
    "load-again",
    "load-by-chat",
    "generate-stream",
    "generate",
    "generate-cached-prompt",
    "chat-stream",
    "chat",
    "chat-tools-unsupported",
    "chat-think-unsupported",
    "generate-stop-natural",
    "generate-bad-option",
    "generate-unknown-option",
    "generate-bad-keep-alive",
    "generate-json-format",
    "keep-alive-forever",
    "reload-on-num-ctx",
    "embed",
    "embed-empty",
    "embed-by-chat-model",
    "generate-on-embedder",
    "chat-on-embedder",
    "load-second",
    "load-slow",
)
FILES = ("copy", "copy-onto-itself", "create-alias")


class Player:
    """Plays the cases of one version, under the recorded names or under fresh ones."""

    def __init__(self, number: str, *, fresh: bool = False) -> None:
        self.number = number
        self.fresh = fresh
        self.cases = recorded(number, fresh=fresh)
        self.chat, self.other, self.slow, self.embed = (model.name for model in models(number, fresh=fresh))

    def all(self) -> Played:
        """Every case, each with the exchange that came of it."""
        with emulator(self.number, fresh=self.fresh) as ollama:
            client = Client(ollama)
            yield from self.sequence(client, (*BASICS, *INFERENCE))
            yield from self._endings(client)
            yield from self.sequence(client, FILES)
            yield from self._deletions(client)
            yield from self._pulls(ollama, client)
            yield from self._broken_pulls(ollama, client)
        yield from self._queue()
        yield from self._deaths()
        yield from self._broken_files()
        yield from self._small_disk()

    def sequence(self, client: Client, cases: tuple[str, ...]) -> Played:
        """Cases that only need to come one after another."""
        for case in cases:
            yield case, self.play(client, case)

    def play(self, client: Client, case: str, **how: Any) -> Exchange:
        """Send what was sent, and then what was sent after it."""
        exchange = client.send(self.cases[case]["request"], **how)
        return {**exchange, "then": self.after(client, case)}

    def after(self, client: Client, case: str) -> list[Exchange]:
        """Send what was sent after a case."""
        return [client.send(then["request"]) for then in self.cases[case].get("then", [])]

    def _endings(self, client: Client) -> Played:
        yield "abort-generate", self.play(client, "abort-generate", lines=3)
        first = client.send(self.cases["unload"]["request"])
        early = client.send({"method": "GET", "path": "/api/ps"})
        until(lambda: self.other not in [model["name"] for model in client.ps()])
        yield "unload", {**first, "then": [early, client.send({"method": "GET", "path": "/api/ps"})]}
        yield from self.sequence(client, ("unload-not-loaded", "unload-missing", "huge-context"))

    def _deletions(self, client: Client) -> Played:
        client.post("/api/generate", {"model": freshened("copied") if self.fresh else "copied", "stream": False})
        yield from self.sequence(client, ("delete-while-loaded", "delete", "delete-again"))

    def _pulls(self, ollama: OllamaEmulator, client: Client) -> Played:
        delete(client, self.slow)
        ollama.set_pull_rate(FULL_SIZE / 0.1)
        yield "pull-fresh", self.play(client, "pull-fresh")
        ollama.set_pull_rate(None)
        yield "pull-up-to-date", self.play(client, "pull-up-to-date")
        for case in ("pull-small-unlimited", "pull-no-stream"):
            delete(client, self.embed)
            yield case, self.play(client, case)
        yield from self.sequence(client, ("pull-unknown-model", "pull-unknown-tag", "pull-unknown-no-stream"))
        delete(client, self.slow)
        ollama.set_pull_rate(FULL_SIZE / 60)
        yield "pull-cancel-resume", self.play(client, "pull-cancel-resume", on_line=leaving(ollama, after=10))
        yield "pull-twice-at-once", self._twice()

    def _twice(self) -> Exchange:
        request = self.cases["pull-twice-at-once"]["request"]
        with emulator(self.number, fresh=self.fresh, time_scale=0.1) as ollama:
            ollama.set_pull_rate(FULL_SIZE / 60)
            client, both = Client(ollama), threading.Barrier(2, lambda: ollama.set_pull_rate(FULL_SIZE / 0.1))
            delete(client, self.slow)

            def pull(_: int) -> Exchange:
                return client.send(request, on_line=lambda number: both.wait() if number == 3 else None)

            first, second = (task.result() for task in [Task(pull, number) for number in range(2)])
        return {**first, "then": [second]}

    def _broken_pulls(self, ollama: OllamaEmulator, client: Client) -> Played:
        ollama.set_pull_rate(None)
        for status in (401, 403, 412, 429, 500, 503):
            ollama.break_pull(f"manifest-{status}", text="local fault")
            yield f"pull-manifest-{status}", self.play(client, f"pull-manifest-{status}")
        delete(client, self.embed)
        ollama.break_pull("corrupt")
        yield "pull-corrupt", self.play(client, "pull-corrupt")
        delete(client, self.other)
        ollama.break_pull("stall")
        yield "pull-stall", self.play(client, "pull-stall", lines=20)
        until(lambda: not ollama.pulling)
        ollama.break_pull("registry-down")
        yield "pull-registry-down", self.play(client, "pull-registry-down")
        yield "pull-cut", self._cut()

    def _cut(self) -> Exchange:
        with emulator(self.number, fresh=self.fresh, time_scale=0.002) as ollama:
            client = Client(ollama)
            delete(client, self.other)
            ollama.break_pull("cut")
            return self.play(client, "pull-cut")

    def _queue(self) -> Played:
        with emulator(
            self.number, fresh=self.fresh, max_queue=1, max_loaded=1, time_scale=1.0, load_seconds=0.05
        ) as ollama:
            client = Client(ollama)
            client.post("/api/generate", {"model": self.chat, "stream": False})
            yield "queue-full", self._crowd(ollama, client)
            yield "evicted", self.play(client, "evicted")

    def _crowd(self, ollama: OllamaEmulator, client: Client) -> Exchange:
        request, finished, four_refused = self.cases["queue-full"]["request"], [], threading.Event()

        def load() -> None:
            finished.append(client.send(request))
            if len(finished) >= 4:
                four_refused.set()

        story = {"model": self.chat, "prompt": "Tell a long story or a tall tale."}
        busy = Task(client.post, "/api/generate", story, on_line=lambda _: LEAVE if four_refused.is_set() else None)
        until(lambda: ollama.answering == [self.chat])
        for task in [*(Task(load) for _ in range(6)), busy]:
            task.result()
        return {**finished[0], "then": [*finished[1:], client.send({"method": "GET", "path": "/api/ps"})]}

    def _deaths(self) -> Played:
        slow = {
            "models": models(self.number, fresh=self.fresh, slow_load_s=30.0, speed=300.0),
            "time_scale": 1.0,
            "load_seconds": 0.02,
        }
        with emulator(self.number, fresh=self.fresh, **slow) as ollama:
            client = Client(ollama)
            leaving = client.send(self.cases["abort-load"]["request"], timeout=0.2)
            until(lambda: not ollama.loading)
            yield "abort-load", {**leaving, "then": self.after(client, "abort-load")}
            killed = self._broken_off(client, "runner-killed", lambda: ollama.kill_runner(self.chat))
            yield "runner-killed", {**killed, "then": self.after(client, "runner-killed")}
            yield "server-killed", self._broken_off(client, "server-killed", ollama.go_down)

    def _broken_off(self, client: Client, case: str, kill: Callable[[], None]) -> Exchange:
        client.post("/api/generate", {"model": self.chat, "stream": False})
        exchange = client.send(self.cases[case]["request"], on_line=lambda number: kill() if number == 20 else None)
        exchange["response"]["lines"] = exchange["response"]["lines"][-3:]
        return exchange

    def _broken_files(self) -> Played:
        for case, fault in (("load-truncated-file", "truncated"), ("load-missing-file", "missing")):
            with emulator(self.number, fresh=self.fresh) as ollama:
                ollama.break_file(self.other, fault)
                ollama.break_pull("offline")
                yield case, self.play(Client(ollama), case)

    def _small_disk(self) -> Played:
        with emulator(
            self.number,
            fresh=self.fresh,
            models=[],
            library=models(self.number, fresh=self.fresh),
            disk_free_bytes=60_000_000,
        ) as ollama:
            ollama.set_pull_rate(1e9)
            yield from self.sequence(Client(ollama), ("tags-none", "pull-disk-full"))


def leaving(ollama: OllamaEmulator, *, after: int) -> OnLine:
    """Make a client leave after so many lines; what comes next comes fast."""

    def on_line(number: int) -> object:
        if number < after:
            return None
        ollama.set_pull_rate(FULL_SIZE / 0.1)
        return LEAVE

    return on_line


def delete(client: Client, name: str) -> None:
    """Remove a model so that it can be pulled again."""
    assert client.ask("DELETE", "/api/delete", {"model": name})["status"] == 200


def until(condition: Callable[[], bool]) -> None:
    """Look until it is so; it is never long."""
    never = threading.Event()
    for _ in range(int(DEADLINE_S / 0.005)):
        if condition():
            return
        never.wait(0.005)
    raise TimeoutError(f"not so after {DEADLINE_S} s")
