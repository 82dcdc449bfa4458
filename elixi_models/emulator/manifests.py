"""Manifests and layers: what a model consists of, and the digests that follow from it."""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

from .models import EmulatedModel
from .names import Name

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.ollama.image."


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob of a model: figures only, it has no bytes."""

    kind: str
    digest: str
    size: int

    @property
    def described(self) -> dict[str, str | int]:
        """The layer as a manifest names it."""
        media_type = _CONFIG_TYPE if self.kind == "config" else _LAYER_TYPE + self.kind
        return {"mediaType": media_type, "digest": f"sha256:{self.digest}", "size": self.size}


@dataclass(frozen=True)
class Manifest:
    """A model's layers, the weights first, and its config."""

    layers: tuple[Layer, ...]
    config: Layer

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """Every blob, in the order of a pull."""
        return (*self.layers, self.config)

    @functools.cached_property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.size for blob in self.blobs)

    @property
    def weights(self) -> Layer:
        """The model layer."""
        return self.layers[0]

    @functools.cached_property
    def body(self) -> bytes:
        """The manifest as the registry serves it."""
        value = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self.config.described,
            "layers": [layer.described for layer in self.layers],
        }
        return json.dumps(value, separators=(",", ":")).encode()

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 of the body: what `/api/tags` calls the model's digest."""
        return hashlib.sha256(self.body).hexdigest()


def manifest_of(model: EmulatedModel) -> Manifest:
    """The manifest that a model's facts lead to; equal facts, equal digests."""
    texts = tuple(_text_layers(model))
    weights = _weights_digest(model)
    config = _text_layer("config", _config_text(model, weights, texts))
    rest = config.size + sum(layer.size for layer in texts)
    size = pathlib.Path(model.gguf).stat().st_size if model.gguf else max(model.size_bytes - rest, 1)
    return Manifest((Layer("model", weights, size), *texts), config)


def _text_layers(model: EmulatedModel) -> Iterator[Layer]:
    texts = {
        "template": model.template,
        "license": model.license,
        "system": model.system,
        "params": json.dumps(dict(model.parameters), sort_keys=True) if model.parameters else None,
    }
    return (_text_layer(kind, text) for kind, text in texts.items() if text)


def _text_layer(kind: str, text: str) -> Layer:
    data = text.encode()
    return Layer(kind, hashlib.sha256(data).hexdigest(), len(data))


def _config_text(model: EmulatedModel, weights: str, layers: tuple[Layer, ...]) -> str:
    return json.dumps(
        {
            "model_format": "gguf",
            "model_family": model.family,
            "model_families": [model.family],
            "model_type": model.parameter_size,
            "file_type": model.quantization,
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{d}" for d in (weights, *(x.digest for x in layers))]},
        }
    )


def _weights_digest(model: EmulatedModel) -> str:
    if model.gguf:
        path = pathlib.Path(model.gguf).resolve()
        return _file_digest(path, path.stat().st_mtime_ns)
    if model.weights_digest:
        return model.weights_digest
    facts = (Name.parse(model.name).key, model.size_bytes, model.parameter_size, model.quantization)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


@functools.lru_cache(maxsize=32)
def _file_digest(path: pathlib.Path, _changed_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
