"""A benchmark's requests: each with a cap, none with an option of the runner, ended at once when called off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..inventory import InstalledModel
from ..upstream.cancellation import Cancellation
from .suites import OPTIONS
from .turns import Reply


class Chatting(Protocol):
    """The part of `Chat` that is used here."""

    def ask(
        self,
        model: str,
        prompt: str,
        *,
        context: str = "",
        timeout_s: float,
        options: Any = None,
        source: Any = "chat",
        think: bool | None = None,
        schema: Any = None,
        cancellation: Cancellation | None = None,
    ) -> Reply:
        """Ask a model, measured and recorded."""

    def wait_idle(self, timeout_s: float) -> bool:
        """True when no person waits for a reply."""

    def last_asked_at_s(self, model: str) -> float | None:
        """When a person last asked this model."""


def send(
    chat: Chatting,
    model: InstalledModel,
    prompt: str,
    *,
    max_tokens: int,
    timeout_s: float,
    stop: Cancellation,
    context: str = "",
    schema: Mapping[str, Any] | None = None,
) -> Reply:
    """Ask a model once, without thinking where it can be told so; blocks, raises nothing for what the server does.

    Args:
        stop: the whole benchmark's; a person's chat breaks off this request alone.
        schema: the JSON schema that the server holds the reply to.
    """
    cancellation = Cancellation()
    with stop.on_cancel(cancellation.cancel):
        return chat.ask(
            model.name,
            prompt,
            context=context,
            timeout_s=timeout_s,
            options={**OPTIONS, "num_predict": max_tokens},
            source="benchmark",
            think=False if "thinking" in (model.capabilities or ()) else None,
            schema=schema,
            cancellation=cancellation,
        )
