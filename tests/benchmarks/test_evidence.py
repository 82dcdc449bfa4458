"""Which reports count, and what they say."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from elixi_models.benchmarks.evidence import Evidence, collect, identity, staleness
from elixi_models.benchmarks.items import SUITE_VERSION
from elixi_models.inventory import InstalledModel
from elixi_models.quality import TaskScore
from elixi_models.records import BenchmarkJob

from .conftest import URL

MODEL = InstalledModel("a:1b", "d1", weights_digest="w1")


def score(value: float, n: int = 8) -> TaskScore:
    return TaskScore(value, (value - 5, value + 5), n, "quick+family", 0.5, 0.75)


def report(**changes: Any) -> dict[str, Any]:
    return {
        "suite_version": SUITE_VERSION,
        "machine": "m1",
        "digest": "d1",
        "weights_digest": "w1",
        "scores": {},
        **changes,
    }


def job(number: int, scores: dict[str, TaskScore], *, state: str = "ok", **changes: Any) -> BenchmarkJob:
    plain = {task: {**asdict(value), "ci90": list(value.ci90)} for task, value in scores.items()}
    return BenchmarkJob(
        id=f"benchmark:x#{number}",
        ollama_url=URL,
        model="a:1b",
        suite="quick",
        state=state,  # type: ignore[arg-type]
        created_at_s=float(number),
        updated_at_s=float(number),
        finished_at_s=float(number),
        report=report(scores=plain, **changes),
    )


@pytest.mark.parametrize(
    ("given", "machine", "model", "stale"),
    [
        (report(), "m1", MODEL, ()),
        (report(), "m1", None, ()),
        (report(), "m2", MODEL, ("machine",)),
        (report(suite_version="2020.1"), "m1", MODEL, ("suite_version",)),
        (report(weights_digest="w0"), "m1", MODEL, ("weights",)),
        (report(weights_digest=None), "m1", InstalledModel("a:1b", "d1"), ()),
        (report(weights_digest=None), "m1", InstalledModel("a:1b", "d2"), ("weights",)),
        ({"suite_version": "speed-1", "weights_digest": "w1"}, "m1", MODEL, ("suite_version", "machine")),
    ],
)
def test_a_report_belongs_to_weights_machine_and_suite(given, machine, model, stale):
    """When one of them has changed, it says which; a model that is gone makes nothing stale."""
    assert staleness(given, machine=machine, model=model) == stale


def test_the_newest_report_counts_for_each_task():
    """An older one only for what the newer did not measure."""
    jobs = [
        job(2, {"general": score(60)}),
        job(3, {"general": score(70)}),
        job(1, {"general": score(50), "coding": score(40)}),
    ]

    assert collect(jobs, machine="m1").counting == {"w1": {"general": score(70), "coding": score(40)}}


def test_a_benchmark_cut_short_does_not_replace_one_that_went_through():
    """But it counts while there is none."""
    whole, cut = (
        job(1, {"general": score(50)}),
        job(2, {"general": score(90, 1), "coding": score(30, 1)}, state="partial"),
    )

    assert collect([whole, cut], machine="m1").counting == {"w1": {"general": score(50), "coding": score(30, 1)}}
    assert collect([cut], machine="m1").counting["w1"]["general"] == score(90, 1)


def test_results_belong_to_the_weights_whatever_they_are_called():
    """By the manifest where the weights are unknown."""
    jobs = [job(1, {"general": score(50)}), job(2, {"general": score(60)}, weights_digest=None)]

    assert set(collect(jobs, machine="m1").counting) == {"w1", "d1"}
    assert (identity(MODEL), identity(InstalledModel("a:1b", "d1"))) == ("w1", "d1")


def test_only_what_ended_with_answers_counts():
    """Not a running, failed or cancelled one, nor one of another machine or suite, nor one without a report."""
    jobs = [
        job(1, {"general": score(1)}, state="running"),
        job(2, {"general": score(2)}, state="failed"),
        job(3, {"general": score(3)}, state="cancelled"),
        job(4, {"general": score(4)}, machine="m2"),
        job(5, {"general": score(5)}, suite_version="2020.1"),
        BenchmarkJob("x#6", URL, "a:1b", "quick", "ok", 6.0, 6.0),
    ]

    assert {task for scores in Evidence().known(jobs, machine="m1").counting.values() for task in scores} == set()


@pytest.mark.parametrize(
    "stored",
    [None, 5, {}, {"score": 5}, {"score": "x", "ci90": [1, 2], "n": 1, "source": "", "prior_weight": 0, "accuracy": 0}],
)
def test_a_score_that_a_later_version_wrote_differently_is_left_out(stored):
    """It is not measured, as far as this version knows."""
    broken = job(1, {"coding": score(40)})
    broken.report["scores"]["general"] = stored  # type: ignore[index]

    assert collect([broken], machine="m1").counting == {"w1": {"coding": score(40)}}


def test_evidence_is_read_anew_only_when_a_benchmark_ended():
    """A running one changes nothing; another machine changes everything."""
    evidence = Evidence()
    first = evidence.known([job(1, {"general": score(50)})], machine="m1")

    running = job(2, {"general": score(90)}, state="running")
    assert evidence.known([job(1, {"general": score(50)}), running], machine="m1") is first
    assert evidence.known([job(1, {"general": score(50)})], machine="m2").counting == {}
    assert evidence.known([job(1, {}), job(2, {"general": score(60)})], machine="m1").counting["w1"][
        "general"
    ] == score(60)


@pytest.mark.parametrize(
    "changes", [{"machine": "m2"}, {"suite_version": "2020.1"}, {"weights_digest": "w0"}, {"weights_digest": None}]
)
def test_what_counts_no_more_is_remembered_for_the_model(changes):
    """By its weights, or by its name when those have changed."""
    known = collect([job(1, {"general": score(50)}, **changes)], machine="m1")

    assert known.measured(MODEL) == {}
    assert known.outdated(MODEL) == {"general": score(50)}


def test_the_same_weights_say_more_than_the_same_name():
    """However old: what an alias of these weights did elsewhere, not what the name had before."""
    elsewhere = replace(job(1, {"general": score(70)}, machine="m2"), model="alias:1b")
    known = collect([elsewhere, job(2, {"general": score(20)}, weights_digest="w0")], machine="m1")

    assert known.outdated(MODEL) == {"general": score(70)}


def test_what_counts_makes_what_counts_no_more_superfluous():
    """For each task; and what an alias measured with the same weights comes before what the name had once."""
    known = collect(
        [
            job(1, {"general": score(10), "coding": score(20), "analysis": score(30)}, weights_digest="w0"),
            job(2, {"general": score(40), "coding": score(50)}, machine="m2"),
            job(3, {"general": score(60)}),
        ],
        machine="m1",
    )

    assert known.measured(MODEL) == {"general": score(60)}
    assert known.outdated(MODEL) == {"coding": score(50), "analysis": score(30)}


def judged(number: int, by: str, value: float, *, weights: str, version: str = "1") -> BenchmarkJob:
    """A benchmark whose creative score a judge made ten points higher."""
    checked = {**asdict(score(value - 10)), "ci90": [value - 15, value - 5]}
    return job(
        number,
        {"creative": score(value)},
        weights_digest=weights,
        scores_without_judge={"creative": checked},
        judge={"weights_digest": by, "digest": "d", "status": "accepted", "gate": {"version": version}},
    )


def creative(*jobs: BenchmarkJob) -> dict[str, float]:
    return {weights: scores["creative"].score for weights, scores in collect(jobs, machine="m1").counting.items()}


def test_the_scores_of_one_judge_count():
    """Beside those of models that nobody judged, the judge itself for one."""
    unjudged = job(3, {"creative": score(50)}, weights_digest="w3", scores_without_judge=None, judge=None)
    assert creative(judged(1, "j1", 70, weights="w1"), judged(2, "j1", 60, weights="w2"), unjudged) == {
        "w1": 70,
        "w2": 60,
        "w3": 50,
    }


def test_two_judges_are_never_on_one_scale():
    """The newest report's judge counts; what another one judged counts without it, whatever the order of the jobs."""
    jobs = [judged(1, "j1", 70, weights="w1"), judged(3, "j2", 60, weights="w2"), judged(2, "j1", 65, weights="w3")]
    for listed in (jobs, jobs[::-1]):
        assert creative(*listed) == {"w1": 60, "w2": 60, "w3": 55}


