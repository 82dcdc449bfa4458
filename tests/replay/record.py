"""The last whole replay, kept beside the code and shown in the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from . import FOLDER, Figure, in_order, known_misses, table, verdict

RESULTS = FOLDER / "results.json"
PAGE = FOLDER.parents[1] / "docs" / "selection.md"
_BEGIN, _END = "<!-- replay: begin -->", "<!-- replay: end -->"


def keep(figures: Sequence[Figure]) -> None:
    """Write the figures down and show them on the page."""
    RESULTS.write_text(json.dumps([asdict(figure) for figure in figures], indent=1, ensure_ascii=False) + "\n", "utf-8")
    PAGE.write_text(filled(PAGE.read_text("utf-8"), figures), "utf-8")


def kept() -> list[Figure]:
    """The figures that were written down."""
    return [Figure(**fields) for fields in json.loads(RESULTS.read_text("utf-8"))]


def filled(page: str, figures: Iterable[Figure]) -> str:
    """The page with the table of these figures between its marks, by goal post."""
    misses = known_misses()
    judged = [(figure, verdict(figure, misses)) for figure in in_order(figures)]
    before, rest = page.split(_BEGIN)
    return f"{before}{_BEGIN}\n\n{table(judged)}\n\n{_END}{rest.split(_END)[1]}"
