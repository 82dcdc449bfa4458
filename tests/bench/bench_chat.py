"""What measuring a reply costs: the same request through us and through the bare client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ollama as ollama_library
import pytest

from elixi_models.testing import OllamaEmulator

pytestmark = pytest.mark.bench

PROMPT = "Hello"


class Brain:
    """As the host's."""

    model = "model0:7b"
    timeout = 8

    def generate_reply(self, prompt: str, context: str = "", timeout: float | None = None) -> str | None:
        return None

    def is_available(self) -> bool:
        return True


def test_chat(
    app: Any, twenty_models: OllamaEmulator, row: Callable[..., None], median_ms: Callable[..., list[float]]
) -> None:
    """A short streamed reply: the bare client, our chat with a named model, and with a choice."""
    client = ollama_library.Client(twenty_models.url)
    manager = app.models.manager
    prompt = f"\n\nUser: {PROMPT}\nAssistant:"
    manager.switch_model("model0:7b")
    manager.set_task_assignments(dict.fromkeys(("general", "coding", "analysis", "creative", "fast"), "model0:7b"))

    def bare() -> None:
        assert "".join(part["response"] for part in client.generate("model0:7b", prompt, stream=True)) == "Yes."

    def named() -> None:
        assert manager.chat(PROMPT, model="model0:7b")["reply"] == "Yes."

    def chosen() -> None:
        assert manager.chat(PROMPT)["reply"] == "Yes."

    with client._client:
        alone, ours, choosing = median_ms(bare, named, chosen, times=100)
    row("chat with a named model, over the bare client", "ms", alone, ours, "0.5 ms")
    row("chat with a choice, over the bare client", "ms", alone, choosing, "")


def test_recording(app: Any, row: Callable[..., None], median_ms: Callable[..., list[float]]) -> None:
    """Noting one measurement, on the thread that answered."""
    service = app.models.service
    assert service.chat(PROMPT, model="model0:7b").text == "Yes."
    seen = service.parts.chat.ask("model0:7b", PROMPT, timeout_s=10.0)[1]
    (taken,) = median_ms(lambda: service.parts.recorder.record(seen), times=2000)
    row("noting one measurement", "us", None, taken * 1000, "20 us")
