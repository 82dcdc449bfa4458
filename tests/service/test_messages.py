"""The sentence that goes with an answer."""

from __future__ import annotations

import pytest

from elixi_models.messages import message_for
from elixi_models.records import Activation, BenchmarkJob, DownloadJob, Failure
from elixi_models.reports import Deletion, Unloading

URL = "http://127.0.0.1:11434"
DAMAGED = Failure("DIGEST_MISMATCH", "The download was damaged.", 1.0)


def download(state: str, failure: Failure | None = None) -> DownloadJob:
    return DownloadJob("d#1", URL, "phi:latest", state, 1.0, 1.0, failure=failure)  # type: ignore[arg-type]


def benchmark(state: str, failure: Failure | None = None) -> BenchmarkJob:
    return BenchmarkJob("b#1", URL, "phi:latest", "quick", state, 1.0, 1.0, failure=failure)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Activation("active", "phi:latest", None, "phi:latest"), "Successfully switched to phi"),
        (
            Activation("loading", "mistral:7b", None, "phi:latest"),
            "Loading phi; the present model answers until it is ready",
        ),
        (
            Activation("downloading", None, None, "phi:latest"),
            "Downloading phi; it becomes active when it is installed",
        ),
        (download("queued"), "Download of phi is waiting for its turn"),
        (download("downloading"), "Download of phi in progress"),
        (download("verifying"), "phi is complete and being verified"),
        (download("installed"), "phi is installed"),
        (download("failed", DAMAGED), "Download of phi failed: The download was damaged."),
        (download("cancelled"), "Download of phi was cancelled"),
        (benchmark("queued"), "Benchmark of phi is waiting for its turn"),
        (benchmark("running"), "Benchmark of phi in progress"),
        (benchmark("ok"), "Benchmark of phi is done"),
        (benchmark("partial"), "Benchmark of phi ended early; what was measured is kept"),
        (benchmark("failed", DAMAGED), "Benchmark of phi failed: The download was damaged."),
        (benchmark("cancelled"), "Benchmark of phi was cancelled"),
        (Unloading("phi:latest", "unloaded"), "phi is unloaded"),
        (Unloading("phi:latest", "stopping"), "phi leaves memory when it is idle"),
        (Deletion("phi:latest", "deleted", 1_600_000_000), "phi is deleted, 1.6 GB freed"),
        (Deletion("phi:latest", "deleted", None), "phi is deleted"),
        (Deletion("phi:latest", "deleting", 1_600_000_000), "phi is being deleted"),
    ],
)
def test_what_happened_in_words(result: object, message: str) -> None:
    """One sentence for each state, with the name as it is shown."""
    assert message_for(result) == message  # type: ignore[arg-type]
