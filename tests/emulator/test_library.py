"""What can be pulled, and the facts that are invented or computed."""

from __future__ import annotations

import importlib.resources
import pathlib

import pytest

from elixi_models.emulator import library
from elixi_models.emulator.architecture import memory_of, model_info, shape_of, tensors, vector
from elixi_models.emulator.library import Library, catalogued, known_model
from elixi_models.emulator.manifests import manifest_of
from elixi_models.emulator.models import EmulatedModel, count_of, invented, with_weights
from elixi_models.emulator.names import Name


def test_the_whole_catalogue_can_be_pulled() -> None:
    """Every tag of it, in any case."""
    assert len(library._catalogue()) == 7288
    assert catalogued(Name.parse("QWEN2.5:0.5B")) == catalogued(Name.parse("qwen2.5:0.5b"))


def test_the_catalogues_facts_are_the_models() -> None:
    """Bytes, context, quantization, capabilities."""
    model = known_model("llama3.2:1b")

    assert (model.size_bytes, model.context_length, model.quantization) == (1_321_098_329, 131_072, "Q8_0")
    assert model.capabilities == ("completion", "tools")
    assert manifest_of(model).size == model.size_bytes


@pytest.mark.parametrize(
    ("name", "family", "capabilities"),
    [
        ("nomic-embed-text", "nomic-bert", ("embedding",)),
        ("all-minilm", "bert", ("embedding",)),
        ("qwen3:8b", "qwen3", ("completion", "tools", "thinking")),
        ("mistral", "llama", ("completion", "tools")),
    ],
)
def test_families_are_those_of_the_file(name: str, family: str, capabilities: tuple[str, ...]) -> None:
    """An embedder does not complete."""
    model = known_model(name)

    assert (model.family, model.capabilities) == (family, capabilities)


@pytest.mark.parametrize("name", ["nobody", "user/llama3.2:1b", "hf.co/library/llama3.2:1b", "llama3.2:none"])
def test_what_is_in_no_catalogue_cannot_be_pulled(name: str) -> None:
    """Nothing is invented for the registry."""
    assert Library().find(Name.parse(name)) is None
    assert Library().manifest(Name.parse(name)) is None


def test_without_the_catalogue_only_what_is_published_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """A copy of the emulator without its data still works."""
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    library._catalogue.cache_clear()
    try:
        assert known_model("llama3.2:1b") == EmulatedModel("llama3.2:1b", parameter_size="1B", size_bytes=600_000_000)
    finally:
        library._catalogue.cache_clear()


def test_an_invented_model_is_as_large_as_its_tag_says() -> None:
    """And chats."""
    assert invented("mine:7b").size_bytes == 4_200_000_000
    assert invented("mine").size_bytes == 1_321_098_329
    assert invented("mine").capabilities == ("completion",)


@pytest.mark.parametrize(
    ("shown", "count"), [("1.2B", 1_200_000_000), ("134.52M", 134_520_000), ("7", 7), ("", 0), ("big", 0)]
)
def test_a_parameter_size_is_a_number(shown: str, count: int) -> None:
    """Or 0 where it is none."""
    assert count_of(shown) == count


def test_thinking_makes_a_model_able_to_think() -> None:
    """A text, or just True."""
    assert EmulatedModel("a", thinking="Hm.").capabilities == ("completion", "thinking")
    assert EmulatedModel("a", thinking=True).thinking == "Let me think about that. "
    assert EmulatedModel("a", thinking="Hm.", capabilities=("thinking",)).capabilities == ("thinking",)


@pytest.mark.parametrize("size", ["135M", "360M", "1.2B", "3B", "7B", "14B", "32B", "70B"])
def test_larger_models_have_more_inside(size: str) -> None:
    """Blocks, tensors and memory."""
    model = EmulatedModel("a", parameter_size=size)
    shape = shape_of(model)

    assert len(tensors(model)) == 1 + 3 * shape.blocks
    assert model_info(model)["llama.block_count"] == shape.blocks
    assert memory_of(model, 8192) > memory_of(model, 4096) > model.size_bytes


def test_memory_can_be_given() -> None:
    """Then it is told as it is."""
    assert memory_of(EmulatedModel("a", memory_bytes=5), 4096) == 5


def test_a_vector_has_length_one_and_belongs_to_its_text() -> None:
    """Always the same."""
    one = vector("hello", 64)

    assert sum(value * value for value in one) == pytest.approx(1.0)
    assert (vector("hello", 64), vector("world", 64)) == (one, vector("world", 64))
    assert vector("world", 64) != one


def test_a_file_gives_its_size_digest_and_quantization(tmp_path: pathlib.Path) -> None:
    """The digest is that of its bytes, also when it changes."""
    file = tmp_path / "Some-Model.Q4_1.gguf"
    file.write_bytes(b"GGUF")
    model = with_weights(known_model("smollm2:135m"), file)
    first = manifest_of(model).weights
    file.write_bytes(b"GGUF!")
    second = manifest_of(model).weights

    assert model.quantization == "Q4_1"
    assert (first.size, first.digest[:12]) == (4, "b83633aa7853")
    assert (second.size, second.digest[:12]) != (4, "b83633aa7853")


def test_a_file_without_a_telling_name_changes_no_quantization(tmp_path: pathlib.Path) -> None:
    """Nothing is guessed."""
    file = tmp_path / "weights.gguf"
    file.write_bytes(b"GGUF")

    assert with_weights(EmulatedModel("a", quantization="Q6_K"), file).quantization == "Q6_K"
