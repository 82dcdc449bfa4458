"""The contract of the store: domain verbs, the same on SQLite and on MongoDB.

Only the uniqueness of a document's id decides a race, and every document has one writer: claims and new
versions are inserts, counters are sums of records or are set by their owner. That holds on every server of
MongoDB's family, also where an update is find-then-write. All verbs block; none is called by a view.
All raise StoreUnavailable when the medium cannot be reached or written, and nothing else on purpose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..records import Measurement, UsageEvent

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Preference:
    """One version of a stored choice; the highest version counts."""

    key: str
    version: int
    value: JsonObject
    created_at_s: float


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job until `until_s`; `attempt` rises with every holder and fences its writes."""

    job_id: str
    attempt: int
    owner: str
    until_s: float
    released: bool


class Store(ABC):
    """Where everything durable lives. Instances are thread-safe and survive a fork."""

    #: "sqlite" or "mongodb", shown by health.
    kind: str

    @abstractmethod
    def ping(self) -> None:
        """Raise StoreUnavailable unless the medium answers and can be written."""

    @abstractmethod
    def close(self) -> None:
        """Give back every connection; the store may be used again afterwards and reopens them."""

    # Append-only records: written in any order, any number of times, by id.

    @abstractmethod
    def add_measurements(self, measurements: Iterable[Measurement]) -> None:
        """Insert measurements; ids already there are left alone."""

    @abstractmethod
    def measurements(
        self, *, ollama_url: str, since_s: float, until_s: float | None = None, limit: int = 10_000
    ) -> list[Measurement]:
        """The newest `limit` measurements of a server with since_s <= created_at_s < until_s, oldest first."""

    @abstractmethod
    def put_rollup(self, rollup_id: str, rollup: Mapping[str, Any]) -> None:
        """Write one hour's sums of one owner and model, replacing that owner's earlier figures.

        Args:
            rollup_id: `<url>|<model key>|<hour>|<owner>`; only that owner ever writes it.
            rollup: plain JSON with at least `ollama_url` (str), `model` (str), `hour_s` (int): the epoch seconds of
                the hour's start; of the day's start, negated, for the sums of a day; 0 for those of a whole life.
                `weights_digest` where known.
        """

    @abstractmethod
    def rollups(
        self,
        *,
        ollama_url: str,
        since_s: float = 0.0,
        until_s: float | None = None,
        model: str | None = None,
        weights_digest: str | None = None,
    ) -> list[JsonObject]:
        """The roll-ups of a server with since_s <= hour_s < until_s, in order of `hour_s`.

        With `model` (in any spelling), `weights_digest` or both: only those of that name or of those weights; what
        other models have costs nothing then.
        """

    @abstractmethod
    def add_usage(self, events: Iterable[UsageEvent]) -> None:
        """Insert lines of the usage history; ids already there are left alone."""

    @abstractmethod
    def usage(
        self, *, ollama_url: str, limit: int = 100, before_s: float | None = None, model: str | None = None
    ) -> list[UsageEvent]:
        """Newest first; `model` in installed form; only lines older than `before_s` where given."""

    @abstractmethod
    def add_performance(self, document: Mapping[str, Any]) -> None:
        """Insert one `model_performance` document (the seed's, with `_id`); an id already there is left alone."""

    @abstractmethod
    def performance(self, *, ollama_url: str, model: str | None = None, limit: int = 100) -> list[JsonObject]:
        """`model_performance` documents, newest `created_at_s` first."""

    # Jobs: one document per job, written by the holder of its lease.

    @abstractmethod
    def create_job(self, job_id: str, job: Mapping[str, Any]) -> bool:
        """Insert a job; False when that id exists (somebody was faster).

        Args:
            job_id: `<kind>:<subject>#<n>`, for example `download:http://127.0.0.1:11434:mistral:7b#3`.
            job: plain JSON with at least `kind`, `subject`, `number` (the n), `ollama_url`, `state`, `live` (bool),
                `updated_at_s`.
        """

    @abstractmethod
    def write_job(self, job_id: str, job: Mapping[str, Any]) -> None:
        """Replace a job's document; only for the holder of its lease, who is its only writer."""

    @abstractmethod
    def newest_job(self, kind: str, subject: str) -> JsonObject | None:
        """The job of the highest `number` of that subject, with its id under `id`, or None."""

    @abstractmethod
    def jobs(self, kind: str, *, ollama_url: str, limit: int = 200) -> list[JsonObject]:
        """Jobs of a kind, newest `updated_at_s` first, each with its id under `id`."""

    @abstractmethod
    def request_cancel(self, job_id: str, *, user: str | None, now_s: float) -> None:
        """Ask whoever holds the job to stop; asking twice is asking once."""

    @abstractmethod
    def cancel_requested(self, job_id: str) -> bool:
        """True when somebody asked for this job to stop."""

    @abstractmethod
    def take_lease(self, job_id: str, *, owner: str, now_s: float, term_s: float) -> int | None:
        """The number of the new attempt, or None while another holds the lease or was faster."""

    @abstractmethod
    def renew_lease(self, job_id: str, *, attempt: int, owner: str, until_s: float) -> bool:
        """Prolong one's own lease; False when a later attempt exists: stop working at once."""

    @abstractmethod
    def release_lease(self, job_id: str, *, attempt: int, owner: str) -> None:
        """Give one's own lease back, so that the next taker need not wait."""

    @abstractmethod
    def lease(self, job_id: str) -> Lease | None:
        """The newest lease of a job, held or not."""

    # Preferences: one document per version.

    @abstractmethod
    def preference(self, key: str) -> Preference | None:
        """The highest version stored under the key, or None."""

    @abstractmethod
    def put_preference(self, key: str, *, version: int, value: Mapping[str, Any], now_s: float) -> bool:
        """Insert a version; False when it exists (read again, decide again)."""

    # The 24-hour cache, in the shape of the host's stage5_utils: key, value, expires, created_at.

    @abstractmethod
    def cache_get(self, key: str, *, now_s: float) -> Any | None:
        """The value under a key that has not expired, else None."""

    @abstractmethod
    def cache_put(self, key: str, value: Any, *, now_s: float, ttl_s: float) -> None:
        """Write a plain JSON value under a key, for `ttl_s` seconds."""

    @abstractmethod
    def sweep(self, *, now_s: float, measurement_days: int, rollup_days: int) -> None:
        """Remove what has had its time: old measurements and roll-ups, expired cache, superseded versions and leases.

        Kept: roll-ups of whole lives, usage history (the newest 10,000 lines), the newest 5 versions of a preference,
        the newest 200 jobs of a kind and server, the newest 8 leases of a job. A preference named `<what>@<job id>`
        goes when that job is over or gone and the preference a day old.
        """
