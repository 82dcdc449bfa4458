"""Answers of every server and client version become the same records."""

from __future__ import annotations

from typing import Any

import pytest

from elixi_models.inventory import InstalledModel, LoadedModel
from elixi_models.records import PullEvent, ReplyEvent
from elixi_models.upstream import answers

DIGEST = "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"
WEIGHTS = "dde5aa3fc5ffc17176b5e8bdc82f587b24b2678c6c66101bf7da77af9f7ccdff"
LISTED = {
    "name": "llama3.2:latest",
    "model": "llama3.2:latest",
    "modified_at": "2025-05-04T17:37:44.706015396-07:00",
    "size": 2019393189,
    "digest": DIGEST,
    "details": {
        "parent_model": "/srv/models/blobs/sha256-0",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "3.2B",
        "quantization_level": "Q4_K_M",
        "context_length": 131072,
        "embedding_length": 3072,
    },
    "capabilities": ["completion", "tools"],
}
MODEL_INFO = {
    "general.architecture": "llama",
    "general.parameter_count": 3212749888,
    "llama.block_count": 28,
    "llama.context_length": 131072,
    "llama.embedding_length": 3072,
    "llama.attention.head_count": 24,
    "llama.attention.head_count_kv": 8,
    "tokenizer.ggml.tokens": None,
}


def tags(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"models": list(entries)}


def test_a_listed_model_is_read_whole() -> None:
    """Every field of `tags` has its place; capabilities are left to `show`, paths are dropped."""
    assert answers.installed_models(tags(LISTED)) == [
        InstalledModel(
            name="llama3.2:latest",
            digest=DIGEST,
            size_bytes=2019393189,
            modified_at="2025-05-04T17:37:44.706015396-07:00",
            format="gguf",
            family="llama",
            parameter_size="3.2B",
            quantization="Q4_K_M",
            context_length=131072,
            embedding_length=3072,
        )
    ]


def test_unknown_fields_are_none() -> None:
    """What is missing, empty, zero, `unknown` or of a wrong type is unknown; it does not fail."""
    entry = {
        "name": "odd:1",
        "size": 0,
        "modified_at": 12,
        "details": {"format": "", "parameter_size": "", "quantization_level": "unknown", "context_length": "many"},
    }
    assert answers.installed_models(tags(entry)) == [InstalledModel("odd:1", "")]


@pytest.mark.parametrize("field", ["remote_host", "remote_model"])
def test_a_cloud_stub_is_remote(field: str) -> None:
    """A model that runs in the cloud is told by either of its remote fields."""
    assert answers.installed_models(tags({**LISTED, field: "x"}))[0].remote is True


def test_nameless_and_shapeless_entries_are_skipped() -> None:
    """A list with rubbish in it still gives the models that are there."""
    listed = answers.installed_models({"models": ["rubbish", None, {"digest": DIGEST}, {"model": "a:latest"}]})
    assert [model.name for model in listed] == ["a:latest"]


def test_newest_first_and_ties_by_name() -> None:
    """The server's order within one second is random at every call; ours is not."""
    entries = [
        {"name": name, "modified_at": f"2025-05-0{day}T10:00:00.{fraction}Z"}
        for name, day, fraction in [("c", 1, 9), ("b", 2, 1), ("a", 2, 0), ("d", 3, 0)]
    ]
    for order in (entries, entries[::-1]):
        assert [model.name for model in answers.installed_models({"models": order})] == ["d", "a", "b", "c"]


@pytest.mark.parametrize("answer", [None, [], "text", {}, {"models": None}, {"models": {}}])
def test_no_list_of_models_is_an_error(answer: Any) -> None:
    """An answer without a list is not taken for an empty one."""
    with pytest.raises(ValueError, match=r"list of models|JSON object"):
        answers.installed_models(answer)
    with pytest.raises(ValueError, match=r"list of models|JSON object"):
        answers.loaded_models(answer)


def test_a_resident_model_is_read() -> None:
    """0.24 without a GPU: the size is real and nothing of it is on a GPU."""
    entry = {
        "model": "a:latest",
        "digest": DIGEST,
        "size": 466,
        "size_vram": 0,
        "context_length": 4096,
        "expires_at": "2318-01-01T00:00:00Z",
    }
    assert answers.loaded_models(tags(entry)) == [LoadedModel("a:latest", DIGEST, 466, 0, 4096, "2318-01-01T00:00:00Z")]


def test_a_size_of_zero_is_unknown() -> None:
    """0.33 without a GPU says 0 for both sizes: neither is known."""
    loaded = answers.loaded_models(tags({"model": "a:latest", "digest": DIGEST, "size": 0, "size_vram": 0}))
    assert loaded == [LoadedModel("a:latest", DIGEST)]


