"""Real results item by item: a short benchmark can be drawn from them, and the items left over are the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from . import tables

#: The doubt of a table entry is widened by this before it meets a benchmark; see post 5.
WIDENING = 1.3
#: Names that differ between the files.
SAME = {"phi3:3.8b": "phi3:3.8b-4k"}
SETS = {"gsm": "analysis", "math-l5": "analysis", "crux": "coding", "evalperf": "coding"}


@dataclass(frozen=True)
class Replayed:
    """Models × items: shares 0-1 of right answers, and what the table believes of each model in z units."""

    models: Sequence[str]
    beliefs: Sequence[float]
    sds: Sequence[float]
    right: Sequence[Sequence[float]]

    @property
    def items(self) -> int:
        """How many items every model answered."""
        return len(self.right[0])


@cache
def replayed(name: str) -> Replayed:
    """One of `gsm math-l5 crux evalperf`; the last with a table that never saw EvalPlus, its sibling."""
    file = "evalperf_pass1.csv.gz" if name == "evalperf" else "zeroeval_items.csv.gz"
    lines = [line for line in tables.read_table(file) if name in ("evalperf", line["task"])]
    tool = tables.tool("build_priors")
    latent = tables.latents("evalplus" if name == "evalperf" else None)[SETS[name]]
    place = {row.tag: index for index, row in enumerate(tables.rows())}
    models = [model for model in lines[0] if model not in ("task", "item") and all(line[model] for line in lines)]
    unit = 100.0 if name == "evalperf" else 1.0
    right = [[float(line[model]) / unit for line in lines] for model in models]
    indices = [place[SAME.get(model, model)] for model in models]
    return Replayed(models, [latent.means[i] for i in indices], [tool.doubt(latent.sources[i]) for i in indices], right)


@dataclass(frozen=True)
class Link:
    """How accuracy on a set follows quality: logit(a) = level + slope·z, from models outside the pool."""

    level: float
    slope: float

    @classmethod
    def fitted(cls, beliefs: Sequence[float], accuracies: Sequence[float]) -> Link:
        """Least squares; the slope is at least 0.2, so that a poor fit trusts the benchmark little, not inversely."""
        logits = [logit(a) for a in accuracies]
        mean_z, mean_l = math.fsum(beliefs) / len(beliefs), math.fsum(logits) / len(logits)
        spread = math.fsum((z - mean_z) ** 2 for z in beliefs)
        slope = math.fsum((z - mean_z) * (lg - mean_l) for z, lg in zip(beliefs, logits, strict=True)) / spread
        slope = max(0.2, slope)
        return cls(mean_l - slope * mean_z, slope)

    def accuracy(self, z: float) -> float:
        """The share of right answers that a quality stands for."""
        return 1 / (1 + math.exp(-(self.level + self.slope * z)))


def logit(a: float) -> float:
    """The log odds of a share, held away from 0 and 1."""
    a = min(max(a, 0.005), 0.995)
    return math.log(a / (1 - a))


def posterior(belief: float, sd: float, link: Link, share: float, n: int) -> tuple[float, float]:
    """Mean and sd in z units after n items with that share right (selection.md §2.6: belief × benchmark)."""
    smoothed = (share * n + 1) / (n + 2)
    measured = (logit(smoothed) - link.level) / link.slope
    measured_sd = math.sqrt(smoothed * (1 - smoothed) / n) / (link.slope * smoothed * (1 - smoothed))
    before, seen = 1 / (WIDENING * sd) ** 2, 1 / measured_sd**2
    return (belief * before + measured * seen) / (before + seen), 1 / math.sqrt(before + seen)
