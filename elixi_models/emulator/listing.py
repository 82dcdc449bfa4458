"""The routes that only read: tags, ps, show, version and their like."""

from __future__ import annotations

import json
from typing import Any

from .answers import PLAIN_JSON, Answer, Call, Json, Plain
from .architecture import memory_of, model_info, shape_of, tensors
from .clock import SECOND, stamp
from .errors import Refusal
from .installed import Installed
from .machine import Machine
from .manifests import MANIFEST_TYPE
from .models import EmulatedModel
from .names import InvalidName, Name
from .scheduler import Runner

_CLOUD_MODELS = (
    ("kimi-k2.6:cloud", "Long tasks in code, with pictures", 262_144, 262_144),
    ("glm-5.1:cloud", "Code that needs thought", 202_752, 131_072),
    ("qwen3.5:cloud", "Code and tools, with pictures", 262_144, 32_768),
    ("minimax-m2.7:cloud", "Quick everyday code", 204_800, 128_000),
)
_LOCAL_MODELS = (
    ("gemma4", "Code and thought on this machine", 12_000_000_000),
    ("qwen3.5", "Code, pictures and thought on this machine", 14_000_000_000),
)


def root(_machine: Machine, _call: Call) -> Answer:
    """A sign of life."""
    return Plain(b"Ollama is running", content_type="text/plain; charset=utf-8")


def version(machine: Machine, _call: Call) -> Answer:
    """The version's number."""
    return Json({"version": machine.version.number})


def status(_machine: Machine, _call: Call) -> Answer:
    """Whether cloud models may be used: never, here."""
    return Json({"cloud": {"disabled": True, "source": "env"}})


def recommendations(_machine: Machine, _call: Call) -> Answer:
    """Models that a server recommends when it knows nothing newer."""
    cloud = [
        {"model": name, "description": words, "context_length": context, "max_output_tokens": most}
        for name, words, context, most in _CLOUD_MODELS
    ]
    local = [{"model": name, "description": words, "vram_bytes": size} for name, words, size in _LOCAL_MODELS]
    return Json({"recommendations": cloud + local})


def tags(machine: Machine, _call: Call) -> Answer:
    """The installed models."""
    return Json({"models": [_tag(machine, entry) for entry in machine.disk.all()]})


def ps(machine: Machine, _call: Call) -> Answer:
    """The loaded models."""
    return Json({"models": [_running(machine, runner) for runner in machine.scheduler.loaded()]})


def show(machine: Machine, call: Call) -> Answer:
    """Everything about one model."""
    entry = machine.resolve("show", call.body, "model", "name")
    if entry.model.broken == "missing":
        raise Refusal(404, f"model '{entry.name.shown}' not found")
    model = entry.model
    shown: dict[str, Any] = {
        "license": model.license,
        "modelfile": _modelfile(machine, entry),
        "parameters": _parameters(model),
        "template": model.template or "{{ .Prompt }}",
        "system": model.system,
        "details": details(model),
        **_remote(model),
        "model_info": {} if model.remote else model_info(model),
        "tensors": [] if model.remote else tensors(model),
        "capabilities": list(model.capabilities),
        "modified_at": stamp(entry.modified_ns),
    }
    return Json({key: value for key, value in shown.items() if value or key in ("model_info", "details")})


def v1_models(machine: Machine, _call: Call) -> Answer:
    """The installed models, as OpenAI's API lists them."""
    listed = [_v1_model(entry) for entry in machine.disk.all()]
    return Json({"object": "list", "data": listed or None}, content_type=PLAIN_JSON)


def v1_model(machine: Machine, call: Call) -> Answer:
    """One model, as OpenAI's API has it."""
    raw = call.path.removeprefix("/v1/models/")
    try:
        entry = machine.disk.find(Name.parse(raw))
    except InvalidName:
        entry = None
    if entry is None:
        error = {"message": f"model '{raw}' not found", "type": "not_found_error", "param": None, "code": None}
        return Json({"error": error}, 404, PLAIN_JSON)
    return Json(_v1_model(entry), content_type=PLAIN_JSON)


