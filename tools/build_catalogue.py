"""Rebuild the catalogue's data from its source files; the same input gives the same bytes.

    python tools/build_catalogue.py FOLDER

FOLDER holds `catalogue_families.json` and `catalogue_facts.jsonl.gz`: facts of the public Ollama library as of
2026-08-21. Their origin and licences are in elixi_models/catalogue/data/README.md.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "elixi_models" / "catalogue" / "data"
TAG_FIELDS = (
    "tag",
    "parameter_size",
    "size_bytes",
    "size_gb_reported",
    "context_length",
    "quantization",
    "capabilities",
    "licence",
    "released",
    "id",
)


def main(folder: Path) -> None:
    """Write `families.json.gz` (families with their primary tags) and `tags.jsonl.gz` (every tag)."""
    families = json.loads((folder / "catalogue_families.json").read_text(encoding="utf-8"))
    lines = gzip.decompress((folder / "catalogue_facts.jsonl.gz").read_bytes()).decode("utf-8").splitlines()
    facts = [json.loads(line) for line in lines]
    write("tags.jsonl.gz", "\n".join(json.dumps(fact, separators=(",", ":")) for fact in facts) + "\n")
    document = {"as_of": "2026-08-21", "families": [with_tags(family, facts) for family in families]}
    write("families.json.gz", json.dumps(document, separators=(",", ":"), ensure_ascii=False))


def with_tags(family: dict[str, Any], facts: list[dict[str, Any]]) -> dict[str, Any]:
    """One family as the catalogue reads it."""
    primary = [fact for fact in facts if fact["family"] == family["family"] and fact.get("primary")]
    return {
        "name": family["family"],
        "description": family["description_own_words"],
        "kind": family["kind"],
        "popularity": family["popularity"],
        "capabilities": family["capabilities"],
        "licence": family["licence"],
        "released": family["released"],
        "default_tag": family["default_tag"],
        "tags": [{name: fact[name] for name in TAG_FIELDS} for fact in primary],
    }


def write(name: str, text: str) -> None:
    """Compress without a time stamp, so that a rebuild changes nothing when the facts did not."""
    (TARGET / name).write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
