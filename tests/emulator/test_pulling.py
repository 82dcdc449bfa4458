"""Pulls over HTTP: what is said, what is kept, what is installed."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from elixi_models.emulator.manifests import manifest_of
from elixi_models.emulator.pulling import Pacing
from elixi_models.emulator.versions import VERSIONS
from elixi_models.testing import EmulatedModel, OllamaEmulator, known_model

from .playing import until
from .servers import LEAVE, NUMBERS, Client, Task

MODEL = EmulatedModel("made-up:1b", size_bytes=1_000_000, license="MIT", weights_digest="ab" * 32)


@pytest.fixture
def ollama() -> Iterator[OllamaEmulator]:
    """Nothing is installed, one model can be pulled, times are a hundredth of real ones."""
    with OllamaEmulator(library=[MODEL], pull_seconds=0, time_scale=0.01, models_dir="/models") as running:
        yield running


@pytest.fixture
def client(ollama: OllamaEmulator) -> Client:
    """Its client."""
    return Client(ollama)


def pull(client: Client, name: str = "made-up:1b", **how: Any) -> list[dict[str, Any]]:
    """The lines of a pull."""
    return [line for _, line in client.post("/api/pull", {"model": name}, **how)["lines"]]


def statuses(lines: list[dict[str, Any]]) -> list[str]:
    """What the lines say, equal neighbours once, layers by the beginning of their digests."""
    return [said for said, _ in itertools.groupby(line.get("status") or f"error: {line['error']}" for line in lines)]


def layers(model: EmulatedModel) -> list[str]:
    """What is said of each of its layers."""
    return [f"pulling {blob.digest[:12]}" for blob in manifest_of(model).blobs]


END = ["verifying sha256 digest", "writing manifest", "success"]


def test_a_fast_small_pull_says_nothing_of_its_layers(ollama: OllamaEmulator, client: Client) -> None:
    """On new servers; the model is there afterwards."""
    assert statuses(pull(client)) == ["pulling manifest", *END]
    assert ollama.installed == ["made-up:1b"]


@pytest.mark.parametrize("number", ["0.9.6", "0.24.0"])
def test_old_servers_say_something_of_each_layer(number: str) -> None:
    """Each takes its least time, and ends at the whole."""
    with OllamaEmulator(version=number, library=[MODEL], pull_seconds=1.0, time_scale=0.05) as old:
        old.set_pull_rate(None)
        lines = pull(Client(old))

    assert statuses(lines) == ["pulling manifest", *layers(MODEL), *END]
    assert all(line["completed"] == line["total"] for line in lines if "total" in line)


def test_an_installed_model_is_told_layer_by_layer(client: Client) -> None:
    """One line for each, all of it there."""
    pull(client)
    lines = pull(client)

    assert [line["status"] for line in lines] == ["pulling manifest", *layers(MODEL), *END]
    assert all(line["completed"] == line["total"] for line in lines if "total" in line)


def test_progress_never_runs_back_and_ends_below_the_whole(ollama: OllamaEmulator, client: Client) -> None:
    """No line needs to say 100 %."""
    ollama.set_pull_rate(2_000_000)
    told = [line["completed"] for line in pull(client) if line.get("digest") == f"sha256:{'ab' * 32}"]

    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] < manifest_of(MODEL).weights.size


def test_a_pull_takes_the_seconds_it_was_given() -> None:
    """Nine tenths for the bytes, one for verifying."""
    manifest, version = manifest_of(MODEL), VERSIONS["0.33.0"]
    pacing = Pacing(seconds=10.0)

    assert manifest.size / (pacing.pace_of(manifest, version, 1.0).bytes_per_s or 0) == pytest.approx(9.0)
    assert pacing.verifying_s(manifest.size, 1.0) == 1.0


def test_at_a_rate_verifying_takes_as_long_as_hashing(ollama: OllamaEmulator) -> None:
    """740 MB in 0.44 s."""
    assert Pacing(None, 1e6).verifying_s(739_312_864, 1.0) == pytest.approx(0.435, abs=0.01)


def test_parts_are_kept_when_the_client_leaves(ollama: OllamaEmulator, client: Client) -> None:
    """The next pull goes on where they stood."""
    ollama.set_pull_rate(100_000)
    left_at = pull(client, lines=10)[-1]["completed"]
    until(lambda: not ollama.pulling)
    kept = ollama.parts["ab" * 32]
    ollama.set_pull_rate(5_000_000)
    lines = pull(client)

    assert left_at <= kept < manifest_of(MODEL).weights.size
    assert lines[1]["completed"] >= kept
    assert lines[-1] == {"status": "success"}
    assert ollama.parts == {}


def test_a_second_client_joins_the_download(ollama: OllamaEmulator, client: Client) -> None:
    """It begins where the first is, and goes on when the first leaves."""
    ollama.set_pull_rate(100_000)
    joined = threading.Event()
    first = Task(pull, client, on_line=lambda _: LEAVE if joined.is_set() else None)
    until(lambda: ollama.parts.get("ab" * 32, 0) > 2_000)
    second = Task(pull, client, on_line=lambda number: joined.set() if number == 2 else None)
    left = first.result()
    until(lambda: ollama.pulling == ["made-up:1b"])
    ollama.set_pull_rate(None)
    stayed = second.result()

    assert stayed[1]["completed"] > 2_000
    assert (left[-1]["status"][:8], stayed[-1]) == ("pulling ", {"status": "success"})


def test_two_clients_end_together(ollama: OllamaEmulator, client: Client) -> None:
    """Both are told of success, and the blob came once."""
    ollama.set_pull_rate(2_000_000)
    both = [task.result() for task in [Task(pull, client) for _ in range(2)]]

    assert [lines[-1] for lines in both] == [{"status": "success"}] * 2
    assert (ollama.installed, ollama.parts) == (["made-up:1b"], {})


def test_a_stalled_pull_repeats_its_line(ollama: OllamaEmulator, client: Client) -> None:
    """The figures stand still, the lines do not."""
    ollama.break_pull("stall", "made-up:1b")
    lines = pull(client, lines=20)

    assert {line["completed"] for line in lines[1:]} == {manifest_of(MODEL).weights.size // 25}


def test_a_stall_ends_with_its_pull(ollama: OllamaEmulator, client: Client) -> None:
    """The next one is not held up, where one was to be."""
    ollama.break_pull("stall", times=1)
    pull(client, lines=5)
    until(lambda: not ollama.pulling)

    assert pull(client)[-1] == {"status": "success"}


def test_a_pull_under_way_can_stall_and_go_on(ollama: OllamaEmulator, client: Client) -> None:
    """For all names or for one."""
    ollama.set_pull_rate(100_000)
    pulling = Task(pull, client)
    until(lambda: bool(ollama.parts.get("ab" * 32)))
    ollama.break_pull("stall", "other")
    ollama.break_pull("stall", "made-up:1b")
    stood = ollama.parts["ab" * 32]
    ollama.break_pull("stall")
    ollama.set_pull_rate(None)
    still = ollama.parts["ab" * 32]
    ollama.mend_pull("made-up:1b")
    lines = pulling.result()

    assert stood == still
    assert lines[-1] == {"status": "success"}


def test_a_cut_pull_is_given_up_after_six_retries(client: Client, ollama: OllamaEmulator) -> None:
    """Each brings a little more, and what came is kept; the last piece may come too late to be told."""
    ollama.break_pull("cut")
    lines = pull(client)
    told = [line["completed"] for line in lines if "completed" in line]

    assert lines[-1] == {"error": "max retries exceeded: unexpected EOF"}
    assert len(set(told)) in (6, 7)
    assert ollama.parts["ab" * 32] >= told[-1] > told[0]


def test_a_corrupt_layer_is_thrown_away(client: Client, ollama: OllamaEmulator) -> None:
    """And comes anew with the next pull; the others are kept."""
    ollama.break_pull("corrupt", times=1)
    first, second = pull(client), pull(client)

    assert first[-1]["error"].startswith(
        f"digest mismatch, file must be downloaded again: want sha256:{'ab' * 32}, got "
    )
    assert statuses(second) == ["pulling manifest", *layers(MODEL)[1:], *END]


def test_an_installed_model_cannot_come_corrupt(client: Client, ollama: OllamaEmulator) -> None:
    """Nothing is fetched, so nothing is checked."""
    pull(client)
    ollama.break_pull("corrupt")

    assert pull(client)[-1] == {"status": "success"}


def test_a_full_disk_ends_the_pull(client: Client, ollama: OllamaEmulator) -> None:
    """With the path in its text, and the parts kept."""
    ollama.set_disk_free(600_000)
    lines = pull(client)

    assert lines[-1] == {"error": f"write /models/blobs/sha256-{'ab' * 32}-partial: no space left on device"}
    assert lines[-2]["completed"] == 600_000
    assert ollama.installed == []


def test_a_pull_goes_on_once_there_is_room(client: Client, ollama: OllamaEmulator) -> None:
    """From the parts that are there."""
    ollama.set_disk_free(600_000)
    pull(client)
    ollama.set_disk_free(2_000_000)

    assert pull(client)[-1] == {"status": "success"}


def test_room_is_taken_and_given_back(client: Client, ollama: OllamaEmulator) -> None:
    """What one model takes is missing for the next, until it is deleted."""
    other = EmulatedModel("other:1b", size_bytes=1_000_000)
    ollama.publish(other)
    ollama.set_disk_free(1_500_000)
    first, second = pull(client), pull(client, "other:1b")
    client.ask("DELETE", "/api/delete", {"model": "made-up:1b"})
    third = pull(client, "other:1b")

    assert [lines[-1].get("status", "failed") for lines in (first, second, third)] == ["success", "failed", "success"]


def test_a_disk_can_be_full_by_word(client: Client, ollama: OllamaEmulator) -> None:
    """Without saying how large it is."""
    ollama.break_pull("disk-full")

    assert pull(client)[-1]["error"].endswith("-partial: no space left on device")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("blob-missing", "file does not exist"),
        ("manifest-404", "pull model manifest: file does not exist"),
        ("manifest-503", 'pull model manifest: 503: {"errors": [{"code": "UNKNOWN", "message": "tired"}]}'),
        (
            "registry-down",
            'pull model manifest: Get "https://registry.ollama.ai/v2/library/made-up/manifests/1b": '
            "Service Unavailable",
        ),
        (
            "offline",
            'pull model manifest: Get "https://registry.ollama.ai/v2/library/made-up/manifests/1b": '
            "dial tcp: lookup registry.ollama.ai on 127.0.0.53:53: no such host",
        ),
    ],
)
def test_what_the_registry_does_is_told(client: Client, ollama: OllamaEmulator, kind: str, error: str) -> None:
    """In the server's words, so many times."""
    ollama.break_pull(kind, text="tired", times=1)

    assert pull(client)[-1] == {"error": error}
    assert pull(client)[-1] == {"status": "success"}


