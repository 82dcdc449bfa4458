"""How good a model probably is before anything was measured: a table, else a regression on size, date and kind."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from .. import names
from ..inventory import InstalledModel
from ..quality import Estimate, TaskScore, estimated_score, score_of
from ..records import Task

__all__ = ["Estimate", "assess", "billions_of_parameters", "estimate", "is_embedder_by_name", "quantization_penalty"]

_REFERENCE_YEAR = 2024.5
_REFERENCE_B = 8.0
_REFERENCE_CONTEXT_TOKENS = 8192
#: Same model when the parameter counts differ by less than this ratio ("7B" stands for 6.7 to 7.6).
_SAME_SIZE_RATIO = 1.15
_UNITS = {"K": 1e-6, "M": 1e-3, "B": 1.0, "T": 1e3}


@dataclass(frozen=True, slots=True)
class _Known:
    total_b: float
    active_b: float
    scores: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Family:
    released: str
    kind: str
    added: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Table:
    regression: Mapping[str, Mapping[str, float]]
    undated: Mapping[str, Mapping[str, float]]
    architectures: Mapping[str, str]
    models: Mapping[str, Mapping[str, _Known]]
    families: Mapping[str, _Family]
    #: The families with their letters and digits, the longest first.
    spelled: Sequence[tuple[str, str]]


@lru_cache(maxsize=1)
def _table() -> _Table:
    packed = files("elixi_models").joinpath("selection/data/priors.json.gz").read_bytes()
    document = json.loads(gzip.decompress(packed))
    models: dict[str, dict[str, _Known]] = {}
    for name, facts in document["models"].items():
        family, _, tag = name.partition(":")
        scores = {task: (score, sd) for task, (score, sd) in facts["scores"].items()}
        known = _Known(facts["total_b"], facts["active_b"], scores)
        models.setdefault(family, {})[tag] = known
    families = {family: _Family(*facts) for family, facts in document["families"].items()}
    spelled = [
        (family, _squeezed(family)) for family in sorted(families, key=lambda one: (len(one), one), reverse=True)
    ]
    return _Table(document["regression"], document["undated"], document["architectures"], models, families, spelled)


def is_embedder_by_name(model: InstalledModel) -> bool:
    """Whether the catalogue knows the model's family as an embedder; for models whose capabilities are unknown."""
    known = _table().families.get(names.family(model.name))
    return known is not None and known.kind == "embedding"


@lru_cache(maxsize=1024)
def billions_of_parameters(model: InstalledModel) -> float | None:
    """The size in billions: as counted, else as shown (`7.2B`, `135M`), else as the tag says (`:7b`)."""
    if model.parameter_count:
        return model.parameter_count / 1e9
    for text in (model.parameter_size or "", model.name.rpartition(":")[2]):
        found = re.search(r"(?:(\d+)X)?(\d+(?:\.\d+)?)\s*([KMBT])\b", text.upper())
        if found:
            return float(found[1] or 1) * float(found[2]) * _UNITS[found[3]]
    return None


@lru_cache(maxsize=4096)
def estimate(model: InstalledModel, task: Task) -> Estimate:
    """The prior of one installed model for one task; `fast` is judged as general.

    In this order: the table by family and size; the regression with the family's release month and what the family
    and its maker add; the same with the family that the name of a fine-tune contains; size, context length and the
    first month of the architecture; size alone; nothing (50 ± 1.0).
    """
    subject = "general" if task == "fast" else task
    family = names.family(model.name)
    size_b = billions_of_parameters(model)
    table = _table()
    known = _same_model(table.models.get(family, {}), model, size_b)
    if known is not None and subject in known.scores:
        score, sd = known.scores[subject]
        return Estimate(score, sd, "table")
    base, source, sd = family, "family", 0.35
    if family not in table.families:
        base, source, sd = _base_family(family, table), "base family", 0.45
    if base in table.families:
        facts = table.families[base]
        z = _regress(table, subject, size_b, _active(table, base, size_b), facts.released) + facts.added[subject]
        return Estimate(score_of(z), sd, source)
    introduced = table.architectures.get(model.family or "")
    if size_b is not None and introduced is not None:
        return Estimate(
            score_of(_judge_undated(table, subject, size_b, introduced, model.context_length)), 0.65, "architecture"
        )
    if size_b is not None:
        return Estimate(score_of(_regress(table, subject, size_b, size_b, "2024-07")), 0.65, "size")
    return Estimate(50.0, 1.0, "nothing")


