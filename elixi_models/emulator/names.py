"""Model names as an Ollama server reads them: parsing, the shown form, and when two names mean the same model."""

from __future__ import annotations

import re
from dataclasses import dataclass

REGISTRY = "registry.ollama.ai"
LIBRARY = "library"

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}\Z")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}\Z")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class InvalidName(ValueError):
    """What was given is not a model name."""


@dataclass(frozen=True, slots=True)
class Name:
    """A whole model name, every part of it known."""

    host: str
    namespace: str
    model: str
    tag: str

    @classmethod
    def parse(cls, raw: str) -> Name:
        """Read `[host/][namespace/]model[:tag]`; anything else raises `InvalidName`."""
        rest = _SCHEME.sub("", raw.strip(), count=1)
        tag = "latest"
        if rest.rfind(":") > rest.rfind("/"):
            rest, _, tag = rest.rpartition(":")
        parts = rest.split("/")
        if len(parts) > 3:
            raise InvalidName(raw)
        host, namespace, model = (REGISTRY, LIBRARY, "")[: 3 - len(parts)] + tuple(parts)
        if not (_HOST.match(host) and _NAMESPACE.match(namespace) and _PART.match(model) and _PART.match(tag)):
            raise InvalidName(raw)
        return cls(host, namespace, model, tag)

    @property
    def full(self) -> str:
        """The name with its registry, as some error texts have it."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def shown(self) -> str:
        """The name as the server lists it: the registry and `library` are left out, the tag never is."""
        if self.host.lower() != REGISTRY:
            return self.full
        if self.namespace.lower() != LIBRARY:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def key(self) -> str:
        """Equal for names that mean the same model: a server compares them without regard to case."""
        return self.full.lower()
