"""What `show` says of each model, asked once for every manifest digest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from ..errors import ElixiModelsError, OllamaUnavailable
from ..inventory import InstalledModel

BUDGET_S = 1.5
"""How long one look may spend on asking: a server full of models is learnt in several looks."""
RETRY_S = 60.0
"""When a model that could not be shown is asked for again."""
RETRY_UNAVAILABLE_S = 5.0
"""The same, where the server went away or was too busy."""


class Shows(Protocol):
    """The part of the gateway that is used here."""

    def complete(self, model: InstalledModel) -> InstalledModel:
        """The model with what `show` knows about it."""


class ModelFacts:
    """Completes listed models from memory, and from the server where a digest is new. For one thread."""

    def __init__(self, gateway: Shows, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._gateway = gateway
        self._monotonic = monotonic
        self._known: dict[str, InstalledModel] = {}
        self._retry_at: dict[str, float] = {}

    def recall(self, models: Sequence[InstalledModel]) -> tuple[InstalledModel, ...]:
        """The models with what is known of them; no I/O."""
        return tuple(self._filled(model) for model in models)

    def missing(self, models: Sequence[InstalledModel]) -> list[InstalledModel]:
        """Those of the models that are unknown and due to be asked for; no I/O."""
        now = self._monotonic()
        return [
            model for model in models if _key(model) not in self._known and self._retry_at.get(_key(model), now) <= now
        ]

    def learn(self, models: Sequence[InstalledModel]) -> None:
        """Ask for what is missing, within the budget; forget what is no longer listed.

        A model that cannot be shown is left as it is and asked for again later. Blocks.
        """
        listed = {_key(model) for model in models}
        self._known = {key: fact for key, fact in self._known.items() if key in listed}
        self._retry_at = {key: due for key, due in self._retry_at.items() if key in listed}
        ends_at = self._monotonic() + BUDGET_S
        for model in self.missing(models):
            if self._monotonic() >= ends_at:
                return
            if _key(model) in self._known:
                continue  # an alias before it in the list had the same digest
            try:
                self._known[_key(model)] = self._gateway.complete(model)
            except OllamaUnavailable:
                self._retry_at[_key(model)] = self._monotonic() + RETRY_UNAVAILABLE_S
            except ElixiModelsError:
                self._retry_at[_key(model)] = self._monotonic() + RETRY_S

    def _filled(self, model: InstalledModel) -> InstalledModel:
        known = self._known.get(_key(model))
        if known is None:
            return model
        return replace(
            model,
            weights_digest=known.weights_digest,
            capabilities=known.capabilities,
            context_length=known.context_length,
            embedding_length=known.embedding_length,
            parameter_count=known.parameter_count,
            kv_bytes_per_token=known.kv_bytes_per_token,
            remote=known.remote,
        )


def _key(model: InstalledModel) -> str:
    return model.digest or model.name
