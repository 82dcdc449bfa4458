"""The JSON of the answers: seed fields, shown names, null for unknown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from elixi_models import messages, reasons, shapes
from elixi_models.assignments import Assignments
from elixi_models.catalogue.catalogue import CatalogueEntry, CatalogueTag
from elixi_models.inventory import InstalledModel, LoadedModel
from elixi_models.quality import TaskScore, quality_fields
from elixi_models.records import (
    Activation,
    ActiveModel,
    BenchmarkJob,
    Choice,
    DownloadJob,
    Failure,
    ModelSummary,
    Progress,
    Rejection,
    Reply,
    ResourceSample,
    UsageEvent,
)
from elixi_models.reports import Deletion, HealthReport, Inventory, ModelCard, StatusReport, Unloading

URL = "http://127.0.0.1:11434"
MODEL = InstalledModel(
    "neural-chat:latest",
    "abc",
    size_bytes=4_109_000_000,
    format="gguf",
    parameter_size="7B",
    quantization="Q4_0",
    capabilities=("completion",),
    context_length=32768,
)
CARD = ModelCard(
    MODEL, "general", ModelSummary(45.25, 1234.56, 22.1, 180.04, 0.02, 50, 90, 0.0), 7_516_192_768, True, True
)
JOB = DownloadJob(
    "id", URL, "llama2:7b", "downloading", 0.0, 1.0, progress=Progress(0.459, 1_700, 3_800_000_000, 10.6, 75.2)
)
CHOICE = Choice(
    "codellama:latest",
    "coding",
    "explicit",
    "score",
    61.26,
    {"quality": 70.004, "latency": -8.744},
    {"quality": "table"},
    "mistral:7b",
    4.04,
    (Rejection("nomic-embed-text:latest", "cannot chat"),),
)


def test_an_installed_model_has_the_seeds_fields() -> None:
    """Name without :latest, parameter size, seed's type word, performance always an object."""
    data = shapes.inventory(Inventory((CARD,), (), "neural-chat:latest", True, 0.0, True))
    found = data["installed"][0]
    assert {key: found[key] for key in ("name", "size", "format", "type", "last_used")} == {
        "name": "neural-chat",
        "size": "7B",
        "format": "gguf",
        "type": "general-purpose",
        "last_used": "1970-01-01T00:00:00Z",
    }
    assert found["performance"] == {
        "tokens_per_second": 45.2,
        "avg_latency_ms": 1234.6,
        "ms_per_token": 22.1,
        "time_to_first_token_ms": 180.0,
        "memory_mb": 7168,
    }
    assert (found["disk_size"], found["size_bytes"]) == ("4.1 GB", 4_109_000_000)
    assert (data["active_model"], data["active_model_installed"]) == ("neural-chat", True)


def test_a_bare_model_is_null_and_never_zero() -> None:
    """Nothing invented: empty texts and unknown figures are null."""
    bare = ModelCard(InstalledModel("x:1", "d", parameter_size="", format=""), None, ModelSummary(), None, False, False)
    found = shapes.inventory(Inventory((bare,), (), None, False, None, False))["installed"][0]
    nulls = ("size", "format", "type", "last_used", "size_bytes", "disk_size", "features", "can_chat", "max_context")
    assert all(found[key] is None for key in nulls)
    assert set(found["performance"].values()) == {None}


def test_a_catalogue_entry_has_the_seeds_fields() -> None:
    """With its source; sizes of the default tag."""
    family = CatalogueEntry(
        "llama3.2",
        "Small.",
        "general",
        5,
        "3.2B",
        2_019_393_189,
        131072,
        ("tools",),
        "llama3.2",
        "2024-09",
        (
            CatalogueTag(
                "1b", "1.2B", 1_321_098_329, 1.3, 131_072, "Q8_0", ("tools",), "llama3.2", "2024-09", "baf6a787fdff"
            ),
        ),
    )
    found = shapes.inventory(Inventory((), (family,), None, False, None, True))["available"][0]
    assert {key: found[key] for key in ("name", "size", "description", "popularity", "source")} == {
        "name": "llama3.2",
        "size": "3.2B",
        "description": "Small.",
        "popularity": 5,
        "source": "ollama",
    }
    assert found["disk_size"] == "2.0 GB"
    assert found["tags"] == [
        {
            "tag": "1b",
            "parameter_size": "1.2B",
            "size_bytes": 1_321_098_329,
            "size_gb_reported": 1.3,
            "context_length": 131_072,
            "quantization": "Q8_0",
            "capabilities": ["tools"],
            "licence": "llama3.2",
            "released": "2024-09",
            "id": "baf6a787fdff",
        }
    ]


