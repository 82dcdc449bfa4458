"""The offline catalogue and what it says of models."""

from __future__ import annotations

import pytest

from elixi_models.catalogue.catalogue import Catalogue
from elixi_models.inventory import InstalledModel


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue()


def test_all_families_of_the_library_are_there(catalogue: Catalogue) -> None:
    """224 families, each once, as of the date that the data names."""
    entries = catalogue.entries()
    assert len(entries) == 224
    assert len({entry.name for entry in entries}) == 224
    assert catalogue.as_of == "2026-08-21"


def test_nothing_is_read_before_the_first_question() -> None:
    """A fresh catalogue has not read its data; asking twice reads once."""
    fresh = Catalogue()
    assert fresh.as_of is None
    assert fresh.entries() is fresh.entries()


def test_popular_families_come_first(catalogue: Catalogue) -> None:
    """Order is popularity, then name."""
    entries = catalogue.entries()
    assert [entry.popularity for entry in entries] == sorted((e.popularity for e in entries), reverse=True)
    first_five = [entry.name for entry in entries if entry.popularity == 5]
    assert first_five == sorted(first_five)


def test_an_entry_tells_the_facts_of_its_default_tag(catalogue: Catalogue) -> None:
    """llama3.2: exact bytes of 3b, the publisher's context, and its plain tags."""
    entry = catalogue.family("Llama3.2")
    assert entry is not None
    assert (entry.parameter_size, entry.size_bytes, entry.context_length) == ("3.2B", 2019393189, 131072)
    assert [tag.tag for tag in entry.tags] == ["latest", "1b", "3b"]
    assert entry.licence == "llama3.2"


def test_an_unknown_size_is_none_and_not_the_rounded_figure(catalogue: Catalogue) -> None:
    """Where no manifest was seen `size_bytes` is None although the library shows a rounded size."""
    tags = [tag for entry in catalogue.entries() for tag in entry.tags if tag.size_bytes is None]
    assert len(tags) == 55
    assert all(tag.size_gb_reported is not None for tag in tags)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("codellama:latest", "coding"),
        ("dolphin:7b", "creative"),
        ("dolphin-mixtral:latest", "creative"),
        ("dolphincoder:7b", "coding"),
        ("orca-mini:latest", "fast"),
        ("neural-chat:latest", "general"),
        ("mistral:7b", "general"),
        ("llama2:latest", "general"),
        ("openchat:latest", "general"),
        ("llama3.1:8b-instruct", "general"),
        ("nomic-embed-text:latest", "embedding"),
        ("encode-model:latest", "general"),
        ("deepseek-r1:7b", "analysis"),
        ("hf.co/someone/My-Coder-7B-GGUF:Q4_K_M", "coding"),
        ("hf.co/someone/Uncensored-Tales:Q4", "creative"),
    ],
)
def test_a_model_is_classified_by_catalogue_then_by_whole_words(catalogue: Catalogue, name: str, kind: str) -> None:
    """Substrings do not count: `encode` is no code, `instruct` says nothing."""
    assert catalogue.classify(InstalledModel(name, "d")) == kind


def test_capabilities_beat_names(catalogue: Catalogue) -> None:
    """What can only embed is an embedder whatever it is called; what can do neither is nothing we know."""
    assert catalogue.classify(InstalledModel("llama3:latest", "d", capabilities=("embedding",))) == "embedding"
    assert catalogue.classify(InstalledModel("llama3:latest", "d", capabilities=("image",))) is None


def test_code_models_support_languages_and_others_tasks(catalogue: Catalogue) -> None:
    """Languages only where the publisher names them."""
    assert "python" in catalogue.supports(InstalledModel("codellama:13b", "d"))
    assert catalogue.supports(InstalledModel("yi-coder:9b", "d")) == ("coding",)
    assert catalogue.supports(InstalledModel("mistral:7b", "d")) == ("general", "conversation", "question-answering")
    assert catalogue.supports(InstalledModel("x:1", "d", capabilities=("image",))) == ()


def test_installable_leaves_out_what_is_installed(catalogue: Catalogue) -> None:
    """The two lists of the seed do not overlap; models of other registries do not hide a family."""
    foreign = InstalledModel("hf.co/me/llama3:q4", "d9")
    rest = catalogue.installable([InstalledModel("Mistral:7b", "d1"), foreign])
    assert len(rest) == 223
    assert "mistral" not in {entry.name for entry in rest}
    assert catalogue.installable([foreign, InstalledModel("mistral:latest", "d2")]) is rest
    assert len(catalogue.installable([])) == 224
