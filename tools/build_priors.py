"""Fit the table of priors from published scores and write it; the same input gives the same bytes.

    python tools/build_priors.py [MODEL_SCORES]

MODEL_SCORES is a table like `tests/replay/data/model_scores.csv.gz`, the default. Release months, kinds and context
lengths of the library's families come from the package's own catalogue. The scores are read in tools/score_table.py
and fitted in tools/prior_fit.py; origin and licences are in elixi_models/selection/data/README.md.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import prior_fit as fit
import score_table as table

ROOT = Path(__file__).resolve().parent.parent
SCORES = ROOT / "tests" / "replay" / "data" / "model_scores.csv.gz"
CATALOGUE = ROOT / "elixi_models" / "catalogue" / "data"
TARGET = ROOT / "elixi_models" / "selection" / "data" / "priors.json.gz"
#: Doubt of a table entry in z units by the number of sources behind it; 0.24 covers 90 % in the replay of post 5.
DOUBT = {0: 0.35, 1: 0.3}
LEAST_DOUBT = 0.24
SCALE = 1.6
REFERENCE_CONTEXT_TOKENS = 8192

#: What Ollama calls a model's architecture, and the month in which its first model was released.
ARCHITECTURES: Mapping[str, str] = {
    "llama": "2023-07", "llama4": "2025-04", "mllama": "2024-09", "mistral3": "2025-03", "falcon": "2023-05",
    "qwen": "2023-08", "qwen2": "2024-02", "qwen2vl": "2024-08", "qwen25vl": "2025-01", "qwen2moe": "2024-03",
    "qwen3": "2025-04", "qwen3moe": "2025-04", "qwen3next": "2025-09", "qwen3vl": "2025-09", "qwen3vlmoe": "2025-09",
    "gemma": "2024-02", "gemma2": "2024-06", "gemma3": "2025-03", "gemma3n": "2025-06",
    "phi2": "2023-12", "phi3": "2024-04", "command-r": "2024-03", "cohere2": "2024-12",
    "deepseek2": "2024-05", "granite": "2024-10", "granitemoe": "2024-10", "granitehybrid": "2025-10",
    "olmo2": "2024-11", "olmo3": "2025-11", "starcoder2": "2024-02", "stablelm": "2024-01", "dbrx": "2024-03",
    "gptoss": "2025-08", "gpt-oss": "2025-08", "chatglm": "2024-06", "glm4": "2025-04", "internlm2": "2024-01",
    "exaone": "2024-08", "nemotron": "2024-06", "smollm3": "2025-07",
}  # fmt: skip
#: The architecture of a family of the score table, first match; all others are llama's.
ARCHITECTURE_OF = (
    (r"qwen3-next", "qwen3next"), (r"qwen3", "qwen3"), (r"qwen|codeqwen|qwq|athene", "qwen2"),
    (r"gemma3n", "gemma3n"), (r"gemma3", "gemma3"), (r"gemma2", "gemma2"), (r"gemma|codegemma", "gemma"),
    (r"phi$", "phi2"), (r"phi\d", "phi3"), (r"command-a", "cohere2"), (r"command|aya", "command-r"),
    (r"deepseek-(v2|v3|r1|coder-v2)", "deepseek2"), (r"granite", "granite"), (r"olmo3", "olmo3"), (r"olmo", "olmo2"),
    (r"starcoder2", "starcoder2"), (r"stable", "stablelm"), (r"dbrx", "dbrx"), (r"gpt-oss", "gptoss"),
    (r"glm4", "chatglm"), (r"llama4", "llama4"), (r"mistral-small3", "mistral3"), (r"falcon", "falcon"),
)  # fmt: skip


def main(scores: Path) -> None:
    """Write `priors.json.gz`."""
    text = json.dumps(document(scores), separators=(",", ":"), sort_keys=True)
    TARGET.write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))


def document(scores: Path = SCORES) -> dict[str, Any]:
    """All that the package knows beforehand: models, families, and regressions for what is in neither."""
    rows = table.read_rows(scores)
    latents = fit.fit_tasks(rows)
    regression = fit.Regression.over(rows)
    catalogue = json.loads(gzip.decompress((CATALOGUE / "families.json.gz").read_bytes()))
    dated = {task: regression.coefficients(latents[task].means) for task in table.TASKS}
    return {
        "as_of": catalogue["as_of"],
        "regression": {task: rounded(slopes) for task, slopes in dated.items()},
        "undated": {task: rounded(undated(rows, latents[task].means)) for task in table.TASKS},
        "architectures": dict(ARCHITECTURES),
        "models": {row.tag: entry(row, index, latents) for index, row in enumerate(rows)},
        "families": families(rows, latents, regression, catalogue["families"], dated),
    }


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Three decimals: more than the data carry, and the same on every machine."""
    return {name: round(value, 3) for name, value in values.items()}


