"""What differs from one version of Ollama to the next, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple


class Told(NamedTuple):
    """A refusal: the status and the text, with `{name}` as it was asked for and `{tagged}` with its tag."""

    status: int
    text: str


class NameErrors(NamedTuple):
    """What an endpoint says of a name that is empty, no name at all, or of no installed model."""

    empty: Told
    invalid: Told
    missing: Told


_REQUIRED = Told(400, "model is required")
_INVALID = Told(400, "invalid model name")
_NOT_FOUND = Told(404, "model '{name}' not found")
_NOT_FOUND_TAGGED = Told(404, "model '{tagged}' not found")
_PULL_FIRST = Told(404, 'model "{name}" not found, try pulling it first')
_DELETE_INVALID = Told(400, 'name "{name}" is invalid')
_COPY_INVALID = Told(400, 'source "{name}" is invalid')

_NEW_NAMES: Mapping[str, NameErrors] = MappingProxyType(
    {
        "generate": NameErrors(_NOT_FOUND, _INVALID, _NOT_FOUND),
        "chat": NameErrors(_REQUIRED, _INVALID, _NOT_FOUND),
        "embed": NameErrors(_NOT_FOUND, _INVALID, _PULL_FIRST),
        "show": NameErrors(_REQUIRED, _INVALID, _NOT_FOUND),
        "pull": NameErrors(_INVALID, _INVALID, _INVALID),
        "create": NameErrors(_INVALID, _INVALID, _NOT_FOUND),
        "delete": NameErrors(_REQUIRED, _DELETE_INVALID, _NOT_FOUND),
        "copy": NameErrors(_COPY_INVALID, _COPY_INVALID, Told(404, 'model "{name}" not found')),
    }
)
_OLD_NAMES: Mapping[str, NameErrors] = MappingProxyType(
    {
        **_NEW_NAMES,
        "generate": NameErrors(_NOT_FOUND, _NOT_FOUND, _NOT_FOUND),
        "chat": NameErrors(_REQUIRED, _REQUIRED, _PULL_FIRST),
        "embed": NameErrors(_PULL_FIRST, _PULL_FIRST, _PULL_FIRST),
        "show": NameErrors(_REQUIRED, Told(500, "invalid model path"), _NOT_FOUND),
        "delete": NameErrors(_DELETE_INVALID, _DELETE_INVALID, _NOT_FOUND),
    }
)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the server."""

    number: str
    names: Mapping[str, NameErrors]

    no_thinking: str
    """Said of a model that cannot think; `{name}` as asked for, `{full}` with its registry."""
    file_missing: Told
    """Said of a model whose weights are gone from the disk."""
    file_truncated: str
    """Said of a model whose weights are cut short; `{path}`, `{block}`, `{end}` and `{size}` are known."""
    denied_401: str
    """Said when the registry answers 401 and names no realm."""

    has_cloud_routes: bool
    """Whether `/api/status` and the recommendations are there."""
    lists_lengths: bool
    """Whether `/api/tags` tells capabilities, context length and embedding length."""
    ps_context: bool
    """Whether `/api/ps` tells the context length."""
    ps_size_known: bool
    """Whether `/api/ps` tells a size without a GPU; where it does not, it says 0."""
    ps_last_alias: bool
    """Whether `/api/ps` names the alias used last; else the one that was loaded."""
    chat_embeds: bool
    """Whether a chat model also embeds."""
    reason_first: bool
    """Whether chat answers have `done_reason` before `done`."""

    least_layer_s: float
    """A layer that is fetched takes at least so long, however small it is."""
    least_eval_ns: int
    """The shortest time told for the first token; 0 is left out of the answer."""
    unload_lag_s: float
    """How long a model that was told to go is still listed."""
    clears_for_context: bool
    """Whether a context beyond the model's own counts as too much memory and makes all others go."""
    ordered_eviction: bool
    """Whether models of equal keep-alive go in the order of their files; else in no order."""


_V33 = Version(
    number="0.33.0",
    names=MappingProxyType({**_NEW_NAMES, "show": NameErrors(_REQUIRED, _INVALID, _NOT_FOUND_TAGGED)}),
    no_thinking='"{name}" does not support thinking',
    file_missing=_PULL_FIRST,
    file_truncated='tensor "blk.{block}.ffn_up.weight" offset+size ({end}) exceeds file size ({size})',
    denied_401='realm host "" does not match original host "{host}"',
    has_cloud_routes=True,
    lists_lengths=True,
    ps_context=True,
    ps_size_known=False,
    ps_last_alias=False,
    chat_embeds=False,
    reason_first=False,
    least_layer_s=0.04,
    least_eval_ns=1_000,
    unload_lag_s=0.0,
    clears_for_context=False,
    ordered_eviction=True,
)
_V24 = replace(
    _V33,
    number="0.24.0",
    names=_NEW_NAMES,
    file_missing=Told(400, '"{name}" does not support {task}'),
    lists_lengths=False,
    ps_size_known=True,
    chat_embeds=True,
    least_layer_s=1.0,
    least_eval_ns=0,
)
_V9 = replace(
    _V24,
    number="0.9.6",
    names=_OLD_NAMES,
    no_thinking="{full} does not support thinking",
    file_truncated="unable to load model: {path}",
    denied_401='Get "?nonce={nonce}&scope=&service=&ts={seconds}": unsupported protocol scheme ""',
    has_cloud_routes=False,
    ps_context=False,
    ps_last_alias=True,
    reason_first=True,
    least_eval_ns=1_000,
    unload_lag_s=0.3,
    clears_for_context=True,
    ordered_eviction=False,
)

VERSIONS: Mapping[str, Version] = MappingProxyType({version.number: version for version in (_V9, _V24, _V33)})
"""The versions that can be emulated, oldest first."""


def version_of(number: str) -> Version:
    """The version of that number; an unknown one raises `ValueError` naming those there are."""
    try:
        return VERSIONS[number]
    except KeyError:
        raise ValueError(f"unknown Ollama version {number!r}; there are {', '.join(VERSIONS)}") from None