def report(**changes: object) -> StatusReport:
    base = StatusReport(
        state="active",
        active=ActiveModel("neural-chat:latest", "mistral:7b", 1.0),
        card=CARD,
        residence=LoadedModel("neural-chat:latest", "abc", None, None, 4096, "2318-01-01T00:00:00Z"),
        uptime_s=3600.9,
        resources=ResourceSample(ram_total_bytes=16_592_692_000, cpu_percent=12.34),
        supports=("general",),
        pending=None,
        last_failure=None,
        downloads=(JOB,),
        ollama_version="0.33.0",
        as_of_s=0.0,
        reachable=True,
        error_code=None,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_status_has_the_seeds_fields() -> None:
    """All four groups, in the seed's units."""
    data = shapes.status(report())
    assert (data["current_model"], data["status"], data["uptime_seconds"]) == ("neural-chat", "active", 3600)
    assert data["performance"]["error_rate"] == 0.02
    assert data["performance"]["total_requests"] == 90
    assert data["resource_usage"] == {
        "memory_mb": 7168,
        "cpu_percent": 12.3,
        "memory_percent": 45.3,
        "vram_mb": None,
    }
    assert data["capabilities"] == {
        "type": "general-purpose",
        "supports": ["general"],
        "max_context": 32768,
        "quantization": "Q4_0",
        "features": ["completion"],
        "active_context": 4096,
    }
    assert (data["previous_model"], data["downloads"][0]["model_name"]) == ("mistral:7b", "llama2:7b")


def test_status_of_nothing_keeps_its_objects() -> None:
    """JavaScript chains do not throw: every group is there, its figures null, requests 0."""
    data = shapes.status(
        report(
            card=None, residence=None, active=ActiveModel(), state="offline", resources=ResourceSample(), downloads=()
        )
    )
    assert data["performance"] == {
        "tokens_per_second": None,
        "avg_latency_ms": None,
        "ms_per_token": None,
        "time_to_first_token_ms": None,
        "error_rate": None,
        "total_requests": 0,
    }
    assert set(data["resource_usage"].values()) == {None}
    assert data["capabilities"]["features"] is None
    assert data["current_model"] is None


def test_memory_of_a_model_that_is_not_loaded_is_null_in_status() -> None:
    """The list tells the last footprint; the status tells what is used now."""
    data = shapes.status(report(card=replace(CARD, loaded=False), residence=None))
    assert data["resource_usage"]["memory_mb"] is None


def test_the_last_failure_is_told() -> None:
    """Code, words, time."""
    data = shapes.status(report(last_failure=Failure("LOAD_FAILED", "no", 0.0, {"x": 1})))
    assert data["last_error"] == {
        "code": "LOAD_FAILED",
        "message": "no",
        "at": "1970-01-01T00:00:00Z",
        "details": {"x": 1},
    }


@pytest.mark.parametrize(
    ("result", "data", "message"),
    [
        (
            Activation("active", "mistral:7b", "neural-chat:latest", "mistral:7b", 12.6),
            {"status": "active", "current_model": "mistral:7b", "previous_model": "neural-chat", "load_time_ms": 13},
            "Successfully switched to mistral:7b",
        ),
        (
            Activation("loading", "neural-chat:latest", None, "mistral:7b"),
            {
                "status": "loading",
                "current_model": "neural-chat",
                "requested_model": "mistral:7b",
                "load_time_ms": None,
            },
            "Loading mistral:7b; the present model answers until it is ready",
        ),
        (
            Activation("downloading", None, None, "llama2:7b", download=JOB),
            {"status": "downloading", "current_model": None},
            "Downloading llama2:7b; it becomes active when it is installed",
        ),
    ],
)
def test_a_switch_tells_who_serves_and_who_is_coming(result: Activation, data: dict[str, object], message: str) -> None:
    """The three outcomes."""
    found = shapes.activation(result)
    assert {key: found[key] for key in data} == data
    assert messages.message_for(result) == message


def test_a_download_shows_whole_percent_and_seconds_rounded_up() -> None:
    """The seed's fields."""
    data = shapes.download(JOB, "/m/manifests")
    assert {key: data[key] for key in ("model_name", "status", "progress", "download_size", "install_path")} == {
        "model_name": "llama2:7b",
        "status": "downloading",
        "progress": 45,
        "download_size": "3.8 GB",
        "install_path": "/m/manifests",
    }
    assert (data["estimated_time_seconds"], data["speed_bytes_per_s"]) == (76, 11)


def test_a_hundred_percent_means_installed() -> None:
    """All bytes there but not verified is 99; installed is 100 whatever was counted."""
    full = replace(JOB, progress=Progress(1.0, 10, 10))
    assert shapes.download(full)["progress"] == 99
    done = shapes.download(replace(JOB, state="installed", progress=Progress()))
    assert (done["progress"], done["estimated_time_seconds"]) == (100, 0)


def test_a_failed_download_says_why() -> None:
    """In fields and in words."""
    failed = replace(JOB, state="failed", failure=Failure("INSUFFICIENT_STORAGE", "The disk is full.", 1.0))
    data = shapes.download(failed)
    assert (data["error"], data["error_code"]) == ("The disk is full.", "INSUFFICIENT_STORAGE")
    assert messages.message_for(failed) == "Download of llama2:7b failed: The disk is full."


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        (CHOICE, "codellama: best for coding with 61.3 of 100 points, 4.0 points ahead of mistral:7b"),
        (replace(CHOICE, decided_by="assignment"), "codellama: assigned to coding by the user"),
        (replace(CHOICE, decided_by="degraded"), "codellama: the smallest usable model, as none fits into memory"),
        (replace(CHOICE, decided_by="only_candidate"), "codellama: the only usable model for coding"),
        (replace(CHOICE, runner_up=None, margin=None), "codellama: best for coding with 61.3 of 100 points"),
    ],
)
def test_the_reason_is_data_and_one_line(choice: Choice, text: str) -> None:
    """Each way of deciding has its sentence."""
    data = shapes.choice(choice)
    assert (data["model_name"], data["installed_name"], data["why"]["text"]) == ("codellama", "codellama:latest", text)
    assert data["why"]["terms"] == {"quality": 70.0, "latency": -8.74}
    assert data["why"]["rejected"] == [{"model": "nomic-embed-text", "reason": "cannot chat"}]