def test_show_completes_a_model() -> None:
    """Weights, capabilities, lengths, parameters and the cache size come from `show`."""
    shown = {
        "modelfile": f"# To build a new one, use\n# FROM x:1\n\nFROM /m/blobs/sha256-{WEIGHTS}\nTEMPLATE x",
        "model_info": MODEL_INFO,
        "capabilities": ["completion", "tools", 3],
    }
    assert answers.completed(InstalledModel("a:latest", DIGEST), shown) == InstalledModel(
        name="a:latest",
        digest=DIGEST,
        weights_digest=WEIGHTS,
        capabilities=("completion", "tools"),
        context_length=131072,
        embedding_length=3072,
        parameter_count=3212749888,
        kv_bytes_per_token=2 * 28 * 8 * (3072 // 24) * 2,
    )


def test_show_without_facts_leaves_the_model_as_it_was() -> None:
    """An older server without capabilities leaves them unknown, not empty; what `tags` said stays."""
    model = InstalledModel("a:latest", DIGEST, context_length=4096, embedding_length=8)
    assert answers.completed(model, {"details": {}, "model_info": {}}) == model


def test_show_tells_a_cloud_model() -> None:
    """`show` names the remote host too, for clients and servers where `tags` does not."""
    shown = {"remote_host": "https://ollama.com", "model_info": {}}
    assert answers.completed(InstalledModel("a:latest", DIGEST), shown).remote is True


@pytest.mark.parametrize("answer", [[], None, {}, {"models": []}])
def test_what_is_no_answer_of_show_is_an_error(answer: Any) -> None:
    """Neither a list nor an object about something else is remembered as what `show` said."""
    with pytest.raises(ValueError, match=r"JSON object|nothing about a model"):
        answers.completed(InstalledModel("a:latest", DIGEST), answer)


def test_a_load_ends_with_done() -> None:
    """Anything else in its place is no answer of a load."""
    answers.expect_done({"done": True, "done_reason": "load"})
    with pytest.raises(ValueError, match="not done"):
        answers.expect_done({"done": False})


@pytest.mark.parametrize(
    ("modelfile", "expected"),
    [
        (f"FROM /models/blobs/sha256-{WEIGHTS}\nPARAMETER x 1", WEIGHTS),
        (f"FROM C:\\Users\\A B\\models\\blobs\\sha256-{WEIGHTS}\r\nTEMPLATE x", WEIGHTS),
        (f"FROM /m/sha256-{WEIGHTS.upper()}", WEIGHTS),
        (f"FROM @sha256:{WEIGHTS}", WEIGHTS),
        (f"# FROM /m/blobs/sha256-{WEIGHTS}", None),
        ("FROM llama3.2", None),
        (f"FROM /m/sha256-{WEIGHTS}\nFROM /m/sha256-{DIGEST}", WEIGHTS),
        (f"LICENSE sha256-{WEIGHTS}", None),
        (None, None),
    ],
)
def test_weights_digest_is_that_of_the_first_from_line(modelfile: Any, expected: str | None) -> None:
    """The FROM line ends in the model layer's digest, on every system; comments and names have none."""
    assert answers.weights_digest(modelfile) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 114688),
        ({"llama.attention.key_length": 256, "llama.attention.value_length": 256}, 28 * 8 * 512 * 2),
        ({"llama.attention.key_length": 192}, 28 * 8 * (192 + 128) * 2),
        ({"llama.attention.head_count_kv": None}, None),
        ({"llama.attention.head_count": None}, None),
        ({"llama.block_count": True}, None),
        ({"llama.embedding_length": 0}, None),
    ],
)
def test_kv_bytes_per_token(changes: dict[str, Any], expected: int | None) -> None:
    """Two values per layer, head and dimension at two bytes; per-layer lists are null on the wire, hence unknown."""
    assert answers.kv_bytes_per_token({**MODEL_INFO, **changes}, "llama") == expected


def test_a_pull_line_is_read() -> None:
    """`completed` is absent while it is 0; a line may have no status at all."""
    digest = f"sha256:{WEIGHTS}"
    line = {"status": "pulling dde5aa3fc5ff", "digest": digest, "total": 10, "completed": 4}
    assert answers.pull_event(line) == PullEvent("pulling dde5aa3fc5ff", digest, 10, 4)
    assert answers.pull_event({"digest": digest, "total": 10}) == PullEvent("", digest, 10, None)


def test_the_last_part_of_a_reply_is_read_in_seconds() -> None:
    """Durations are nanoseconds on the wire; counts that are left out stay unknown."""
    part = {
        "response": "",
        "done": True,
        "done_reason": "stop",
        "total_duration": 5_000_000_000,
        "load_duration": 5_000_000,
        "prompt_eval_count": 26,
        "prompt_eval_duration": 250_000_000,
        "eval_count": 1,
    }
    assert answers.reply_event(part) == ReplyEvent(
        done=True, done_reason="stop", total_s=5.0, load_s=0.005, prompt_tokens=26, prompt_s=0.25, tokens=1
    )


def test_a_piece_of_a_reply_is_text_or_thinking() -> None:
    """Both are there in a part; `done` is false unless it says true."""
    assert answers.reply_event({"response": "Hi", "thinking": "hm", "done": "yes"}) == ReplyEvent("Hi", "hm")


@pytest.mark.parametrize("read", [answers.pull_event, answers.reply_event, answers.version])
def test_a_line_that_is_no_object_is_an_error(read: Any) -> None:
    """A number where an object belongs is told, not guessed at."""
    with pytest.raises(ValueError, match="JSON object"):
        read(3)


def test_a_version_must_be_there() -> None:
    """An answer of something else than Ollama has no version."""
    assert answers.version({"version": "0.33.0"}) == "0.33.0"
    with pytest.raises(ValueError, match="no version"):
        answers.version({"version": None})


class Dumpable:
    def model_dump(self, **options: Any) -> dict[str, Any]:
        return options


def test_models_of_the_client_become_what_was_on_the_wire() -> None:
    """Newer clients give models with renamed fields; dicts of older ones pass as they are."""
    assert answers.plain(Dumpable()) == {"mode": "json", "by_alias": True, "exclude_none": True}
    assert answers.plain({"a": None}) == {"a": None}
