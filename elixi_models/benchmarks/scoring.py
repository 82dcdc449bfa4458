"""From the credits of single answers to a score with its interval, shrunk to what was known before. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from ..quality import PRIOR_WIDENING, Estimate, TaskScore, make_task_score, z_of
from .items import SCORED_TASKS, ScoredTask

#: A prior is never taken as surer than this: its table is of models in full precision on other people's machines.
_SUREST_PRIOR_SD = 0.20
#: Newton's steps, none longer than one unit of ability: from any prior until one is too small to matter.
_STEPS = 30
_LONGEST_STEP, _LEAST_STEP = 1.0, 1e-9


@dataclass(frozen=True, slots=True)
class Link:
    """How the share of passed checks follows from ability: logit(share) = alpha + beta·z, known up to `sd` in z."""

    alpha: float
    beta: float
    sd: float


#: What reports call the links below. They are not fitted: for that, six models of known quality have to be measured
#: with this suite. They are set so that a median reference model passes 77, 57, 69 and 73 % of the checks, steep and
#: with a wide `sd`: a result moves a score in the right direction, and less than a fitted link would.
LINK_STATE = "uncalibrated"
LINKS: Mapping[ScoredTask, Link] = {
    "general": Link(1.2, 1.7, 0.5),
    "coding": Link(0.3, 1.7, 0.5),
    "analysis": Link(0.8, 1.7, 0.5),
    "creative": Link(1.0, 1.2, 0.5),
}
#: How much of a task's score a judge may decide, however many answers it has graded.
JUDGE_SHARE: Mapping[ScoredTask, float] = {"general": 0.3, "coding": 0.0, "analysis": 0.0, "creative": 0.6}
#: By how much, of 1, a judge's marks of single answers stray; and by how much one judge is milder than the next.
_MARK_SD = 0.2
_LENIENCY_SD = 0.07
#: Constraints that were met are not all there is to a creative piece: without a judge each counts as so much of one.
VERIFIED_SHARE: Mapping[ScoredTask, float] = {"general": 1.0, "coding": 1.0, "analysis": 1.0, "creative": 0.6}


def score_task(
    task: ScoredTask, credits: Sequence[float], prior: Estimate, *, suite: str, marks: Sequence[float] = ()
) -> TaskScore | None:
    """The score of one task: what was measured and the prior, each weighted by its precision; None unmeasured.

    Args:
        credits: 0-1 for each question.
        prior: what was thought of the model before.
        suite: names the measurement in `source`.
        marks: 0-1 for each answer that a judge graded.
    """
    if not credits:
        return None
    accuracy = mean(credits)
    share, n = _judged(task, accuracy, len(credits), marks)
    z, sd, prior_weight = posterior(
        share,
        n,
        LINKS[task],
        prior_z=z_of(prior.score),
        prior_sd=PRIOR_WIDENING * max(prior.sd, _SUREST_PRIOR_SD),
    )
    return make_task_score(
        z,
        sd,
        n=len(credits),
        source=f"{suite}+judge+{prior.source}" if _is_judged(task, marks) else f"{suite}+{prior.source}",
        prior_weight=prior_weight,
        accuracy=round(accuracy, 3),
    )


def _is_judged(task: ScoredTask, marks: Sequence[float]) -> bool:
    return bool(marks) and JUDGE_SHARE[task] > 0


def _judged(task: ScoredTask, accuracy: float, count: int, marks: Sequence[float]) -> tuple[float, float]:
    """The share of what was achieved, and over how many questions it counts, with the marks of a judge if any.

    Checks and judge are weighted by their precision, the judge up to its bound; with one, a question counts as one at
    the most.
    """
    n = count * VERIFIED_SHARE[task]
    if not _is_judged(task, marks):
        return accuracy, n
    checked_variance = _variance(accuracy, n)
    marks_variance = _MARK_SD**2 / len(marks) + _LENIENCY_SD**2
    weight = min(JUDGE_SHARE[task], checked_variance / (checked_variance + marks_variance))
    share = (1 - weight) * accuracy + weight * mean(marks)
    variance = (1 - weight) ** 2 * checked_variance + weight**2 * marks_variance
    return share, min(float(count), n * _variance(share, n) / variance)


def _variance(share: float, n: float) -> float:
    """Of a share of n questions; none that were all passed are taken as certain."""
    smoothed = (share * n + 1) / (n + 2)
    return smoothed * (1 - smoothed) / n


def posterior(share: float, n: float, link: Link, *, prior_z: float, prior_sd: float) -> tuple[float, float, float]:
    """Ability after `n` questions of which a `share` was passed: its mean, its standard deviation, the prior's weight.

    The most probable ability under the logistic link, found by Newton's steps, rather than a normal approximation of
    the share: that one trusts extreme shares so little that one more right answer may lower a score.
    """
    shown_variance = prior_sd**2 + link.sd**2
    z = prior_z
    for _ in range(_STEPS):
        passed = 1 / (1 + math.exp(-(link.alpha + link.beta * z)))
        information = n * link.beta**2 * passed * (1 - passed)
        step = (n * link.beta * (share - passed) - (z - prior_z) / shown_variance) / (information + 1 / shown_variance)
        z += min(_LONGEST_STEP, max(-_LONGEST_STEP, step))
        if abs(step) < _LEAST_STEP:
            break
    passed = 1 / (1 + math.exp(-(link.alpha + link.beta * z)))
    variance = 1 / (n * link.beta**2 * passed * (1 - passed) + 1 / shown_variance)
    # What the link's own doubt explains of the difference is not ability.
    real = prior_sd**2 / shown_variance
    return (
        prior_z + real * (z - prior_z),
        math.sqrt(real * link.sd**2 + real**2 * variance),
        1 - real * (1 - variance / shown_variance),
    )


def score_tasks(
    credits: Mapping[ScoredTask, Sequence[float]],
    prior: Callable[[ScoredTask], Estimate],
    *,
    suite: str,
    marks: Callable[[ScoredTask], Sequence[float]] = lambda task: (),
) -> dict[str, TaskScore]:
    """The scores of all tasks that were measured."""
    scores = (
        (task, score_task(task, credits.get(task, ()), prior(task), suite=suite, marks=marks(task)))
        for task in SCORED_TASKS
    )
    return {task: score for task, score in scores if score is not None}
