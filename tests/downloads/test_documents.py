"""Download jobs as stored documents."""

from __future__ import annotations

import json

from elixi_models.downloads import documents
from elixi_models.records import DownloadJob, Failure, Progress

URL = "http://127.0.0.1:11434"
JOB = DownloadJob(
    id=documents.job_id(URL, "Mistral:7B", 3),
    ollama_url=URL,
    model="Mistral:7B",
    state="failed",
    created_at_s=1.0,
    updated_at_s=2.0,
    attempt=4,
    progress=Progress(0.5, 5, 10, 2.0, 2.5),
    auto_switch=True,
    user="ada",
    failure=Failure("DIGEST_MISMATCH", "damaged", 2.0, {"model_name": "mistral:7b"}),
    finished_at_s=2.0,
)


def test_the_id_names_server_model_and_number():
    """`download:<url>:<name key>#<n>`, the name in lower case."""
    assert JOB.id == "download:http://127.0.0.1:11434:mistral:7b#3"
    assert documents.number_of(JOB) == 3


def test_a_document_has_what_the_store_asks_for():
    """Kind, subject, number and whether it lives stand beside the job's own fields."""
    stored = documents.document(JOB)
    assert {name: stored[name] for name in ("kind", "subject", "number", "live")} == {
        "kind": "download",
        "subject": "http://127.0.0.1:11434:mistral:7b",
        "number": 3,
        "live": False,
    }


def test_a_job_survives_the_way_through_json():
    """What is read back is equal to what was written."""
    stored = json.loads(json.dumps(documents.document(JOB)))
    assert documents.read({"id": JOB.id, **stored}) == JOB


def test_a_running_job_survives_without_a_failure():
    """None stays None."""
    job = DownloadJob("download:u:m#1", "u", "m", "queued", 1.0, 1.0)
    assert documents.read({"id": job.id, **documents.document(job)}) == job


def test_an_unknown_state_is_no_job():
    """A document of a later version is passed over, not misread."""
    assert documents.read({"id": JOB.id, **documents.document(JOB), "state": "paused"}) is None


def test_a_document_that_lacks_a_field_is_no_job():
    """Neither is one that is cut short."""
    assert documents.read({"id": JOB.id, "state": "queued"}) is None


def test_unknown_fields_are_passed_over():
    """A later version may add what this one does not know, also inside."""
    stored = {"id": JOB.id, **documents.document(JOB), "colour": "red"}
    stored["progress"] = {**stored["progress"], "eta": 1}
    assert documents.read(stored) == JOB
