"""ElixiModels: the same mount as a Flask extension, with the manager at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..settings import Settings
from .options import Action, Options
from .state import AppState

if TYPE_CHECKING:
    from flask import Flask

    from ..manager import ModelManager
    from ..service import ModelService


class ElixiModels:
    """All routes of the package in one or several apps; takes what `create_blueprint` takes.

    `ElixiModels(app, brain=get_brain)` or `models = ElixiModels(brain=get_brain)` and later `models.init_app(app)`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        brain: object = None,
        mongodb: object = None,
        ollama_url: str | None = None,
        data_dir: str | Path | None = None,
        settings: Settings | Mapping[str, Any] | None = None,
        authorize: Callable[[Action], object] | None = None,
        wrap_brain: bool = True,
        name: str = "elixi_models",
        url_prefix: str = "/ai",
        service: ModelService | None = None,
    ) -> None:
        self._options = Options(brain, mongodb, ollama_url, data_dir, settings, authorize, wrap_brain, service)
        self._name = name
        self._url_prefix = url_prefix
        self._states: WeakKeyDictionary[object, AppState] = WeakKeyDictionary()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Add the routes to an app; its config is read at the first use, `ELIXI_MODELS_*` and the host's names.

        Raises:
            RuntimeError: the app has routes under this name already.
        """
        from .blueprint import EXTENSION, build_blueprint

        if self._name in app.extensions.get(EXTENSION, {}):
            raise RuntimeError(
                f"This app has {self._name!r} already. Call init_app once per app; for a second Ollama server "
                "make ElixiModels(name=..., url_prefix=...) with another name and prefix."
            )

        def make_state(config: Mapping[str, Any]) -> AppState:
            return AppState(self._options, config)

        app.register_blueprint(build_blueprint(self._name, self._url_prefix, make_state))
        self._states[app] = app.extensions[EXTENSION][self._name]

    @property
    def manager(self) -> ModelManager:
        """The ModelManager, built at its first use; needs no app context when there is one app.

        Raises:
            RuntimeError: no app yet, or several and none of them is running.
            ManagerUnavailable: it could not be built; the next call tries again.
        """
        return self._state().manager

    @property
    def service(self) -> ModelService:
        """The ModelService behind the routes; raises as `manager`."""
        return self._state().service

    def close(self) -> None:
        """Stop the threads and close the connections of all apps; idempotent. Their routes answer 503 afterwards."""
        for state in list(self._states.values()):
            state.close()

    def _state(self) -> AppState:
        states = list(self._states.values())
        if len(states) == 1:
            return states[0]
        if not states:
            raise RuntimeError(
                "ElixiModels has no app yet. Call init_app(app) first, or pass the app to ElixiModels()."
            )
        from flask import current_app, has_app_context

        state = self._states.get(current_app._get_current_object()) if has_app_context() else None  # type: ignore[attr-defined]
        if state is None:
            raise RuntimeError(
                "ElixiModels serves several apps. Use it inside `with app.app_context():` of one of them."
            )
        return state