def test_a_benchmark_shows_its_progress_and_report() -> None:
    """By item while it runs, 100 when it ended with a result."""
    job = BenchmarkJob(
        "id", URL, "x:latest", "quick", "running", 0.0, 1.0, done_items=1, total_items=3, remaining_s=9.1
    )
    assert (shapes.benchmark(job)["progress"], shapes.benchmark(job)["estimated_time_seconds"]) == (33, 10)
    assert shapes.benchmark(replace(job, total_items=0))["progress"] == 0
    done = shapes.benchmark(replace(job, state="ok", report={"benchmarks": {"coding": None}}))
    assert (done["progress"], done["benchmarks"]) == (100, {"coding": None})
    assert messages.message_for(replace(job, state="ok")) == "Benchmark of x is done"


def test_a_benchmark_shows_its_scores_and_whether_they_still_count() -> None:
    """As the report has them; null without one."""
    job = BenchmarkJob("id", URL, "x:latest", "quick", "ok", 0.0, 1.0, stale=("machine",))
    assert (shapes.benchmark(job)["scores"], shapes.benchmark(job)["stale"]) == (None, ["machine"])
    report = {"scores": {"coding": {"score": 61.0}}}
    assert shapes.benchmark(replace(job, report=report, stale=()))["scores"] == report["scores"]
    assert shapes.benchmark(replace(job, stale=()))["stale"] == []


