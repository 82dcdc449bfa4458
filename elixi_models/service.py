"""ModelService: all verbs for one Ollama server. Typed; reads memory, hands work to threads, raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import names
from .assignments import Assignments
from .errands import Errand
from .errors import ModelActive, ModelNotInstalled
from .inventory import InstalledModel
from .names import ModelName
from .reading import ModelReader
from .records import Activation, BenchmarkJob, DownloadJob
from .reports import Deletion, Unloading, freed_bytes, unavailable


class ModelService(ModelReader):
    """Everything this package does, for one Ollama server: the reader's verbs and those that act.

    Verbs that act hand the work to a thread and wait at most `wait_s` (default `settings.switch_wait_s`) for its
    outcome, then say what is under way. Besides the errors that each names, every verb that acts on the server
    raises OllamaDisabled or OllamaUnavailable.
    """

    def switch(
        self, name: ModelName, *, auto_pull: bool = False, user: str | None = None, wait_s: float | None = None
    ) -> Activation:
        """Make a model the active one; the old one serves until the new one is loaded.

        Raises:
            ModelNotInstalled: without `auto_pull`.
            CannotChat, LoadFailed, OutOfMemory, OllamaTimeout: when known within the wait.
        """
        wait = self._wait(wait_s)
        self.parts.last_explicit_switch_s = self._clock()
        try:
            model = self._installed(name, wait, remedy="Download it first, or send auto_pull: true.")
        except ModelNotInstalled:
            if not auto_pull:
                raise
            job = self.download(name, auto_switch=True, user=user, wait_s=wait)
            active = self.parts.active.current
            return Activation("downloading", active.model, active.previous, name.installed, download=job)
        return self.parts.switching.switch(model, wait_s=wait, user=user)

    def set_active_model(self, name: str | None) -> None:
        """Name the active model without loading it, as the host does by assigning `brain.model`; waits for the store.

        Raises:
            InvalidRequest: not a model name.
        """
        self.start()
        self.parts.active.commit(ModelName.parse(name).installed)

    def download(
        self,
        name: ModelName,
        *,
        auto_switch: bool = False,
        restart: bool = False,
        update: bool = False,
        force: bool = False,
        user: str | None = None,
        wait_s: float | None = None,
    ) -> DownloadJob:
        """Start a pull, or tell about the one that runs.

        Raises:
            RegistryNotAllowed: before anything happens.
            ModelNotFound, RegistryUnreachable, RegistryDenied, InsufficientStorage: when known within the wait.
        """
        self._require_enabled()
        self.start()
        if auto_switch:
            self.parts.switch_wishes_s[name.key] = self._clock()
        job = self.parts.downloads.start(
            name,
            auto_switch=auto_switch,
            restart=restart,
            update=update,
            force=force,
            user=user,
            wait_s=self._wait(wait_s),
        )
        # A job that was to switch has done so at its end; what was there already, nobody has switched to.
        if auto_switch and job.state == "installed" and (job.attempt == 0 or not job.auto_switch):
            model = self.parts.observer.view.find(job.model)
            if model is not None:
                self.parts.switch_automatically(model, user)
        return job

    def cancel_download(self, name: ModelName, *, user: str | None = None) -> DownloadJob:
        """Stop a download; what came stays on the server and a later pull goes on from there.

        Raises:
            NotFound: there is none.
        """
        self.start()
        return self.parts.downloads.cancel(name, user=user)

    def unload(self, name: ModelName, *, user: str | None = None, wait_s: float | None = None) -> Unloading:
        """Take a model out of memory; `stopping` while it still answers somebody.

        Raises:
            ModelNotInstalled: there is no such model.
        """
        model = self._installed(name, self._wait(wait_s))
        gone = Errand("unload", lambda: self.parts.removal.unload(model)).outcome(self._wait(wait_s))
        self.parts.history.record("unload", model.name, "ok", user=user)
        return Unloading(model.name, "unloaded" if gone else "stopping")

    def delete(
        self, name: ModelName, *, force: bool = False, user: str | None = None, wait_s: float | None = None
    ) -> Deletion:
        """Remove a model from the disk, out of memory first.

        Raises:
            ModelNotInstalled: there is no such model.
            ModelActive: it is the active one and `force` is not set.
        """
        model = self._installed(name, self._wait(wait_s))
        active = self.parts.active.current.model
        if active is not None and names.key(active) == names.key(model.name) and not force:
            raise ModelActive(
                f"{name.shown} is the active model. Switch to another one first, or send force: true.",
                model_name=name.shown,
            )
        view = self.parts.observer.view
        freed = freed_bytes(model, view.installed)

        def remove() -> bool:
            self.parts.removal.delete(model, view)
            self.parts.history.record("delete", model.name, "ok", user=user, freed_bytes=freed)
            return True

        done = Errand("delete", remove).outcome(self._wait(wait_s))
        return Deletion(model.name, "deleted" if done else "deleting", freed)

    def benchmark(
        self,
        name: ModelName,
        *,
        suite: str = "quick",
        num_prompts: int | None = None,
        test_prompts: Sequence[str | Mapping[str, object]] | None = None,
        user: str | None = None,
        wait_s: float | None = None,
    ) -> BenchmarkJob:
        """Measure a model in the background.

        Raises:
            ModelNotInstalled, CannotChat, BenchmarkRunning, InvalidRequest.
        """
        model = self._installed(name, self._wait(wait_s))
        return self.parts.benchmarks.start(
            model, suite=suite, num_prompts=num_prompts, test_prompts=test_prompts, user=user
        )

    def cancel_benchmark(self, *, user: str | None = None) -> BenchmarkJob:
        """Stop the running benchmark within a second; what was measured is kept.

        Raises:
            NotFound: there is none.
        """
        self.start()
        return self.parts.benchmarks.cancel(user=user)

    def assign(
        self, changes: Mapping[str, str | None], *, user: str | None = None, wait_s: float | None = None
    ) -> Assignments:
        """Set or clear (None) the model of some tasks; they beat scores and survive restarts.

        Raises:
            InvalidRequest: an unknown task or an invalid name.
        """
        self.start()
        result = self.parts.assignments.change(changes, wait_s=self._wait(wait_s))
        for task in changes:
            self.parts.history.record("assign", result.tasks[task], "ok", user=user, task=task)
        return self._with_choices(result)

    def _wait(self, wait_s: float | None) -> float:
        return self.settings.switch_wait_s if wait_s is None else wait_s

    def _installed(self, name: ModelName, wait_s: float, remedy: str = "Download it first.") -> InstalledModel:
        self._require_enabled()
        view = self._look()
        if not view.reachable or view.find(name.installed) is None:
            # The last look may be up to two seconds old: a model pulled elsewhere, a server just back.
            view = self.parts.observer.refresh(min(wait_s, 1.0))
        model = view.find(name.installed)
        if model is None and not view.reachable:
            raise unavailable(view)
        if model is None:
            raise ModelNotInstalled(f"Model {name.shown} is not installed. {remedy}", model_name=name.shown)
        return model
