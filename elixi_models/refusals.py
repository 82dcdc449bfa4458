"""How an error leaves the manager: as an answer, never as an exception."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from . import elixi
from .errors import ElixiModelsError, InternalError
from .units import timestamp

Json = dict[str, Any]
Method = TypeVar("Method", bound=Callable[..., Any])

_log = logging.getLogger("elixi_models.manager")


def never_raises(failed: Callable[[ElixiModelsError], Any]) -> Callable[[Method], Method]:
    """Turn errors into the answer that `failed` makes of them, and count the call in the host's monitor.

    The broad except is one of three in the package: the host calls these methods without a guard, and an
    exception would drop the connection of its single-threaded server without a reply.
    """

    def decorate(method: Method) -> Method:
        @wraps(method)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            error: ElixiModelsError | None = None
            try:
                return method(*args, **kwargs)
            except ElixiModelsError as exc:
                error = exc
            except Exception:  # noqa: BLE001
                _log.exception("%s failed", method.__name__)
                error = InternalError("Something went wrong inside elixi-models; the log has the details.")
            finally:
                duration_ms = (time.perf_counter() - began) * 1000
                elixi.record_performance(f"ModelManager.{method.__name__}", duration_ms, error is None)
            elixi.log("warning", "ModelManager", f"{method.__name__}: {error.code}")
            return failed(error)

        return guarded  # type: ignore[return-value]

    return decorate


def refusal(error: ElixiModelsError) -> Json:
    """A flat answer of the host's kind: `success` false and why."""
    return {
        "success": False,
        "error": error.message,
        "error_code": error.code,
        "message": error.message,
        "details": dict(error.details),
        "timestamp": timestamp(time.time()),
    }


def refusal_envelope(error: ElixiModelsError) -> Json:
    """The seed's envelope with `data` null and why."""
    return {**refusal(error), "data": None}
