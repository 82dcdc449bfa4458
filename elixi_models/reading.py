"""ModelReader: what can be asked without changing anything; all from memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from . import __version__
from .assembly import Assembly
from .assignments import Assignments
from .conversation import Conversation
from .errors import NotFound, OllamaDisabled
from .inventory import ServerView
from .metrics.history import Bucket, ModelHistory, benchmarks_within, span_of
from .names import ModelName
from .records import TASKS, BenchmarkJob, Choice, DownloadJob, Reply, UsageEvent
from .reports import HealthReport, Inventory, StatusReport, report_health, report_status, take_inventory, unavailable
from .settings import Settings


class ModelReader:
    """The reading half of ModelService. Thread-safe; opens and starts nothing until the first verb.

    Args:
        settings: checked settings.
        brain: the host's OllamaAIBrain, or a callable that gives it.
        mongodb: a Database, a wrapper with `.db`, a callable giving either, a URI, or None for SQLite.
        wrap_brain: measure the brain's own replies by sending them through our gateway.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        brain: object = None,
        mongodb: object = None,
        wrap_brain: bool = True,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._wrap_brain = wrap_brain
        self._begun = False
        self.parts = Assembly(
            settings,
            brain=brain,
            mongodb=mongodb,
            clock=clock,
            monotonic=monotonic,
            sender=self,
        )
        self._conversation = Conversation(self.parts)

    def start(self) -> None:
        """Begin to watch the server and the store, and to measure the brain; idempotent, does not wait."""
        if self._begun:
            return
        self._begun = True
        self.parts.start()
        if self._wrap_brain and self.settings.ollama_enabled:
            self.parts.brain.wrap(
                reply=self._conversation.reply_for_brain, available=self._conversation.brain_can_reply
            )

    def close(self) -> None:
        """Stop all threads and close all connections; idempotent."""
        self.parts.close()

    def reset_after_fork(self) -> None:
        """In a forked child: forget the parent's threads, locks and connections."""
        self._begun = False
        self.parts.reset_after_fork()

    def available(self) -> Inventory:
        """Installed and installable models.

        Raises:
            OllamaDisabled, OllamaUnavailable: only when the server was never seen.
        """
        view = self._look()
        if view.as_of_s is None:
            self._require_enabled()
            raise unavailable(view)
        return take_inventory(self.parts.facts(view), self.parts.catalogue.installable(view.installed))

    def catalogue_alone(self) -> Inventory:
        """The same with nothing installed: what can be said while the server was never seen."""
        view = self.parts.observer.view
        return take_inventory(self.parts.facts(view), self.parts.catalogue.installable(view.installed))

    def active_model(self) -> str | None:
        """The active model in installed form, from memory."""
        return self.parts.active.current.model

    def install_path(self, job: DownloadJob) -> str | None:
        """Where the manifest of a downloaded model lies, None unless Ollama runs here and its folder is known."""
        return self.parts.folder.manifest_path(ModelName.parse(job.model))

    def status(self) -> StatusReport:
        """The active model and what is under way; answers with any server, also one never seen."""
        parts = self.parts
        view = self._look()
        parts.active.notice_brain()
        return report_status(
            parts.facts(view),
            now_s=self._clock(),
            pending=parts.switching.pending,
            last_failure=parts.switching.last_failure,
            downloads=parts.downloads.all(),
            supports=parts.catalogue.supports,
        )

    def health(self) -> HealthReport:
        """Whether Ollama and the store answer."""
        parts = self.parts
        live = sum(job.live for job in parts.downloads.all())
        return report_health(self._look(), parts.follower.status, live_downloads=live, version=__version__)

    def usage_history(
        self, *, limit: int = 100, before_s: float | None = None, model: ModelName | None = None
    ) -> list[UsageEvent]:
        """Who did what, newest first, at most 1,000 lines."""
        self.start()
        wanted = model.installed if model else None
        return self.parts.history.recent(limit=limit, before_s=before_s, model=wanted)

    def model_history(
        self,
        name: ModelName,
        *,
        from_s: float | None = None,
        to_s: float | None = None,
        bucket: Bucket | None = None,
        wait_s: float | None = None,
    ) -> ModelHistory:
        """A model over time, also one that is gone; waits for the store's thread at most `wait_s` (`switch_wait_s`).

        Raises:
            InvalidRequest: `from_s` is later than `to_s`, or `bucket` is none of the two.
        """
        self.start()
        installed = self.parts.observer.view.find(name.installed)
        span = span_of(
            installed.name if installed else name.installed,
            installed.weights_digest if installed else None,
            from_s=from_s,
            to_s=to_s,
            bucket=bucket,
            now_s=self._clock(),
        )
        history = self.parts.archive.recall(span, wait_s=self.settings.switch_wait_s if wait_s is None else wait_s)
        return replace(history, benchmarks=benchmarks_within(span, self.parts.benchmarks.all()))

    def best(self, task_type: str | None = None, prompt: str | None = None, *, needs: Sequence[str] = ()) -> str:
        """The installed name of the best model for a task; microseconds, from memory. Errors as of `recommend`."""
        self.start()
        return self._conversation.best(task_type, prompt, needs)

    def recommend(
        self, task_type: str | None = None, prompt: str | None = None, *, needs: Sequence[str] = ()
    ) -> Choice:
        """The best installed model for a task, with the reason; less than a millisecond, from memory.

        Args:
            needs: capabilities that the message takes, of `records.NEEDS` (`vision` for an image …).

        Raises:
            InvalidRequest: an unknown need.
            NoUsableModel: no installed model can take it.
        """
        self.start()
        return self._conversation.choose(task_type, prompt, needs)

    def chat(
        self,
        prompt: str,
        *,
        context: str = "",
        task_type: str | None = None,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Choose a model (unless named), ask it, measure it. Blocks for the reply; the active model stays.

        Raises:
            InvalidRequest: an empty or far too long prompt, or an invalid model name. What the server does is
                never raised: `text` is None then and `failure` says why.
        """
        self.start()
        return self._conversation.chat(prompt, context=context, task_type=task_type, model=model, timeout_s=timeout_s)

    def assignments(self) -> Assignments:
        """Which model the user set for which task, None where scores decide; and which each task gets now."""
        self.start()
        return self._with_choices(self.parts.assignments.current())

    def _with_choices(self, result: Assignments) -> Assignments:
        return replace(result, chosen={task: self.parts.selector.choose(task) for task in TASKS})

    def download_status(self, name: ModelName) -> DownloadJob:
        """The newest download of a model.

        Raises:
            NotFound: it was never downloaded through us.
        """
        self.start()
        job = self.parts.downloads.find(name)
        if job is None:
            raise NotFound(f"There is no download of {name.shown}.", model_name=name.shown)
        return job

    def downloads(self) -> list[DownloadJob]:
        """All downloads that are remembered, newest first."""
        self.start()
        return self.parts.downloads.all()

    def benchmark_status(self, name: ModelName | None = None) -> BenchmarkJob:
        """The newest benchmark, of one model or of all.

        Raises:
            NotFound: there is none.
        """
        self.start()
        job = self.parts.benchmarks.find(name.installed if name else None)
        if job is None:
            raise NotFound("There is no benchmark" + (f" of {name.shown}." if name else "."))
        return job

    def benchmarks(self) -> list[BenchmarkJob]:
        """All benchmarks that are remembered, newest first."""
        self.start()
        return self.parts.benchmarks.all()

    def _require_enabled(self) -> None:
        if not self.settings.ollama_enabled:
            raise OllamaDisabled("Ollama is switched off. Set OLLAMA_ENABLED=true to use it.")

    def _look(self) -> ServerView:
        self.start()
        return self.parts.look()
