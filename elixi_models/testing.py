"""An Ollama server for your own tests: `OllamaEmulator`, and the pytest fixtures that make one.

Take the fixtures into a `conftest.py`, or name the module as a plugin:

    from elixi_models.testing import ollama_emulator, ollama_emulators
    pytest_plugins = ["elixi_models.testing"]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from .emulator import VERSIONS, EmulatedModel, OllamaEmulator, known_model

__all__ = ["VERSIONS", "EmulatedModel", "OllamaEmulator", "known_model"]

if "pytest" in sys.modules:
    import pytest

    __all__ += ["ollama_emulator", "ollama_emulators"]

    @pytest.fixture
    def ollama_emulators() -> Iterator[Callable[..., OllamaEmulator]]:
        """A function that starts an emulator, with the arguments of `OllamaEmulator`; all of them end with the test."""
        with ExitStack() as running:

            def start(*args: Any, **settings: Any) -> OllamaEmulator:
                return running.enter_context(OllamaEmulator(*args, **settings))

            yield start

    @pytest.fixture
    def ollama_emulator(ollama_emulators: Callable[..., OllamaEmulator]) -> OllamaEmulator:
        """A running emulator with two chat models and an embedder."""
        models = ["llama3.2:1b", "qwen2.5:0.5b", "nomic-embed-text"]
        return ollama_emulators(models=models, pull_seconds=0.5, load_seconds=0.05)
