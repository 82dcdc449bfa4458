"""What can be pulled: the whole public catalogue, and what a test adds to it."""

from __future__ import annotations

import functools
import gzip
import importlib.resources
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .manifests import Manifest, manifest_of
from .models import EmulatedModel, invented
from .names import LIBRARY, REGISTRY, Name

_CAPABILITIES = ("completion", "tools", "insert", "vision", "embedding", "thinking", "audio")
_ARCHITECTURES = (
    ("nomic-embed", "nomic-bert"),
    ("qwen3-embedding", "qwen3"),
    ("embeddinggemma", "gemma3"),
    ("qwen3", "qwen3"),
    ("qwen2", "qwen2"),
    ("qwen", "qwen2"),
    ("qwq", "qwen2"),
    ("deepseek-r1", "qwen2"),
    ("deepseek", "deepseek2"),
    ("gemma3", "gemma3"),
    ("gemma2", "gemma2"),
    ("gemma", "gemma"),
    ("phi3", "phi3"),
    ("phi4", "phi3"),
    ("phi", "phi2"),
    ("granite", "granite"),
    ("gpt-oss", "gptoss"),
    ("command", "command-r"),
    ("starcoder2", "starcoder2"),
)


class Library:
    """The registry's side: which names exist, and what each consists of."""

    def __init__(self, published: Iterable[EmulatedModel] = ()) -> None:
        self._lock = threading.Lock()
        self._published: dict[str, EmulatedModel] = {}
        for model in published:
            self.publish(model)

    def publish(self, model: EmulatedModel) -> None:
        """Offer a model under its name from now on, also where the name was something else until now."""
        with self._lock:
            self._published[Name.parse(model.name).key] = model

    def find(self, name: Name) -> EmulatedModel | None:
        """The model that the name leads to, if the registry has one."""
        with self._lock:
            published = self._published.get(name.key)
        return published or catalogued(name)

    def manifest(self, name: Name) -> Manifest | None:
        """The manifest that the registry serves for the name."""
        model = self.find(name)
        return manifest_of(model) if model else None


def known_model(name: str, **changes: Any) -> EmulatedModel:
    """The facts of a name, some of them changed: the catalogue's where it has them, else invented ones."""
    return replace(catalogued(Name.parse(name)) or invented(name), **changes)


def catalogued(name: Name) -> EmulatedModel | None:
    """The catalogue's facts of a name, or None."""
    if name.host.lower() != REGISTRY or name.namespace.lower() != LIBRARY:
        return None
    row = _catalogue().get(f"{name.model}:{name.tag}".lower())
    return _model_of(json.loads(row)) if row else None


def _model_of(facts: Mapping[str, Any]) -> EmulatedModel:
    family, tag = facts["family"], facts["tag"]
    names = set(facts["capabilities"]) | (set() if "embedding" in facts["capabilities"] else {"completion"})
    model = EmulatedModel(
        f"{family}:{tag}",
        size_bytes=facts["size_bytes"] or int((facts["size_gb_reported"] or 1.0) * 1e9),
        family=_architecture(family, "embedding" in names),
        parameter_size=facts["parameter_size"] or "",
        quantization=facts["quantization"] or "unknown",
        context_length=facts["context_length"] or 4096,
        capabilities=tuple(c for c in _CAPABILITIES if c in names),
        license=facts.get("licence"),
    )
    if "embedding" in names:
        model = replace(model, template=None)
    # A tag that is another name of a shorter one has the same weights, hence the same digests.
    source = f"{family}:{facts['alias_of']}" if facts.get("alias_of") else model.name
    return replace(model, weights_digest=manifest_of(replace(model, name=source)).weights.digest)


def _architecture(family: str, embeds: bool) -> str:
    found = next((name for start, name in _ARCHITECTURES if family.startswith(start)), None)
    return found or ("bert" if embeds else "llama")


@functools.lru_cache(maxsize=1)
def _catalogue() -> dict[str, str]:
    """Every tag's line, found by its name; a line is only read when it is asked for."""
    source = importlib.resources.files("elixi_models") / "catalogue/data/tags.jsonl.gz"
    try:
        lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    except FileNotFoundError:
        return {}
    return {_name_in(line): line for line in lines}


def _name_in(line: str) -> str:
    facts = json.loads(line)
    return f"{facts['family']}:{facts['tag']}".lower()
