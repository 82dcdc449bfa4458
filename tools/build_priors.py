"""Rebuild the table of priors from its source files; the same input gives the same bytes.

    python tools/build_priors.py FOLDER

FOLDER holds `priors_draft.json` (scores of 146 models and the cold-start regression, fitted from public
leaderboards) and `catalogue_families.json` (release month and main use of the library's families).
Origin and licences are in elixi_models/selection/data/README.md.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "elixi_models" / "selection" / "data" / "priors.json.gz"
TASKS = ("general", "coding", "analysis", "creative")


def main(folder: Path) -> None:
    """Write `priors.json.gz`."""
    draft = json.loads((folder / "priors_draft.json").read_text(encoding="utf-8"))
    families = json.loads((folder / "catalogue_families.json").read_text(encoding="utf-8"))
    document = {
        "as_of": "2026-08-21",
        "regression": {task: coefficients(draft["regression"][task]) for task in TASKS},
        "models": {name: model(facts) for name, facts in sorted(draft["models"].items())},
        "families": {family["family"]: [family["released"], family["kind"]] for family in families},
    }
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    TARGET.write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))


def coefficients(fitted: dict[str, float]) -> dict[str, float]:
    """The regression of one task under short names; z units."""
    return {
        "intercept": fitted["intercept"],
        "per_doubling": fitted["per_doubling_of_sqrt_total_times_active_from_8B"],
        "per_year": fitted["per_year_from_2024_07"],
        "code": fitted["kind_code"],
        "reason": fitted["kind_reason"],
    }


def model(facts: dict[str, Any]) -> dict[str, Any]:
    """One model of the table: billions of parameters, and score 0-100 with its sd in z units by task."""
    return {
        "total_b": facts["total_b"],
        "active_b": facts["active_b"],
        "kind": facts["kind"],
        "scores": {task: facts[task] for task in TASKS if task in facts},
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
