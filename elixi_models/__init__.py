"""Full command of local Ollama models for a Flask app."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import ElixiModelsError
    from .manager import ModelManager, create_model_manager
    from .service import ModelService
    from .settings import Settings
    from .web.attach import attach
    from .web.blueprint import create_blueprint
    from .web.extension import ElixiModels

__version__ = "0.1.0"

__all__ = [
    "ElixiModels",
    "ElixiModelsError",
    "ModelManager",
    "ModelService",
    "Settings",
    "attach",
    "create_blueprint",
    "create_model_manager",
]

_HOMES = {
    "ElixiModels": ".web.extension",
    "ElixiModelsError": ".errors",
    "ModelManager": ".manager",
    "ModelService": ".service",
    "Settings": ".settings",
    "attach": ".web.attach",
    "create_blueprint": ".web.blueprint",
    "create_model_manager": ".manager",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
