"""What is believed of a model before anything was measured."""

from __future__ import annotations

import pytest

from elixi_models.inventory import InstalledModel
from elixi_models.quality import TaskScore
from elixi_models.selection import prior


def _model(name: str, **facts: object) -> InstalledModel:
    return InstalledModel(name, "d", **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        (_model("x:1", parameter_count=3_212_749_888), 3.212749888),
        (_model("x:1", parameter_size="7.2B"), 7.2),
        (_model("x:1", parameter_size="134.52M"), 0.13452),
        (_model("mixtral:8x7b"), 56.0),
        (_model("qwen2.5:0.5b-instruct-q4_0"), 0.5),
        (_model("x:latest"), None),
    ],
)
def test_the_size_comes_from_count_text_or_tag(model: InstalledModel, billions: float | None) -> None:
    """In this order; None when nothing says it."""
    assert prior.billions_of_parameters(model) == pytest.approx(billions)


@pytest.mark.parametrize(
    ("model", "source"),
    [
        (_model("llama3.1:8b"), "table"),
        (_model("llama3.1:8b-instruct-q4_K_M"), "table"),
        (_model("qwen2.5:latest", parameter_size="7.6B"), "table"),
        (_model("smollm2:135m", parameter_count=134_515_008), "family"),
        (_model("hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M", parameter_size="1.2B"), "base family"),
        (_model("my-own:latest", parameter_size="7B", family="qwen2"), "architecture"),
        (_model("my-own:latest", parameter_size="7B"), "size"),
        (_model("my-own:latest"), "nothing"),
    ],
)
def test_the_best_source_at_hand_is_used_and_named(model: InstalledModel, source: str) -> None:
    """Table, family, base family, architecture, size, nothing."""
    assert prior.estimate(model, "general").source == source


def test_the_table_is_read_as_published() -> None:
    """One figure, so that a wrong unit or task shows."""
    found = prior.estimate(_model("aya-expanse:8b"), "coding")
    assert (found.score, found.sd) == (39.3, 0.3)


def test_newer_and_larger_models_are_believed_better() -> None:
    """Release date counts more than size; both count."""

    def score(name: str, size: str) -> float:
        return prior.estimate(_model(name, parameter_size=size), "general").score

    assert score("smollm2:135m", "135M") > score("smollm:135m", "135M")
    assert score("smollm2:360m", "360M") > score("smollm2:135m", "135M")


def test_a_code_model_is_believed_better_at_code_than_at_stories() -> None:
    """The kind of the family enters with its sign."""
    model = _model("codellama:13b", parameter_size="13B")
    assert prior.estimate(model, "coding").score > prior.estimate(model, "creative").score


def test_fast_is_judged_as_general() -> None:
    """Speed enters elsewhere."""
    model = _model("llama3.1:8b")
    assert prior.estimate(model, "fast") == prior.estimate(model, "general")


def test_nothing_known_is_the_middle_with_the_widest_doubt() -> None:
    """50 of 100, one whole unit of doubt."""
    found = prior.estimate(_model("zzz:latest"), "general")
    assert (found.score, found.sd) == (50.0, 1.0)


@pytest.mark.parametrize(
    ("level", "size_b", "points"),
    [
        ("F16", 8, 0.0),
        ("Q8_0", 8, 0.0),
        ("Q6_K", 8, 0.3),
        ("Q5_K_M", 8, 0.7),
        ("Q4_K_M", 8, 1.5),
        ("Q4_0", 8, 2.5),
        ("Q3_K_S", 8, 4.0),
        ("Q2_K", 8, 10.0),
        ("Q4_0", 3, 3.75),
        ("Q4_0", 30, 1.5),
        (None, 8, 0.0),
        ("unknown", 8, 0.0),
    ],
)
def test_quantization_costs_small_models_more(level: str | None, size_b: float, points: float) -> None:
    """Points by level, times 1.5 below 4 B and 0.6 from 30 B."""
    assert prior.quantization_penalty(level, size_b) == pytest.approx(points)


def test_embedders_of_the_library_are_known_by_name() -> None:
    """For servers that do not tell capabilities."""
    assert prior.is_embedder_by_name(_model("nomic-embed-text:latest"))
    assert not prior.is_embedder_by_name(_model("llama3:8b"))


def test_an_assessment_is_the_measurement_or_the_estimate_less_its_quantization() -> None:
    """A coarse quantization of a small model costs points only while nothing was measured."""
    subject = _model("llama3.2:1b", quantization="Q4_0")
    measured = TaskScore(20.0, (10.0, 30.0), 8, "quick+table", 0.5, 0.4)
    assert prior.assess(subject, "general", {"general": measured}) is measured
    guessed = prior.assess(subject, "general", {"coding": measured})
    assert guessed.score == pytest.approx(prior.estimate(subject, "general").score - 2.5 * 1.5, abs=0.06)
    assert (guessed.n, guessed.estimated, guessed.source, guessed.prior_weight) == (0, True, "table", 1.0)
    assert guessed.ci90[0] < guessed.score < guessed.ci90[1]
