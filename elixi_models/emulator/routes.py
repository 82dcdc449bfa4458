"""Which function answers which path and method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from . import inference, listing, managing
from .answers import Answer, Call, Plain, Route
from .bodies import body_of
from .machine import Machine
from .versions import Version

_POSTS: Mapping[str, Route] = {
    "generate": inference.generate,
    "chat": inference.chat,
    "embed": inference.embed,
    "show": listing.show,
    "pull": managing.pull,
    "create": managing.create,
    "copy": managing.copy,
}
_GETS: Mapping[str, Route] = {
    "/": listing.root,
    "/api/version": listing.version,
    "/api/tags": listing.tags,
    "/api/ps": listing.ps,
    "/v1/models": listing.v1_models,
}
_CLOUD_GETS: Mapping[str, Route] = {
    "/api/status": listing.status,
    "/api/experimental/model-recommendations": listing.recommendations,
}
_HEADS = frozenset({"/", "/api/version", "/api/tags"})
_PREFIXES: Mapping[str, Route] = {"/v2/": listing.registry, "/v1/models/": listing.v1_model}


class Found(NamedTuple):
    """What answers a request, and whose body it takes."""

    route: Route
    task: str | None = None


def found(version: Version, method: str, path: str) -> Found | Plain:
    """The route of a request, or the refusal of a path or a method."""
    for prefix, route in _PREFIXES.items():
        if path.startswith(prefix) and method in ("GET", "HEAD"):
            return Found(route)
    allowed = _methods(version, path)
    if not allowed:
        return Plain(b"404 page not found", 404, "text/plain")
    if method not in allowed:
        return Plain(b"405 method not allowed", 405, "text/plain", {"Allow": ", ".join(allowed)})
    return allowed[method]


def answer(machine: Machine, way: Found, call: Call, raw: bytes) -> Answer:
    """The route's answer to a request, its body read first."""
    body = body_of(way.task, raw) if way.task else {}
    return way.route(machine, Call(call.method, call.path, body, call.abort))


def _methods(version: Version, path: str) -> dict[str, Found]:
    task = path.removeprefix("/api/")
    if path == "/api/delete":
        return {"DELETE": Found(managing.delete, "delete")}
    if path.startswith("/api/") and task in _POSTS:
        return {"POST": Found(_POSTS[task], task)}
    route = _GETS.get(path) or (_CLOUD_GETS.get(path) if version.has_cloud_routes else None)
    if route is None:
        return {}
    ways = {"GET": Found(route)}
    return {**ways, "HEAD": Found(route)} if path in _HEADS else ways
