"""Model names as a server reads them."""

from __future__ import annotations

import pytest

from elixi_models.emulator.names import InvalidName, Name


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("llama3.2", "llama3.2:latest"),
        ("llama3.2:1b", "llama3.2:1b"),
        (" llama3.2 ", "llama3.2:latest"),
        ("library/llama3.2", "llama3.2:latest"),
        ("user/model:tag", "user/model:tag"),
        ("registry.ollama.ai/library/x:1", "x:1"),
        ("https://registry.ollama.ai/library/x:1", "x:1"),
        ("hf.co/user/repo-GGUF:Q4_K_M", "hf.co/user/repo-GGUF:Q4_K_M"),
        ("localhost:5000/library/x:tag", "localhost:5000/library/x:tag"),
    ],
)
def test_a_name_is_shown_without_what_goes_without_saying(raw: str, shown: str) -> None:
    """The public registry and `library` are left out, the tag never is."""
    assert Name.parse(raw).shown == shown


@pytest.mark.parametrize(
    "raw", ["", "a b", "..", "-a", "llama3:", ":tag", "a/b/c/d", "localhost:5000/foo", "hf.co/a.b/c", "x" * 81, "a\nb"]
)
def test_what_is_no_name_is_refused(raw: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidName):
        Name.parse(raw)


def test_case_does_not_tell_models_apart() -> None:
    """`LLAMA3` means `llama3`."""
    assert Name.parse("LLAMA3:1B").key == Name.parse("llama3:1b").key


def test_the_full_name_has_its_registry() -> None:
    """Some error texts give it."""
    assert Name.parse("x").full == "registry.ollama.ai/library/x:latest"
