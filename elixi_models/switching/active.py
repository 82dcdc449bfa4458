"""Which model is active: one stored choice per server, mirrored into `brain.model`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout

from .. import names
from ..elixi import BrainLink
from ..errands import Errand
from ..errors import InvalidRequest, StoreUnavailable
from ..inventory import ServerView
from ..names import ModelName
from ..records import ActiveModel
from ..settings import Settings
from ..store.base import JsonObject, Preference
from ..store.following import StoreFollower
from ..upstream.observer import Observer

_LOG = logging.getLogger("elixi_models.switching")
_STORE_WAIT_S = 2.0


class ActiveChoice:
    """The active model of one server, in memory; the store keeps it, every process follows within a second.

    A choice is stored with the model that was configured at the time. At the next start it comes back, unless the
    configuration has changed since: then that counts as the newer choice. The highest stored version wins.

    Args:
        on_switched: called in a background thread after this process has committed a switch; not for switches of
            other processes, which tell their own.
    """

    def __init__(
        self,
        *,
        follower: StoreFollower,
        observer: Observer,
        brain: BrainLink,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        on_switched: Callable[[ActiveModel], None] | None = None,
    ) -> None:
        self.key = f"active_model@{settings.ollama_url}"
        self._follower = follower
        self._observer = observer
        self._brain = brain
        self._settings = settings
        self._clock = clock
        self._on_switched = on_switched
        self._lock = threading.RLock()
        self._active: ActiveModel | None = None
        self._started_s = clock()
        self._brain_seen: str | None = None
        self._brain_configured: str | None = None
        follower.watch_preference(self.key, self._follow)
        observer.subscribe(self._observed)

    @property
    def current(self) -> ActiveModel:
        """The active model; memory only. Without a choice it is what the brain or the configuration names."""
        active = self._active
        if active is not None:
            return active
        name = self._brain.model() or self._settings.configured_model
        return ActiveModel(self._exact(name) if name else None, since_s=self._started_s)

    def restore(self) -> None:
        """Bring back a stored choice that is known already; one that is read later comes by itself. Does not wait."""
        stored = self._follower.preference(self.key)
        if stored is not None:
            self._follow(stored)

    def commit(self, model: str, *, user: str | None = None) -> ActiveModel:
        """Make an installed model the active one: the store first (at most 2 s), then the brain, then `on_switched`.

        Choosing the active model again stores nothing and tells nobody.
        """
        before = self.current
        if before.model == model and (before.version or self._follower.first_read.is_set()):
            with self._lock:
                self._set_brain(model)
            return before
        active = self._adopt(self._put(model, before, user=user, wait_s=_STORE_WAIT_S))
        if self._on_switched is not None:
            self._on_switched(active)
        return active

    def notice_brain(self) -> None:
        """Take an assignment of `brain.model` by somebody else for a switch; memory only, does not wait."""
        with self._lock:
            assigned, seen = self._brain.model(), self._brain_seen
            if assigned is None or assigned == seen:
                return
            self._brain_seen = assigned
            if seen is None:
                self._brain_configured = assigned
                if self._active is not None and self._active.model is not None:
                    self._set_brain(self._active.model)
                return
            before = self._active or ActiveModel(self._exact(seen))
        if _same(assigned, before.model):
            return
        active = self._adopt(self._put(self._exact(assigned), before))
        on_switched = self._on_switched
        if on_switched is not None:
            Errand("switched", lambda: on_switched(active))

    def _observed(self, view: ServerView) -> None:
        """While nothing is chosen, give the brain its model's exact tag: the host compares names by prefix."""
        self.notice_brain()
        with self._lock:
            name = self._configured() and self._brain.model()
            model = view.find(name) if name else None
            if model is not None and self._active is None and self._follower.first_read.is_set():
                self._set_brain(model.name)

    def reset_after_fork(self) -> None:
        """In a forked child: a lock of its own; what is known stays."""
        self._lock = threading.RLock()

    def _follow(self, stored: Preference) -> None:
        """A version from the store, also the first one seen; in the follower's thread."""
        if not isinstance(stored.value.get("model"), str):
            return
        configured = self._configured()
        if self._active is None and configured and _differs(stored.value.get("configured"), configured):
            before = ActiveModel(stored.value["model"], version=stored.version)
            stored = self._put(self._exact(configured), before, since_s=self._started_s)
        self._adopt(stored)

    def _adopt(self, preference: Preference) -> ActiveModel:
        """Take a version over unless a higher one is known; the brain always holds what `current` says."""
        value = preference.value
        with self._lock:
            self._configured()
            if self._active is None or preference.version >= self._active.version:
                self._active = ActiveModel(
                    model=value["model"],
                    previous=value.get("previous"),
                    since_s=value.get("since_s"),
                    version=preference.version,
                    user=value.get("user"),
                )
                self._set_brain(value["model"])
            return self._active

    def _put(
        self,
        model: str,
        before: ActiveModel,
        *,
        user: str | None = None,
        since_s: float | None = None,
        wait_s: float = 0.0,
    ) -> Preference:
        """Hand the next version to the store, and wait up to `wait_s` for the number that it gets there."""
        stored = self._follower.preference(self.key)
        value: JsonObject = {
            "model": model,
            "previous": before.model,
            # A process without a configuration, such as a command, has no say in what was configured.
            "configured": self._configured() or (stored.value.get("configured") if stored else None),
            "since_s": self._clock() if since_s is None else since_s,
            "user": user,
        }
        future = self._follower.set_preference(self.key, value)
        try:
            return future.result(wait_s)
        except (FutureTimeout, StoreUnavailable):
            if wait_s:
                _LOG.warning("The store is slow or away; the active model is kept in memory for now")
            return Preference(self.key, before.version + 1, value, self._clock())

    def _configured(self) -> str | None:
        """What the host is configured with: the setting, or what its brain named before we ever set it."""
        with self._lock:
            if self._brain_configured is None:
                self._brain_configured = self._brain.model()
                self._brain_seen = self._brain_seen or self._brain_configured
        return self._settings.configured_model or self._brain_configured

    def _set_brain(self, model: str) -> None:
        if self._brain.model() != model:
            self._brain.set_model(model)
        # A brain that is not there yet has not been set; it is when it is first seen.
        self._brain_seen = self._brain.model()

    def _exact(self, name: str) -> str:
        model = self._observer.view.find(name)
        if model is not None:
            return model.name
        try:
            return ModelName.parse(name).installed
        except InvalidRequest:
            return name


def _same(one: str, other: str | None) -> bool:
    return other is not None and names.key(one) == names.key(other)


def _differs(configured_then: str | None, configured_now: str) -> bool:
    """Whether the configuration has changed since a choice was stored; an unknown one has not."""
    return configured_then is not None and not _same(configured_now, configured_then)
