"""The inner measures of a model that follow from its facts: layers, heads, tensors, memory."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .models import EmulatedModel

_FILE_TYPES = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q8_0": 7,
    "Q5_0": 8,
    "Q5_1": 9,
    "Q2_K": 10,
    "Q3_K_S": 11,
    "Q3_K_M": 12,
    "Q3_K_L": 13,
    "Q4_K_S": 14,
    "Q4_K_M": 15,
    "Q5_K_S": 16,
    "Q5_K_M": 17,
    "Q6_K": 18,
    "BF16": 32,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The measures of a network."""

    embedding: int
    blocks: int
    heads: int
    kv_heads: int


_CHAT_SHAPES = (
    (200_000_000, Shape(576, 30, 9, 3)),
    (700_000_000, Shape(960, 32, 15, 5)),
    (2_000_000_000, Shape(2048, 22, 32, 8)),
    (5_000_000_000, Shape(3072, 28, 24, 8)),
    (10_000_000_000, Shape(4096, 32, 32, 8)),
    (20_000_000_000, Shape(5120, 40, 40, 8)),
    (50_000_000_000, Shape(5120, 64, 40, 8)),
)
_LARGEST = Shape(8192, 80, 64, 8)
_EMBEDDER = Shape(768, 12, 12, 12)


def shape_of(model: EmulatedModel) -> Shape:
    """The network that a model of that size would have."""
    if model.is_embedder:
        shape = _EMBEDDER
    else:
        shape = next((shape for most, shape in _CHAT_SHAPES if model.parameter_count <= most), _LARGEST)
    if model.embedding_length is None:
        return shape
    return Shape(model.embedding_length, shape.blocks, shape.heads, shape.kv_heads)


def model_info(model: EmulatedModel) -> dict[str, Any]:
    """The `model_info` of `/api/show`, its arrays left empty as without `verbose`."""
    own = _embedder_info(model) if model.is_embedder else _chat_info(model)
    general = {
        "general.architecture": model.family,
        "general.file_type": _FILE_TYPES.get(model.quantization.upper(), 15),
        "general.parameter_count": model.parameter_count,
    }
    return dict(sorted({**general, **own, **model.model_info}.items()))


def _chat_info(model: EmulatedModel) -> dict[str, Any]:
    shape, family = shape_of(model), model.family
    return {
        "general.size_label": model.parameter_size,
        f"{family}.attention.head_count": shape.heads,
        f"{family}.attention.head_count_kv": shape.kv_heads,
        f"{family}.attention.layer_norm_rms_epsilon": 1e-05,
        f"{family}.block_count": shape.blocks,
        f"{family}.context_length": model.context_length,
        f"{family}.embedding_length": shape.embedding,
        f"{family}.feed_forward_length": shape.embedding * 8 // 3,
        f"{family}.rope.dimension_count": shape.embedding // shape.heads,
        f"{family}.rope.freq_base": 10000,
        f"{family}.vocab_size": 128_000,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.merges": None,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.token_type": None,
        "tokenizer.ggml.tokens": None,
    }


def _embedder_info(model: EmulatedModel) -> dict[str, Any]:
    shape, family = shape_of(model), model.family
    return {
        f"{family}.attention.causal": False,
        f"{family}.attention.head_count": shape.heads,
        f"{family}.attention.layer_norm_epsilon": 1e-12,
        f"{family}.block_count": shape.blocks,
        f"{family}.context_length": model.context_length,
        f"{family}.embedding_length": shape.embedding,
        f"{family}.feed_forward_length": shape.embedding * 4,
        f"{family}.pooling_type": 1,
        "tokenizer.ggml.cls_token_id": 101,
        "tokenizer.ggml.mask_token_id": 103,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.pre": "bert-bge",
        "tokenizer.ggml.seperator_token_id": 102,
        "tokenizer.ggml.token_type": None,
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.tokens": None,
        "tokenizer.ggml.unknown_token_id": 100,
    }


def tensors(model: EmulatedModel) -> list[dict[str, Any]]:
    """The tensors of a model, as `/api/show` lists them."""
    shape = shape_of(model)
    whole = {"name": "token_embd.weight", "type": model.quantization, "shape": [shape.embedding, 32_000]}
    blocks = (_block_tensors(block, shape, model.quantization) for block in range(shape.blocks))
    return [whole, *itertools.chain.from_iterable(blocks)]


def _block_tensors(block: int, shape: Shape, quantization: str) -> Iterator[dict[str, Any]]:
    wide = shape.embedding * 8 // 3
    yield {"name": f"blk.{block}.attn_norm.weight", "type": "F32", "shape": [shape.embedding]}
    yield {"name": f"blk.{block}.ffn_down.weight", "type": quantization, "shape": [wide, shape.embedding]}
    yield {"name": f"blk.{block}.ffn_up.weight", "type": quantization, "shape": [shape.embedding, wide]}


def memory_of(model: EmulatedModel, context_length: int) -> int:
    """Bytes that a loaded model takes: the weights, the cache of its context, a little for computing."""
    if model.memory_bytes is not None:
        return model.memory_bytes
    shape = shape_of(model)
    cache = 2 * shape.blocks * shape.kv_heads * (shape.embedding // shape.heads) * context_length * 2
    return model.size_bytes + cache + model.size_bytes // 20


def vector(text: str, length: int) -> list[float]:
    """A vector of length one that is always the same for the same text."""
    stream = hashlib.shake_256(text.encode()).digest(2 * length)
    raw = [int.from_bytes(stream[i : i + 2], "big") - 32767.5 for i in range(0, 2 * length, 2)]
    norm = sum(value * value for value in raw) ** 0.5
    return [value / norm for value in raw]
