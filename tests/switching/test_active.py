"""Which model is active: stored, restored, followed, mirrored into the brain."""

from __future__ import annotations

from typing import Any

URL = "http://127.0.0.1:11434"


def test_without_a_choice_the_configured_model_is_active(start: Any):
    """Nothing stored, no brain: the setting names it, in installed form, since the start, as version 0."""
    current = start(configured="a").active.current
    assert (current.model, current.previous, current.version) == ("a:latest", None, 0)
    assert current.since_s == 1_000.0


def test_without_a_choice_the_brain_says_what_chat_uses(start: Any, make_brain: Any):
    """What the brain names beats the setting: it is what answers."""
    assert start(configured="a", brain=make_brain("b:7b")).active.current.model == "b:7b"


def test_nothing_configured_is_nothing_active(start: Any):
    """Unknown is None."""
    assert start().active.current.model is None


def test_a_name_that_nobody_installed_is_shown_in_installed_form(start: Any):
    """A configured model need not be there."""
    assert start(configured="Mistral").active.current.model == "Mistral:latest"


def test_a_name_out_of_any_grammar_stays_as_it_is(start: Any, make_brain: Any):
    """The host may name what it likes."""
    assert start(brain=make_brain("not a name")).active.current.model == "not a name"


def test_a_commit_stores_first_then_sets_the_brain_then_tells(start: Any, shelf: Any, make_brain: Any):
    """The stored version has model, previous, configuration, time and user; the brain gets the exact tag."""
    process = start(configured="a", brain=make_brain("a"))
    active = process.active.commit("b:7b", user="ada")
    assert shelf.versions[0].key == f"active_model@{URL}"
    assert shelf.versions[0].value == {
        "model": "b:7b",
        "previous": "a:latest",
        "configured": "a",
        "since_s": active.since_s,
        "user": "ada",
    }
    assert process.brain.value == "b:7b"
    assert process.switched == [active] == [process.active.current]
    assert (active.previous, active.version, active.user) == ("a:latest", 1, "ada")


def test_uptime_starts_anew_with_a_switch(start: Any):
    """`since_s` is the time of the commit."""
    process = start(configured="a")
    first = process.active.commit("b:7b").since_s
    assert process.active.commit("c:1b").since_s > first


def test_choosing_the_active_model_again_changes_nothing(start: Any, shelf: Any, make_brain: Any):
    """No version, no time, nobody told; a brain that went astray is set right."""
    process = start(brain=make_brain("a"))
    chosen = process.active.commit("b:7b")
    process.brain.value = "a"
    assert process.active.commit("b:7b") == chosen
    assert (shelf.models, len(process.switched), process.brain.value) == (["b:7b"], 1, "b:7b")


def test_the_configured_model_is_no_new_choice_once_the_store_was_read(start: Any, shelf: Any):
    """A switch to what is active by configuration stores nothing, but not before the stored choice is known."""
    process = start(configured="a")
    process.active.commit("a:latest")
    assert shelf.models == ["a:latest"]
    other = start(configured="b:7b")
    other.follower.first_read.set()
    other.active.commit("b:7b")
    assert shelf.models == ["a:latest"]


def test_a_stored_choice_comes_back(start: Any, make_brain: Any):
    """The same configuration: model, previous and the brain are as before the restart."""
    start(configured="a", brain=make_brain("a")).active.commit("b:7b", user="ada")
    again = start(configured="a", brain=make_brain("a"))
    again.follower.look()
    current = again.active.current
    assert (current.model, current.previous, current.user, current.version) == ("b:7b", "a:latest", "ada", 1)
    assert again.brain.value == "b:7b"
    assert again.switched == []


def test_a_changed_configuration_wins_and_is_stored(start: Any, shelf: Any, make_brain: Any):
    """OLLAMA_MODEL was changed while the app was down: that is the newer choice, for every process."""
    start(configured="a", brain=make_brain("a")).active.commit("b:7b")
    again = start(configured="c:1b", brain=make_brain("c:1b"))
    again.follower.look()
    assert (again.active.current.model, again.active.current.previous) == ("c:1b", "b:7b")
    assert again.brain.value == "c:1b"
    assert shelf.versions[-1].value["configured"] == "c:1b"
    third = start(configured="c:1b", brain=make_brain("c:1b"))
    third.follower.look()
    assert (third.active.current.model, shelf.models) == ("c:1b", ["b:7b", "c:1b"])