MEASURED = TaskScore(61.04, (50.0, 70.0), 6, "quick+table", 0.5, 0.667)
ESTIMATED = TaskScore(40.0, (20.0, 60.0), 0, "family", 1.0)


def test_what_was_measured_is_shown_and_what_was_not_is_null() -> None:
    """In the seed's two shapes; beside it what is thought of the model, with estimates marked as such."""
    summary = ModelSummary(ttft_ms=500.0, ms_per_token=10.0)
    data = quality_fields({"general": ESTIMATED, "coding": MEASURED, "creative": MEASURED}, summary)
    assert data["benchmarks"] == {
        "general_purpose": None,
        "coding": 61.04,
        "creativity": 61.04,
        "analysis": None,
    }
    assert data["task_suitability"] == {
        "general": None,
        "coding": 6.1,
        "analysis": None,
        "creative": 6.1,
        "fast": 8.0,
    }
    assert data["quality"]["coding"] == {
        "score": 61.04,
        "ci90": [50.0, 70.0],
        "n": 6,
        "source": "quick+table",
        "prior_weight": 0.5,
        "accuracy": 0.667,
        "estimated": False,
    }
    assert (data["quality"]["general"]["estimated"], data["quality"]["general"]["accuracy"]) == (True, None)


@pytest.mark.parametrize("summary", [ModelSummary(), ModelSummary(ttft_ms=5.0), ModelSummary(ms_per_token=5.0)])
def test_a_speed_that_was_not_measured_is_null(summary: ModelSummary) -> None:
    """Also when half of it is known."""
    assert quality_fields({}, summary)["task_suitability"]["fast"] is None


@pytest.mark.parametrize(
    ("result", "data", "message"),
    [
        (
            Deletion("x:latest", "deleted", 1_600_000_000),
            {"model_name": "x", "status": "deleted", "freed_bytes": 1_600_000_000, "freed": "1.6 GB"},
            "x is deleted, 1.6 GB freed",
        ),
        (
            Deletion("x:latest", "deleting", None),
            {"model_name": "x", "status": "deleting", "freed_bytes": None, "freed": None},
            "x is being deleted",
        ),
    ],
)
def test_a_deletion_tells_what_came_free(result: Deletion, data: dict[str, object], message: str) -> None:
    """Only what is known."""
    assert shapes.deletion(result) == data
    assert messages.message_for(result) == message


def test_unloading_health_usage_assignments_and_replies_have_their_shapes() -> None:
    """The small ones."""
    assert shapes.unloading(Unloading("x:latest", "stopping")) == {"model_name": "x", "status": "stopping"}
    assert messages.message_for(Unloading("x:latest", "stopping")) == "x leaves memory when it is idle"
    assert messages.message_for(Unloading("x:latest", "unloaded")) == "x is unloaded"
    health = HealthReport("ok", "1", {"reachable": True, "as_of_s": 0.0}, {"kind": "sqlite"}, 1)
    assert shapes.health(health)["ollama"] == {"reachable": True, "as_of": "1970-01-01T00:00:00Z"}
    event = UsageEvent("id", 0.0, URL, "switch", "x:latest", "ok", "eva", {"previous": None})
    assert shapes.usage([event])["events"][0]["model_name"] == "x"
    chosen = {"coding": CHOICE, "fast": None}
    assigned = shapes.assignments(Assignments({"coding": "x:latest", "fast": None}, ("x:latest",), chosen=chosen))
    assert assigned == {
        "assignments": {"coding": "x", "fast": None},
        "missing": ["x"],
        "pending": False,
        "chosen": {"coding": {"model": "codellama", "why": reasons.why_text(CHOICE)}, "fast": None},
    }
    assert shapes.reply(Reply("hi", "x:latest", None)) == {"reply": "hi", "model": "x", "why": None}
    assert shapes.reply(Reply("hi", "x:latest", CHOICE))["why"]["chosen"] == "codellama"


def test_every_shape_is_strict_json() -> None:
    """NaN and infinity in the figures become null on the way out."""
    odd = replace(CARD, summary=ModelSummary(float("nan"), float("inf"), None, None, None))
    text = json.dumps(shapes.status(report(card=odd)), allow_nan=False)
    assert json.loads(text)["performance"]["tokens_per_second"] is None
