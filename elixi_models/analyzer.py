"""What the host's `stage5_base` offers to a manager, for apps that are not ELIXI: same names, arguments, shapes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

Json = dict[str, Any]


class MemoryCache:
    """A cache with the methods of the host's CacheManager, in this process only; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[float, Any]] = {}

    def get(self, key: str) -> Any:
        """The value, or None when there is none or its time is over."""
        with self._lock:
            expires_at, value = self._entries.get(key, (0.0, None))
        return value if time.monotonic() < expires_at else None

    def set(self, key: str, value: Any, ttl_minutes: float = 60, persistent: bool = False) -> None:
        """Keep a value for a time; `persistent` is accepted, nothing outlives the process."""
        with self._lock:
            self._entries[key] = (time.monotonic() + ttl_minutes * 60, value)

    def clear(self, key: str | None = None) -> None:
        """Forget one value or all."""
        with self._lock:
            if key is None:
                self._entries.clear()
            else:
                self._entries.pop(key, None)

    def cleanup_expired(self) -> None:
        """Drop what is too old."""
        now = time.monotonic()
        with self._lock:
            self._entries = {key: entry for key, entry in self._entries.items() if entry[0] > now}


class BaseAnalyzer(ABC):
    """The host's base class of all managers."""

    def __init__(self, name: str, mongodb: Any = None, enable_cache: bool = True) -> None:
        self.name = name
        self.mongodb = mongodb
        self.enable_cache = enable_cache
        self.cache: Any = MemoryCache() if enable_cache else None
        self.config: Json = {
            "ollama_enabled": os.environ.get("OLLAMA_ENABLED", "true").lower() == "true",
            "ollama_api_url": os.environ.get("OLLAMA_API_URL", "http://localhost:11434"),
            "default_model": os.environ.get("DEFAULT_MODEL", "mistral"),
        }

    @abstractmethod
    def analyze(self, input_data: Any) -> Any:
        """The one entry that all managers share."""

    def get_cache_key(self, **kwargs: Any) -> str:
        """A key for these arguments, the same in any order."""
        return hashlib.md5(json.dumps(kwargs, sort_keys=True, default=str).encode(), usedforsecurity=False).hexdigest()

    def cache_result(self, cache_key: str, result: Any, ttl_minutes: float = 60) -> None:
        """Keep a result, when there is a cache."""
        if self.cache is not None:
            self.cache.set(cache_key, result, ttl_minutes, persistent=True)

    def get_cached_result(self, cache_key: str) -> Any:
        """A kept result, or None."""
        return None if self.cache is None else self.cache.get(cache_key)

    def validate_input(self, input_data: Any, required_fields: Sequence[str] | None = None) -> bool:
        """Whether there is input, with all required fields."""
        if input_data is None:
            return False
        return all(isinstance(input_data, dict) and name in input_data for name in required_fields or ())

    def format_success(self, data: Any, message: str = "Analysis successful") -> Json:
        """The host's shape of a success."""
        return {"status": "success", "message": message, "data": data, "timestamp": _now()}

    def format_error(self, message: str, error_code: str = "ANALYSIS_ERROR") -> Json:
        """The host's shape of a failure, which is logged too."""
        logging.getLogger(f"elixi_models.{self.name}").error("%s: %s", error_code, message)
        return {"status": "error", "message": message, "error_code": error_code, "details": {}, "timestamp": _now()}

    def log_analysis(self, input_summary: str, result_summary: str, duration_ms: float) -> None:
        """Note what was done and how long it took."""
        logger = logging.getLogger(f"elixi_models.{self.name}")
        logger.info("%s -> %s (%.1f ms)", input_summary, result_summary, duration_ms)


class AnalysisResult:
    """What the host's `analyze` methods return."""

    def __init__(
        self,
        success: bool,
        data: Any = None,
        message: str = "",
        error_code: str = "",
        metadata: Json | None = None,
    ) -> None:
        self.success = success
        self.data = data
        self.message = message
        self.error_code = error_code
        self.metadata = metadata or {}
        self.timestamp = _now()

    def to_dict(self) -> Json:
        """All of it as a dict."""
        return dict(vars(self))

    def to_json_response(self) -> Json:
        """The host's shape of an answer."""
        answer: Json = {"status": "success" if self.success else "error", "message": self.message}
        if self.success:
            answer["data"] = self.data
        else:
            answer.update(error_code=self.error_code, details=self.metadata)
        return {**answer, "timestamp": self.timestamp}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
