"""Real results item by item: a short benchmark can be drawn from them, and the items left over are the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from elixi_models.benchmarks.scoring import Link, posterior
from elixi_models.quality import PRIOR_WIDENING

from . import tables

#: Names that differ between the files.
SAME = {"phi3:3.8b": "phi3:3.8b-4k"}
SETS = {"gsm": "analysis", "math-l5": "analysis", "crux": "coding", "evalperf": "coding"}
#: A link is at least so steep: where a fit is poor, a benchmark counts for little, never inversely.
LEAST_SLOPE = 0.2
HALF_WIDTH_90 = 1.645


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

    @cached_property
    def accuracies(self) -> Sequence[float]:
        """Each model's share of right answers."""
        return [math.fsum(right) / len(right) for right in self.right]

    @cached_property
    def unevenness(self) -> Sequence[float]:
        """How much the items differ for each model: the variance of its shares."""
        squares = [math.fsum(share * share for share in right) / len(right) for right in self.right]
        return [square - mean * mean for square, mean in zip(squares, self.accuracies, strict=True)]


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
    sds = [PRIOR_WIDENING * tool.doubt(latent.sources[i]) for i in indices]
    return Replayed(models, [latent.means[i] for i in indices], sds, right)


def fitted(played: Replayed, among: Sequence[int]) -> Link:
    """How accuracy on the set follows ability, by least squares over the models `among`.

    Its `sd` is what those models differ from the line by beyond the doubt of their own table entries: a set asks for
    something of its own too, and as much is to be expected of the next model.
    """
    beliefs, logits = [played.beliefs[i] for i in among], [logit(played.accuracies[i]) for i in among]
    mean_z, mean_l = math.fsum(beliefs) / len(among), math.fsum(logits) / len(among)
    spread = math.fsum((z - mean_z) ** 2 for z in beliefs)
    slope = math.fsum((z - mean_z) * (lg - mean_l) for z, lg in zip(beliefs, logits, strict=True)) / spread
    slope = max(LEAST_SLOPE, slope)
    level = mean_l - slope * mean_z
    off = math.fsum((lg - level - slope * z) ** 2 for z, lg in zip(beliefs, logits, strict=True)) / (len(among) - 2)
    expected = math.fsum(played.sds[i] ** 2 for i in among) / len(among)
    return Link(level, slope, math.sqrt(max(0.0, off / slope**2 - expected)))


def shown(played: Replayed, model: int, link: Link, share: float, n: int) -> tuple[float, float]:
    """Mean and sd, in z units, of the ability that a model shows on the set, after n items with that share right.

    The package's own posterior. Accuracy on the same set is to be told, so what the set has of its own belongs to
    what is asked, and its doubt to what was known before; the package's scores are of ability in general.
    """
    before = math.hypot(played.sds[model], link.sd)
    z, sd, _ = posterior(share, n, Link(link.alpha, link.beta, 0.0), prior_z=played.beliefs[model], prior_sd=before)
    return z, sd


def interval(link: Link, z: float, sd: float, rest_variance: float) -> tuple[float, float]:
    """Where nine of ten accuracies on the items left over lie; their mean has the given variance of its own."""
    passed = accuracy(link, z)
    half = HALF_WIDTH_90 * math.hypot(sd, math.sqrt(rest_variance) / (link.beta * passed * (1 - passed)))
    return accuracy(link, z - half), accuracy(link, z + half)


def accuracy(link: Link, z: float) -> float:
    """The share of right answers that an ability stands for."""
    return 1 / (1 + math.exp(-(link.alpha + link.beta * z)))


def logit(a: float) -> float:
    """The log odds of a share, held away from 0 and 1."""
    a = min(max(a, 0.005), 0.995)
    return math.log(a / (1 - a))
