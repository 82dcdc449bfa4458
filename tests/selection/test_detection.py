"""Reading the task from a message."""

from __future__ import annotations

import pytest

from elixi_models.selection.detection import detect


@pytest.mark.parametrize(
    ("prompt", "task"),
    [
        ("Write a Python function that merges two sorted lists", "coding"),
        ("Why does this crash?\n```js\nfoo();\n```", "coding"),
        ("Translate this to French:\n```\nHello\n```", "general"),
        ("Calculate 17 * 23 and explain how many steps it takes", "analysis"),
        ("Write a poem about the sea", "creative"),
        ("What is the capital of France?", "general"),
        ("Hi! What's up?", "general"),
        ("", "general"),
        ("?" * 100_000, "general"),
    ],
)
def test_clear_messages_are_recognised(prompt: str, task: str) -> None:
    """One of each kind; what says nothing is general."""
    assert detect(prompt)[0] == task


def test_the_evidence_is_a_share_and_the_source_is_named() -> None:
    """Between 0 and 1, more for a clearer message."""
    weak, strong = detect("a story"), detect("Write a short story, a poem and a song about imagination and plot")
    assert 0 < weak[1] < strong[1] <= 1
    assert strong[2] == "rules"


def test_the_end_of_a_long_message_counts() -> None:
    """The question often stands after a pasted text."""
    assert detect("lorem ipsum " * 500 + "\nNow write a poem, a haiku and a song lyrics from it.")[0] == "creative"
