"""What the replays read: the tables in `data/`, and the tools that made the package's priors from them."""

from __future__ import annotations

import csv
import gzip
import importlib
import sys
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from elixi_models.inventory import InstalledModel
from elixi_models.selection import prior

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).resolve().parent / "data"


@cache
def tool(name: str) -> ModuleType:
    """A script of `tools/` as a module; they find each other as they do when they are run."""
    folder = str(ROOT / "tools")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def read_table(name: str) -> list[dict[str, str]]:
    """The lines of a compressed table, fields as text."""
    text = gzip.decompress((DATA / name).read_bytes()).decode("utf-8")
    return list(csv.DictReader(text.splitlines()))


@lru_cache(maxsize=1)
def rows() -> tuple[Any, ...]:
    """The 146 models with their published figures (`tools/score_table.py: Row`)."""
    return tuple(tool("score_table").read_rows(DATA / "model_scores.csv.gz"))


@cache
def latents(without: str | None = None) -> Any:
    """The fitted qualities, all sources but one; two seconds."""
    return tool("prior_fit").fit_tasks(list(rows()), without=without)


@cache
def scores(tag: str) -> dict[Any, float]:
    """A model's points by task in the table that the package ships."""
    return {task: prior.estimate(InstalledModel(tag, "d"), task).score for task in tool("score_table").TASKS}
