"""Goal post 16: tasks found in Vicuna and MT-bench, the size of the weights, and answers that survive small edits."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files

from elixi_models.selection.detection import detect

from . import FOLDER, Figure

#: What people change without meaning another thing.
EDITS: Mapping[str, Callable[[str], str]] = {
    "in lower case": str.lower,
    "without the last punctuation": lambda prompt: prompt.rstrip(" .?!"),
    '"please" appended': lambda prompt: f"{prompt} please",
    '"Hi!" in front': lambda prompt: f"Hi! {prompt}",
    '"Can you" in front': lambda prompt: f"Can you {prompt[:1].lower()}{prompt[1:]}",
}


def prompts() -> list[dict[str, str]]:
    """The prompts with `set` (mt_bench, vicuna_bench), `category` and our `task`."""
    data = FOLDER / "data"
    tasks = json.loads((data / "categories.json").read_text(encoding="utf-8"))
    lines = gzip.decompress((data / "mtbench_vicuna.jsonl.gz").read_bytes()).decode("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [{**record, "task": tasks[record["category"]]} for record in records]


def figures() -> Iterator[Figure]:
    """Deterministic; the tolerance is what a change of the training may move without anybody asking."""
    records, source = prompts(), "mtbench_vicuna"
    found = {record["prompt"]: detect(record["prompt"])[0] for record in records}
    for name, bound in (("vicuna_bench", 0.80), ("mt_bench", 0.66)):
        hits = [found[record["prompt"]] == record["task"] for record in records if record["set"] == name]
        yield Figure(
            16, f"tasks found, {name}", sum(hits) / len(hits), 0.02, at_least=bound, sample=len(hits), source=source
        )
    for edit, change in EDITS.items():
        kept = sum(detect(change(prompt))[0] == task for prompt, task in found.items())
        yield Figure(
            16, f"tasks kept, {edit}", kept / len(found), 0.02, at_least=0.95, sample=len(found), source=source
        )
    folder = files("elixi_models").joinpath("selection/data")
    size = sum(len(entry.read_bytes()) for entry in folder.iterdir() if entry.name.startswith("detection"))
    yield Figure(16, "weights and dictionary, bytes", size, 2048, at_most=65536, sample=1, source="selection/data")
