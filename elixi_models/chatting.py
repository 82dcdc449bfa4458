"""Asking a model and measuring the reply. A person's chat goes before any benchmark."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from . import names
from .errors import (
    Cancelled,
    ElixiModelsError,
    LoadFailed,
    OllamaError,
    OllamaTimeout,
    OllamaUnavailable,
    OutOfMemory,
)
from .inventory import InstalledModel
from .records import Failure, Measurement, Outcome, ReplyEvent
from .settings import Settings
from .upstream.cancellation import Cancellation
from .upstream.gateway import OllamaGateway
from .upstream.observer import Observer

#: The first that an error is an instance of decides; OllamaBusy is told apart from a server that is gone.
_OUTCOMES: tuple[tuple[type[ElixiModelsError], Outcome], ...] = (
    (Cancelled, "cancelled"),
    (OllamaTimeout, "timeout"),
    (OutOfMemory, "oom"),
    (LoadFailed, "load_failed"),
    (OllamaError, "http_5xx"),
)


@dataclass(slots=True)
class _Received:
    """What came of one reply so far."""

    parts: list[str] = field(default_factory=list)
    first_at: float | None = None
    last: ReplyEvent | None = None


class Chat:
    """Sends prompts through the gateway. Thread-safe.

    Args:
        record: gets the measurement of every call, on the caller's thread.
    """

    def __init__(
        self,
        *,
        gateway: OllamaGateway,
        observer: Observer,
        settings: Settings,
        record: Callable[[Measurement], None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._observer = observer
        self._settings = settings
        self._record = record
        self._clock = clock
        self._monotonic = monotonic
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: the parent's chats are not ours."""
        self._changed = threading.Condition()
        self._active = 0
        self._interruptible: set[Cancellation] = set()
        self._asked_at_s: dict[str, float] = {}

    @property
    def active_chats(self) -> int:
        """How many people wait for a reply now; benchmarks do not count."""
        return self._active

    def wait_idle(self, timeout_s: float) -> bool:
        """Block until nobody chats, at most `timeout_s`; True when nobody does."""
        with self._changed:
            return self._changed.wait_for(lambda: self._active == 0, timeout_s)

    def last_asked_at_s(self, model: str) -> float | None:
        """When a person last asked this model through this object, or None."""
        return self._asked_at_s.get(names.key(model))

    def ask(
        self,
        model: str,
        prompt: str,
        *,
        context: str = "",
        timeout_s: float,
        options: Mapping[str, Any] | None = None,
        source: Literal["chat", "brain", "benchmark"] = "chat",
        think: bool | None = None,
        schema: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> tuple[str | None, Measurement, Failure | None]:
        """Ask a model; blocks for the whole reply, its load included, at most `timeout_s`.

        A request of the source `benchmark` is broken off as `cancelled` when a person's begins.

        Args:
            model: in installed form.
            options: Ollama's; none are sent unless given, so that an answer never costs a reload.
            think: False asks a thinking model not to; only for models that can.
            schema: the JSON schema that the server holds the answer to.

        Returns:
            The answer without its thinking and surrounding white space, or None; the measurement, already
            recorded; the failure when there is no answer. Never raises for what the server does.
        """
        began_at_s, began = self._clock(), self._monotonic()
        received = _Received()
        failure: Failure | None = None
        outcome: Outcome = "ok"
        cancellation = cancellation or Cancellation()
        try:
            with self._turn(model, source, cancellation):
                self._receive(
                    received,
                    self._gateway.generate(
                        model,
                        _spoken(source, prompt, context),
                        options=options,
                        think=think,
                        schema=schema,
                        timeout_s=timeout_s,
                        cancellation=cancellation,
                    ),
                )
        except ElixiModelsError as exc:
            outcome = _outcome_of(exc)
            failure = Failure(exc.code, exc.message, self._clock(), dict(exc.details))
        text = "".join(received.parts).strip()
        if failure is None and not text:
            outcome = "empty"
            failure = Failure("EMPTY_REPLY", f"{names.shown(model)} answered nothing.", self._clock())
        measurement = self._measure(model, source, outcome, received, began_at_s, began)
        self._record(measurement)
        return (text if failure is None else None), measurement, failure

    @contextmanager
    def _turn(self, model: str, source: str, cancellation: Cancellation) -> Iterator[None]:
        """Count a person's chat while it runs, and have benchmarks make way for it."""
        if source == "benchmark":
            with self._giving_way(cancellation):
                yield
            return
        with self._changed:
            self._active += 1
            self._asked_at_s[names.key(model)] = self._clock()
            in_the_way = list(self._interruptible)
        for other in in_the_way:
            other.cancel()
        try:
            yield
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    @contextmanager
    def _giving_way(self, cancellation: Cancellation) -> Iterator[None]:
        with self._changed:
            if self._active:
                cancellation.cancel()
            self._interruptible.add(cancellation)
        try:
            yield
        finally:
            with self._changed:
                self._interruptible.discard(cancellation)

    def _receive(self, received: _Received, events: Iterator[ReplyEvent]) -> None:
        for event in events:
            if received.first_at is None and (event.text or event.thinking):
                received.first_at = self._monotonic()
            received.parts.append(event.text)
            if event.done:
                received.last = event
        if received.last is None:
            raise OllamaUnavailable("The reply broke off. Try again.", reason="disconnected")

    def _measure(
        self, model: str, source: Any, outcome: Outcome, received: _Received, began_at_s: float, began: float
    ) -> Measurement:
        ended = self._monotonic()
        known: InstalledModel | None = self._observer.view.find(model)
        last = received.last or ReplyEvent()
        return Measurement(
            id=os.urandom(8).hex(),
            created_at_s=began_at_s,
            ollama_url=self._settings.ollama_url,
            model=known.name if known else model,
            source=source,
            outcome=outcome,
            duration_s=ended - began,
            digest=known.digest if known else None,
            weights_digest=known.weights_digest if known else None,
            ttft_s=None if received.first_at is None else received.first_at - began,
            total_s=last.total_s,
            load_s=last.load_s,
            prompt_tokens=last.prompt_tokens,
            prompt_s=last.prompt_s,
            tokens=last.tokens,
            eval_s=last.eval_s,
            done_reason=last.done_reason,
        )


def _spoken(source: str, prompt: str, context: str) -> str:
    """The prompt as it is sent: the host's own form for its brain, else plain: Ollama adds the model's template."""
    if source == "brain":
        return f"{context}\n\nUser: {prompt}\nAssistant:"
    return f"{context}\n\n{prompt}" if context else prompt


def _outcome_of(exc: ElixiModelsError) -> Outcome:
    """The class of a failure (see `records.Outcome`): refusals are what is left, such as a model that is gone."""
    if isinstance(exc, OllamaUnavailable):
        if exc.details.get("reason") == "disconnected":
            return "disconnected"
        return (
            "http_5xx" if exc.code == "OLLAMA_BUSY" else "refused" if exc.code == "OLLAMA_DISABLED" else "unreachable"
        )
    return next((outcome for kind, outcome in _OUTCOMES if isinstance(exc, kind)), "refused")
