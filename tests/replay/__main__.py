"""Print each goal post that can be judged offline; exit 1 when one is missed and that is not known.

python -m tests.replay [PART ...]
"""

from __future__ import annotations

import sys

from . import PARTS, known_misses, measured, table, verdict


def main(parts: list[str]) -> int:
    """Measure the named parts, all when none is named."""
    misses = known_misses()
    judged = [(figure, verdict(figure, misses)) for figure in measured(parts or PARTS)]
    print(table(judged))
    return 0 if all(word in ("met", "known miss") for _, word in judged) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