def registry(machine: Machine, call: Call) -> Answer:
    """The registry's own manifests, under `/v2/<namespace>/<model>/manifests/<tag>`."""
    parts = call.path.split("/")[2:]
    if len(parts) != 4 or parts[2] != "manifests":
        return _registry_error(404, "NAME_UNKNOWN", "repository name not known to registry")
    try:
        name = Name.parse("{0}/{1}:{3}".format(*parts))
    except InvalidName:
        return _registry_error(404, "NAME_UNKNOWN", "repository name not known to registry")
    fault = machine.faults.pull_fault(name.shown, take=False)
    if fault and fault.kind in ("registry-down", "offline"):
        return _registry_error(503, "UNAVAILABLE", "service unavailable")
    if fault and fault.kind.startswith("manifest-"):
        return _registry_error(int(fault.kind.removeprefix("manifest-")), "UNKNOWN", fault.text)
    manifest = machine.library.manifest(name)
    if manifest is None:
        return _registry_error(404, "MANIFEST_UNKNOWN", "manifest unknown")
    headers = {"Docker-Content-Digest": f"sha256:{manifest.digest}"}
    return Plain(manifest.body, content_type=MANIFEST_TYPE, headers=headers)


def details(model: EmulatedModel) -> dict[str, Any]:
    """The `details` that every listing has."""
    return {
        "parent_model": model.parent,
        "format": "" if model.remote else "gguf",
        "family": model.family,
        "families": [model.family],
        "parameter_size": model.parameter_size,
        "quantization_level": model.quantization,
    }


def _tag(machine: Machine, entry: Installed) -> dict[str, Any]:
    model = entry.model
    listed: dict[str, Any] = {
        "name": entry.name.shown,
        "model": entry.name.shown,
        **_remote(model),
        "modified_at": stamp(entry.modified_ns),
        "size": entry.manifest.size,
        "digest": entry.digest,
        "details": details(model),
    }
    if machine.version.lists_lengths:
        if not model.is_embedder if model.lists_lengths is None else model.lists_lengths:
            lengths = {"context_length": model.context_length, "embedding_length": shape_of(model).embedding}
            listed["details"] |= lengths
        # The list is made without reading the weights, so an embedder counts as one that completes.
        listed["capabilities"] = ["completion"] if model.is_embedder else list(model.capabilities)
    return listed


def _remote(model: EmulatedModel) -> dict[str, str]:
    return {"remote_model": model.name.removesuffix("-cloud"), "remote_host": model.remote} if model.remote else {}


def _running(machine: Machine, runner: Runner) -> dict[str, Any]:
    entry = runner.entry
    known = machine.version.ps_size_known or entry.model.memory_bytes is not None
    listed: dict[str, Any] = {
        "name": entry.name.shown,
        "model": entry.name.shown,
        "size": memory_of(entry.model, runner.context_length) if known else 0,
        "digest": entry.digest,
        "details": details(entry.model),
        "expires_at": stamp(machine.scheduler.expiry_ns(runner)),
        "size_vram": 0,
    }
    if machine.version.ps_context:
        listed["context_length"] = runner.context_length
    return listed


def _v1_model(entry: Installed) -> dict[str, Any]:
    return {
        "id": entry.name.shown,
        "object": "model",
        "created": entry.modified_ns // SECOND,
        "owned_by": entry.name.namespace,
    }


def _parameters(model: EmulatedModel) -> str:
    return "\n".join(f"{name:<30} {value}" for name, value in _parameter_values(model))


def _parameter_values(model: EmulatedModel) -> list[tuple[str, str]]:
    many = [(name, v if isinstance(v, (list, tuple)) else [v]) for name, v in sorted(model.parameters.items())]
    return [(name, json.dumps(value, ensure_ascii=False)) for name, values in many for value in values]


def _modelfile(machine: Machine, entry: Installed) -> str:
    model, name = entry.model, entry.name.shown
    lines = [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {name}",
        "",
        f"FROM {machine.blob_path(entry.weights)}",
        f'TEMPLATE """{model.template or "{{ .Prompt }}"}"""',
    ]
    lines += [f"SYSTEM {model.system}"] if model.system else []
    lines += [f"PARAMETER {name} {value}" for name, value in _parameter_values(model)]
    lines += [f'LICENSE """{model.license}"""'] if model.license else []
    return "\n".join(lines) + "\n"


def _registry_error(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Plain(body, status, PLAIN_JSON)
