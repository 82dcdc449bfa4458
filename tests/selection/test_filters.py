"""Context, capabilities, rests, measured quality: what a message and a history change in the choice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from elixi_models.inventory import InstalledModel, LoadedModel, ServerView
from elixi_models.quality import TaskScore
from elixi_models.reasons import why
from elixi_models.records import Choice, Measurement, ModelSummary, ResourceSample
from elixi_models.selection.explanation import replay
from elixi_models.selection.filters import Request, SelectionInputs, resident_names
from elixi_models.selection.ranking import rank
from elixi_models.selection.snapshot import Selector


def measured(
    score: float, ci90: tuple[float, float] = (0.0, 100.0), n: int = 12, source: str = "benchmark"
) -> TaskScore:
    """A quality as a benchmark gives it."""
    return TaskScore(score, ci90, n, source, 0.0)


GB = 1_000_000_000


def model(name: str, **facts: Any) -> InstalledModel:
    facts = {"capabilities": ("completion",), "size_bytes": 4 * GB, **facts}
    return InstalledModel(name, f"d-{name}", **facts)


def inputs(*models: InstalledModel, loaded: tuple[str, ...] = (), **facts: Any) -> SelectionInputs:
    view = ServerView(
        "http://127.0.0.1:1", 1.0, True, installed=models, loaded=tuple(LoadedModel(n, f"d-{n}") for n in loaded)
    )
    facts = {"summaries": {}, "assignments": {}, "resources": ResourceSample(32 * GB, 30 * GB), **facts}
    return SelectionInputs(view, now_s=10.0, **facts)


def failures(name: str, count: int = 3) -> tuple[Measurement, ...]:
    return tuple(Measurement(str(i), float(i), "u", name, "chat", "oom", 0.5) for i in range(count))


def chosen(given: SelectionInputs, **request: Any) -> Choice:
    choice = rank("general", given, request=Request(**request))
    assert choice is not None
    return choice


GOOD, WEAK = model("qwen2.5:7b", context_length=4096), model("tinyllama:latest", context_length=131_072)


def test_a_prompt_that_a_model_cannot_read_goes_to_one_that_can() -> None:
    """4,096 tokens hold 3,584 of prompt and 512 of answer, and not one more."""
    assert chosen(inputs(GOOD, WEAK), prompt_tokens=3584).model == GOOD.name
    choice = chosen(inputs(GOOD, WEAK), prompt_tokens=3585)
    assert choice.model == WEAK.name
    assert choice.rejected[0].reason == "reads 4096 tokens, the prompt and its answer take about 4097"


def test_when_every_context_is_too_short_the_longest_is_taken() -> None:
    """And the choice says so."""
    choice = chosen(inputs(GOOD, WEAK), prompt_tokens=10**6)
    assert (choice.model, choice.flags) == (WEAK.name, ("prompt_too_long",))
    assert choice.rejected[0].reason == "reads fewer tokens than others, 4096"


def test_the_selector_measures_the_prompt() -> None:
    """Three bytes a token; what asks nothing special comes from the snapshot itself."""
    selector = Selector(clock=lambda: 1.0)
    selector.rebuild(inputs(GOOD, WEAK))
    short, long, huge = (selector.choose("general", "x" * size) for size in (900, 12_000, 900_000))
    assert short is selector.choose("general")
    assert long is not None
    assert huge is not None
    assert (long.model, long.flags) == (WEAK.name, ())
    assert (huge.model, huge.flags) == (WEAK.name, ("prompt_too_long",))
    asked = dict(selector.snapshot.asked)
    assert len(asked) == 3
    assert selector.choose("general", "x" * 12_300) is long
    assert selector.best("general", "x" * 12_300) == WEAK.name
    assert selector.snapshot.asked == asked
    assert selector.choose("general", "x" * 1500) is short
    assert Selector().choose("general", "x" * 12_000, needs=["vision"]) is None
    assert Selector().best("general", "x" * 12_000, needs=["vision"]) is None


def test_a_needed_capability_decides() -> None:
    """Unknown capabilities have none; no model that has it is no model."""
    seeing = model("llava:7b", capabilities=("completion", "vision"))
    given = inputs(GOOD, seeing, model("x:1b", capabilities=None))
    assert chosen(given, needs=("vision",)).model == "llava:7b"
    assert rank("general", inputs(GOOD), request=Request(("vision",))) is None
    selector = Selector()
    selector.rebuild(given)
    found = selector.choose("coding", needs=["vision"])
    assert found is not None
    assert (found.model, found.task_source) == ("llava:7b", "explicit")


def test_a_model_that_keeps_failing_rests() -> None:
    """With the time in its reason; without a clock the breaker stays closed."""
    given = inputs(GOOD, WEAK, calls={GOOD.name: failures(GOOD.name)})
    choice = chosen(given)
    assert choice.model == WEAK.name
    assert choice.rejected[0].reason == "failed too often of late, is tried again in 22 s"
    assert chosen(replace(given, now_s=None)).model == GOOD.name
    assert chosen(replace(given, now_s=33.0)).model == GOOD.name


def test_when_all_rest_the_best_of_them_is_taken() -> None:
    """Somebody must answer."""
    choice = chosen(inputs(GOOD, calls={GOOD.name: failures(GOOD.name)}))
    assert (choice.model, choice.flags) == (GOOD.name, ("all_resting",))


def test_an_assigned_model_that_rests_is_passed_over() -> None:
    """Until it is tried again."""
    given = inputs(GOOD, WEAK, assignments={"general": GOOD.name}, calls={GOOD.name: failures(GOOD.name)})
    assert chosen(given).model == WEAK.name
    assert chosen(replace(given, now_s=40.0)).decided_by == "assignment"


def test_under_an_assignment_everyone_else_has_a_reason() -> None:
    """Also those that would have fitted."""
    choice = chosen(inputs(GOOD, WEAK, model("e:1", capabilities=()), assignments={"general": WEAK.name}))
    assert [(entry.model, entry.reason) for entry in choice.rejected] == [
        ("e:1", "cannot chat"),
        (GOOD.name, "another model is assigned to this task"),
    ]


def test_a_measured_quality_replaces_the_prior() -> None:
    """With its sample and interval; quantization is in it already; not a number is no figure."""
    weak = replace(WEAK, quantization="Q2_K")
    given = inputs(GOOD, weak, measured={weak.name: {"general": measured(95.0, (90.0, 98.0), 20, "quick")}})
    choice = chosen(given)
    assert (choice.model, choice.terms["quality"]) == (weak.name, 95.0)
    assert {name: choice.evidence[name] for name in ("quality", "estimated", "n", "ci90")} == {
        "quality": "quick",
        "estimated": False,
        "n": 20,
        "ci90": [90.0, 98.0],
    }
    broken = chosen(replace(given, measured={weak.name: {"general": measured(float("nan"))}}))
    assert broken.model == GOOD.name
    assert broken.evidence["estimated"] is True
    assert broken.evidence["ci90"][0] < broken.terms["quality"] < broken.evidence["ci90"][1]


def test_a_preferred_model_gets_five_points() -> None:
    """In a term of its own."""
    choice = chosen(inputs(GOOD, preferred=GOOD.name))
    assert choice.terms["pin"] == 5.0


def test_little_memory_left_costs_three_points() -> None:
    """Less than a tenth of all after loading; a resident model has paid already."""
    tight = {"resources": ResourceSample(32 * GB, 7 * GB)}
    assert chosen(inputs(GOOD, **tight)).terms["memory"] == -3.0
    assert chosen(inputs(GOOD, loaded=(GOOD.name,), **tight)).terms["memory"] == 0.0
    assert chosen(inputs(GOOD, resources=ResourceSample(64 * GB, 60 * GB))).terms["memory"] == 0.0


def test_names_that_share_weights_are_resident_together() -> None:
    """As the view says one by one."""
    twins = [model(name, weights_digest="w") for name in ("a:1", "b:1")]
    view = inputs(*twins, GOOD, loaded=("a:1",)).view
    assert resident_names(view) == {"a:1", "b:1"}
    assert [one.name for one in view.installed if view.residence(one)] == ["a:1", "b:1"]


def test_who_answered_last_stays_for_four_points_in_a_talk_and_for_two_later() -> None:
    """Three points are no reason to load another model in the middle of a talk."""
    used = {WEAK.name: ModelSummary(last_used_at_s=5.0, requests=1)}
    scores = {GOOD.name: {"general": measured(53.0)}, WEAK.name: {"general": measured(50.0)}}
    given = inputs(GOOD, WEAK, summaries=used, measured=scores)
    selector = Selector()
    selector.rebuild(given)
    talking = selector.choose("general")
    assert talking is not None
    assert (talking.model, talking.incumbents) == (WEAK.name, {WEAK.name: 4.0})
    assert "kept_by_hysteresis" in talking.flags
    selector = Selector()
    selector.rebuild(replace(given, now_s=1000.0))
    later = selector.choose("general")
    assert later is not None
    assert (later.model, later.incumbents) == (GOOD.name, {WEAK.name: 2.0})


def test_speed_that_moves_less_than_fifteen_percent_moves_nothing() -> None:
    """And what moves more does; from nothing to something is a move."""
    selector = Selector()
    figures = []
    for ms in (None, 100.0, 114.0, 116.0):
        selector.rebuild(inputs(GOOD, summaries={GOOD.name: ModelSummary(ms_per_token=ms, ttft_ms=ms)}))
        assert selector.snapshot.prepared is not None
        figures.append(selector.snapshot.prepared.inputs.summaries[GOOD.name].ms_per_token)
    assert figures == [None, 100.0, 100.0, 116.0]


@pytest.mark.parametrize(
    ("facts", "decided_by"),
    [
        ({}, "score"),
        ({"assignments": {"general": "tinyllama"}}, "assignment"),
        ({"resources": ResourceSample(GB, GB)}, "degraded"),
    ],
)
def test_a_reason_leads_to_its_choice_again(facts: dict[str, Any], decided_by: str) -> None:
    """From the data of `recommend-model`, however it was decided; who lacks one is told so."""
    stored = why(chosen(inputs(GOOD, WEAK, **facts)))
    assert stored["decided_by"] == decided_by
    assert replay(stored) == stored["chosen"]
    with pytest.raises(ValueError, match="no ranking"):
        replay({**stored, "decided_by": "score", "ranking": []})


def test_a_benchmark_makes_nobody_the_one_who_answered_last() -> None:
    """Used, but by nobody who waits for the next answer from the same model."""
    scores = {GOOD.name: {"general": measured(53.0)}, WEAK.name: {"general": measured(50.0)}}
    used = {WEAK.name: ModelSummary(last_used_at_s=5.0, requests=0)}
    selector = Selector()
    selector.rebuild(inputs(GOOD, WEAK, summaries=used, measured=scores))
    choice = selector.choose("general")
    assert choice is not None
    assert choice.model == GOOD.name
