"""Print each goal post that can be judged offline; exit 1 when one is missed and that is not known.

    python -m tests.replay [--keep] [PART ...]

`--keep` writes the figures of all parts to `results.json` and docs/selection.md.
"""

from __future__ import annotations

import sys

from . import PARTS, in_order, known_misses, measured, summary, table, verdict
from .record import keep


def main(arguments: list[str]) -> int:
    """Measure the named parts, all when none is named."""
    parts = [argument for argument in arguments if argument != "--keep"]
    figures = in_order(measured(parts or PARTS))
    misses = known_misses()
    judged = [(figure, verdict(figure, misses)) for figure in figures]
    print(f"{table(judged)}\n\n{summary(judged)}")
    if "--keep" in arguments and not parts:
        keep(figures)
    return 0 if all(word in ("met", "known miss") for _, word in judged) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