def entry(row: table.Row, index: int, latents: Mapping[str, fit.Latent]) -> dict[str, Any]:
    """One model of the table: billions of parameters, and score 0-100 with its sd in z units by task."""
    scores = {}
    for task, latent in latents.items():
        score = 100 * NormalDist().cdf(latent.means[index] / SCALE)
        scores[task] = [round(score, 1), doubt(latent.sources[index])]
    return {"total_b": row.total_b, "active_b": row.active_b, "scores": scores}


def doubt(sources: int) -> float:
    """The sd of a table entry in z units, by how many sources speak of the model and the task."""
    return DOUBT.get(sources, LEAST_DOUBT)


def families(
    rows: Sequence[table.Row],
    latents: Mapping[str, fit.Latent],
    regression: fit.Regression,
    known: Sequence[Mapping[str, Any]],
    dated: Mapping[str, Mapping[str, float]],
) -> dict[str, list[Any]]:
    """By family of the library: month of release, main use, and by task what it adds to size and date in z units."""
    own = {task: regression.effects(latents[task].means, _family, fit.PENALTY_FAMILY) for task in table.TASKS}
    line = {task: regression.effects(latents[task].means, _lineage, fit.PENALTY_LINEAGE) for task in table.TASKS}
    scored = {row.tag.partition(":")[0]: row for row in rows}
    found = {}
    for family in known:
        name = family["name"]
        row = scored.get(name) or table.Row(name, 8.0, 8.0, name, family["released"], _kind(family), {})
        added = {
            task: dated[task].get(row.kind, 0.0) + own[task].get(row.family, 0.0) + line[task].get(row.lineage, 0.0)
            for task in table.TASKS
        }
        found[name] = [family["released"], family["kind"], rounded(added)]
    return found


def _family(row: table.Row) -> str:
    return row.family


def _lineage(row: table.Row) -> str:
    return row.lineage


def _kind(family: Mapping[str, Any]) -> str:
    """The regression's word for a family that no leaderboard lists."""
    if family["kind"] == "coding":
        return "code"
    return "reason" if "thinking" in family["capabilities"] else "chat"


def undated(rows: Sequence[table.Row], means: Sequence[float]) -> dict[str, float]:
    """A regression for names that say nothing: size, the architecture's first month, and the context length."""
    lines = gzip.decompress((CATALOGUE / "tags.jsonl.gz").read_bytes()).decode("utf-8").splitlines()
    contexts = {f"{tag['family']}:{tag['tag']}": tag["context_length"] for tag in map(json.loads, lines)}
    told, values = [], []
    for row, mean in zip(rows, means, strict=True):
        context = contexts.get(row.tag)
        if context:
            told.append((row.facts[0], _first_year(row.family), math.log2(context / REFERENCE_CONTEXT_TOKENS)))
            values.append(mean)
    slopes = ridge(told, values)
    return dict(zip(("intercept", "per_doubling", "per_year", "per_context_doubling"), slopes, strict=True))


def ridge(facts: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """Level and slopes of a plain ridge regression; the level is free."""
    lines = [(1.0, *line) for line in facts]
    width = len(lines[0])
    penalties = [fit.PENALTY_LEVEL, *([fit.PENALTY_FACTS] * (width - 1))]
    normal = [
        [math.fsum(line[i] * line[j] for line in lines) + (i == j) * penalties[i] for j in range(width)]
        for i in range(width)
    ]
    pulls = [math.fsum(line[i] * value for line, value in zip(lines, values, strict=True)) for i in range(width)]
    return [math.fsum(a * b for a, b in zip(line, pulls, strict=True)) for line in fit.inverse(normal)]


def _first_year(family: str) -> float:
    """Years from mid-2024 to the first model of the family's architecture."""
    architecture = next((name for sign, name in ARCHITECTURE_OF if re.match(sign, family)), "llama")
    year, month = ARCHITECTURES[architecture].split("-")
    return int(year) + (int(month) - 1) / 12 - table.REFERENCE_YEAR


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SCORES)
