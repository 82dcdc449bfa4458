"""Figures as they are shown: times, sizes, shares. Unknown stays None."""

from __future__ import annotations

import math
from datetime import datetime, timezone

_BYTES_PER_MIB = 1_048_576


def timestamp(at_s: float | None) -> str | None:
    """ISO 8601 in UTC to the second with Z, or None."""
    if at_s is None:
        return None
    return datetime.fromtimestamp(at_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def size_text(size_bytes: int | None) -> str | None:
    """Decimal units as Ollama prints them, one decimal: `4.1 GB`; None for unknown."""
    if size_bytes is None:
        return None
    amount, unit = float(size_bytes), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{int(amount)} B" if unit == "B" else f"{amount:.1f} {unit}"


def short_size(size_bytes: float) -> str:
    """Steps of 1,024 and no space, one decimal, as the host's earlier manager printed them: `3.8GB`."""
    amount = float(size_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.1f}{unit}"
        amount /= 1024
    return f"{amount:.1f}TB"


def mebibytes(size_bytes: int | None) -> int | None:
    """Whole MiB, or None."""
    return None if size_bytes is None else round(size_bytes / _BYTES_PER_MIB)


def percent(part: int | None, whole: int | None) -> float | None:
    """Part of a whole in percent with one decimal; None when either is unknown or the whole is zero."""
    return None if part is None or not whole else round(100 * part / whole, 1)


def rounded(value: float | None, digits: int) -> float | None:
    """Rounded, or None for unknown and for what JSON cannot carry (NaN, infinity)."""
    return None if value is None or not math.isfinite(value) else round(value, digits)
