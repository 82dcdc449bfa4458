"""What went wrong at the Ollama server, in our errors and our words: pure, no client library.

The server's status is useless inside a stream and for pulls, so its text decides, first match wins. The text itself
goes nowhere: it holds paths and upstream bodies.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from ..errors import (
    CannotChat,
    DigestMismatch,
    ElixiModelsError,
    InsufficientStorage,
    InvalidRequest,
    LoadFailed,
    ModelNotFound,
    ModelNotInstalled,
    OllamaBusy,
    OllamaError,
    OllamaTimeout,
    OllamaUnavailable,
    OutOfMemory,
    RegistryDenied,
    RegistryNotAllowed,
    RegistryUnreachable,
)

Action = Literal["read", "show", "load", "generate", "unload", "delete", "pull"]

_OUT_OF_MEMORY = re.compile(
    r"out of memory|out-of-memory|out of device memory|cudamalloc failed|hipmalloc failed|failed to allocate"
    r"|allocation failed|not enough memory|insufficient memory|vk_error_out_of_device_memory|erroroutofmemory"
    r"|requires more system memory|model requires .* but only"
)
_MEMORY_FIGURES = re.compile(
    r"requires (?:more system memory \()?([\d.]+ [kmgt]?i?b)\b.*?(?:available \(|but only )([\d.]+ [kmgt]?i?b)\b"
)
_LOAD_FAILED = re.compile(
    r"process has terminated|timed out waiting for|unexpectedly stopped|error was encountered while running"
    r"|unable to load model|exceeds file size|error loading model|requires mlx|may be incompatible"
    r"|not currently supported"
)
_CANNOT_CHAT = re.compile(r"does not support (?:generate|chat)")
_UNSUPPORTED = re.compile(r"does not support (\w+)")
_INVALID_NAME = re.compile(r"invalid model (?:name|path)|model is required|name .* is invalid")
_BUSY = re.compile(r"server busy|server overloaded|context canceled|request canceled")
_DISK_FULL = re.compile(r"no space left on device|not enough space on the disk|disk quota exceeded")
_NOT_FOUND = re.compile(r"model .*not found")
_NO_SUCH_MANIFEST = re.compile(r"file does not exist|model .*not found|: 404:")
_DENIED = re.compile(r"unauthorized|realm host|unsupported protocol scheme \"\"|: 40[13]:|access denied")
_UPGRADE = re.compile(r": 412:|requires a newer version of ollama")
_UNREACHABLE = re.compile(
    r"dial tcp|no such host|i/o timeout|tls handshake|max retries exceeded|\beof\b|connection re(?:set|fused)"
    r"|: (?:429|5\d\d):|no location header|x509|pull model manifest"
)
_UNITS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def refusal(text: str, status: int, *, action: Action, model: str | None = None) -> ElixiModelsError:
    """The error for what the server itself said.

    Args:
        text: The server's error text, or the whole body where that was no JSON.
        status: The HTTP status; -1 for an error line inside a stream.
        action: What was asked of the server.
        model: The model it was asked for, named in the message.
    """
    said = text.strip().lower()
    if said.startswith("<"):
        return _from_a_proxy(status)
    found = _pull_refusal(said, model) if action == "pull" else _model_refusal(said, status, action, model)
    return found or _general_refusal(said, status, model)


def out_of_memory(said: str, model: str | None) -> OutOfMemory:
    """Too little memory, with the figures (`needed_bytes`, `available_bytes`) where the server's text has them."""
    details: dict[str, Any] = {}
    figures = _MEMORY_FIGURES.search(said)
    if figures:
        needed, available = figures.groups()
        details = {"needed_bytes": parse_bytes(needed), "available_bytes": parse_bytes(available)}
    return OutOfMemory(
        f"{_named(model)} does not fit into the memory of the Ollama machine. "
        "Choose a smaller one, or unload what is not needed.",
        **_about(model),
        **details,
    )


def parse_bytes(text: str) -> int:
    """Bytes of a figure such as `7.5 GiB` or `9 GB`."""
    number, unit = text.lower().split()
    base = 1024 if "i" in unit else 1000
    return round(float(number) * float(base ** _UNITS[unit[0]]))


