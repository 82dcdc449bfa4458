"""Moments as callers give them, over HTTP and in Python alike. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from .errors import InvalidRequest

_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?\Z", re.ASCII)
#: The end of the year 9999: no later time can be written.
_LAST_S = 253_402_300_799


def parse_moment(given: object, field: str) -> float:
    """Seconds since the epoch, of a number of them, of a time in ISO 8601 with a zone, or of a datetime with one.

    Raises:
        InvalidRequest: naming the field; numbers must lie between 1970 and 9999.
    """
    if isinstance(given, str):
        return _in_range(float(given), field) if _NUMBER.match(given) else _read(given, field)
    if isinstance(given, datetime):
        return _located(given, field)
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise InvalidRequest(f"{field} must be a time", field=field, reason="type")
    return _in_range(given, field)


def _in_range(seconds: float, field: str) -> float:
    if not 0 <= seconds <= _LAST_S:
        raise InvalidRequest(f"{field} must be seconds since 1970, not milliseconds", field=field, reason="range")
    return float(seconds)


def _read(text: str, field: str) -> float:
    try:
        # 3.10 does not read the Z.
        moment = datetime.fromisoformat(text.removesuffix("Z") + "+00:00" if text.endswith("Z") else text)
        return _located(moment, field)
    except (ValueError, OverflowError) as exc:
        raise InvalidRequest(f"{field} must be a time like 2026-01-31T12:00:00Z", field=field, reason="syntax") from exc


def _located(moment: datetime, field: str) -> float:
    if moment.tzinfo is None:
        raise InvalidRequest(f"{field} must have a time zone, for example Z", field=field, reason="syntax")
    return moment.timestamp()
