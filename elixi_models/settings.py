"""Settings: every key once, with its environment name, unit, default and bounds.

Read in this order, later wins: defaults, the host's own variables (`OLLAMA_API_URL`, `OLLAMA_ENABLED`,
`OLLAMA_MODEL`, `MONGODB_URI`, `MONGODB_DB`), `ELIXI_MODELS_*` of the environment, Flask's `app.config`
under the same names, keyword arguments.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import InvalidSetting

PREFIX = "ELIXI_MODELS_"
_HOST_VARIABLES = {
    "OLLAMA_API_URL": "ollama_url",
    "OLLAMA_ENABLED": "ollama_enabled",
    "OLLAMA_MODEL": "configured_model",
    "MONGODB_URI": "mongodb_uri",
    "MONGODB_DB": "mongodb_db",
}
DEFAULT_URL = "http://127.0.0.1:11434"


def _key(default: Any, meaning: str, unit: str = "", low: float | None = None, high: float | None = None) -> Any:
    metadata = {"meaning": meaning, "unit": unit, "low": low, "high": high}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked. The environment name of a field is `ELIXI_MODELS_` + its name in upper case."""

    ollama_url: str = _key(DEFAULT_URL, "Base URL of the Ollama server; `localhost` is read as 127.0.0.1", "URL")
    ollama_enabled: bool = _key(True, "False answers every action with OLLAMA_DISABLED and reads nothing")
    configured_model: str | None = _key(
        None, "The model the host is configured with; a change of it beats a stored choice"
    )
    preferred_model: str | None = _key(
        None, "A model that is chosen unless another one is more than five points better"
    )
    mongodb_uri: str | None = _key(None, "MongoDB to store in; without one a SQLite file is used", "URI")
    mongodb_db: str = _key("ELIXIDB", "Name of the MongoDB database")
    data_dir: Path = _key(
        lambda: Path.home() / ".elixi-models", "Folder of the SQLite file, shared by all faces", "path"
    )
    ollama_models_dir: Path | None = _key(
        None, "Ollama's models folder, for `install_path`; else OLLAMA_MODELS or ~/.ollama/models", "path"
    )
    switch_wait_s: float = _key(0.9, "How long a switch or download request waits for its outcome", "s", 0.0, 30.0)
    keep_alive: str = _key(
        "30m", "How long Ollama keeps a model loaded; sent with every load and wrapped chat", "Go duration"
    )
    control_timeout_s: float = _key(15.0, "Read timeout of list, show, version, delete", "s", 0.5, 300.0)
    ps_timeout_s: float = _key(5.0, "Read timeout of the list of loaded models", "s", 0.5, 60.0)
    connect_timeout_s: float = _key(3.0, "Time to reach the server", "s", 0.1, 60.0)
    load_timeout_s: float = _key(360.0, "Longest load that is waited for in the background", "s", 1.0, 7200.0)
    pull_stall_s: float = _key(120.0, "A pull without a new byte for this long is retried", "s", 1.0, 3600.0)
    pull_retries: int = _key(5, "How often a broken pull is taken up again", "", 0, 100)
    max_pulls: int = _key(2, "Pulls at the same time; others are queued", "", 1, 16)
    max_queued_pulls: int = _key(50, "Pulls that may wait", "", 1, 1000)
    observe_active_s: float = _key(2.0, "Time between looks at Ollama while somebody asks", "s", 0.1, 60.0)
    observe_idle_s: float = _key(30.0, "Time between looks at Ollama while nobody asks", "s", 1.0, 3600.0)
    store_follow_s: float = _key(0.5, "Time between looks at what other processes stored", "s", 0.05, 1.0)
    lease_s: float = _key(30.0, "After this long without renewal a job's owner counts as dead", "s", 1.0, 600.0)
    measurement_days: int = _key(30, "How long single measurements are kept", "days", 1, 3650)
    rollup_days: int = _key(730, "How long the hourly and daily sums of measurements are kept", "days", 2, 36_500)
    cache_hours: float = _key(24.0, "How long cached performance figures count", "h", 0.1, 8760.0)
    chat_timeout_s: float = _key(
        120.0, "Longest reply of manager.chat; the host's own brain keeps its own timeout", "s", 0.1, 3600.0
    )
    chat_max_tokens: int = _key(2048, "Cap of tokens for manager.chat", "tokens", 1, 1_000_000)
    benchmark_judge: str = _key(
        "off", "Who grades answers of full benchmarks: `off`, `auto` (the largest model that may), or a model's name"
    )
    max_body_bytes: int = _key(262_144, "Largest request body", "bytes", 1024, 67_108_864)
    registries: tuple[str, ...] = _key(
        ("registry.ollama.ai",), "Registries that models may come from", "comma-separated hosts"
    )
    registry_url: str | None = _key(
        None, "Address asked for manifests instead of https://<registry> (a mirror, the emulator)", "URL"
    )
    allow_cloud_models: bool = _key(False, "Allow models that run in Ollama's cloud: prompts leave the machine")
    allowed_origins: tuple[str, ...] = _key(
        (), "Foreign web origins whose pages may send state-changing requests", "comma-separated origins"
    )
    trusted_hosts: tuple[str, ...] = _key(
        (),
        "Host names, beside loopback and IP addresses, that state-changing requests may name",
        "comma-separated hosts",
    )
    install_paths: bool = _key(True, "Show `install_path` when Ollama is local")

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        **overrides: Any,
    ) -> Settings:
        """Read and check all settings.

        Args:
            environ: The environment (default: `os.environ`).
            config: Flask's `app.config` or another mapping with `ELIXI_MODELS_*` keys.
            overrides: Fields by name; None means "not given".

        Raises:
            InvalidSetting: naming the key and the value.
        """
        environ = os.environ if environ is None else environ
        given: dict[str, Any] = {
            target: environ[variable]
            for variable, target in _HOST_VARIABLES.items()
            if environ.get(variable, "").strip()
        }
        for source in (environ, config or {}):
            for spec in fields(cls):
                variable = PREFIX + spec.name.upper()
                if variable in source and source[variable] not in ("", None):
                    given[spec.name] = source[variable]
        unknown = set(overrides) - {spec.name for spec in fields(cls)}
        if unknown:
            raise InvalidSetting(f"unknown setting: {', '.join(sorted(unknown))}", settings=sorted(unknown))
        given.update({name: value for name, value in overrides.items() if value is not None})
        return replace(cls(), **{name: _convert(name, value) for name, value in given.items()})