def _from_a_proxy(status: int) -> ElixiModelsError:
    # A page for people comes from a proxy in front of Ollama, or from something else altogether.
    if status in (502, 503):
        return OllamaUnavailable("The proxy in front of Ollama cannot reach it. Start Ollama.", reason="proxy")
    if status == 504:
        return OllamaTimeout("The proxy in front of Ollama got no answer from it in time.", reason="proxy")
    return OllamaError(
        "A web page answers where Ollama should. Check OLLAMA_API_URL.", reason="protocol", upstream_status=status
    )


def _pull_refusal(said: str, model: str | None) -> ElixiModelsError | None:
    about = _about(model)
    if _DISK_FULL.search(said):
        return InsufficientStorage(
            "The disk of the Ollama machine is full. Delete a model or free space, then start the download again: "
            "it goes on where it stopped.",
            **about,
        )
    if "digest mismatch" in said:
        return DigestMismatch(
            f"A file of {_named(model, middle=True)} arrived damaged. "
            "Start the download again; if that repeats, look at the proxy, the disk and the memory.",
            **about,
        )
    if _UPGRADE.search(said):
        return RegistryDenied(f"{_named(model)} needs a newer Ollama. Update Ollama.", reason="upgrade", **about)
    if _DENIED.search(said):
        return RegistryDenied(
            f"The registry does not give out {_named(model, middle=True)}. "
            "Check the name; private models need a signed-in Ollama.",
            **about,
        )
    if _NO_SUCH_MANIFEST.search(said):
        return ModelNotFound(f"The registry has no {_named(model, middle=True)}. Check the name and the tag.", **about)
    if _BUSY.search(said):
        return OllamaBusy("Another download of the same files was just called off. Try again.", **about)
    if _UNREACHABLE.search(said):
        return RegistryUnreachable(
            "Ollama cannot reach the model registry. Check the internet connection of the Ollama machine.", **about
        )
    return None


def _model_refusal(said: str, status: int, action: Action, model: str | None) -> ElixiModelsError | None:
    about = _about(model)
    if _OUT_OF_MEMORY.search(said):
        return out_of_memory(said, model)
    if _LOAD_FAILED.search(said):
        return _load_failed(model)
    if _CANNOT_CHAT.search(said):
        return CannotChat(f"{_named(model)} cannot chat. Choose a model that completes text.", **about)
    unsupported = _UNSUPPORTED.search(said)
    if unsupported:
        feature = unsupported.group(1)
        return InvalidRequest(
            f"{_named(model)} does not support {feature}.", field=feature, reason="unsupported", **about
        )
    if _NOT_FOUND.search(said):
        return ModelNotInstalled(f"{_named(model)} is not installed. Download it first.", **about)
    if action == "load" and status == 500 and "invalid" not in said and "option" not in said:
        return _load_failed(model)
    return None


def _general_refusal(said: str, status: int, model: str | None) -> ElixiModelsError:
    about = _about(model)
    if _INVALID_NAME.search(said):
        return InvalidRequest("Ollama does not accept this model name.", field="model_name", reason="syntax", **about)
    if status == 503 or _BUSY.search(said):
        return OllamaBusy("Ollama's queue is full. Try again in a moment.", **about)
    if "cloud is disabled" in said:
        return RegistryNotAllowed(f"{_named(model)} runs in Ollama's cloud, which is switched off there.", **about)
    if status == 401:
        return RegistryDenied("Ollama is not signed in for this model. Run `ollama signin` there.", **about)
    if status == 403:
        return OllamaError(
            "Ollama refuses requests under this host name. Use 127.0.0.1, or have it listen on all addresses.",
            reason="host",
            upstream_status=status,
        )
    if "duration" in said:
        return OllamaError(
            "Ollama does not understand the keep-alive time. Set ELIXI_MODELS_KEEP_ALIVE to a duration such as 30m.",
            reason="keep_alive",
        )
    if 300 <= status < 400:
        return OllamaError(
            "The Ollama address redirects elsewhere. Set OLLAMA_API_URL to the final one.", upstream_status=status
        )
    seen = {} if status < 0 else {"upstream_status": status}
    return OllamaError("Ollama refused the request; its log has the reason.", **seen, **about)


def _load_failed(model: str | None) -> LoadFailed:
    return LoadFailed(
        f"Ollama could not run {_named(model, middle=True)}. Its files may be damaged: delete and download it again.",
        **_about(model),
    )


def _named(model: str | None, *, middle: bool = False) -> str:
    if model:
        return model
    return "the model" if middle else "The model"


def _about(model: str | None) -> dict[str, str]:
    return {"model": model} if model else {}
