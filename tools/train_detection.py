"""Train the task detector; the same input gives the same bytes, in plain Python, in a few minutes.

    python tools/train_detection.py FOLDER            writes detection.weights
    python tools/train_detection.py FOLDER --check    trains without a fifth of the topics, five times, and prints
                                                      how often the tasks of their prompts are found

FOLDER holds `task_train_arena_explorer.jsonl.gz` (prompts with a topic and a task), `gsm8k_test_items.jsonl.gz`,
`cruxeval_output_items.jsonl.gz` and `HumanEval.jsonl.gz`. Beside them it reads what is in tools/data: our own
prompts, and labels corrected by hand. Origin and licences are in elixi_models/selection/data/README.md.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from regression import fit  # noqa: E402

from elixi_models.selection.detection import LABELS, dictionary, hashed, pack, unpack  # noqa: E402
from elixi_models.selection.features import excerpt, features  # noqa: E402

TARGET = ROOT / "elixi_models" / "selection" / "data" / "detection.weights"
OWN = Path(__file__).resolve().parent / "data"
KNOWN_FEATURES = 11_000
PENALTY = 1.0
SCALE = 40.0
ITERATIONS = 60
FOLDS = 5
#: 1 would give every task the same weight in all, 0 every prompt.
BALANCE = 0.7


@dataclass(frozen=True)
class Example:
    """A prompt's features as hashes, the number of its task and of its topic (none: -1), and the prompt's digest."""

    hashes: tuple[int, ...]
    label: int
    topic: int
    digest: str


def main(folder: Path, *, check: bool) -> None:
    """Train on everything, or check on topics that the training has not seen."""
    examples = list(read(folder))
    if check:
        report(examples)
    else:
        TARGET.write_bytes(train(examples))
        print(f"{TARGET.name}: {TARGET.stat().st_size} bytes from {len(examples)} prompts")


def read(folder: Path) -> Iterator[Example]:
    """All prompts to learn from, in a fixed order."""
    corrected = labels("detection_relabels.tsv")
    for record in records(folder / "task_train_arena_explorer.jsonl.gz"):
        task = corrected.get(digest(record["prompt"]), record["label"])
        yield example(record["prompt"], task, record["cluster"])
    for record in records(folder / "gsm8k_test_items.jsonl.gz")[::5]:
        yield example(record["question"], "analysis")
    for record in records(folder / "cruxeval_output_items.jsonl.gz")[::16]:
        yield example(record["code"], "coding")
    for record in records(folder / "HumanEval.jsonl.gz")[::4]:
        yield example(record["prompt"], "coding")
    for line in (OWN / "detection_seeds.tsv").read_text(encoding="utf-8").splitlines():
        task, _, prompt = line.partition("\t")
        yield example(prompt, task)


def records(path: Path) -> list[dict[str, Any]]:
    """The objects of a compressed file with one JSON object a line."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()]


def labels(name: str) -> dict[str, str]:
    """Digest of a prompt → task, as written by hand into a file of tools/data."""
    lines = (OWN / name).read_text(encoding="utf-8").splitlines()
    return {key: task for key, _, task in (line.partition("\t") for line in lines)}


def digest(prompt: str) -> str:
    """What stands for a prompt that may not be shipped itself."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12]


def example(prompt: str, task: str, topic: int = -1) -> Example:
    """The prompt as the detector sees it."""
    hashes = sorted(set(hashed(features(excerpt(prompt), dictionary()))))
    return Example(tuple(hashes), LABELS.index(task), topic, digest(prompt))


def train(examples: Sequence[Example]) -> bytes:
    """The packed weights: fitted with all features that occur twice, and again with those that mattered most."""
    counts = Counter(feature for each in examples for feature in each.hashes)
    often = sorted(feature for feature, count in counts.items() if count > 1)
    columns, _ = solve(examples, often)
    force = {
        feature: math.sqrt(counts[feature] * math.fsum(weight**2 for weight in centred(columns, place)))
        for place, feature in enumerate(often)
    }
    kept = sorted(sorted(often, key=lambda feature: (-force[feature], feature))[:KNOWN_FEATURES])
    columns, biases = solve(examples, kept)
    rows = [centred(columns, place) for place in range(len(kept))]
    unit = max(abs(weight) for row in rows for weight in row) / 127
    rounded = [[round(row[name] / unit) for row in rows] for name in range(len(LABELS))]
    return pack(kept, rounded, unit * math.sqrt(SCALE), biases)


def solve(examples: Sequence[Example], known: Sequence[int]) -> tuple[list[list[float]], list[float]]:
    """Weights by task and biases over the known features."""
    place = {feature: index for index, feature in enumerate(known)}
    rows = [[place[feature] for feature in each.hashes if feature in place] for each in examples]
    sizes = Counter(each.label for each in examples)
    even = len(examples) / len(LABELS)
    return fit(
        rows,
        [each.label for each in examples],
        [(even / sizes[each.label]) ** BALANCE for each in examples],
        width=len(known),
        classes=len(LABELS),
        penalty=PENALTY,
        scale=SCALE,
        iterations=ITERATIONS,
    )


def centred(columns: Sequence[Sequence[float]], place: int) -> list[float]:
    """The weights of one feature without what they have in common, which no probability shows."""
    row = [column[place] for column in columns]
    middle = math.fsum(row) / len(row)
    return [weight - middle for weight in row]


def report(examples: Sequence[Example]) -> None:
    """Print the agreement on topics held out: with all labels, and with those of the prompts checked by hand."""
    checked = labels("detection_audit.tsv")
    topics = sorted({each.topic for each in examples if each.topic >= 0})
    fold = {topic: index * 7919 % len(topics) % FOLDS for index, topic in enumerate(topics)}
    pairs: list[tuple[Example, int]] = []
    for held in range(FOLDS):
        weights = unpack(train([each for each in examples if fold.get(each.topic) != held]))
        for each in (each for each in examples if fold.get(each.topic) == held):
            shares = weights.probabilities(each.hashes)
            pairs.append((each, shares.index(max(shares))))
    tell("all labels", [(each.label, guess) for each, guess in pairs])
    tell("by hand", [(LABELS.index(checked[each.digest]), guess) for each, guess in pairs if each.digest in checked])


def tell(name: str, pairs: Sequence[tuple[int, int]]) -> None:
    """One line: accuracy with its 95 % interval, and F1 of each task."""
    share = sum(truth == guess for truth, guess in pairs) / len(pairs)
    half = 1.96 * math.sqrt(share * (1 - share) / len(pairs))
    marks = []
    for index, task in enumerate(LABELS):
        hits = sum(truth == guess == index for truth, guess in pairs)
        named = sum((truth == index) + (guess == index) for truth, guess in pairs)
        marks.append(f"{task} {2 * hits / named:.3f}")
    print(f"{name:10} n = {len(pairs)}  accuracy {share:.3f} ± {half:.3f}  F1: {', '.join(marks)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), check="--check" in sys.argv[2:])
