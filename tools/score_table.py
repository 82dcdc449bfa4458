"""The published scores behind the priors: which columns speak for which task, and what a source says of a model.

Plain Python and no randomness; `tools/prior_fit.py` fits what is read here.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TASKS = ("general", "coding", "analysis", "creative")
SOURCES = ("arena", "wildbench", "livebench", "evalplus", "open_llm")
REFERENCE_YEAR = 2024.5
REFERENCE_B = 8.0

#: The columns of a source that speak for a task; a model's figure is the mean of those that it has, standardised.
COLUMNS: Mapping[tuple[str, str], str] = {
    ("arena", "general"): r"arena_full",
    ("arena", "coding"): r"arena_coding",
    ("arena", "analysis"): r"arena_(math|hard_6)",
    ("arena", "creative"): r"arena_creative_writing",
    ("wildbench", "general"): r"wb_(creative|coding|planning|info|math)",
    ("wildbench", "coding"): r"wb_coding",
    ("wildbench", "analysis"): r"wb_(planning|math)",
    ("wildbench", "creative"): r"wb_creative",
    ("livebench", "general"): r"lb\d+_(Reasoning|Coding|Mathematics|DataAnalysis|Language|IF)",
    ("livebench", "coding"): r"lb\d+_Coding",
    ("livebench", "analysis"): r"lb\d+_(Reasoning|Mathematics|DataAnalysis)",
    ("livebench", "creative"): r"lb\d+_Language",
    ("evalplus", "coding"): r"ep_(humaneval|mbpp)(_plus)?",
    ("open_llm", "general"): r"ol_avg",
    ("open_llm", "analysis"): r"ol_(bbh|math|gpqa|musr|mmlu_pro)",
}
#: Open LLM Leaderboard v2 reads the first words of an answer, where a reasoning model still thinks.
UNHEARD = {("open_llm", "reason")}
#: Whoever stands behind a family; a model without a table entry still tells something of its maker's next one.
LINEAGES = {
    "llama": r"llama|codellama|tulu|vicuna|wizardlm|phind",
    "gemma": r"gemma|codegemma",
    "mistral": r"mi[sx]tral|codestral|mathstral|starling|openchat|openhermes|zephyr|dolphin|nous-hermes",
    "qwen": r"qwen|codeqwen|qwq|athene",
    "yi": r"yi",
    "deepseek": r"deepseek|magicoder|wizardcoder",
    "command": r"command|aya",
    "phi": r"phi\d|phi$",
    "granite": r"granite",
    "olmo": r"olmo",
    "smollm": r"smollm",
    "falcon": r"falcon",
    "glm": r"glm",
    "starcoder": r"starcoder",
}
#: Rounds until the hardness of columns and the means of models agree.
ROUNDS = 60


@dataclass(frozen=True)
class Row:
    """One model of the table: facts, and every published figure by column."""

    tag: str
    total_b: float
    active_b: float
    family: str
    released: str
    kind: str
    figures: Mapping[str, float]

    @property
    def facts(self) -> tuple[float, ...]:
        """What the regression sees: doublings of size from 8 B, years from mid-2024, code, reasoning."""
        doublings = math.log2(math.sqrt(self.total_b * self.active_b) / REFERENCE_B)
        return doublings, self.year - REFERENCE_YEAR, float(self.kind == "code"), float(self.kind == "reason")

    @property
    def year(self) -> float:
        """The month of release as a year and its fraction."""
        year, month = self.released.split("-")[:2]
        return int(year) + (int(month) - 1) / 12

    @property
    def lineage(self) -> str:
        """The maker's line that the family belongs to, else the family itself."""
        return next((name for name, sign in LINEAGES.items() if re.match(sign, self.family)), self.family)


def read_rows(path: Path) -> list[Row]:
    """The models of `model_scores.csv.gz`; empty fields are left out."""
    text = gzip.decompress(path.read_bytes()).decode("utf-8")
    named = ("tag", "total_b", "active_b", "family", "released", "kind")
    rows = []
    for line in csv.DictReader(text.splitlines()):
        figures = {name: float(value) for name, value in line.items() if name not in named and value}
        size = float(line["total_b"]), float(line["active_b"])
        rows.append(Row(line["tag"], *size, line["family"], line["released"], line["kind"], figures))
    return rows


def standardised(values: Mapping[int, float]) -> dict[int, float]:
    """The same values with mean 0 and standard deviation 1."""
    mean = math.fsum(values.values()) / len(values)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values.values()) / len(values)) or 1.0
    return {index: (value - mean) / sd for index, value in values.items()}


def composite(rows: Sequence[Row], source: str, task: str) -> dict[int, float]:
    """What a source says on a task, standardised, by index of the model; empty when it says nothing."""
    sign = COLUMNS.get((source, task))
    if sign is None:
        return {}
    names = sorted({name for row in rows for name in row.figures if re.fullmatch(sign, name)})
    heard = [i for i, row in enumerate(rows) if (source, row.kind) not in UNHEARD]
    found = {i: {name: rows[i].figures[name] for name in names if name in rows[i].figures} for i in heard}
    return standardised(levelled({i: figures for i, figures in found.items() if figures}))


def levelled(figures: Mapping[int, Mapping[str, float]]) -> dict[int, float]:
    """Each model's mean over its columns, after what makes one column harder than another is taken out.

    Without that a model which only sat the newest, hardest edition would look worse than one of two years before.
    """
    hardness: dict[str, float] = {}
    means: dict[int, float] = {}
    for _ in range(ROUNDS):
        means = {i: _mean([x - hardness.get(name, 0.0) for name, x in own.items()]) for i, own in figures.items()}
        gaps: dict[str, list[float]] = {}
        for i, own in figures.items():
            for name, x in own.items():
                gaps.setdefault(name, []).append(x - means[i])
        hardness = {name: _mean(found) for name, found in gaps.items()}
    return means


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
