"""Write the table of settings into docs/configuration.md.

    python tools/document_settings.py

The table is made of what `Settings` says of itself; a test fails while the two differ.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from elixi_models.settings import Settings, environment_name

PAGE = Path(__file__).resolve().parents[1] / "docs/configuration.md"
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def table() -> str:
    """All settings as a Markdown table, in the order of the class."""
    rows = ["| setting | default | unit | allowed | meaning |", "|---|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, fields(Settings))])


def filled(page: str) -> str:
    """A page with the table between its two marks."""
    return re.sub(f"(?s){BEGIN}.*{END}", lambda found: f"{BEGIN}\n{table()}\n{END}", page)


def _row(spec: Field[Any]) -> str:
    low, high = spec.metadata["low"], spec.metadata["high"]
    allowed = "" if low is None else f"{_number(low)} to {_number(high)}"
    if str(spec.type) == "bool":
        allowed = "true, false"
    cells = [
        f"`{environment_name(spec.name)}`",
        _default(spec),
        spec.metadata["unit"],
        allowed,
        spec.metadata["meaning"],
    ]
    return "| " + " | ".join(cells) + " |"


def _default(spec: Field[Any]) -> str:
    if spec.default is MISSING:
        return "`~/.elixi-models`"
    value = spec.default
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{_number(value) if isinstance(value, (int, float)) else value}`"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
