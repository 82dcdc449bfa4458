"""Model names: checked before Ollama sees them, compared in one form, shown in another.

The grammar is Ollama's own (`types/model/name.go`): `[host/][namespace/]model[:tag]`, ASCII,
with `registry.ollama.ai`, `library` and `latest` as defaults.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .errors import InvalidRequest

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
MAX_NAME_CHARS = 256
#: The same few names are compared and shown at every poll.
_REMEMBERED = 4096

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}\Z")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}\Z")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z")


@dataclass(frozen=True, slots=True)
class ModelName:
    """A valid model name in its four parts, spelled as given.

    `key` is what names are compared by: Ollama resolves them without regard to case.
    """

    host: str
    namespace: str
    model: str
    tag: str

    @classmethod
    def parse(cls, raw: object, *, field: str = "model_name") -> ModelName:
        """Check and split a name.

        Args:
            raw: What the caller sent; surrounding white space is forgiven, as Ollama does.
            field: The request field to name in the error.

        Raises:
            InvalidRequest: not a string, empty, over 256 characters, or not in Ollama's grammar.
        """
        if raw is None:
            raise InvalidRequest(f"{field} is required", field=field, reason="missing")
        if not isinstance(raw, str):
            raise InvalidRequest(f"{field} must be a string", field=field, reason="type")
        text = raw.strip()
        if not text:
            raise InvalidRequest(f"{field} is required", field=field, reason="empty")
        if len(text) > MAX_NAME_CHARS:
            raise InvalidRequest(f"{field} is longer than {MAX_NAME_CHARS} characters", field=field, reason="length")
        name = cls._split(text)
        if name is None:
            raise InvalidRequest(
                f"{field} is not a valid model name: expected [host/][namespace/]model[:tag]",
                field=field,
                reason="syntax",
            )
        return name

    @classmethod
    def _split(cls, text: str) -> ModelName | None:
        tag = DEFAULT_TAG
        # A colon before the last slash belongs to the host's port.
        if text.rfind(":") > text.rfind("/"):
            text, _, tag = text.rpartition(":")
        parts = text.split("/")
        if len(parts) > 3:
            return None
        model = parts[-1]
        namespace = parts[-2] if len(parts) > 1 else DEFAULT_NAMESPACE
        host = parts[0] if len(parts) > 2 else DEFAULT_HOST
        valid = _HOST.match(host) and _NAMESPACE.match(namespace) and _PART.match(model) and _PART.match(tag)
        return cls(host, namespace, model, tag) if valid else None

    @property
    def installed(self) -> str:
        """The form in which Ollama lists it: default host and namespace dropped, the tag always there."""
        return f"{self._path}:{self.tag}"

    @property
    def shown(self) -> str:
        """The form in our answers: as `installed`, without `:latest`."""
        return self._path if self.tag.lower() == DEFAULT_TAG else self.installed

    @property
    def key(self) -> str:
        """The form names are compared and stored by: `installed` in lower case."""
        return self.installed.lower()

    @property
    def family(self) -> str:
        """The name without its tag, in lower case: `llama3.2` of `llama3.2:1b`; library families have no slash."""
        return self._path.lower()

    @property
    def is_cloud(self) -> bool:
        """True for names that Ollama forwards to its cloud: `x:cloud` and `x:…-cloud`."""
        tag = self.tag.lower()
        return tag == "cloud" or tag.endswith("-cloud")

    @property
    def _path(self) -> str:
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{self.model}"
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}"
        return self.model


@lru_cache(maxsize=_REMEMBERED)
def shown(installed_name: str) -> str:
    """The shown form of a name that Ollama itself listed; never fails.

    A listed name that our grammar does not know is shown as it is, so that no model disappears.
    """
    name = ModelName._split(installed_name)
    return installed_name if name is None else name.shown


@lru_cache(maxsize=_REMEMBERED)
def key(installed_name: str) -> str:
    """The comparison form of a name that Ollama itself listed; never fails."""
    name = ModelName._split(installed_name)
    return installed_name.lower() if name is None else name.key


@lru_cache(maxsize=_REMEMBERED)
def family(installed_name: str) -> str:
    """The library family of a listed name in lower case; names of other registries or namespaces are their own."""
    name = ModelName._split(installed_name)
    if name is None:
        return installed_name.lower()
    return name.family
