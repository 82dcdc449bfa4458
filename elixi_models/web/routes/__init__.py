"""The views, by what they are about."""

from __future__ import annotations

from ..endpoint import Endpoint
from . import benchmarks, downloads, models, selection, status

ENDPOINTS: tuple[Endpoint, ...] = (
    *models.ENDPOINTS,
    *status.ENDPOINTS,
    *downloads.ENDPOINTS,
    *selection.ENDPOINTS,
    *benchmarks.ENDPOINTS,
)
