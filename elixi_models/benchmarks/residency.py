"""Which models were loaded before a benchmark, and getting back to that."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ..errors import ElixiModelsError
from ..inventory import InstalledModel, LoadedModel, ServerView

if TYPE_CHECKING:
    from ..upstream.gateway import OllamaGateway
    from ..upstream.observer import Observer

_log = logging.getLogger("elixi_models.benchmarks")
_LOOKS = 50
_LOOK_S = 0.2
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?\Z")


class Residency:
    """What was resident when a benchmark of `model` began.

    Args:
        wait: sleeps for so many seconds; True when the benchmark was called off meanwhile.
    """

    def __init__(
        self,
        model: InstalledModel,
        view: ServerView,
        *,
        gateway: OllamaGateway,
        observer: Observer,
        clock: Callable[[], float],
        wait: Callable[[float], bool],
    ) -> None:
        self._model = model
        self._view_before = view
        self._guests = [model]
        self._gateway = gateway
        self._observer = observer
        self._clock = clock
        self._wait = wait
        self.was_resident = view.residence(model) is not None

    def unload(self) -> None:
        """Take the model out of memory and wait until it is gone, at most ten seconds; a refusal is left to show."""
        self._unload(self._model)

    def note_guest(self, model: InstalledModel) -> None:
        """Note another model that the benchmark is about to load."""
        self._guests.append(model)

    def restore(self, *, keep: Callable[[InstalledModel], bool], reload: bool = True) -> None:
        """Unload the models that were loaded, unless one was resident or is to be kept, and load what they drove out.

        Blocks for the loads, never raises for what the server does. What would have left memory by itself
        meanwhile stays out.
        """
        try:
            view = self._observer.refresh()
            for guest in self._guests:
                if view.residence(guest) and not self._view_before.residence(guest) and not keep(guest):
                    self._unload(guest)
            if reload:
                for model in self._driven_out(view):
                    self._gateway.load(model.name)
        except ElixiModelsError as exc:
            _log.debug("not all models are loaded as before: %s", exc)
        self._observer.hurry()

    def _unload(self, model: InstalledModel) -> None:
        try:
            self._gateway.unload(model.name)
        except ElixiModelsError as exc:
            _log.debug("not unloaded: %s", exc)
            return
        for _ in range(_LOOKS):
            if self._observer.refresh().residence(model) is None or self._wait(_LOOK_S):
                return

    def _driven_out(self, view: ServerView) -> list[InstalledModel]:
        """What was resident and would still be; loaded in reverse, so that the one used last is used last again."""
        now_s = self._clock()
        missing = []
        for entry in reversed(self._view_before.loaded):
            model = view.find(entry.name)
            if model is not None and view.residence(model) is None and not _has_expired(entry, now_s):
                missing.append(model)
        return missing


def _has_expired(entry: LoadedModel, now_s: float) -> bool:
    """Whether a model's time in memory is over anyway; unknown counts as not over."""
    found = _STAMP.match(entry.expires_at or "")
    if found is None:
        return False
    offset = timedelta()
    if found[2] and found[2] != "Z":
        hours, minutes = int(found[2][1:3]), int(found[2][4:6])
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if found[2][0] == "-" else 1)
    moment = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone(offset))
    return moment.timestamp() <= now_s