def test_an_unknown_fault_is_no_fault(ollama: OllamaEmulator) -> None:
    """Those there are, are named."""
    with pytest.raises(ValueError, match="unknown fault 'fire'; there are stall, cut, corrupt"):
        ollama.break_pull("fire")


def test_without_a_stream_only_the_end_is_told(client: Client, ollama: OllamaEmulator) -> None:
    """Good or bad."""
    good = client.post("/api/pull", {"model": "made-up:1b", "stream": False})
    bad = client.post("/api/pull", {"model": "nobody", "stream": False})

    assert (good["status"], good["body"]) == (200, {"status": "success"})
    assert (bad["status"], bad["body"]) == (500, {"error": "pull model manifest: file does not exist"})


def test_an_update_changes_the_digest_and_removes_what_is_unused(client: Client, ollama: OllamaEmulator) -> None:
    """The tag is what the registry says now."""
    pull(client)
    before = client.ask("GET", "/api/tags")["body"]["models"][0]
    ollama.publish(EmulatedModel("made-up:1b", size_bytes=1_200_000, license="MIT", weights_digest="cd" * 32))
    lines = pull(client)
    after = client.ask("GET", "/api/tags")["body"]["models"][0]

    assert statuses(lines)[-3:] == ["writing manifest", "removing unused layers", "success"]
    assert (before["size"], after["size"]) == (1_000_000, 1_200_000)
    assert before["digest"] != after["digest"]


