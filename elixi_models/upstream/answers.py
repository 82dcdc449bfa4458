"""Ollama's answers as our records: pure, tolerant of missing and odd fields, the same for every client version.

The official client gives dicts (0.3.x) or models (later), with other names for some fields; `plain` makes them alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..inventory import InstalledModel, LoadedModel
from ..records import PullEvent, ReplyEvent

_FROM_BLOB = re.compile(r"^FROM[ \t]+\S.*?sha256[-:]([0-9a-fA-F]{64})\s*$", re.MULTILINE)
_SHOWN_FIELDS = frozenset({"model_info", "details", "modelfile", "capabilities"})
_NANOSECONDS = 1e9
_KV_ELEMENT_BYTES = 2  # f16, Ollama's default


def plain(answer: Any) -> Any:
    """A client's answer as the JSON it was on the wire."""
    if hasattr(answer, "model_dump"):
        return answer.model_dump(mode="json", by_alias=True, exclude_none=True)
    return answer


def installed_models(answer: Any) -> list[InstalledModel]:
    """The models of a `tags` answer, newest first.

    Models of the same second are sorted by name: the server lists those in another order at every call.

    Raises:
        ValueError: there is no list of models in it.
    """
    models = [_installed_model(entry) for entry in _entries(answer)]
    models.sort(key=lambda model: model.name)
    models.sort(key=lambda model: (model.modified_at or "")[:19], reverse=True)
    return models


def loaded_models(answer: Any) -> list[LoadedModel]:
    """The models of a `ps` answer in the server's order.

    Raises:
        ValueError: there is no list of models in it.
    """
    return [
        LoadedModel(
            name=_name(entry),
            digest=_text(entry.get("digest")) or "",
            size_bytes=_count(entry.get("size")),
            # 0 is a fact only where the whole size is known: then nothing lies on a GPU.
            vram_bytes=_count(entry.get("size_vram"), least=0) if _count(entry.get("size")) else None,
            context_length=_count(entry.get("context_length")),
            expires_at=_text(entry.get("expires_at")),
        )
        for entry in _entries(answer)
    ]


def completed(model: InstalledModel, shown: Any) -> InstalledModel:
    """The model with what `show` tells about it; what `show` leaves out stays as it was.

    Raises:
        ValueError: the answer is none of `show`'s.
    """
    answer = _object(shown)
    if not _SHOWN_FIELDS & answer.keys():
        raise ValueError("nothing about a model in the answer")
    info = _mapping(answer.get("model_info"))
    architecture = _text(info.get("general.architecture")) or ""
    capabilities = answer.get("capabilities")
    return replace(
        model,
        weights_digest=weights_digest(answer.get("modelfile")) or model.weights_digest,
        capabilities=_texts(capabilities) if isinstance(capabilities, list) else model.capabilities,
        context_length=_count(info.get(f"{architecture}.context_length")) or model.context_length,
        embedding_length=_count(info.get(f"{architecture}.embedding_length")) or model.embedding_length,
        parameter_count=_count(info.get("general.parameter_count")) or model.parameter_count,
        kv_bytes_per_token=kv_bytes_per_token(info, architecture) or model.kv_bytes_per_token,
        remote=model.remote or _is_remote(answer),
    )


def weights_digest(modelfile: Any) -> str | None:
    """The digest (64 hex digits, lower case) of the model layer that a modelfile's first FROM line names."""
    found = _FROM_BLOB.search(modelfile) if isinstance(modelfile, str) else None
    return found.group(1).lower() if found else None


def kv_bytes_per_token(info: Mapping[str, Any], architecture: str) -> int | None:
    """Bytes of key-value cache for one token of context; None where the model does not say it in single numbers.

    Models whose layers differ give lists, which `show` turns into null.
    """
    layers = _count(info.get(f"{architecture}.block_count"))
    kv_heads = _count(info.get(f"{architecture}.attention.head_count_kv"))
    heads = _count(info.get(f"{architecture}.attention.head_count"))
    width = _count(info.get(f"{architecture}.embedding_length"))
    head_size = width / heads if width and heads else None
    key = _count(info.get(f"{architecture}.attention.key_length")) or head_size
    value = _count(info.get(f"{architecture}.attention.value_length")) or head_size
    if layers is None or kv_heads is None or key is None or value is None:
        return None
    return round(layers * kv_heads * (key + value) * _KV_ELEMENT_BYTES)


def pull_event(part: Any) -> PullEvent:
    """One line of a pull.

    Raises:
        ValueError: the line is no JSON object.
    """
    line = _object(part)
    return PullEvent(
        status=_text(line.get("status")) or "",
        digest=_text(line.get("digest")),
        total_bytes=_count(line.get("total")),
        completed_bytes=_count(line.get("completed"), least=0),
    )


def reply_event(part: Any) -> ReplyEvent:
    """One piece of a streamed reply; durations and counts that the server left out are None.

    Raises:
        ValueError: the line is no JSON object.
    """
    line = _object(part)
    return ReplyEvent(
        text=_text(line.get("response")) or "",
        thinking=_text(line.get("thinking")) or "",
        done=line.get("done") is True,
        done_reason=_text(line.get("done_reason")),
        total_s=_seconds(line.get("total_duration")),
        load_s=_seconds(line.get("load_duration")),
        prompt_tokens=_count(line.get("prompt_eval_count")),
        prompt_s=_seconds(line.get("prompt_eval_duration")),
        tokens=_count(line.get("eval_count")),
        eval_s=_seconds(line.get("eval_duration")),
    )


def expect_done(answer: Any) -> None:
    """Check the whole answer of a load or an unload.

    Raises:
        ValueError: it does not say `done`.
    """
    if not reply_event(answer).done:
        raise ValueError("the answer is not done")


def version(answer: Any) -> str:
    """The server's version.

    Raises:
        ValueError: the answer has none.
    """
    text = _text(_object(answer).get("version"))
    if text is None:
        raise ValueError("no version in the answer")
    return text


def _installed_model(entry: Mapping[str, Any]) -> InstalledModel:
    details = _mapping(entry.get("details"))
    return InstalledModel(
        name=_name(entry),
        digest=_text(entry.get("digest")) or "",
        size_bytes=_count(entry.get("size")),
        modified_at=_text(entry.get("modified_at")),
        format=_text(details.get("format")),
        family=_text(details.get("family")),
        parameter_size=_text(details.get("parameter_size")),
        quantization=_known(_text(details.get("quantization_level"))),
        context_length=_count(details.get("context_length")),
        embedding_length=_count(details.get("embedding_length")),
        remote=_is_remote(entry),
    )


def _entries(answer: Any) -> list[Mapping[str, Any]]:
    models = _object(answer).get("models")
    if not isinstance(models, list):
        raise ValueError("no list of models in the answer")
    return [entry for entry in models if isinstance(entry, Mapping) and _name(entry)]


def _name(entry: Mapping[str, Any]) -> str:
    return _text(entry.get("model")) or _text(entry.get("name")) or ""


def _is_remote(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("remote_host") or entry.get("remote_model"))


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("the answer is no JSON object")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))


def _known(text: str | None) -> str | None:
    return None if text is None or text.lower() == "unknown" else text


def _count(value: Any, *, least: int = 1) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= least else None


def _seconds(nanoseconds: Any) -> float | None:
    count = _count(nanoseconds, least=0)
    return None if count is None else count / _NANOSECONDS
