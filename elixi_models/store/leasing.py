"""Holding a job: a lease that renews itself, and says so at once when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..errands import Errand
from ..errors import StoreUnavailable
from .base import Store

_log = logging.getLogger("elixi_models.store")
#: The part of a term after which a holder that could not renew stops, well before others may take over.
SAFE_SHARE = 0.85
_RENEWALS_PER_TERM = 3
_RETRIES_PER_TERM = 10
_CLOSE_WAIT_S = 2.0


class HeldLease:
    """A lease taken for a job, renewed by a thread of its own every third of the term.

    Attributes:
        attempt: fences the holder's writes; rises with every holder.
        lost: set when another has taken over, or when 85 % of the term passed by this process's monotonic clock
            without a renewal. The holder then stops working and writes nothing more.
    """

    def __init__(
        self,
        store: Store,
        job_id: str,
        attempt: int,
        *,
        owner: str,
        term_s: float,
        renewed_at: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.attempt = attempt
        self.lost = threading.Event()
        self._store = store
        self._job_id = job_id
        self._owner = owner
        self._term_s = term_s
        self._renewed_at = renewed_at
        self._clock = clock
        self._monotonic = monotonic
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def take(
        cls,
        store: Store,
        job_id: str,
        *,
        owner: str,
        term_s: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> HeldLease | None:
        """Take the lease and begin to renew it; None while somebody else holds it. Blocks for the store.

        Raises:
            StoreUnavailable: nothing is known; nobody holds it for longer than a term because of this.
        """
        began = monotonic()
        attempt = store.take_lease(job_id, owner=owner, now_s=clock(), term_s=term_s)
        if attempt is None:
            return None
        lease = cls(
            store, job_id, attempt, owner=owner, term_s=term_s, renewed_at=began, clock=clock, monotonic=monotonic
        )
        lease._start()
        return lease

    def release(self) -> None:
        """Stop renewing and let the next one take the job at once. Blocks for the store; idempotent, never raises.

        When the store is away the lease runs out by itself.
        """
        if self._ended.is_set():
            return
        self._ended.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_WAIT_S)
        try:
            self._store.release_lease(self._job_id, attempt=self.attempt, owner=self._owner)
        except StoreUnavailable:
            _log.debug("a lease was left to run out")

    def renew(self) -> bool:
        """Prolong the lease once; False when the store was away for it. Blocks at most until the safe share is over.

        Sets `lost` when another holds the lease, or when it took too long to know: by then others may have seen it run
        out, even if the store says yes in the end.
        """
        began = self._monotonic()
        try:
            renewed = Errand("renewal", self._prolong).outcome(self._safe_for_s())
        except StoreUnavailable:
            renewed = None
        if renewed is False or self._safe_for_s() <= 0:
            self.lost.set()
        elif renewed:
            self._renewed_at = began
        return bool(renewed)

    def _prolong(self) -> bool:
        return self._store.renew_lease(
            self._job_id, attempt=self.attempt, owner=self._owner, until_s=self._clock() + self._term_s
        )

    def _safe_for_s(self) -> float:
        return self._renewed_at + SAFE_SHARE * self._term_s - self._monotonic()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._keep, name="elixi-models-lease", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        """Renew until released or lost: every third of the term, and every tenth while the store is away."""
        pause_s = self._term_s / _RENEWALS_PER_TERM
        while not self.lost.is_set() and not self._ended.wait(max(0.0, min(pause_s, self._safe_for_s()))):
            renewed = self.renew()
            pause_s = self._term_s / (_RENEWALS_PER_TERM if renewed else _RETRIES_PER_TERM)
