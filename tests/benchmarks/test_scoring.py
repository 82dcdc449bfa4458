"""From credits to scores."""

from __future__ import annotations

import math
import random

import pytest

from elixi_models.benchmarks.scoring import LINKS, posterior, score_task, score_tasks
from elixi_models.quality import Estimate, carried_score, make_task_score, score_of, z_of

VAGUE = Estimate(50.0, 1.0, "nothing")
SURE = Estimate(50.0, 0.2, "table")


def likelihood(z, link, share, n):
    odds = link.alpha + link.beta * z
    return n * (share * odds - math.log1p(math.exp(odds)))


def test_the_posterior_is_that_of_the_logistic_link():
    """As summed over a fine grid of abilities and of what the link may be off: within a few hundredths."""
    link, grid = LINKS["general"], [at / 50 for at in range(-250, 251)]
    weights = {}
    for z in grid:
        for off in (at / 10 for at in range(-20, 21)):
            log = likelihood(z + off, link, 0.8, 10) - (z + 0.5) ** 2 / 2 / 0.455**2 - off**2 / 2 / link.sd**2
            weights[z] = weights.get(z, 0.0) + math.exp(log)
    total = sum(weights.values())
    mean = sum(z * weight for z, weight in weights.items()) / total
    sd = math.sqrt(sum((z - mean) ** 2 * weight for z, weight in weights.items()) / total)

    z, found_sd, _ = posterior(0.8, 10, link, prior_z=-0.5, prior_sd=0.455)

    assert z == pytest.approx(mean, abs=0.04)
    assert found_sd == pytest.approx(sd, abs=0.04)


def test_a_score_says_what_it_rests_on():
    """Score and interval of that posterior, the number of questions, the bare share, and how much is the prior."""
    score = score_task("general", [1.0] * 8 + [0.0] * 2, VAGUE, suite="quick")
    z, sd, weight = posterior(0.8, 10, LINKS["general"], prior_z=0.0, prior_sd=1.3)

    assert score.score == round(score_of(z), 1)
    assert score.ci90 == (round(score_of(z - 1.645 * sd), 1), round(score_of(z + 1.645 * sd), 1))
    assert (score.n, score.source, score.accuracy, score.estimated) == (10, "quick+nothing", 0.8, False)
    assert score.prior_weight == round(weight, 3)
    assert 0.2 < weight < 0.5


def test_a_sure_prior_is_moved_less_than_a_vague_one():
    """And neither beyond what was measured."""
    bad = [0.0] * 8
    vague, sure = (score_task("coding", bad, prior, suite="quick") for prior in (VAGUE, SURE))

    assert vague.score < sure.score < 50
    assert vague.prior_weight < 0.5 < sure.prior_weight


def test_more_questions_weigh_more_and_narrow_the_interval():
    """The same share over 4 and over 64."""
    few, many = (score_task("analysis", [1.0, 0.0] * n, VAGUE, suite="full") for n in (2, 32))

    assert many.prior_weight < few.prior_weight
    assert many.ci90[1] - many.ci90[0] < few.ci90[1] - few.ci90[0]


def test_a_creative_piece_counts_for_less_without_a_judge():
    """Its constraints are 60 % of it: five pieces weigh like three."""
    five = score_task("creative", [0.5] * 5, VAGUE, suite="quick")

    assert five.prior_weight == round(posterior(0.5, 3, LINKS["creative"], prior_z=0.0, prior_sd=1.3)[2], 3)


def test_a_prior_is_never_taken_as_certain():
    """However sure the table is of a model in full precision."""
    assert score_task("general", [1.0] * 8, Estimate(50.0, 0.01, "table"), suite="quick") == score_task(
        "general", [1.0] * 8, SURE, suite="quick"
    )


@pytest.mark.parametrize("prior", [0.0, 100.0])
@pytest.mark.parametrize("credit", [0.0, 1.0])
def test_extremes_are_finite(prior, credit):
    """Nothing right, all right, and priors at the ends."""
    score = score_task("general", [credit] * 64, Estimate(prior, 0.35, "family"), suite="full")

    assert 0 <= score.ci90[0] <= score.score <= score.ci90[1] <= 100


def test_more_right_answers_never_lower_a_score():
    """Over all shares of twenty questions and all tasks."""
    for task in LINKS:
        scores = [score_task(task, [1.0] * n + [0.0] * (20 - n), SURE, suite="full").score for n in range(21)]
        assert scores == sorted(scores)
        assert scores[-1] - scores[0] > 8


def test_what_was_not_asked_has_no_score():
    """It is left out, not guessed."""
    assert score_task("coding", [], VAGUE, suite="quick") is None
    assert list(score_tasks({"general": [1.0]}, lambda task: VAGUE, suite="quick")) == ["general"]


def test_each_task_has_its_own_prior():
    """A specialist keeps its strength."""
    scores = score_tasks(
        {"general": [1.0], "coding": [1.0]},
        lambda task: Estimate(80.0 if task == "coding" else 20.0, 0.3, "table"),
        suite="quick",
    )

    assert scores["coding"].score > 60 > 40 > scores["general"].score