@pytest.mark.parametrize("name", ["made-up:1b", "smollm2:135m", "llama3.2:latest", "nomic-embed-text:latest"])
def test_the_digest_is_that_of_the_registrys_manifest(client: Client, ollama: OllamaEmulator, name: str) -> None:
    """So an update can be found, and the bytes of a pull are known before."""
    pull(client, name)
    listed = client.ask("GET", "/api/tags")["body"]["models"][0]
    model, _, tag = name.partition(":")
    served = client.ask("GET", f"/v2/library/{model}/manifests/{tag}")
    shown = client.post("/api/show", {"model": name})["body"]
    manifest = served["body"]
    raw = json.dumps(manifest, separators=(",", ":")).encode()

    assert served["headers"]["content-type"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert listed["digest"] == hashlib.sha256(raw).hexdigest()
    assert listed["size"] == manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"])
    assert f"FROM /models/blobs/{manifest['layers'][0]['digest'].replace(':', '-')}\n" in shown["modelfile"]


def test_a_tag_that_is_an_alias_has_the_same_digest(client: Client) -> None:
    """Pulling it fetches nothing."""
    pull(client, "llama3.2:3b")
    lines = pull(client, "llama3.2:latest")
    digests = {model["digest"] for model in client.ask("GET", "/api/tags")["body"]["models"]}

    assert len(digests) == 1
    assert all(line["completed"] == line["total"] for line in lines if "total" in line)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/library/made-up/manifests/2b", 404, "MANIFEST_UNKNOWN"),
        ("/v2/library/made up/manifests/2b".replace(" ", "%20"), 404, "NAME_UNKNOWN"),
        ("/v2/library/made-up/blobs/sha256:00", 404, "NAME_UNKNOWN"),
        ("/v2/", 404, "NAME_UNKNOWN"),
    ],
)
def test_the_registry_answers_errors_as_registries_do(client: Client, path: str, status: int, code: str) -> None:
    """A list of errors with a code."""
    answered = client.ask("GET", path)

    assert (answered["status"], answered["body"]["errors"][0]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("kind", "status"), [("registry-down", 503), ("offline", 503), ("manifest-429", 429), ("cut", 200)]
)
def test_a_broken_registry_is_broken_for_all(client: Client, ollama: OllamaEmulator, kind: str, status: int) -> None:
    """Looking does not use the fault up."""
    ollama.break_pull(kind, times=1)

    assert [client.ask("GET", "/v2/library/made-up/manifests/1b")["status"] for _ in range(2)] == [status, status]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_child_of_what_is_not_installed_pulls_it_first(number: str) -> None:
    """The lines of the pull come before those of the child."""
    with OllamaEmulator(version=number, library=[MODEL], pull_seconds=0, time_scale=0.01) as ollama:
        answered = Client(ollama).post("/api/create", {"model": "child", "from": "made-up:1b", "system": "Be kind."})
        said = statuses([line for _, line in answered["lines"]])

        assert said[0] == "pulling manifest"
        assert said[-2:] == ["writing manifest", "success"]
        assert said.count("success") == 1
        assert sorted(ollama.installed) == ["child:latest", "made-up:1b"]


