"""Taking models out of memory and off the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .inventory import InstalledModel, ServerView
from .upstream.gateway import OllamaGateway
from .upstream.observer import Observer

_POLL_S = 0.2


class Removal:
    """Unloads and deletes, in the order that leaves nothing behind.

    Ollama's own delete leaves a loaded model's runner alive until its keep-alive ends, with no name left to stop
    it by; so a model is unloaded first, unless another name still needs the same runner.

    Args:
        settle_s: how long to wait for a model to leave memory; it may be answering somebody.
    """

    def __init__(
        self,
        *,
        gateway: OllamaGateway,
        observer: Observer,
        monotonic: Callable[[], float] = time.monotonic,
        settle_s: float = 5.0,
    ) -> None:
        self._gateway = gateway
        self._observer = observer
        self._monotonic = monotonic
        self._settle_s = settle_s
        self._closing = threading.Event()

    def unload(self, model: InstalledModel) -> bool:
        """Ask for a model to leave memory and wait until it has; blocks up to `settle_s`.

        Returns:
            True when it is gone, False while it is still busy.

        Raises:
            ElixiModelsError: what the gateway raises.
        """
        self._gateway.unload(model.name)
        until = self._monotonic() + self._settle_s
        while self._observer.refresh().residence(model) is not None:
            if self._monotonic() >= until or self._closing.wait(_POLL_S):
                return False
        return True

    def delete(self, model: InstalledModel, view: ServerView) -> None:
        """Remove a model from the disk; blocks for the unload and the delete.

        Raises:
            ElixiModelsError: what the gateway raises; ModelNotInstalled when somebody was faster.
        """
        if view.residence(model) is not None and not _runner_is_shared(model, view):
            self.unload(model)
        self._gateway.delete(model.name)
        self._observer.refresh()

    def close(self) -> None:
        """Stop waiting for models to leave memory."""
        self._closing.set()


def _runner_is_shared(model: InstalledModel, view: ServerView) -> bool:
    return any(
        other.name != model.name
        and (other.digest == model.digest or (other.weights_digest or "") == (model.weights_digest or None))
        for other in view.installed
    )