def test_grades_by_other_controls_are_another_scale():
    """The same weights, asked otherwise."""
    jobs = [judged(1, "j1", 70, weights="w1", version="1"), judged(2, "j1", 60, weights="w2", version="2")]
    assert creative(*jobs) == {"w1": 60, "w2": 60}


def test_a_result_that_counts_no_more_does_not_appoint_the_judge():
    """It follows the ones that count: where another one judged it, it is remembered without that judge."""
    stale = judged(3, "j2", 60, weights="w2")
    stale.report["machine"] = "m2"  # type: ignore[index]
    known = collect([judged(1, "j1", 70, weights="w1"), stale], machine="m1")
    assert {weights: scores["creative"].score for weights, scores in known.counting.items()} == {"w1": 70}
    assert known.earlier["w2"]["creative"].score == 50


def test_a_judge_without_a_say_is_no_judge():
    """Rejected, failed, or written in a way that this version does not know: the scores are the checks' alone."""
    refused = job(
        2,
        {"creative": score(50)},
        weights_digest="w2",
        scores_without_judge=None,
        judge={"weights_digest": "j2", "status": "rejected"},
    )
    odd = job(3, {"creative": score(40)}, weights_digest="w3", scores_without_judge={"creative": 1}, judge="j3")
    assert creative(judged(1, "j1", 70, weights="w1"), refused, odd) == {"w1": 70, "w2": 50, "w3": 40}
    plain = judged(4, "j4", 80, weights="w4")
    plain.report["judge"]["gate"] = None  # type: ignore[index]
    assert creative(plain) == {"w4": 80}