def test_the_brains_first_model_is_the_configuration_where_no_setting_is(start: Any, make_brain: Any):
    """A host with its own default is configured by that."""
    start(brain=make_brain("a")).active.commit("b:7b")
    unchanged, changed = start(brain=make_brain("a:latest")), start(brain=make_brain("c:1b"))
    unchanged.follower.look()
    assert unchanged.active.current.model == "b:7b"
    changed.follower.look()
    assert changed.active.current.model == "c:1b"


def test_a_process_without_configuration_keeps_the_stored_one(start: Any, shelf: Any):
    """A command that switches has no say in what was configured, and accepts what is stored."""
    start(configured="a").active.commit("b:7b")
    command = start()
    command.follower.look()
    assert command.active.current.model == "b:7b"
    command.active.commit("c:1b")
    assert shelf.versions[-1].value["configured"] == "a"


def test_other_processes_are_followed(start: Any, make_brain: Any):
    """A switch elsewhere sets this brain too, with its time and user, and tells nobody here twice."""
    one, other = start(configured="a", brain=make_brain("a")), start(configured="a", brain=make_brain("a"))
    other.follower.look()
    chosen = one.active.commit("b:7b", user="ada")
    other.follower.look()
    assert other.active.current == chosen
    assert other.brain.value == "b:7b"
    assert other.switched == []


def test_an_older_version_does_not_undo_a_newer_one(start: Any, shelf: Any):
    """News that were overtaken on the way change nothing."""
    process = start()
    process.active.commit("b:7b")
    process.active.commit("c:1b")
    process.active._follow(shelf.versions[0])
    assert process.active.current.model == "c:1b"


def test_a_version_without_a_model_is_passed_over(start: Any, shelf: Any):
    """A document that a later version of this package wrote differently does no harm."""
    process = start(configured="a")
    shelf.put(process.active.key, {"models": ["b:7b"]})
    process.follower.look()
    assert process.active.current.model == "a:latest"


def test_a_look_gives_the_brain_its_exact_tag(start: Any, make_brain: Any, server: Any):
    """The host's `is_available` is a prefix test; the exact tag makes it true for the right model only."""
    process = start(brain=make_brain("a"))
    process.follower.look()
    server.look()
    assert (process.brain.value, process.switched) == ("a:latest", [])
    server.look()
    assert process.brain.history == ["a:latest"]


def test_a_look_before_the_store_was_read_touches_no_brain(start: Any, make_brain: Any, server: Any):
    """The stored choice may say otherwise."""
    process = start(brain=make_brain("a"))
    server.look()
    assert process.brain.history == []


def test_a_look_leaves_a_brain_alone_whose_model_is_not_there(start: Any, make_brain: Any, server: Any):
    """Nothing is invented for a model that is not installed, nor for a brain that is not there."""
    process, without = start(brain=make_brain("mistral")), start()
    process.follower.look()
    without.follower.look()
    server.look()
    assert (process.brain.history, without.brain.history) == ([], [])


def test_a_look_leaves_a_chosen_model_alone(start: Any, make_brain: Any, server: Any):
    """With a choice the brain follows that."""
    process = start(brain=make_brain("a"))
    process.active.commit("b:7b")
    server.look()
    assert process.brain.history == ["b:7b"]


def test_a_look_takes_an_assignment_for_a_switch_first(start: Any, make_brain: Any, server: Any, shelf: Any):
    """An assignment just before a look is not lost under the exact tag."""
    process = start(brain=make_brain("b:7b"))
    process.follower.look()
    server.look()
    process.brain.value = "a"
    server.look()
    assert process.told.wait(10)
    assert (shelf.models, process.brain.value) == (["a:latest"], "a:latest")


def test_restore_takes_a_choice_that_is_already_known(start: Any, make_brain: Any):
    """The follower may have read it before anybody asked for it."""
    start(configured="a").active.commit("b:7b")
    again = start(configured="a", brain=make_brain("a"))
    again.follower._known = again.follower.shelf.versions[-1]
    again.active.restore()
    assert again.brain.value == "b:7b"


