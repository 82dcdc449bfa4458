"""The two-phase switch: the target is loaded beside the old model, and only then becomes the active one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .. import names
from ..errors import Cancelled, CannotChat, ElixiModelsError, InternalError, RegistryNotAllowed
from ..inventory import InstalledModel
from ..records import Activation, Failure
from ..settings import Settings, environment_name
from ..upstream.cancellation import Cancellation
from ..upstream.gateway import OllamaGateway
from ..upstream.observer import Observer
from .active import ActiveChoice

_LOG = logging.getLogger("elixi_models.switching")
_LOOK_WAIT_S = 0.5
_CLOSE_WAIT_S = 2.0


@dataclass(slots=True, eq=False)
class _Turn:
    """One target on its way; `joined` counts the requests beyond the first that wait for it.

    `asked_at_s` tells it from switches that happen elsewhere meanwhile.
    """

    model: InstalledModel
    user: str | None
    automatic: bool
    asked_at_s: float
    joined: int = 0
    cancellation: Cancellation = field(default_factory=Cancellation)
    done: threading.Event = field(default_factory=threading.Event)
    outcome: str | None = None
    load_ms: float | None = None
    error: ElixiModelsError | None = None


class ModelSwitch:
    """Switches one server's active model, one load at a time; the newest request decides what is active in the end.

    The same target joins the load under way. A newer explicit target supersedes it and aborts its load, unless
    others have joined: then it is only not committed (to leave a load that others wait for kills it for them), and
    only a resident target does not wait for it. An automatic switch never supersedes an explicit one. Until the
    commit the old model serves; after a failure it stays, and is loaded again if the attempt pushed it out of memory.
    """

    def __init__(
        self,
        *,
        gateway: OllamaGateway,
        observer: Observer,
        active: ActiveChoice,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._observer = observer
        self._active = active
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        #: Why the last switch failed; None again after one that worked.
        self.last_failure: Failure | None = None
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: forget the parent's thread and what it was loading."""
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._newest: _Turn | None = None
        self._waiting: _Turn | None = None
        self._running: set[_Turn] = set()
        self._return: tuple[str, Cancellation] | None = None
        self._committed_at_s: float | None = None
        self._closed = False

    @property
    def pending(self) -> str | None:
        """The installed name of the model that is being switched to, or None."""
        newest = self._newest
        return newest.model.name if newest is not None and not newest.done.is_set() else None

    def switch(
        self, model: InstalledModel, *, wait_s: float, user: str | None = None, automatic: bool = False
    ) -> Activation:
        """Ask for a model to become the active one and wait up to `wait_s` seconds for that.

        Args:
            automatic: nobody asked now; the end of a download does.

        Returns:
            `active`, with the wall time of the load; or `loading`, where `requested` is what will become active:
            another model than asked for when a newer request has superseded this one.

        Raises:
            CannotChat, RegistryNotAllowed: at once.
            LoadFailed, OutOfMemory, OllamaUnavailable, OllamaTimeout: when known within the wait.
            Cancelled: an automatic switch while an explicit one is under way, or a shutdown.
        """
        self._check(model)
        before = self._active.current
        turn = self._request(model, user, automatic)
        turn.done.wait(wait_s)
        if turn.error is not None:
            raise turn.error
        if turn.outcome == "active":
            return Activation("active", turn.model.name, before.model, turn.model.name, turn.load_ms)
        pending, current = self.pending, self._active.current.model
        return Activation("loading" if pending else "active", current, before.model, pending or current or model.name)

    def close(self) -> None:
        """Abort what is being loaded and end the thread; waits at most 2 s."""
        with self._lock:
            self._closed = True
            worker, waiting, self._waiting = self._worker, self._waiting, None
            cancellations = [turn.cancellation for turn in self._running]
            if self._return is not None:
                cancellations.append(self._return[1])
        if waiting is not None:
            waiting.error = _shutting_down()
            waiting.done.set()
        for cancellation in cancellations:
            cancellation.cancel()
        if worker is not None and worker is not threading.current_thread():
            worker.join(_CLOSE_WAIT_S)

    def _check(self, model: InstalledModel) -> None:
        shown = names.shown(model.name)
        if model.can_chat is False:
            raise CannotChat(f"{shown} cannot chat: it only embeds text. Choose a chat model.", model_name=shown)
        if model.remote and not self._settings.allow_cloud_models:
            variable = environment_name("allow_cloud_models")
            raise RegistryNotAllowed(
                f"{shown} runs in Ollama's cloud, where prompts leave this machine. {variable}=true allows it.",
                model_name=shown,
                setting=variable,
            )

    def _request(self, model: InstalledModel, user: str | None, automatic: bool) -> _Turn:
        """The turn that answers a request: the one under way for the same target, or a new one."""
        with self._lock:
            if self._closed:
                raise _shutting_down()
            newest = self._newest if self.pending else None
            if newest is not None and names.key(newest.model.name) == names.key(model.name):
                newest.joined += 1
                newest.automatic = newest.automatic and automatic
                return newest
            if newest is not None and automatic and not newest.automatic:
                raise Cancelled("A newer switch is under way.", model_name=names.shown(newest.model.name))
            turn = self._newest = self._waiting = _Turn(model, user, automatic, self._clock())
            stopped = self._supersede(newest, turn)
            if self._needs_worker(model):
                self._worker = threading.Thread(target=self._work, name="elixi-models-switch", daemon=True)
                self._worker.start()
        for cancellation in stopped:
            cancellation.cancel()
        return turn

    def _needs_worker(self, model: InstalledModel) -> bool:
        if self._worker is None or not self._worker.is_alive():
            return True
        return self._is_resident(model) and any(turn.joined for turn in self._running)

    def _supersede(self, old: _Turn | None, new: _Turn) -> list[Cancellation]:
        """What to abort for a newer target; whoever waits for the old one is answered now."""
        stopped = []
        if old is not None:
            old.done.set()
            if old.joined == 0:
                stopped.append(old.cancellation)
        if self._return is not None and names.key(self._return[0]) != names.key(new.model.name):
            stopped.append(self._return[1])
        return stopped

    def _work(self) -> None:
        """Load what is wanted, one after the other, until nothing is or another worker has taken over."""
        active = self._active.current.model
        model = self._observer.view.find(active) if active else None
        serving = model.name if model is not None and self._is_resident(model) else None
        while (turn := self._next()) is not None:
            try:
                self._load(turn)
            finally:
                self._finish(turn)
            if turn.outcome == "active":
                serving = turn.model.name
            elif serving is not None:
                self._bring_back(serving)

    def _next(self) -> _Turn | None:
        with self._lock:
            if self._worker is not threading.current_thread():
                return None
            turn, self._waiting = self._waiting, None
            if turn is None:
                self._worker = None
            else:
                self._running.add(turn)
            return turn

    def _load(self, turn: _Turn) -> None:
        started_s = self._monotonic()
        try:
            self._gateway.load(turn.model.name, cancellation=turn.cancellation)
        except ElixiModelsError as exc:
            self._fail(turn, exc)
            return
        turn.load_ms = (self._monotonic() - started_s) * 1000.0
        if self._is_overtaken(turn):
            turn.outcome = "superseded"
            return
        self._committed_at_s = self._active.commit(turn.model.name, user=turn.user).since_s
        self.last_failure = None
        # Whoever asks next sees the model in memory.
        self._observer.refresh(_LOOK_WAIT_S)
        turn.outcome = "active"

    def _is_overtaken(self, turn: _Turn) -> bool:
        """Whether a newer request came meanwhile: here, in another process, or by an assignment of `brain.model`."""
        since_s = self._active.current.since_s
        elsewhere = since_s is not None and since_s > turn.asked_at_s and since_s != self._committed_at_s
        return elsewhere or turn is not self._newest or self._closed

    def _fail(self, turn: _Turn, error: ElixiModelsError) -> None:
        if turn is not self._newest:
            turn.outcome = "superseded"
            return
        turn.outcome, turn.error = "failed", error
        if not self._closed:
            details = {**error.details, "model_name": names.shown(turn.model.name)}
            self.last_failure = Failure(error.code, error.message, self._clock(), details)

    def _finish(self, turn: _Turn) -> None:
        with self._lock:
            self._running.discard(turn)
            if turn.outcome is None:
                # Something unforeseen ends this thread; the next request gets a new one.
                turn.error = InternalError("The switch failed by a defect of ours; the log has the reason.")
                self._worker = None
        turn.done.set()

    def _bring_back(self, serving: str) -> None:
        """Load the model that serves again if the attempt pushed it out; a newer switch calls this off."""
        if self._waiting is not None:
            return
        view = self._observer.refresh()
        model = view.find(serving)
        if model is None or view.residence(model) is not None or self._active.current.model != serving:
            return
        cancellation = Cancellation()
        with self._lock:
            if self._waiting is not None or self._closed or self._worker is not threading.current_thread():
                return
            self._return = (serving, cancellation)
        try:
            self._gateway.load(serving, cancellation=cancellation)
        except ElixiModelsError as exc:
            _LOG.debug("could not load %s again: %s", serving, exc)
        finally:
            with self._lock:
                self._return = None

    def _is_resident(self, model: InstalledModel) -> bool:
        return self._observer.view.residence(model) is not None


def _shutting_down() -> Cancelled:
    return Cancelled("The model manager is shutting down.")
