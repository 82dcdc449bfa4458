"""Which resident model serves which installed one."""

from __future__ import annotations

from elixi_models.inventory import InstalledModel, LoadedModel, ServerView

BASE = InstalledModel("base:latest", "d1", weights_digest="w1", capabilities=("completion",))
CHILD = InstalledModel("child:latest", "d2", weights_digest="w1")
OTHER = InstalledModel("other:7b", "d3", weights_digest="w3", capabilities=("embedding",))
VIEW = ServerView("http://127.0.0.1:1", installed=(BASE, CHILD, OTHER), loaded=(LoadedModel("base:latest", "d1"),))


def test_a_model_is_found_in_any_spelling() -> None:
    """Case and the default tag do not matter; what is not there is None."""
    assert VIEW.find("BASE") is BASE
    assert VIEW.find("other") is None


def test_a_model_resides_under_its_own_entry() -> None:
    """The same manifest digest is the same model."""
    assert VIEW.residence(BASE) is VIEW.loaded[0]


def test_a_child_of_the_same_weights_shares_the_runner() -> None:
    """`ps` names the alias that was loaded first; the child serves from the same runner."""
    assert VIEW.residence(CHILD) is VIEW.loaded[0]


def test_other_weights_are_not_resident() -> None:
    """Neither digest nor name nor weights match."""
    assert VIEW.residence(OTHER) is None


def test_unknown_weights_match_by_digest_and_name_alone() -> None:
    """Without a weights digest nothing is guessed."""
    assert VIEW.residence(InstalledModel("new:1", "d9")) is None
    assert VIEW.residence(InstalledModel("Base", "changed")) is VIEW.loaded[0]


def test_chatting_is_unknown_until_show_was_read() -> None:
    """None is not False."""
    assert (BASE.can_chat, CHILD.can_chat, OTHER.can_chat) == (True, None, False)