_SPECS = {spec.name: spec for spec in fields(Settings)}


def environment_name(name: str) -> str:
    """The environment variable of a field: `switch_wait_s` → `ELIXI_MODELS_SWITCH_WAIT_S`."""
    return PREFIX + name.upper()


def _convert(name: str, value: Any) -> Any:
    kind = str(_SPECS[name].type)
    try:
        if name in ("ollama_url", "registry_url"):
            return normalise_url(str(value))
        if kind == "bool":
            return _boolean(value)
        if kind == "int":
            return _bounded(name, _whole(value))
        if kind == "float":
            return _bounded(name, float(value))
        if kind.startswith("Path"):
            return Path(value).expanduser()
        if kind.startswith("tuple"):
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(str(part).strip() for part in parts if str(part).strip())
        return str(value)
    except (ValueError, TypeError) as exc:
        raise InvalidSetting(
            f"{environment_name(name)} cannot be {value!r}: {exc}", setting=environment_name(name), reason=str(exc)
        ) from exc


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise ValueError("expected true or false")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("expected a whole number")
    return int(value)


def _bounded(name: str, value: Any) -> Any:
    low, high = _SPECS[name].metadata["low"], _SPECS[name].metadata["high"]
    if not math.isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"expected {low} to {high} {_SPECS[name].metadata['unit']}".rstrip())
    return value


def normalise_url(raw: str) -> str:
    """A server's base URL in the one form that everything stored carries.

    `localhost` and the unspecified addresses become 127.0.0.1 (on Windows `localhost` tries ::1 first, two
    seconds for every connection, and nothing can connect to 0.0.0.0); a missing scheme becomes http, a
    missing port 11434 for bare hosts; no trailing slash.

    Raises:
        ValueError: no host, a port out of range, credentials, a query, or a scheme other than http(s).
    """
    text = raw.strip()
    bare = "://" not in text
    parts = urlsplit(f"http://{text}" if bare else text)
    host, port = parts.hostname, parts.port
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("expected http://host:port")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("expected no credentials, query or fragment in the URL")
    if host in ("localhost", "0.0.0.0", "::"):
        host = "127.0.0.1"
    shown_host = f"[{host}]" if ":" in host else host
    if port is None and bare:
        port = 11434
    return f"{parts.scheme}://{shown_host}{f':{port}' if port is not None else ''}{parts.path.rstrip('/')}"


def is_local(url: str) -> bool:
    """True when the URL names this machine by loopback, so that its processes and files can be looked at."""
    host = urlsplit(url).hostname or ""
    return host == "::1" or host == "localhost" or host.startswith("127.")
