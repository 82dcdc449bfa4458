"""When old things are swept: once an hour, and not on the word of a clock that has just jumped."""

from __future__ import annotations

from collections.abc import Callable

from ..settings import Settings
from .base import Store

#: How often to look whether it is time.
LOOK_S = 60.0
_SWEEP_S = 3600.0
_JUMP_S = 60.0


class Retention:
    """Sweeps a store as the settings say.

    What is deleted does not come back, so the clock of the machine is believed only while it runs as fast as the time
    that has passed since the last look. One that stays wrong for a minute is believed.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._ahead_s: float | None = None
        self._swept_at: float | None = None

    def look(self, store: Store) -> None:
        """Sweep if it is time; blocks for the store.

        Raises:
            StoreUnavailable: it is tried again at the next look.
        """
        now = self._monotonic()
        ahead_s, before_s = self._clock() - now, self._ahead_s
        self._ahead_s = ahead_s
        if before_s is None or abs(ahead_s - before_s) > _JUMP_S:
            return
        if self._swept_at is None or now - self._swept_at >= _SWEEP_S:
            store.sweep(
                now_s=self._clock(),
                measurement_days=self._settings.measurement_days,
                rollup_days=self._settings.rollup_days,
            )
            self._swept_at = now
