"""What the views show, put together from facts in memory: pure, no I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from . import names
from .catalogue.catalogue import CatalogueEntry
from .errors import OllamaUnavailable
from .inventory import InstalledModel, LoadedModel, ServerView
from .metrics.footprints import resident_bytes
from .quality import TaskScore
from .records import ActiveModel, DownloadJob, Failure, ModelState, ModelSummary, ResourceSample
from .store.following import StoreStatus


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One installed model with everything that is known about it.

    `memory_bytes` is its footprint when loaded, `quality` its score for each task, measured or estimated.
    """

    model: InstalledModel
    kind: str | None
    summary: ModelSummary
    memory_bytes: int | None
    loaded: bool
    active: bool
    quality: Mapping[str, TaskScore] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is installed, what could be, and which model is active; `as_of_s` is the age of the lists."""

    cards: tuple[ModelCard, ...]
    catalogue: tuple[CatalogueEntry, ...]
    active: str | None
    active_installed: bool
    as_of_s: float | None
    reachable: bool


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The state of the active model, of the server and of what is under way."""

    state: ModelState
    active: ActiveModel
    card: ModelCard | None
    residence: LoadedModel | None
    uptime_s: float
    resources: ResourceSample
    supports: tuple[str, ...]
    pending: str | None
    last_failure: Failure | None
    downloads: tuple[DownloadJob, ...]
    ollama_version: str | None
    as_of_s: float | None
    reachable: bool
    error_code: str | None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """`status` is down when Ollama does not answer, degraded when only the store does not, else ok."""

    status: Literal["ok", "degraded", "down"]
    version: str
    ollama: dict[str, Any]
    store: dict[str, Any]
    live_downloads: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """A removed model. `freed_bytes` counts only what no other model uses; None when that cannot be known."""

    model: str
    state: Literal["deleted", "deleting"]
    freed_bytes: int | None


@dataclass(frozen=True, slots=True)
class Unloading:
    """A model asked to leave memory: `stopping` while it still answers somebody."""

    model: str
    state: Literal["unloaded", "stopping"]


@dataclass(frozen=True, slots=True)
class Facts:
    """The memory that reports are made of, read once so that one report cannot contradict itself."""

    view: ServerView
    active: ActiveModel
    resources: ResourceSample
    summarise: Callable[[InstalledModel], ModelSummary]
    classify: Callable[[InstalledModel], str | None]
    footprints: Mapping[str, int] = field(default_factory=dict)
    assess: Callable[[InstalledModel], Mapping[str, TaskScore]] = lambda model: {}

    def card(self, model: InstalledModel) -> ModelCard:
        """What is known about one installed model."""
        active = self.active.model is not None and names.key(self.active.model) == names.key(model.name)
        return ModelCard(
            model=model,
            kind=self.classify(model),
            summary=self.summarise(model),
            memory_bytes=self.memory_bytes(model),
            loaded=self.view.residence(model) is not None,
            active=active,
            quality=self.assess(model),
        )

    def memory_bytes(self, model: InstalledModel) -> int | None:
        """The footprint when loaded: what the machine says now, else what Ollama says, else the last one seen."""
        present = resident_bytes(model, self.view, self.resources)
        return present or self.footprints.get(model.weights_digest or model.digest)


def take_inventory(facts: Facts, installable: Iterable[CatalogueEntry]) -> Inventory:
    """Installed models with their figures, beside the families that can be installed."""
    return Inventory(
        cards=tuple(facts.card(model) for model in facts.view.installed),
        catalogue=tuple(installable),
        active=facts.active.model,
        active_installed=facts.active.model is not None and facts.view.find(facts.active.model) is not None,
        as_of_s=facts.view.as_of_s,
        reachable=facts.view.reachable,
    )


def report_status(
    facts: Facts,
    *,
    now_s: float,
    pending: str | None,
    last_failure: Failure | None,
    downloads: Sequence[DownloadJob],
    supports: Callable[[InstalledModel], tuple[str, ...]],
) -> StatusReport:
    """The status of the active model; works with a server that was never seen."""
    view, active = facts.view, facts.active
    model = view.find(active.model) if active.model else None
    residence = view.residence(model) if model else None
    live = tuple(job for job in downloads if job.live)
    state = model_state(view, active.model, residence, pending, live)
    serving = state == "active" or (residence is not None and view.reachable)
    return StatusReport(
        state=state,
        active=active,
        card=facts.card(model) if model else None,
        residence=residence,
        uptime_s=max(0.0, now_s - active.since_s) if serving and active.since_s is not None else 0.0,
        resources=facts.resources,
        supports=supports(model) if model else (),
        pending=pending,
        last_failure=last_failure,
        downloads=live,
        ollama_version=view.version,
        as_of_s=view.as_of_s,
        reachable=view.reachable,
        error_code=view.error_code,
    )


def model_state(
    view: ServerView,
    active: str | None,
    residence: LoadedModel | None,
    pending: str | None,
    live_downloads: Sequence[DownloadJob],
) -> ModelState:
    """The one word for the active model.

    | first that holds                                   | state         |
    |----------------------------------------------------|---------------|
    | the server does not answer                         | offline       |
    | a switch is loading its target                     | loading       |
    | a download that will be switched to is running     | downloading   |
    | no active model, or it is not installed            | not_installed |
    | it is resident                                     | active        |
    | otherwise                                          | not_loaded    |
    """
    if not view.reachable:
        return "offline"
    if pending is not None:
        return "loading"
    if active is None or view.find(active) is None:
        wanted = active and names.key(active)
        coming = any(job.auto_switch or names.key(job.model) == wanted for job in live_downloads)
        return "downloading" if coming else "not_installed"
    return "active" if residence is not None else "not_loaded"


def freed_bytes(model: InstalledModel, others: Iterable[InstalledModel]) -> int | None:
    """What deleting a model frees, judged by digests: all of it when nobody shares its weights, nothing when
    another name has the same manifest, unknown in between (the small layers' sizes are not listed)."""
    rest = [other for other in others if names.key(other.name) != names.key(model.name)]
    if any(other.digest == model.digest for other in rest):
        return 0
    if model.weights_digest is None or any(other.weights_digest == model.weights_digest for other in rest):
        return None
    return model.size_bytes


def report_health(view: ServerView, store: StoreStatus, *, live_downloads: int, version: str) -> HealthReport:
    """Down, degraded or ok, with what is known of both sides."""
    status: Literal["ok", "degraded", "down"] = "ok"
    if not view.reachable:
        status = "down"
    elif not store.available:
        status = "degraded"
    return HealthReport(
        status=status,
        version=version,
        ollama={
            "reachable": view.reachable,
            "version": view.version,
            "as_of_s": view.as_of_s,
            "error_code": view.error_code,
        },
        store={"kind": store.kind, "available": store.available, "pending": store.pending},
        live_downloads=live_downloads,
    )


def unavailable(view: ServerView) -> OllamaUnavailable:
    """The error for a server without an answer: it failed to, or was not asked yet."""
    if view.error_code is None and view.as_of_s is None:
        return OllamaUnavailable("Ollama was not asked yet. Ask again in a moment.", ollama_url=view.ollama_url)
    return OllamaUnavailable(
        "Ollama does not answer. Start it with `ollama serve`, or set OLLAMA_API_URL.", ollama_url=view.ollama_url
    )
