"""What a request for a model means, and what a broken pull means."""

from __future__ import annotations

import dataclasses

import pytest

from elixi_models.downloads import policy
from elixi_models.errors import (
    Cancelled,
    DigestMismatch,
    ElixiModelsError,
    InsufficientStorage,
    ModelNotFound,
    OllamaBusy,
    OllamaError,
    OllamaTimeout,
    OllamaUnavailable,
    RegistryDenied,
    RegistryNotAllowed,
    RegistryUnreachable,
)
from elixi_models.names import ModelName
from elixi_models.records import DownloadJob
from elixi_models.settings import Settings

NOW = 1_000_000.0
FRESH = policy.Tries()


def job(state: str, age_s: float = 0.0, **changes: object) -> DownloadJob:
    ended = NOW - age_s
    base = DownloadJob("download:u:m:latest#1", "u", "m:latest", state, ended - 60, ended, finished_at_s=ended)  # type: ignore[arg-type]
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["queued", "downloading", "verifying"])
def test_a_live_job_is_the_answer_whatever_is_asked(state: str):
    """A running job is returned, also to `restart` and `update`."""
    assert policy.answers(job(state, 9_999.0), now_s=NOW, restart=True, update=True)


def test_without_a_job_one_starts():
    """Nothing known means start."""
    assert not policy.answers(None, now_s=NOW)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_broken_job_is_the_answer_for_thirty_seconds(state: str):
    """A poll by POST does not start it again; a click after half a minute does."""
    assert policy.answers(job(state, 29.9), now_s=NOW)
    assert not policy.answers(job(state, 30.0), now_s=NOW)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_restart_starts_at_once(state: str):
    """`restart: true` does not wait for the thirty seconds."""
    assert not policy.answers(job(state, 0.1), now_s=NOW, restart=True)


def test_a_clock_that_was_set_back_does_not_block_a_model():
    """A job that ended an hour in the future is not taken for a recent one."""
    assert not policy.answers(job("failed", -3_600.0), now_s=NOW)


def test_an_update_that_is_done_answers_the_poll_that_asked_for_it():
    """A client polling with `update: true` gets the end, not a second pull."""
    assert policy.answers(job("installed", 5.0, update=True), now_s=NOW, update=True)


def test_an_update_pulls_what_an_ordinary_download_installed():
    """A fresh install is no answer to `update: true`, nor is an old update."""
    assert not policy.answers(job("installed", 5.0), now_s=NOW, update=True)
    assert not policy.answers(job("installed", 31.0, update=True), now_s=NOW, update=True)


def test_a_failed_update_is_the_answer_for_thirty_seconds():
    """Also with `update: true` a failure stays to be read."""
    assert policy.answers(job("failed", 5.0), now_s=NOW, update=True)


def test_an_installed_job_counts_until_a_later_look_lacks_the_model():
    """Before the list was read again the job is believed; afterwards the model was deleted and is pulled anew."""
    done = job("installed", 5.0)
    assert policy.answers(done, now_s=NOW, seen_s=None)
    assert policy.answers(done, now_s=NOW, seen_s=NOW - 6.0)
    assert not policy.answers(done, now_s=NOW, seen_s=NOW - 4.0)


def test_a_job_without_an_end_is_judged_by_its_last_change():
    """Documents of a crashed writer may lack `finished_at_s`."""
    assert not policy.answers(job("failed", 31.0, finished_at_s=None), now_s=NOW)


def again(
    error: ElixiModelsError, tries: policy.Tries = FRESH, *, moved: bool = False
) -> tuple[policy.Tries, float | None]:
    return policy.take_up_again(tries, error, moved=moved, retries=5)


@pytest.mark.parametrize("kind", [RegistryUnreachable, OllamaUnavailable, OllamaBusy, OllamaTimeout, Cancelled])
def test_passing_errors_are_survived_for_a_minute(kind: type[ElixiModelsError]):
    """Five tries in a row after 2, 4, 8, 16 and 32 seconds, then it is final."""
    tries, pauses = policy.Tries(), []
    for _ in range(6):
        tries, pause_s = again(kind("broken"), tries)
        pauses.append(pause_s)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, None]


def test_a_new_byte_gives_back_all_tries():
    """A pull that breaks often and still comes on is never given up."""
    assert again(RegistryUnreachable("cut"), policy.Tries(in_a_row=5), moved=True) == (policy.Tries(1), 2.0)


def test_pauses_are_bounded():
    """However many tries are allowed, none waits longer than a minute."""
    tries = policy.Tries(in_a_row=20)
    assert policy.take_up_again(tries, RegistryUnreachable("cut"), moved=False, retries=100)[1] == 60.0


@pytest.mark.parametrize("kind", [DigestMismatch, OllamaError])
def test_a_doubtful_error_gets_one_more_try_in_all(kind: type[ElixiModelsError]):
    """A damaged file is downloaded once again; new bytes do not give a third chance."""
    tries, pause_s = again(kind("damaged"))
    assert (tries, pause_s) == (policy.Tries(1, 1), 2.0)
    assert again(kind("damaged"), tries, moved=True)[1] is None


@pytest.mark.parametrize("kind", [InsufficientStorage, RegistryDenied, ModelNotFound])
def test_final_errors_are_final_at_once(kind: type[ElixiModelsError]):
    """No retry makes room, grants access or invents a model."""
    assert again(kind("no"), moved=True)[1] is None


def test_no_retries_means_none():
    """`pull_retries` 0 makes every error final."""
    assert policy.take_up_again(policy.Tries(), RegistryUnreachable("cut"), moved=True, retries=0)[1] is None


def test_a_full_queue_is_not_an_absent_server():
    """Busy is somebody, unavailable is nobody."""
    assert policy.is_absence(OllamaUnavailable("gone"))
    assert not policy.is_absence(OllamaBusy("full"))
    assert not policy.is_absence(RegistryUnreachable("cut"))


def test_a_foreign_registry_is_refused_and_the_setting_named():
    """The message tells how to allow it."""
    with pytest.raises(RegistryNotAllowed) as caught:
        policy.check_allowed(ModelName.parse("evil.example:5000/lib/m"), Settings())
    assert caught.value.details == {"registry": "evil.example:5000", "setting": "ELIXI_MODELS_REGISTRIES"}


def test_an_allowed_registry_passes_in_any_case():
    """Host names are compared without regard to case."""
    policy.check_allowed(ModelName.parse("HF.co/u/m"), Settings(registries=("registry.ollama.ai", "hf.co")))
    policy.check_allowed(ModelName.parse("mistral:7b"), Settings())


def test_cloud_models_are_refused_unless_allowed():
    """Prompts leave the machine only where a setting says so."""
    name = ModelName.parse("gpt-oss:120b-cloud")
    with pytest.raises(RegistryNotAllowed) as caught:
        policy.check_allowed(name, Settings())
    assert caught.value.details["setting"] == "ELIXI_MODELS_ALLOW_CLOUD_MODELS"
    policy.check_allowed(name, Settings(allow_cloud_models=True))
