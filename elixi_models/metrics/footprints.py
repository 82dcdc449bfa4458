"""How much memory each model took when it was last seen loaded."""

from __future__ import annotations

from collections.abc import Mapping

from ..inventory import ServerView
from ..records import ResourceSample


class Footprints:
    """The last footprint in bytes of each weights digest (manifest digest where that is unknown).

    Updated by the observer's thread alone; `latest` is replaced, never changed, so any thread may read it.
    """

    def __init__(self) -> None:
        self.latest: Mapping[str, int] = {}

    def note(self, view: ServerView, resources: ResourceSample) -> None:
        """Remember what is resident now: the runner's own memory, else what Ollama says; zero is unknown."""
        seen: dict[str, int] = {}
        for model in view.installed:
            residence = view.residence(model)
            if residence is None:
                continue
            measured = resources.runner_bytes.get(model.weights_digest or "")
            footprint = residence.size_bytes if residence.vram_bytes else measured or residence.size_bytes
            if footprint:
                seen[model.weights_digest or model.digest] = footprint
        if any(self.latest.get(digest) != footprint for digest, footprint in seen.items()):
            self.latest = {**self.latest, **seen}

    def recall(self, footprints: Mapping[str, int]) -> None:
        """Take over what an earlier process knew; what was seen since stays."""
        self.latest = {**footprints, **self.latest}
