"""What an Ollama server has: its installed and its resident models, as one immutable view."""

from __future__ import annotations

from dataclasses import dataclass

from . import names


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model on the Ollama server: what `tags` lists, completed by `show`.

    `digest` is the manifest's (tells updates), `weights_digest` the model layer's (binds memory and evidence;
    aliases share it). `capabilities` come from `show` alone and are None while nothing is known.
    """

    name: str
    digest: str
    size_bytes: int | None = None
    modified_at: str | None = None
    format: str | None = None
    family: str | None = None
    parameter_size: str | None = None
    parameter_count: int | None = None
    quantization: str | None = None
    weights_digest: str | None = None
    capabilities: tuple[str, ...] | None = None
    context_length: int | None = None
    embedding_length: int | None = None
    kv_bytes_per_token: int | None = None
    remote: bool = False

    @property
    def can_chat(self) -> bool | None:
        """Whether it completes text; None while its capabilities are unknown."""
        return None if self.capabilities is None else "completion" in self.capabilities


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A resident model as `ps` tells it. A `size_bytes` of 0 on the wire is unknown, hence None here."""

    name: str
    digest: str
    size_bytes: int | None = None
    vram_bytes: int | None = None
    context_length: int | None = None
    expires_at: str | None = None


@dataclass(frozen=True, slots=True)
class ServerView:
    """One immutable look at the Ollama server; everything but actions reads this and nothing else.

    `as_of_s` is when the lists were last read successfully (None: never); while the server is down the
    last lists stay and `reachable` is False with `error_code` saying why.
    """

    ollama_url: str
    as_of_s: float | None = None
    reachable: bool = False
    error_code: str | None = None
    version: str | None = None
    installed: tuple[InstalledModel, ...] = ()
    loaded: tuple[LoadedModel, ...] = ()

    def find(self, name: str) -> InstalledModel | None:
        """The installed model of that name in any spelling, or None."""
        wanted = names.key(name)
        return next((model for model in self.installed if names.key(model.name) == wanted), None)

    def residence(self, model: InstalledModel) -> LoadedModel | None:
        """The `ps` entry that serves this model: aliases and children of the same weights share one."""
        for entry in self.loaded:
            if entry.digest == model.digest or names.key(entry.name) == names.key(model.name):
                return entry
        if model.weights_digest is None:
            return None
        siblings = {other.digest for other in self.installed if other.weights_digest == model.weights_digest}
        return next((entry for entry in self.loaded if entry.digest in siblings), None)
