"""Endpoint: one route as data, so that routing, checking and documentation cannot disagree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .options import Action
from .payloads import NOTHING
from .responses import Answer
from .schemas import Schema

if TYPE_CHECKING:
    from ..service import ModelService


@dataclass(frozen=True, slots=True)
class Call:
    """One admitted and checked request. `fields` are those of its body or query string; `user` comes from the host."""

    service: ModelService
    fields: Mapping[str, Any] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path under the prefix, its method, what the caller must be allowed to do, and the fields it takes.

    A GET takes its fields from the query string, the others from a JSON body.
    """

    path: str
    method: Literal["GET", "POST", "PUT"]
    action: Action
    answer: Callable[[Call], Answer]
    schema: Schema = field(default_factory=lambda: NOTHING)

    @property
    def name(self) -> str:
        """Flask's endpoint name: `get_model_status`."""
        return f"{self.method.lower()}_{self.path.replace('-', '_')}"
