"""The routes that change what is installed: pull, create, copy, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .answers import PLAIN_JSON, Answer, Call, Json, Lines, Plain, Stream
from .errors import Refusal
from .installed import Installed
from .machine import Machine
from .manifests import manifest_of
from .models import EmulatedModel
from .names import InvalidName, Name


def pull(machine: Machine, call: Call) -> Answer:
    """Download a model."""
    name = machine.named("pull", call.body, "model", "name")
    return _told(machine.pulls.lines(name, call.abort), call)


def delete(machine: Machine, call: Call) -> Answer:
    """Remove a name; a model that is loaded stays loaded."""
    machine.disk.remove(machine.resolve("delete", call.body, "model", "name"))
    return Plain()


def copy(machine: Machine, call: Call) -> Answer:
    """Give a model a second name."""
    machine.named("copy", call.body, "source")
    raw = str(call.body.get("destination") or "")
    try:
        destination = Name.parse(raw)
    except InvalidName:
        raise Refusal(400, f'destination "{raw}" is invalid') from None
    source = machine.resolve("copy", call.body, "source")
    if source.name.key != destination.key:
        machine.disk.copy(source, destination)
    return Plain()


def create(machine: Machine, call: Call) -> Answer:
    """Make a child of a model: the same weights with another system text, template or parameters."""
    name = machine.named("create", call.body, "model", "name")
    raw = str(call.body.get("from") or "")
    if not raw:
        raise Refusal(400, "neither 'from' or 'files' was specified")
    try:
        base = Name.parse(raw)
    except InvalidName:
        raise Refusal(400, "invalid model name") from None
    return _told(_creation(machine, name, base, call), call)


def _creation(machine: Machine, name: Name, base: Name, call: Call) -> Stream:
    if machine.disk.find(base) is None:
        yield from (line for line in machine.pulls.lines(base, call.abort) if line.get("status") != "success")
    child = _child(machine.resolve("create", call.body, "from"), name, call.body)
    for layer in sorted(manifest_of(child).layers, key=lambda layer: not machine.disk.has_blob(layer.digest)):
        verb = "using existing" if machine.disk.has_blob(layer.digest) else "creating new"
        yield {"status": f"{verb} layer sha256:{layer.digest}"}
    yield {"status": "writing manifest"}
    machine.disk.install(name, child)
    yield {"status": "success"}


def _child(base: Installed, name: Name, body: Mapping[str, Any]) -> EmulatedModel:
    return replace(
        base.model,
        name=name.shown,
        parent=base.name.shown,
        weights_digest=base.weights,
        system=body.get("system") or base.model.system,
        template=body.get("template") or base.model.template,
        license=body.get("license") or base.model.license,
        parameters={**base.model.parameters, **(body.get("parameters") or {})},
    )


def _told(lines: Stream, call: Call) -> Answer:
    """The lines, or only how it ended where no stream is wanted."""
    if call.body.get("stream") is not False:
        return Lines(lines)
    try:
        for _ in lines:
            pass
    except Refusal as refused:
        return Json({"error": refused.error}, refused.status, PLAIN_JSON)
    return Json({"status": "success"}, content_type=PLAIN_JSON)
