"""What a mount is given by its host: the same for the blueprint, the extension and `attach`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..elixi import BrainLink
from ..settings import DEFAULT_URL, Settings

if TYPE_CHECKING:
    from ..service import ModelService

Action = Literal["read", "operate", "admin"]


@dataclass(frozen=True, slots=True)
class Options:
    """Arguments of a mount.

    Args:
        brain: the host's OllamaAIBrain, or a callable that gives it.
        mongodb: a Database, a wrapper with `.db`, a callable giving either, a URI, or None for SQLite.
        ollama_url: the server; wins over every setting.
        data_dir: folder of the SQLite file; wins over every setting.
        settings: a Settings, taken as it is, or fields by name, which win over the environment and `app.config`.
        authorize: called with "read", "operate" or "admin" inside the request; gives the user's name or None.
        wrap_brain: measure the brain's own replies by sending them through our gateway.
        service: a ready service instead of one built from the rest.
        longest_wait_s: cap of `switch_wait_s`, for hosts where one thread serves everybody.
    """

    brain: object = None
    mongodb: object = None
    ollama_url: str | None = None
    data_dir: str | Path | None = None
    settings: Settings | Mapping[str, Any] | None = None
    authorize: Callable[[Action], object] | None = None
    wrap_brain: bool = True
    service: ModelService | None = None
    longest_wait_s: float | None = None

    def read_settings(self, config: Mapping[str, Any]) -> Settings:
        """All settings, from the environment, the app's config and these options.

        Raises:
            InvalidSetting: naming the key.
        """
        if self.service is not None:
            return self.service.settings
        given = {"ollama_url": self.ollama_url, "data_dir": self.data_dir}
        if isinstance(self.settings, Settings):
            settings = Settings.load({}, **{**_fields(self.settings), **_present(given)})
        else:
            settings = Settings.load(config=config, **{**(self.settings or {}), **_present(given)})
        if settings.ollama_url == DEFAULT_URL:
            # Nobody named a server: the one that the host's brain talks to, so that both see the same models.
            settings = replace(settings, ollama_url=BrainLink(self.brain).server_url() or DEFAULT_URL)
        if self.longest_wait_s is not None:
            settings = replace(settings, switch_wait_s=min(settings.switch_wait_s, self.longest_wait_s))
        return settings

    def build_service(self, settings: Settings) -> ModelService:
        """The given service, or a new one; opens and starts nothing."""
        if self.service is not None:
            return self.service
        # Imported here: a host that only mounts us pays for the features when they are first used.
        from ..service import ModelService

        return ModelService(settings, brain=self.brain, mongodb=self.mongodb, wrap_brain=self.wrap_brain)


def _present(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _fields(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}