def test_a_child_of_nothing_fails_as_a_pull_does(client: Client) -> None:
    """In the stream."""
    answered = client.post("/api/create", {"model": "child", "from": "nobody"})

    assert answered["lines"][-1][1] == {"error": "pull model manifest: file does not exist"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"model": "child"}, "neither 'from' or 'files' was specified"),
        ({"model": "child", "from": "a b"}, "invalid model name"),
        ({"model": "a b", "from": "x"}, "invalid model name"),
        ({}, "invalid model name"),
    ],
)
def test_a_child_needs_a_name_and_a_base(client: Client, body: dict[str, str], error: str) -> None:
    """Status 400."""
    answered = client.post("/api/create", body)

    assert (answered["status"], answered["body"]) == (400, {"error": error})


def test_a_child_shares_the_weights_but_not_the_digest(ollama: OllamaEmulator, client: Client) -> None:
    """Its parameters are added to those of its base."""
    ollama.install(known_model("smollm2:135m", parameters={"stop": ["x"]}))
    client.post("/api/create", {"model": "kid", "from": "smollm2:135m", "parameters": {"num_ctx": 64}, "stream": False})
    kid, base = (client.post("/api/show", {"model": name})["body"] for name in ("kid", "smollm2:135m"))
    listed = {model["name"]: model["digest"] for model in client.ask("GET", "/api/tags")["body"]["models"]}
    weights = [
        next(line for line in shown["modelfile"].splitlines() if line.startswith("FROM")) for shown in (kid, base)
    ]

    assert weights[0] == weights[1]
    assert listed["kid:latest"] != listed["smollm2:135m"]
    assert kid["details"]["parent_model"] == "smollm2:135m"
    assert kid["parameters"].split() == ["num_ctx", "64", "stop", '"x"']


@pytest.mark.parametrize(("number", "told"), [("0.33.0", 0), ("0.24.0", 1)])
def test_a_layer_that_came_for_another_model_is_not_fetched_again(number: str, told: int) -> None:
    """Old servers say a line of it, new ones none, as it took no time."""
    other = EmulatedModel("other:1b", size_bytes=500_000, license="MIT", template="Their own")
    licence = next(blob for blob in manifest_of(MODEL).blobs if blob.kind == "license")
    with OllamaEmulator(version=number, library=[MODEL, other], pull_seconds=0, time_scale=0.01) as ollama:
        client = Client(ollama)
        ollama.set_pull_rate(None)
        ollama.break_pull("stall", "made-up:1b", times=1)
        waiting = Task(pull, client)
        until(lambda: ollama.parts.get("ab" * 32, 0) > 0)
        pull(client, "other:1b")
        ollama.mend_pull()
        lines = waiting.result()

    assert [line.get("digest") for line in lines].count(f"sha256:{licence.digest}") == told
    assert lines[-1] == {"status": "success"}
