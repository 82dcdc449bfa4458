"""The one reader of Ollama: a thread that looks at the server and leaves what it saw as one immutable view."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ..errors import ElixiModelsError, OllamaDisabled, OllamaError, OllamaTimeout
from ..inventory import InstalledModel, LoadedModel, ServerView
from ..settings import Settings
from .facts import ModelFacts

ASKED_FOR_S = 10.0
"""How long after a question somebody counts as watching."""


class Readable(Protocol):
    """The part of the gateway that is used here; every method blocks and raises `ElixiModelsError`s."""

    def version(self) -> str:
        """The server's version."""

    def installed(self) -> list[InstalledModel]:
        """What is installed."""

    def complete(self, model: InstalledModel) -> InstalledModel:
        """A model with what `show` knows about it."""

    def loaded(self) -> list[LoadedModel]:
        """What is resident."""


class Observer:
    """Looks at Ollama every `observe_active_s` while somebody asks, else every `observe_idle_s`.

    Nothing runs before the first `ask`, `hurry` or `refresh`. With Ollama disabled nothing ever does, and the view
    says `OLLAMA_DISABLED`. All methods may be called from any thread but, for `refresh`, a listener.
    """

    def __init__(
        self,
        gateway: Readable,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._facts = ModelFacts(gateway, monotonic=monotonic)
        self._listeners: list[Callable[[ServerView], None]] = []
        error_code = None if settings.ollama_enabled else OllamaDisabled.code
        self._view = ServerView(settings.ollama_url, error_code=error_code)
        self._asked_at = float("-inf")
        self._begun = self._finished = 0
        self._closed = False
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget the parent's thread; the view stays, and the next question starts a thread here."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._hurried = False
        # A look of the parent's never ends here.
        self._begun = self._finished
        self._looked_at = float("-inf")

    @property
    def view(self) -> ServerView:
        """The last look; no I/O, no lock."""
        return self._view

    def ask(self, wait_s: float = 0.3) -> ServerView:
        """The last look, and a note that somebody watches. Waits only before the first, at most `wait_s` seconds."""
        now = self._monotonic()
        watched, self._asked_at = now - self._asked_at < ASKED_FOR_S, now
        if not (watched and self._running()):
            self._wake()
        if not self._finished and self._running():
            with self._changed:
                self._changed.wait_for(lambda: self._finished or self._closed, wait_s)
        return self._view

    def hurry(self) -> None:
        """Have a new look begin now, or right after the one under way; does not wait for it."""
        with self._changed:
            self._hurried = True
        self._wake()

    def refresh(self, timeout_s: float = 5.0) -> ServerView:
        """A view whose look began after this call; the last one if there is none within `timeout_s`. Blocks."""
        with self._changed:
            wanted = self._begun + 1
        self.hurry()
        if self._running():
            with self._changed:
                self._changed.wait_for(lambda: self._finished >= wanted or self._closed, timeout_s)
        return self._view

    def subscribe(self, listener: Callable[[ServerView], None]) -> None:
        """Call `listener` in the observer's thread after every look, also a failed one; it must not raise."""
        self._listeners.append(listener)

    def close(self) -> None:
        """End the thread, waiting at most 2 s for a look under way. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(2.0)

    def _running(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _wake(self) -> None:
        with self._changed:
            if self._closed or not self._settings.ollama_enabled:
                return
            if not self._running():
                self._thread = threading.Thread(target=self._run, name="elixi-models-observer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        while self._wait_until_due():
            try:
                self._look()
                for listener in self._listeners:
                    listener(self._view)
            finally:
                with self._changed:
                    self._finished = self._begun
                    self._changed.notify_all()

    def _wait_until_due(self) -> bool:
        """Sleep until the next look is due and count it as begun; False when closed."""
        with self._changed:
            while not self._closed:
                remaining_s = self._due_at() - self._monotonic()
                if self._hurried or remaining_s <= 0:
                    self._hurried = False
                    self._looked_at = self._monotonic()
                    self._begun += 1
                    return True
                self._changed.wait(remaining_s)
        return False

    def _due_at(self) -> float:
        watched = self._monotonic() - self._asked_at < ASKED_FOR_S
        return self._looked_at + (self._settings.observe_active_s if watched else self._settings.observe_idle_s)

    def _look(self) -> None:
        try:
            version = self._version()
            as_of_s = self._clock()
            installed = self._gateway.installed()
            loaded = self._loaded()
        except ElixiModelsError as exc:
            self._view = replace(self._view, reachable=False, error_code=exc.code)
            return
        view = ServerView(
            ollama_url=self._settings.ollama_url,
            as_of_s=as_of_s,
            reachable=True,
            version=version,
            installed=self._facts.recall(installed),
            loaded=loaded,
        )
        # The list is there at once, even while dozens of models are still to be asked for.
        self._view = view
        if self._facts.missing(installed):
            self._facts.learn(installed)
            self._view = replace(view, installed=self._facts.recall(installed))
            if self._facts.missing(installed):
                self._hurried = True

    def _version(self) -> str | None:
        try:
            return self._gateway.version()
        except OllamaError:
            return None  # the lists matter more; what does not know them either is found out there

    def _loaded(self) -> tuple[LoadedModel, ...]:
        try:
            return tuple(self._gateway.loaded())
        except (OllamaTimeout, OllamaError):
            return self._view.loaded  # common while a model is loaded: unknown, not down