def test_intervals_cover_the_truth_when_the_link_holds():
    """Abilities drawn from the prior, answers from the link: 90 % intervals hold 85 to 95 % of the truths.

    The link's own doubt and the widening of the prior are real here: both are drawn.
    """
    dice, link, covered = random.Random(4), LINKS["general"], 0
    prior = Estimate(45.0, 0.35, "family")
    for _ in range(2_000):
        z = dice.gauss(z_of(45.0), 1.3 * 0.35)
        share = 1 / (1 + math.exp(-(link.alpha + link.beta * (z + dice.gauss(0, link.sd)))))
        credits = [float(dice.random() < share) for _ in range(20)]
        low, high = score_task("general", credits, prior, suite="full").ci90
        covered += low <= score_of(z) <= high

    assert 0.85 < covered / 2_000 < 0.95


def test_the_scale_goes_there_and_back():
    """50 is ability 0; the ends stay finite."""
    assert score_of(0.0) == 50.0
    assert score_of(z_of(73.0)) == pytest.approx(73.0)
    assert math.isfinite(z_of(0.0))
    assert math.isfinite(z_of(100.0))


def scored(value, sd, n=8):
    return make_task_score(z_of(value), sd, n=n, source="family", prior_weight=0.5)


def test_a_result_that_counts_no_more_is_half_as_sure_as_it_was():
    """Twice its doubt is as much as that of the expectation: the middle of both, and nothing measured."""
    carried = carried_score(scored(80, 0.2), scored(50, 0.4, n=0))

    assert carried.score == pytest.approx(score_of((z_of(80) + z_of(50)) / 2), abs=0.1)
    assert carried.prior_weight == pytest.approx(0.5, abs=0.01)
    width = z_of(carried.ci90[1]) - z_of(carried.ci90[0])
    assert width == pytest.approx(2 * 1.645 * 0.4 / 2**0.5, abs=0.02)
    assert (carried.n, carried.estimated, carried.source, carried.accuracy) == (0, True, "stale+family", None)


def test_a_doubtful_result_hardly_moves_an_expectation_that_is_sure():
    """And the other way round; an interval without width is not infinitely sure."""
    assert carried_score(scored(90, 2.0), scored(50, 0.1, n=0)).score == pytest.approx(50, abs=0.5)
    assert carried_score(scored(90, 0.0), scored(50, 1.0, n=0)).score == pytest.approx(90, abs=0.5)


GOOD_CREDITS = [1.0] * 9 + [0.0] * 3
TASKS_JUDGED = [("creative", 0.6), ("general", 0.3)]


@pytest.mark.parametrize(("task", "bound"), TASKS_JUDGED)
def test_a_judge_decides_no_more_than_its_bound(task, bound):
    """As many answers as it may grade: the share that counts is mixed with its weight, and the bare share stays."""
    score = score_task(task, GOOD_CREDITS, VAGUE, suite="full", marks=[0.25] * 100)
    mixed = (1 - bound) * 0.75 + bound * 0.25
    z, _, weight = posterior(mixed, 12, LINKS[task], prior_z=0.0, prior_sd=1.3)

    assert score.score == round(score_of(z), 1)
    assert (score.accuracy, score.n, score.source) == (0.75, 12, "full+judge+nothing")
    assert score.prior_weight == round(weight, 3)


def test_few_marks_weigh_less_than_many():
    """Each strays by two points of ten: one is worth less than the bound, and each further one more."""
    scores = [score_task("creative", GOOD_CREDITS, VAGUE, suite="full", marks=[0.1] * n).score for n in (0, 1, 2, 3)]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


@pytest.mark.parametrize("task", ["creative", "general"])
def test_a_better_mark_never_lowers_a_score(task):
    """From the worst to the best, with few and with many."""
    for n in (1, 4, 8):
        scores = [score_task(task, GOOD_CREDITS, SURE, suite="full", marks=[m / 20] * n).score for m in range(21)]
        assert scores == sorted(scores)


def test_with_a_judge_a_question_counts_as_one_at_the_most():
    """A creative one for more than without, a general one for no more: a judge adds no certainty of its own."""
    alone, judged = (score_task("creative", GOOD_CREDITS, VAGUE, suite="full", marks=m) for m in ((), [0.75] * 8))
    assert judged.prior_weight < alone.prior_weight
    assert judged.score > alone.score > 50
    general, same = (score_task("general", GOOD_CREDITS, VAGUE, suite="full", marks=m) for m in ((), [0.75] * 4))
    assert (same.score, same.ci90, same.prior_weight) == (general.score, general.ci90, general.prior_weight)


def test_a_judge_has_no_say_in_what_checks_decide():
    """Coding and analysis; and without marks everything is as before."""
    for task in ("coding", "analysis"):
        alone = score_task(task, GOOD_CREDITS, VAGUE, suite="full")
        assert score_task(task, GOOD_CREDITS, VAGUE, suite="full", marks=[0.0] * 8) == alone
        assert alone.source == "full+nothing"
    marks = {"creative": [1.0]}
    scores = score_tasks(
        dict.fromkeys(LINKS, GOOD_CREDITS), lambda task: VAGUE, suite="full", marks=lambda task: marks.get(task, ())
    )
    assert [score.source for score in scores.values()] == ["full+nothing"] * 3 + ["full+judge+nothing"]
