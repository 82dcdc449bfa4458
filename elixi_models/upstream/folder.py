"""Ollama's models folder on this machine, for the one path that an answer may show."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..names import ModelName
from ..settings import Settings, is_local

#: Where Ollama's installer for Linux keeps the models of its service user.
_SERVICE_FOLDER = Path("/usr/share/ollama/.ollama/models")


class ModelFolder:
    """Knows the folder only when Ollama runs on this machine and the folder is there.

    Looked for in `settings.ollama_models_dir`, OLLAMA_MODELS, `~/.ollama/models`, the Linux service's folder.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._environ = os.environ if environ is None else environ

    def manifest_path(self, name: ModelName) -> str | None:
        """The manifest file of a model, whether it is there yet or not, or None when the folder is not known.

        Reads the file system: microseconds on a local disk.
        """
        folder = self._find()
        if folder is None:
            return None
        return str(folder / "manifests" / name.host / name.namespace / name.model / name.tag)

    def _find(self) -> Path | None:
        if not self._settings.install_paths or not is_local(self._settings.ollama_url):
            return None
        named = self._environ.get("OLLAMA_MODELS")
        candidates = [
            self._settings.ollama_models_dir,
            Path(named) if named else None,
            Path.home() / ".ollama" / "models",
            _SERVICE_FOLDER,
        ]
        return next((folder for folder in candidates if folder is not None and folder.is_dir()), None)
