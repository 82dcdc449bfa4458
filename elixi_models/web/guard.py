"""Who may change something: requests that name a trusted host, come from no foreign page, and are authorised."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from werkzeug.exceptions import HTTPException

from ..errors import Forbidden, HostNotAllowed, OriginNotAllowed
from .options import Action

if TYPE_CHECKING:
    from flask import Request

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_source(request: Request, *, trusted_hosts: Iterable[str], allowed_origins: Iterable[str]) -> None:
    """Refuse a state-changing request that a foreign web page could have sent; reading ones always pass.

    A page of another origin needs no permission to send a POST, and a name that its owner points at this machine
    (DNS rebinding) makes his page same-origin: hence both checks. Programs send no Origin and pass.

    Raises:
        HostNotAllowed: the Host is no loopback name, no IP address and not trusted.
        OriginNotAllowed: the Origin is neither the request's own nor allowed; `null` never is.
    """
    if request.method in SAFE_METHODS:
        return
    host = request.environ.get("HTTP_HOST", "")
    if host and not is_trusted(host, trusted_hosts):
        raise HostNotAllowed(
            "Requests that change something must name this machine by a trusted name. "
            "Add the name to ELIXI_MODELS_TRUSTED_HOSTS or to Flask's TRUSTED_HOSTS.",
            setting="ELIXI_MODELS_TRUSTED_HOSTS",
        )
    origin = request.headers.get("Origin")
    if origin is None:
        return
    own = _origin(f"{request.scheme}://{host}")
    if _origin(origin) is None or (_origin(origin) != own and _origin(origin) not in map(_origin, allowed_origins)):
        raise OriginNotAllowed(
            "Pages of another origin may not change anything here. Add the origin to "
            "ELIXI_MODELS_ALLOWED_ORIGINS; behind a proxy, see to it that scheme and Host are passed on.",
            setting="ELIXI_MODELS_ALLOWED_ORIGINS",
        )


def is_trusted(host: str, trusted: Iterable[str]) -> bool:
    """Whether a Host header names a loopback name, an IP address, or one of the trusted (`.x.y`: with subdomains)."""
    name = _host_name(host)
    if name is None:
        return False
    if name == "localhost" or name.endswith(".localhost") or _is_address(name):
        return True
    for entry in trusted:
        wanted = (_host_name(entry.removeprefix(".")) or "").lower()
        if wanted and (name == wanted or (entry.startswith(".") and name.endswith(f".{wanted}"))):
            return True
    return False


def _host_name(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises on a port that is none
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None or "," in host or " " in host:
        return None
    return (parts.hostname or "").removesuffix(".") or None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _origin(text: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(text)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.scheme and parts.hostname else None


def authorise(authorize: Callable[[Action], object] | None, action: Action) -> str | None:
    """Ask the host whether the caller may do this; its answer is the user's name, or None for nobody in particular.

    Raises:
        Forbidden: the host aborted, raised PermissionError or Forbidden, or answered False.
    """
    if authorize is None:
        return None
    try:
        user = authorize(action)
    except (HTTPException, PermissionError) as exc:
        raise _forbidden(action) from exc
    if user is False:
        raise _forbidden(action)
    return None if user is None or user is True else str(user)


def _forbidden(action: Action) -> Forbidden:
    return Forbidden(f"You may not {action} here.", action=action)