def _same_model(variants: Mapping[str, _Known], model: InstalledModel, size_b: float | None) -> _Known | None:
    tag = model.name.rpartition(":")[2].lower()
    named = [variant for variant in variants if tag == variant or tag.startswith(f"{variant}-")]
    if named:
        return variants[max(named, key=len)]
    if size_b is None:
        return None
    near = [
        (abs(math.log(known.total_b / size_b)), variant)
        for variant, known in variants.items()
        if abs(math.log(known.total_b / size_b)) < math.log(_SAME_SIZE_RATIO)
    ]
    return variants[min(near)[1]] if near else None


def _base_family(family: str, table: _Table) -> str:
    """The longest family whose letters and digits begin the name: `llama3.2` of `hf.co/u/llama-3.2-1b-gguf`."""
    squeezed = _squeezed(family.rpartition("/")[2])
    return next((known for known, letters in table.spelled if squeezed.startswith(letters)), "")


def _squeezed(family: str) -> str:
    return re.sub(r"[^a-z0-9]", "", family)


def _active(table: _Table, family: str, size_b: float | None) -> float | None:
    """The parameters at work for one token: the share of the family's known mixtures, else all of them."""
    if size_b is None:
        return None
    for known in table.models.get(family, {}).values():
        if known.active_b < known.total_b and abs(math.log(known.total_b / size_b)) < math.log(2):
            return size_b * known.active_b / known.total_b
    return size_b


def _regress(table: _Table, task: str, size_b: float | None, active_b: float | None, released: str) -> float:
    fitted = table.regression[task]
    z = fitted["intercept"] + fitted["per_year"] * _years(released)
    if size_b and active_b:
        z += fitted["per_doubling"] * math.log2(math.sqrt(size_b * active_b) / _REFERENCE_B)
    return z


def _judge_undated(table: _Table, task: str, size_b: float, introduced: str, context_length: int | None) -> float:
    """A name that says nothing: its architecture is the lower bound of its date, a long context hints at a late one."""
    fitted = table.undated[task]
    doublings = math.log2((context_length or _REFERENCE_CONTEXT_TOKENS) / _REFERENCE_CONTEXT_TOKENS)
    return (
        fitted["intercept"]
        + fitted["per_doubling"] * math.log2(size_b / _REFERENCE_B)
        + fitted["per_year"] * _years(introduced)
        + fitted["per_context_doubling"] * doublings
    )


def _years(month: str) -> float:
    """From the middle of 2024."""
    year, number = month.split("-")[:2]
    return int(year) + (int(number) - 1) / 12 - _REFERENCE_YEAR


_PENALTIES = (
    (("F32", "F16", "BF16", "Q8"), 0.0),
    (("Q6",), 0.3),
    (("Q5",), 0.7),
    (("Q4_K", "IQ4", "MXFP4", "NVFP4"), 1.5),
    (("Q4",), 2.5),
    (("Q3", "IQ3"), 4.0),
    (("Q2", "IQ2", "Q1", "IQ1"), 10.0),
)


def quantization_penalty(quantization: str | None, size_b: float | None) -> float:
    """Points of 100 that a quantization costs without a measurement: small models suffer more, large ones less.

    An unknown quantization costs nothing.
    """
    level = (quantization or "").upper()
    points = next((cost for prefixes, cost in _PENALTIES if level.startswith(prefixes)), 0.0)
    if size_b is not None and size_b < 4:
        return points * 1.5
    if size_b is not None and size_b >= 30:
        return points * 0.6
    return points


def assess(model: InstalledModel, task: Task, measured: Mapping[str, TaskScore]) -> TaskScore:
    """How good a model is at a task: as measured, which has its quantization in it, else as estimated."""
    score = measured.get("general" if task == "fast" else task)
    return _expected(model, task) if score is None else score


@lru_cache(maxsize=4096)
def _expected(model: InstalledModel, task: Task) -> TaskScore:
    penalty = quantization_penalty(model.quantization, billions_of_parameters(model))
    return estimated_score(estimate(model, task), penalty=penalty)
