"""The facts of a model that can be installed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Answers = str | Mapping[str, str] | Callable[[str], str] | None

CHAT_TEMPLATE = "{{- range .Messages }}[{{ .Role }}]\n{{ .Content }}\n{{ end }}[assistant]\n"
_SCALE = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


@dataclass(frozen=True)
class EmulatedModel:
    """A model as the emulator knows it. Only the name is needed; everything else has a plausible default.

    `answers` says what a scripted model replies: a text, a mapping from (a part of) the prompt to a text, or a function
    of the prompt. `thinking` is what it thinks before that, or True for some words. `broken` damages the file:
    `"truncated"` fails at load, `"missing"` is as if the file had been removed. `gguf` names real weights, which then
    answer for themselves. `remote` is the host of a cloud model, which is listed but never loaded. `load_seconds`
    overrides the emulator's own; `memory_bytes` is what `/api/ps` then tells, on any version. `model_info` adds to what
    `/api/show` says, and `lists_lengths=False` leaves the two lengths out of `/api/tags`, as for some real models.
    """

    name: str
    size_bytes: int = 1_321_098_329
    family: str = "llama"
    parameter_size: str = "1.2B"
    quantization: str = "Q4_K_M"
    context_length: int = 8192
    embedding_length: int | None = None
    capabilities: tuple[str, ...] = ("completion",)
    decode_tokens_per_s: float = 200.0
    prefill_tokens_per_s: float = 4000.0
    load_seconds: float | None = None
    answers: Answers = None
    thinking: str | bool = ""
    template: str | None = CHAT_TEMPLATE
    system: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    license: str | None = None
    model_info: Mapping[str, Any] = field(default_factory=dict)
    lists_lengths: bool | None = None
    memory_bytes: int | None = None
    weights_digest: str | None = None
    gguf: str | os.PathLike[str] | None = None
    broken: Literal["truncated", "missing"] | None = None
    remote: str | None = None
    parent: str = ""

    def __post_init__(self) -> None:
        if self.thinking is True:
            object.__setattr__(self, "thinking", "Let me think about that. ")
        if self.thinking and "thinking" not in self.capabilities:
            object.__setattr__(self, "capabilities", (*self.capabilities, "thinking"))

    @property
    def is_embedder(self) -> bool:
        """Whether it embeds and cannot chat."""
        return "embedding" in self.capabilities and "completion" not in self.capabilities

    @property
    def parameter_count(self) -> int:
        """The number that `parameter_size` stands for."""
        return count_of(self.parameter_size)


def count_of(shown: str) -> int:
    """`"1.2B"` as a number; 0 for what is none."""
    found = re.fullmatch(r"([\d.]+)([KMBT])?", shown.strip().upper())
    return int(float(found[1]) * _SCALE.get(found[2] or "", 1.0)) if found else 0


def with_weights(model: EmulatedModel, file: str | os.PathLike[str]) -> EmulatedModel:
    """The model with the weights of a GGUF file, whose name often tells their quantization."""
    stated = re.search(r"\b(I?Q\d\w*|B?F16|F32)\b", os.path.basename(file).replace("-", " "), re.IGNORECASE)
    quantization = stated[1].upper() if stated else model.quantization
    return replace(model, gguf=file, size_bytes=os.path.getsize(file), quantization=quantization)


def invented(name: str) -> EmulatedModel:
    """A model nobody knows, as large as its tag says if it says so (`:7b`)."""
    stated = re.search(r"(\d+(?:\.\d+)?)(b|m)\b", name.rpartition(":")[2].lower())
    if not stated:
        return EmulatedModel(name)
    shown = f"{stated[1]}{stated[2].upper()}"
    return EmulatedModel(name, parameter_size=shown, size_bytes=max(count_of(shown) * 6 // 10, 1_000_000))
