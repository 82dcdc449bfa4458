"""An Ollama server in one process, for tests, demos and machines without an Ollama."""

from __future__ import annotations

from .emulator import OllamaEmulator
from .library import known_model
from .models import EmulatedModel
from .versions import VERSIONS

__all__ = ["VERSIONS", "EmulatedModel", "OllamaEmulator", "known_model"]