def test_restore_does_not_wait_for_the_store(start: Any):
    """It may not have answered yet; until then the configuration counts."""
    process = start(configured="a")
    process.active.restore()
    assert process.active.current.model == "a:latest"


def test_an_assignment_of_brain_model_is_a_switch(start: Any, shelf: Any, make_brain: Any):
    """Stored with what was before, told in the background, and the brain keeps the exact tag."""
    process = start(brain=make_brain("b:7b"))
    process.active.notice_brain()
    process.brain.value = "a"
    process.active.notice_brain()
    assert process.told.wait(10)
    assert (process.active.current.model, process.active.current.previous) == ("a:latest", "b:7b")
    assert (shelf.models, process.brain.value) == (["a:latest"], "a:latest")
    assert [active.model for active in process.switched] == ["a:latest"]


def test_an_assignment_after_a_switch_is_one_too(start: Any, shelf: Any, make_brain: Any):
    """The choice that it replaces is the previous one."""
    process = start(brain=make_brain("a"))
    process.active.commit("b:7b")
    process.brain.value = "c:1b"
    process.active.notice_brain()
    assert process.told.wait(10)
    assert (process.active.current.model, process.active.current.previous) == ("c:1b", "b:7b")
    assert shelf.models == ["b:7b", "c:1b"]


def test_the_first_sight_of_a_brain_is_no_assignment(start: Any, shelf: Any, make_brain: Any):
    """What it starts with is its configuration."""
    process = start(brain=make_brain("a"))
    process.active.notice_brain()
    process.active.notice_brain()
    assert shelf.models == []


def test_our_own_switch_is_no_assignment(start: Any, shelf: Any, make_brain: Any):
    """What we wrote into the brain is not taken for somebody else's hand."""
    process = start(brain=make_brain("a"))
    process.active.commit("b:7b")
    process.active.notice_brain()
    assert shelf.models == ["b:7b"]


def test_another_spelling_of_the_active_model_is_no_assignment(start: Any, shelf: Any, make_brain: Any):
    """`a` for `a:latest` changes nothing."""
    process = start(brain=make_brain("b:7b"))
    process.active.commit("a:latest")
    process.brain.value = "A"
    process.active.notice_brain()
    assert (shelf.models, process.active.current.version) == (["a:latest"], 1)


def test_a_brain_that_comes_late_gets_the_choice(start: Any, shelf: Any):
    """What the host made it with is its configuration, not somebody's newer choice."""
    process = start()
    process.active.commit("b:7b")
    process.brain.value = "a"
    process.active.notice_brain()
    assert (process.brain.value, shelf.models) == ("b:7b", ["b:7b"])


def test_no_brain_is_nothing_to_notice(start: Any, shelf: Any):
    """Neither is a brain whose model was taken away."""
    process = start(configured="a")
    process.active.notice_brain()
    assert shelf.models == []


def test_a_store_that_is_away_holds_nothing_up_for_long(start: Any, monkeypatch: Any, make_brain: Any):
    """The choice counts in this process, with a version of its own, and the brain is set."""
    monkeypatch.setattr("elixi_models.switching.active._STORE_WAIT_S", 0.01)
    process = start(brain=make_brain("a"))
    process.follower.away = True
    active = process.active.commit("b:7b")
    assert (active.model, active.version, process.brain.value) == ("b:7b", 1, "b:7b")


def test_a_newer_choice_of_somebody_else_beats_one_held_in_memory(start: Any, shelf: Any, monkeypatch: Any):
    """When the store comes back with the same version number for another model, the stored one counts."""
    monkeypatch.setattr("elixi_models.switching.active._STORE_WAIT_S", 0.01)
    process = start()
    process.follower.away = True
    process.active.commit("b:7b")
    start().active.commit("c:1b")
    process.follower.look()
    assert process.active.current.model == "c:1b"


def test_a_forked_child_can_switch(start: Any):
    """The lock may have been held by a thread of the parent."""
    process = start()
    process.active._lock.acquire()
    process.active.reset_after_fork()
    assert process.active.commit("b:7b").model == "b:7b"
