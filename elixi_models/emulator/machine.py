"""All that one emulated server holds, and the names it resolves."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .clock import Clock
from .errors import Refusal
from .faults import Faults
from .installed import Disk, Installed
from .library import Library
from .names import InvalidName, Name
from .pulling import Pulls
from .scheduler import Scheduler
from .scripted import Engine, ScriptedEngine
from .versions import Told, Version

DEFAULT_CONTEXT = 4096


@dataclass(eq=False, slots=True)
class Machine:
    """The state behind the routes."""

    version: Version
    clock: Clock
    library: Library
    disk: Disk
    scheduler: Scheduler
    pulls: Pulls
    faults: Faults
    models_dir: str
    load_seconds: float
    time_scale: float

    def named(self, task: str, body: Mapping[str, Any], *fields: str) -> Name:
        """The name in a body; where it is none, the endpoint's `Refusal`."""
        raw = next((str(body[key]) for key in fields if body.get(key)), "")
        errors = self.version.names[task]
        if not raw:
            raise refusal(errors.empty, raw)
        try:
            return Name.parse(raw)
        except InvalidName:
            raise refusal(errors.invalid, raw) from None

    def resolve(self, task: str, body: Mapping[str, Any], *fields: str) -> Installed:
        """The installed model that a body names; else the endpoint's `Refusal`."""
        name = self.named(task, body, *fields)
        entry = self.disk.find(name)
        if entry is None:
            raw = next(str(body[key]) for key in fields if body.get(key))
            raise refusal(self.version.names[task].missing, raw, name.shown)
        return entry

    def blob_path(self, digest: str) -> str:
        """Where the server would keep a blob."""
        return f"{self.models_dir}/blobs/sha256-{digest}"

    def context_of(self, entry: Installed, options: Mapping[str, Any]) -> int:
        """The context that a request runs with: never more than the model's own."""
        asked = options.get("num_ctx") or entry.model.parameters.get("num_ctx") or DEFAULT_CONTEXT
        return max(min(int(asked), entry.model.context_length), 4)

    def engine_of(self, entry: Installed) -> Engine:
        """A fresh engine for a model: real weights where it has a file, else scripted."""
        model = entry.model
        if model.gguf and not model.broken:
            from .weights import RealEngine

            return RealEngine(pathlib.Path(model.gguf), entry.weights)
        seconds = self.load_seconds if model.load_seconds is None else model.load_seconds
        fails = self._truncated(entry) if model.broken == "truncated" else None
        return ScriptedEngine(model, load_seconds=seconds, time_scale=self.time_scale, fails=fails)

    def engine_maker(self, entry: Installed) -> functools.partial[Engine]:
        """Makes the engine when its turn has come."""
        return functools.partial(self.engine_of, entry)

    def _truncated(self, entry: Installed) -> str:
        size = entry.manifest.weights.size // 2
        known = {"path": self.blob_path(entry.weights), "block": 17, "end": size + 4096, "size": size}
        return self.version.file_truncated.format(**known)


def refusal(told: Told, raw: str, tagged: str = "", task: str = "") -> Refusal:
    """The refusal of a name, in its endpoint's words."""
    return Refusal(told.status, told.text.format(name=raw, tagged=tagged or raw, task=task))
