"""From a benchmark to the choice: what was measured decides, is shown, and is known after a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from elixi_models import ModelService, shapes
from elixi_models.benchmarks.items import quality_items
from elixi_models.names import ModelName
from elixi_models.testing import EmulatedModel, OllamaEmulator
from elixi_models.upstream.resources import ResourceMonitor

Services = Callable[..., ModelService]
Eventually = Callable[..., None]
STORY = " ".join(f"word{number}" for number in range(200))
GOLD = {item.question.prompt: item.question.gold for item in quality_items("quick")}
#: Alike in all that can be known beforehand; the first by its name would be chosen.
ABLE, POOR = "zeta:1b", "alpha:1b"


def answers(question: str, *, able: bool) -> str:
    if "long story" in question:
        return STORY
    return GOLD.get(question, "") if able else "I do not know."


def emulated(name: str, *, able: bool) -> EmulatedModel:
    return EmulatedModel(
        name,
        answers=lambda question: answers(question, able=able),
        decode_tokens_per_s=1_000.0,
        prefill_tokens_per_s=10_000.0,
    )


@pytest.fixture
def ollama(ollama_emulators: Callable[..., OllamaEmulator]) -> OllamaEmulator:
    return ollama_emulators([emulated(POOR, able=False), emulated(ABLE, able=True)], load_seconds=0.01)


def measure(service: ModelService, name: str, eventually: Eventually) -> dict[str, Any]:
    """Benchmark a model to its end, as JSON."""
    service.benchmark(ModelName.parse(name))
    eventually(lambda: service.benchmark_status(ModelName.parse(name)).state == "ok")
    eventually(lambda: service.parts.assessment.scores_by_name(service.parts.observer.view.installed)[name])
    return shapes.benchmark(service.benchmark_status(ModelName.parse(name)))


def card(service: ModelService, name: str) -> dict[str, Any]:
    return next(entry for entry in shapes.inventory(service.available())["installed"] if entry["name"] == name)


def test_the_next_choice_follows_the_scores(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """Before, the names decide; after, the model that answers better, with its evidence, also after a restart."""
    service = make_service(ollama.url)
    before = service.recommend("coding")
    assert (before.model, before.evidence["estimated"], before.evidence["n"]) == (POOR, True, 0)

    poor, able = (measure(service, name, eventually) for name in (POOR, ABLE))
    assert able["scores"]["coding"]["accuracy"] == 1.0
    assert poor["scores"]["coding"]["accuracy"] == 0.0
    for task in ("coding", "analysis", "general"):
        eventually(lambda task=task: service.recommend(task).model == ABLE)
        evidence = service.recommend(task).evidence
        assert (evidence["quality"], evidence["estimated"]) == ("quick+architecture", False)
        assert evidence["n"] == able["scores"][task]["n"]
        assert evidence["ci90"] == able["scores"][task]["ci90"]
        assert service.recommend(task).terms["quality"] == able["scores"][task]["score"]
    service.close()

    again = make_service(ollama.url)
    eventually(lambda: again.recommend("coding").model == ABLE)
    assert again.recommend("coding").evidence["n"] == 6


def test_what_was_measured_is_shown_and_the_rest_is_null_or_estimated(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """In the list, in the status of the active model, and in the document that is stored."""
    service = make_service(ollama.url)
    service.switch(ModelName.parse(ABLE))
    fresh = shapes.status(service.status())
    assert set(fresh["benchmarks"].values()) == {None}
    assert {
        task: fresh["task_suitability"][task] for task in ("general", "coding", "analysis", "creative")
    } == dict.fromkeys(("general", "coding", "analysis", "creative"))
    assert {score["estimated"] for score in fresh["quality"].values()} == {True}

    report = measure(service, ABLE, eventually)
    status, listed, other = shapes.status(service.status()), card(service, ABLE), card(service, POOR)
    for shown in (status, listed):
        assert shown["benchmarks"] == report["benchmarks"]
        assert shown["benchmarks"]["coding"] == report["scores"]["coding"]["score"]
        assert shown["task_suitability"]["coding"] == round(report["scores"]["coding"]["score"] / 10, 1)
        assert shown["quality"]["coding"] == report["scores"]["coding"]
    assert set(other["benchmarks"].values()) == {None}
    assert {score["estimated"] for score in other["quality"].values()} == {True}
    store = service.parts.store
    eventually(lambda: store.performance(ollama_url=service.settings.ollama_url))
    (document,) = (
        entry for entry in store.performance(ollama_url=service.settings.ollama_url) if entry["source"] == "benchmark"
    )
    assert (document["benchmarks"], document["scores"]) == (report["benchmarks"], report["scores"])


def test_a_benchmark_of_another_process_counts_here_too(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """Within a second or so, through the store."""
    here, there = make_service(ollama.url), make_service(ollama.url)
    assert here.recommend("coding").model == POOR
    measure(there, POOR, eventually)
    eventually(lambda: here.recommend("coding").model == ABLE)


def test_what_was_measured_on_another_machine_is_an_estimate_here(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Null again, and marked as estimated; but the choice has not forgotten it."""
    service = make_service(ollama.url)
    measured = measure(service, ABLE, eventually)["scores"]["coding"]
    service.close()
    monkeypatch.setattr(ResourceMonitor, "machine", lambda monitor: "another machine")

    elsewhere = make_service(ollama.url)
    eventually(lambda: elsewhere.recommend("coding").model == ABLE)
    evidence = elsewhere.recommend("coding").evidence
    assert (evidence["quality"], evidence["estimated"], evidence["n"]) == ("stale+architecture", True, 0)
    quality = card(elsewhere, ABLE)
    assert quality["benchmarks"]["coding"] is None
    expected = card(elsewhere, POOR)["quality"]["coding"]["score"]
    assert expected < quality["quality"]["coding"]["score"] < measured["score"]
    assert shapes.benchmark(elsewhere.benchmark_status())["stale"] == ["machine"]


def test_own_prompts_with_checks_are_scored_apart(
    ollama: OllamaEmulator, make_service: Services, eventually: Eventually
) -> None:
    """In the report's own place."""
    service = make_service(ollama.url)
    own = {"task": "general", "prompt": "Do you know?", "check": {"kind": "includes", "value": ["know"]}}
    service.benchmark(ModelName.parse(POOR), test_prompts=[own, "Why?"])
    eventually(lambda: service.benchmark_status().state == "ok")

    report = service.benchmark_status().report
    assert report is not None
    assert report["custom"]["accuracy"] == {"general": {"share": 1.0, "n": 1}}
    assert report["scores"]["general"]["n"] == 8
