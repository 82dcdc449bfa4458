"""Where the parts meet: built, wired to each other, started, stopped, and renewed in a forked child."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

from . import names
from .assessment import Assessment
from .assignments import TaskAssignments
from .benchmarks.jobs import BenchmarkQueue
from .catalogue.catalogue import Catalogue
from .chatting import Chat
from .downloads.jobs import DownloadQueue
from .elixi import BrainLink
from .errors import ElixiModelsError
from .inventory import InstalledModel, ServerView
from .metrics.archive import HistoryArchive
from .metrics.footprints import Footprints
from .metrics.recorder import MetricsRecorder
from .metrics.summaries import Summaries
from .metrics.usage import UsageHistory
from .records import ActiveModel, BenchmarkJob, DownloadJob
from .removal import Removal
from .reports import Facts
from .selection import prior
from .selection.snapshot import SelectionInputs, Selector
from .settings import Settings
from .signals import announce
from .store.base import Store
from .store.cache import PerformanceCache
from .store.following import StoreFollower
from .store.opening import open_store
from .store.retention import LOOK_S, Retention
from .switching.active import ActiveChoice
from .switching.loading import ModelSwitch
from .upstream.folder import ModelFolder
from .upstream.gateway import OllamaGateway
from .upstream.observer import Observer
from .upstream.resources import ResourceMonitor

_RESUME_S = 1.0
_FIRST_LOOK_S = 0.9
_SHORT_FIRST_LOOK_S = 0.3


class Assembly:
    """The parts of one service for one Ollama server, as public attributes.

    Building opens, reads and starts nothing; `start` does, once, from any thread, without waiting.

    Args:
        sender: whom the signals name as their sender.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        brain: object,
        mongodb: object,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        sender: object,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.last_explicit_switch_s = 0.0
        self.switch_wishes_s: dict[str, float] = {}
        self._sender = sender
        self.brain = BrainLink(brain)
        self.catalogue = Catalogue()
        self.folder = ModelFolder(settings)
        self.selector = Selector(clock=clock)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._rebuilding = threading.Lock()
        self._started = False
        self._build_sources(mongodb)
        self._build_figures()
        self._build_choices()
        self._build_jobs()
        self._wire()

    def _build_sources(self, mongodb: object) -> None:
        settings, clock, monotonic = self.settings, self.clock, self._monotonic
        self.gateway = OllamaGateway(settings)
        self.observer = Observer(self.gateway, settings, clock=clock, monotonic=monotonic)
        self.resources = ResourceMonitor(settings, monotonic=monotonic)
        self.store: Store = open_store(settings, mongodb)
        self.follower = StoreFollower(self.store, settings, clock=clock, monotonic=monotonic)

    def _build_figures(self) -> None:
        settings, clock = self.settings, self.clock
        self.summaries = Summaries(settings.ollama_url, clock=clock)
        self.cache = PerformanceCache(follower=self.follower, settings=settings, clock=clock)
        self.footprints = Footprints(cache=self.cache, summarise=self.summaries.summary)
        self.recorder = MetricsRecorder(
            follower=self.follower,
            settings=settings,
            owner=self._owner,
            summaries=self.summaries,
            clock=clock,
            machine=self.footprints,
            measured_at=lambda at_s: self.benchmarks.scores_at(at_s),
        )
        self.archive = HistoryArchive(follower=self.follower, settings=settings, clock=clock, monotonic=self._monotonic)
        self.history = UsageHistory(follower=self.follower, ollama_url=settings.ollama_url, clock=clock)
        self.chat = Chat(
            gateway=self.gateway,
            observer=self.observer,
            settings=settings,
            record=self.recorder.record,
            clock=clock,
            monotonic=self._monotonic,
        )

    def _build_choices(self) -> None:
        settings, clock = self.settings, self.clock
        self.active = ActiveChoice(
            follower=self.follower,
            observer=self.observer,
            brain=self.brain,
            settings=settings,
            clock=clock,
            on_switched=self._switched,
        )
        self.switching = ModelSwitch(
            gateway=self.gateway,
            observer=self.observer,
            active=self.active,
            settings=settings,
            clock=clock,
            monotonic=self._monotonic,
        )
        self.assignments = TaskAssignments(
            follower=self.follower,
            observer=self.observer,
            ollama_url=settings.ollama_url,
            on_changed=self.rebuild_selection,
        )
        self.removal = Removal(gateway=self.gateway, observer=self.observer, monotonic=self._monotonic)

    def _build_jobs(self) -> None:
        self.downloads = DownloadQueue(
            store=self.store,
            follower=self.follower,
            gateway=self.gateway,
            observer=self.observer,
            settings=self.settings,
            owner=self._owner,
            clock=self.clock,
            monotonic=self._monotonic,
            on_finished=self._downloaded,
        )
        self.benchmarks = BenchmarkQueue(
            store=self.store,
            follower=self.follower,
            gateway=self.gateway,
            observer=self.observer,
            chat=self.chat,
            settings=self.settings,
            owner=self._owner,
            clock=self.clock,
            monotonic=self._monotonic,
            on_finished=self._benchmarked,
            memory_bytes=lambda model: self.facts(self.observer.view).memory_bytes(model),
            wanted=lambda name: name == self.active.current.model,
            prior=prior.estimate,
            machine=self.resources.machine,
            fits=self.selector.has_room,
        )
        self.assessment = Assessment(self.benchmarks.known)

    def _wire(self) -> None:
        self.observer.subscribe(self._observed)
        self.follower.every(_RESUME_S, lambda store: self.downloads.resume())
        self.follower.every(_RESUME_S, lambda store: self._follow_benchmarks())
        self.follower.every(self.settings.store_follow_s, lambda store: self.active.notice_brain())
        self.follower.every(LOOK_S, Retention(self.settings, clock=self.clock, monotonic=self._monotonic).look)

    def start(self) -> None:
        """Start the threads that watch the server and the store, and bring the stored choice back; returns at once."""
        if self._started:
            return
        with self._lock:
            if self._started:
                return
            self._started = True
        self.follower.start()
        if self.settings.ollama_enabled:
            self.observer.ask(0)
        self.active.restore()

    def look(self) -> ServerView:
        """The last look at the server; waits only for the very first, which also imports the client library.

        At most 0.9 s, or 0.3 s where requests may hardly wait (a short `switch_wait_s`: one thread serves all).
        """
        return self.observer.ask(min(_FIRST_LOOK_S, max(_SHORT_FIRST_LOOK_S, self.settings.switch_wait_s)))

    def facts(self, view: ServerView) -> Facts:
        """The memory that reports are made of, around one view of the server."""
        return Facts(
            view=view,
            active=self.active.current,
            resources=self.resources.latest,
            summarise=self.summaries.summary,
            classify=self.catalogue.classify,
            footprints=self.footprints.latest,
            assess=self.assessment.assess,
        )

    def rebuild_selection(self) -> None:
        """Make the snapshot that choices are read from anew; about a millisecond, never on a request's thread."""
        with self._rebuilding:
            self.assessment.refresh()
            view = self.observer.view
            summaries = {model.name: self.summaries.summary(model) for model in view.installed}
            self.selector.rebuild(
                SelectionInputs(
                    view=view,
                    summaries=summaries,
                    assignments=self.assignments.effective(),
                    resources=self.resources.latest,
                    allow_cloud=self.settings.allow_cloud_models,
                    active=self.active.current.model,
                    calls={it.name: self.summaries.recent(it) for it in view.installed if summaries[it.name].requests},
                    now_s=self.clock(),
                    measured=self.assessment.scores_by_name(view.installed),
                    preferred=self._preferred(view),
                )
            )

    def _preferred(self, view: ServerView) -> str | None:
        """The installed name of the model that the settings prefer, in whatever spelling they have it."""
        model = view.find(self.settings.preferred_model) if self.settings.preferred_model else None
        return model.name if model else None

    def _observed(self, view: ServerView) -> None:
        self.resources.refresh(view)
        self.footprints.note(view, self.resources.latest)
        self.rebuild_selection()

    def _follow_benchmarks(self) -> None:
        """A benchmark of another process, or of an earlier run, may have changed the scores."""
        if self.assessment.refresh():
            self.rebuild_selection()

    def _switched(self, active: ActiveModel) -> None:
        self.history.record("switch", active.model, "ok", user=active.user, previous=active.previous)
        self.rebuild_selection()
        announce("model_switched", self._sender, model=active.model, previous=active.previous)

    def _downloaded(self, job: DownloadJob) -> None:
        outcome = job.failure.code if job.failure else job.state
        self.history.record("download", job.model, outcome, user=job.user)
        model = self.observer.view.find(job.model)
        wished_at_s = self.switch_wishes_s.pop(names.key(job.model), job.created_at_s)
        # Somebody who switched after asking for this download, here or in another process, has changed their mind.
        overtaken = wished_at_s < max(self.last_explicit_switch_s, self.active.current.since_s or 0.0)
        if job.auto_switch and job.state == "installed" and model is not None and not overtaken:
            self.switch_automatically(model, job.user)
        announce("download_finished", self._sender, job=job)

    def switch_automatically(self, model: InstalledModel, user: str | None) -> None:
        """Switch because a download asked for it; nobody waits, a refusal goes into the usage history."""
        try:
            self.switching.switch(model, wait_s=0.0, user=user, automatic=True)
        except ElixiModelsError as exc:
            self.history.record("switch", model.name, exc.code, user=user)

    def _benchmarked(self, job: BenchmarkJob) -> None:
        self.history.record("benchmark", job.model, job.state, user=job.user)
        self.rebuild_selection()
        announce("benchmark_finished", self._sender, job=job)

    def close(self) -> None:
        """Stop every thread, write what is queued, close every connection; idempotent, at most a few seconds."""
        self.brain.unwrap()
        self.removal.close()
        for part in (self.downloads, self.switching, self.benchmarks, self.observer, self.follower, self.gateway):
            part.close()
        self.store.close()

    def reset_after_fork(self) -> None:
        """In a forked child: forget the parent's threads, locks and connections; the next request starts anew."""
        self._lock = threading.Lock()
        self._rebuilding = threading.Lock()
        self._started = False
        for part in vars(self).values():
            if part is not self._sender and hasattr(part, "reset_after_fork"):
                part.reset_after_fork()
