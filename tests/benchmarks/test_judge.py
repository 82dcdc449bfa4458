"""Who may judge whom."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from elixi_models.benchmarks.judge import Appointment, appoint, lineages, objection
from elixi_models.inventory import InstalledModel


def model(name, family="llama", billions=1.0, **more):
    given = {
        "weights_digest": f"w-{name}",
        "capabilities": ("completion",),
        "parameter_count": None if billions is None else int(billions * 1e9),
        "size_bytes": 1,
        **more,
    }
    return InstalledModel(name, f"d-{name}", family=family, **given)


CANDIDATE = model("llama3.2:1b")
QWEN, GEMMA = model("qwen2.5:7b", "qwen2", 7.6), model("gemma3:4b", "gemma3", 4.3)


def room(candidate):
    return True


def who(wish, *installed, candidate=CANDIDATE, fits=room):
    return appoint(wish, candidate, (candidate, *installed), fits)


def test_the_largest_model_that_may_judges():
    """By its parameters, in whatever order the models are listed."""
    for listed in permutations((QWEN, GEMMA, CANDIDATE)):
        assert appoint("auto", CANDIDATE, listed, room) == Appointment(QWEN)
    assert who(" AUTO ", GEMMA).judge == GEMMA


def test_where_parameters_are_unknown_the_file_decides_and_then_the_name():
    """The same choice every time."""
    small, large = (model(f"qwen2:{n}", "qwen2", None, size_bytes=n) for n in (1, 2))
    assert who("auto", small, large).judge == large
    assert who("auto", GEMMA, large).judge == GEMMA
    twins = [replace(QWEN, name=f"qwen2.5:{tag}", digest=tag) for tag in "ab"]
    assert who("auto", *twins).judge == who("auto", *reversed(twins)).judge == twins[1]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (replace(QWEN, remote=True), "remote"),
        (replace(QWEN, capabilities=("embedding",)), "cannot_chat"),
        (replace(QWEN, capabilities=None), "cannot_chat"),
        (replace(QWEN, weights_digest=CANDIDATE.weights_digest), "same_weights"),
        (replace(QWEN, family=None), "family_unknown"),
        (replace(QWEN, family="llama"), "same_family"),
        (replace(QWEN, name="llama3.1:8b"), "same_family"),
        (replace(QWEN, name="someone/tinyllama-chat:latest"), "same_family"),
        (replace(QWEN, name="deepseek-r1:8b-llama-distill-q4_K_M"), "same_family"),
    ],
)
def test_some_may_not_judge(other, reason):
    """One in the cloud, one that is not known to chat, the candidate itself, its relatives, one of unknown descent."""
    assert objection(other, CANDIDATE, room) == reason
    assert who("auto", other) == Appointment(None, "no_eligible_model")
    assert who("auto", other, GEMMA) == Appointment(GEMMA)


def test_a_candidate_of_unknown_descent_has_no_judge():
    """Any model may be of its family."""
    assert who("auto", QWEN, candidate=replace(CANDIDATE, family=None)) == Appointment(None, "no_eligible_model")


def test_an_alias_of_the_candidate_is_the_candidate():
    """Where the weights are unknown, the manifest tells."""
    blind = replace(CANDIDATE, weights_digest=None)
    assert objection(replace(blind, name="qwen:7b", family="qwen"), blind, room) == "same_weights"


def test_one_that_does_not_fit_does_not_judge():
    """The next largest does."""
    assert who("auto", QWEN, GEMMA, fits=lambda it: it is not QWEN) == Appointment(GEMMA)
    assert objection(QWEN, CANDIDATE, lambda it: False) == "does_not_fit"


def test_a_named_judge_has_to_be_installed_and_to_meet_the_same_rules():
    """In any spelling; another model does not take its place."""
    assert who("GEMMA3:4B", QWEN, GEMMA) == Appointment(GEMMA)
    assert who("phi4", QWEN, GEMMA) == Appointment(None, "not_installed")
    assert who("gemma3:4b", QWEN, replace(GEMMA, remote=True)) == Appointment(None, "remote")
    assert who("llama3.2:1b", QWEN) == Appointment(None, "same_weights")


@pytest.mark.parametrize(
    ("name", "family", "descent"),
    [
        ("deepseek-r1:7b", "qwen2", {"deepseek", "qwen"}),
        ("deepseek-r1:8b", "llama", {"deepseek", "llama"}),
        ("hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M", "qwen3", {"qwen"}),
        ("qwq:32b", "qwen2", {"qwen"}),
        ("dolphin-phi:2.7b", "phi2", {"phi", "llama"}),
        ("phi4:14b", "phi3", {"phi"}),
        ("codegemma:7b", "gemma", {"gemma"}),
        ("mixtral:8x7b", "llama", {"mistral", "llama"}),
        ("my-assistant:latest", "qwen25vl", {"qwen"}),
        ("command-r:35b", "command-r", {"cohere"}),
        ("aya:8b", "command-r", {"cohere"}),
        ("gpt-oss:20b", "gptoss", {"gptoss"}),
        ("yi:6b", "llama", {"yi", "llama"}),
        ("smollm2:135m", "llama", {"smollm", "llama"}),
    ],
)
def test_a_model_descends_from_all_that_its_name_and_architecture_tell(name, family, descent):
    """A distilled model has two parents; versions and sizes do not matter."""
    assert descent <= lineages(model(name, family))


def test_what_only_sounds_alike_is_no_relative():
    """`dolphin` has `phi` in it, and `granite` nothing of `gemma`."""
    assert "phi" not in lineages(model("dolphin-mistral:7b", "llama"))
    assert not lineages(model("granite3.3:8b", "granite")) & lineages(GEMMA)
    assert lineages(QWEN).isdisjoint(lineages(GEMMA))
