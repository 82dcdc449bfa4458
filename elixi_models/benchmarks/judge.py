"""Who may judge a model's answers: the largest other model here that is no relative of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from .. import names
from ..inventory import InstalledModel
from .evidence import identity

OFF, AUTO = "off", "auto"
#: Parts of names and architectures that tell what a model was made from.
_DESCENT = {
    "qwen": "qwen", "qwq": "qwen", "llama": "llama", "vicuna": "llama", "alpaca": "llama", "hermes": "llama",
    "mistral": "mistral", "mixtral": "mistral", "ministral": "mistral", "codestral": "mistral", "devstral": "mistral",
    "magistral": "mistral", "mathstral": "mistral", "zephyr": "mistral", "gemma": "gemma", "deepseek": "deepseek",
    "granite": "granite", "smollm": "smollm", "falcon": "falcon", "command": "cohere", "cohere": "cohere",
    "stablelm": "stablelm", "starcoder": "starcoder", "exaone": "exaone", "internlm": "internlm", "glm": "glm",
    "nemotron": "nemotron", "gptoss": "gptoss", "olmo": "olmo", "dolphin": "llama",
}  # fmt: skip
#: The same for those that would be found within other words.
_SHORT_DESCENT = {"phi": "phi", "yi": "yi", "aya": "cohere", "orca": "llama", "tulu": "llama"}

#: Whether a model has the memory it takes; unknown counts as yes.
Fits: TypeAlias = Callable[[InstalledModel], bool]


@dataclass(frozen=True, slots=True)
class Appointment:
    """Who judges, or nobody and why."""

    judge: InstalledModel | None
    reason: str | None = None


def appoint(wish: str, candidate: InstalledModel, installed: Iterable[InstalledModel], fits: Fits) -> Appointment:
    """The judge of a candidate.

    Args:
        wish: `auto`, or the name of a model in any spelling; it has to meet the same rules.
    """
    if wish.strip().lower() != AUTO:
        wanted = names.key(wish.strip())
        named = next((model for model in installed if names.key(model.name) == wanted), None)
        reason = "not_installed" if named is None else objection(named, candidate, fits)
        return Appointment(named if reason is None else None, reason)
    eligible = [model for model in installed if objection(model, candidate, fits) is None]
    if not eligible:
        return Appointment(None, "no_eligible_model")
    return Appointment(max(eligible, key=lambda it: (it.parameter_count or 0, it.size_bytes or 0, it.name)))


def objection(model: InstalledModel, candidate: InstalledModel, fits: Fits) -> str | None:
    """Why a model may not judge the candidate, None when it may.

    What is not known speaks against it: a model whose capabilities, or a pair of which one architecture, are unknown.
    """
    if model.remote:
        return "remote"
    if model.can_chat is not True:
        return "cannot_chat"
    if identity(model) == identity(candidate):
        return "same_weights"
    if model.family is None or candidate.family is None:
        return "family_unknown"
    if lineages(model) & lineages(candidate):
        return "same_family"
    return None if fits(model) else "does_not_fit"


def lineages(model: InstalledModel) -> frozenset[str]:
    """All that a model may descend from: its architecture, its name, and what either of them speaks of.

    A distilled model has two parents: `deepseek-r1:7b` of the architecture `qwen2` is of deepseek and of qwen.
    """
    path, _, tag = model.name.lower().rpartition(":")
    base = path.rpartition("/")[2]
    told = {_letters(base), _letters(model.family or "")} - {""}
    for text in (base, tag, (model.family or "").lower()):
        told |= {parent for part, parent in _DESCENT.items() if part in _letters(text)}
        told |= {_SHORT_DESCENT[part] for part in re.findall("[a-z]+", text) if part in _SHORT_DESCENT}
    return frozenset(told)


def _letters(text: str) -> str:
    return re.sub("[^a-z]", "", text.lower())
