"""The one error tree: each class has a stable code and the HTTP status that carries it.

A message says what failed and what to do about it, in our words: texts of the Ollama
server hold paths and upstream bodies and are never passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ElixiModelsError(Exception):
    """Base of everything this package raises on purpose.

    Args:
        message: One or two sentences for the person who reads the answer.
        details: Plain JSON values that a program can act on (field names, allowed values).
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[int] = 500

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


class InvalidRequest(ElixiModelsError):
    """The request itself is wrong; `details` names the field and the reason."""

    code, status = "INVALID_REQUEST", 400


class InvalidSetting(ElixiModelsError):
    """A setting has a value that cannot be used; raised when settings are read."""

    code, status = "INVALID_SETTING", 500


class Forbidden(ElixiModelsError):
    """The host's `authorize` refused this action to this caller."""

    code, status = "FORBIDDEN", 403


class OriginNotAllowed(Forbidden):
    """A state-changing request came from a web page of another origin."""

    code = "ORIGIN_NOT_ALLOWED"


class HostNotAllowed(Forbidden):
    """A state-changing request named a Host that is not trusted (DNS rebinding)."""

    code = "HOST_NOT_ALLOWED"


class RegistryNotAllowed(Forbidden):
    """The model's registry is not on the allow-list, or it is a cloud model and those are off."""

    code = "REGISTRY_NOT_ALLOWED"


class NotFound(ElixiModelsError):
    """Nothing is known under that name or path."""

    code, status = "NOT_FOUND", 404


class ModelNotInstalled(NotFound):
    """The named model is not installed on the Ollama server."""

    code = "MODEL_NOT_INSTALLED"


class ModelNotFound(NotFound):
    """The registry has no model of that name or tag."""

    code = "MODEL_NOT_FOUND"


class NoUsableModel(NotFound):
    """No installed model can take this task."""

    code = "NO_USABLE_MODEL"


class MethodNotAllowed(ElixiModelsError):
    """The path exists but not with this HTTP method."""

    code, status = "METHOD_NOT_ALLOWED", 405


class Conflict(ElixiModelsError):
    """The request contradicts the present state."""

    code, status = "CONFLICT", 409


class CannotChat(Conflict):
    """The model lacks the capability to chat (an embedder, say)."""

    code = "CANNOT_CHAT"


class ModelActive(Conflict):
    """The active model is not deleted without `force`."""

    code = "MODEL_ACTIVE"


class BenchmarkRunning(Conflict):
    """A benchmark already runs on this server; `details` describes it."""

    code = "BENCHMARK_RUNNING"


class BodyTooLarge(ElixiModelsError):
    """The request body is larger than the limit."""

    code, status = "BODY_TOO_LARGE", 413


class OllamaError(ElixiModelsError):
    """The Ollama server refused or answered something that makes no sense."""

    code, status = "OLLAMA_ERROR", 502


class LoadFailed(OllamaError):
    """The server could not load the model, or its runner crashed."""

    code = "LOAD_FAILED"


class RegistryUnreachable(OllamaError):
    """The registry did not answer, or the connection to it broke for good."""

    code = "REGISTRY_UNREACHABLE"


class RegistryDenied(OllamaError):
    """The registry refuses this model to us, or asks for a newer Ollama."""

    code = "REGISTRY_DENIED"


class DigestMismatch(OllamaError):
    """A downloaded file does not have its checksum."""

    code = "DIGEST_MISMATCH"


class OllamaUnavailable(ElixiModelsError):
    """Nothing answers at the Ollama address, or it went away in the middle."""

    code, status = "OLLAMA_UNAVAILABLE", 503


class OllamaBusy(OllamaUnavailable):
    """The server's queue is full; trying again a little later is right."""

    code = "OLLAMA_BUSY"


class OllamaDisabled(OllamaUnavailable):
    """OLLAMA_ENABLED is false."""

    code = "OLLAMA_DISABLED"


class ManagerUnavailable(ElixiModelsError):
    """The manager could not be built; the next request tries again."""

    code, status = "MANAGER_UNAVAILABLE", 503


class StoreUnavailable(ElixiModelsError):
    """The store (SQLite file or MongoDB) cannot be reached or written."""

    code, status = "STORE_UNAVAILABLE", 503


class OllamaTimeout(ElixiModelsError):
    """The server is there but did not answer in time."""

    code, status = "OLLAMA_TIMEOUT", 504


class OutOfMemory(ElixiModelsError):
    """The model does not fit into the memory of the Ollama machine."""

    code, status = "OUT_OF_MEMORY", 507


class InsufficientStorage(ElixiModelsError):
    """The disk of the Ollama machine is full or would be."""

    code, status = "INSUFFICIENT_STORAGE", 507


class Cancelled(ElixiModelsError):
    """The work was called off, by a person, a newer request or a shutdown."""

    code, status = "CANCELLED", 409


class InternalError(ElixiModelsError):
    """A defect of ours; the log has the trace, the answer does not."""
