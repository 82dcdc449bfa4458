"""Whether a server that listens on this machine only lets a request in."""

from __future__ import annotations

import ipaddress
import socket
import urllib.parse
from email.message import Message

_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
_LOCAL_ORIGINS = frozenset({"localhost", "127.0.0.1", "0.0.0.0"})
_APP_SCHEMES = frozenset({"app", "file", "tauri", "vscode-webview", "vscode-file"})


def lets_in(headers: Message) -> bool:
    """Whether host and origin are among those that a server allows by default."""
    host = headers.get("Host", "")
    origin = headers.get("Origin")
    return _is_own_host(host) and (origin is None or _is_own_origin(origin, host))


def _is_own_host(host: str) -> bool:
    name = (urllib.parse.urlsplit(f"//{host}").hostname or "").lower()
    if name in ("", "localhost", socket.gethostname().lower()) or name.endswith(_LOCAL_SUFFIXES):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_private or address.is_loopback or address.is_unspecified


def _is_own_origin(origin: str, host: str) -> bool:
    parts = urllib.parse.urlsplit(origin)
    return parts.scheme in _APP_SCHEMES or parts.hostname in _LOCAL_ORIGINS or parts.netloc == host
