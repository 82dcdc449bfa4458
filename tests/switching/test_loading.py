"""The two-phase switch: who loads, who joins, who wins, what a failure leaves."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from elixi_models.errors import Cancelled, CannotChat, InternalError, LoadFailed, RegistryNotAllowed
from elixi_models.records import Activation

WAIT_S = 10.0


def test_a_switch_loads_then_commits(start: Any, server: Any):
    """The answer has the new model, the one before, and the wall time of the load."""
    process = start(configured="a")
    done = process.to("b:7b", user="ada")
    assert (done.state, done.current, done.previous, done.requested) == ("active", "b:7b", "a:latest", "b:7b")
    assert done.load_ms > 0
    assert (server.loads, process.active.current.user) == (["b:7b"], "ada")


def test_the_old_model_serves_until_the_load_is_done(start: Any, server: Any, make_brain: Any):
    """Within the wait nothing came: `loading`, and neither the choice nor the brain has moved; then both do."""
    process = start(brain=make_brain("a"))
    server.hold("b:7b")
    assert process.to("b:7b", wait_s=0.01) == Activation("loading", "a:latest", "a:latest", "b:7b")
    assert (process.switch.pending, process.brain.value) == ("b:7b", "a")
    server.let("b:7b")
    assert process.to("b:7b").current == "b:7b"
    assert (process.switch.pending, process.brain.value) == (None, "b:7b")


def test_the_same_target_joins(start: Any, server: Any):
    """A second request for what is being loaded starts no second load."""
    process = start()
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0)
    process.to("b:7b", wait_s=0.0)
    server.let("b:7b")
    server.wait_for(lambda: "b:7b" in server.resident)
    assert server.loads == ["b:7b"]


def test_the_active_resident_model_is_active_again_without_a_reload(start: Any, server: Any, shelf: Any):
    """The server is asked, answers at once, and nothing is stored a second time."""
    process = start()
    process.to("b:7b")
    again = process.to("b:7b")
    assert (again.state, again.current, again.previous) == ("active", "b:7b", "b:7b")
    assert again.load_ms is not None
    assert shelf.models == ["b:7b"]


def test_a_newer_target_aborts_the_pending_load(start: Any, server: Any, shelf: Any):
    """The newest explicit request wins; the older one's load is called off and never committed."""
    process = start()
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0)
    server.wait_loading("b:7b")
    assert process.to("c:1b").state == "active"
    assert (server.aborted, shelf.models) == (["b:7b"], ["c:1b"])
    assert process.switch.last_failure is None


def test_whoever_waits_for_a_superseded_target_learns_of_the_newer_one(start: Any, server: Any, calls: Any):
    """Its answer comes at once and names what is on the way now."""
    process = start(configured="a")
    server.hold("b:7b")
    server.hold("c:1b")
    waiting = threading.Thread(target=lambda: calls["b"].append(process.to("b:7b")))
    waiting.start()
    server.wait_loading("b:7b")
    process.to("c:1b", wait_s=0.0)
    waiting.join(WAIT_S)
    assert calls["b"] == [Activation("loading", "a:latest", "a:latest", "c:1b")]
    server.let("c:1b")


def test_a_load_that_others_joined_is_not_aborted(start: Any, server: Any, shelf: Any):
    """It runs to its end, but is not committed; then the newer target is loaded."""
    process = start()
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0)
    process.to("b:7b", wait_s=0.0)
    server.wait_loading("b:7b")
    assert process.to("c:1b", wait_s=0.0).requested == "c:1b"
    server.let("b:7b")
    assert process.to("c:1b").state == "active"
    assert (server.aborted, shelf.models, server.most_at_once) == ([], ["c:1b"], 1)


def test_a_resident_target_does_not_wait_for_a_joined_load(start: Any, server: Any):
    """Going back to the model that serves is immediate although the other load may not be aborted."""
    process = start(configured="a")
    server.resident.add("a:latest")
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0)
    process.to("b:7b", wait_s=0.0)
    server.wait_loading("b:7b")
    back = process.to("a:latest")
    assert (back.state, back.current, process.switch.pending) == ("active", "a:latest", None)
    server.let("b:7b")
    server.wait_for(lambda: "b:7b" in server.resident)
    assert process.to("c:1b").current == "c:1b"


def test_a_target_that_never_started_is_not_loaded_once_superseded(start: Any, server: Any):
    """While one load runs, of all later targets only the last is loaded."""
    process = start()
    server.hold("a:latest")
    process.to("a:latest", wait_s=0.0)
    process.to("a:latest", wait_s=0.0)
    server.wait_loading("a:latest")
    process.to("b:7b", wait_s=0.0)
    process.to("c:1b", wait_s=0.0)
    server.let("a:latest")
    assert process.to("c:1b").state == "active"
    assert "b:7b" not in server.loads


def test_an_automatic_switch_does_not_supersede_an_explicit_one(start: Any, server: Any, shelf: Any):
    """What a person has asked for meanwhile counts; the automatic one is called off."""
    process = start()
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0)
    with pytest.raises(Cancelled):
        process.to("c:1b", automatic=True)
    server.let("b:7b")
    process.to("b:7b")
    assert shelf.models == ["b:7b"]


def test_an_explicit_switch_cancels_a_pending_automatic_one(start: Any, server: Any, shelf: Any):
    """As it does an explicit one."""
    process = start()
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0, automatic=True)
    server.wait_loading("b:7b")
    process.to("c:1b")
    assert (server.aborted, shelf.models) == (["b:7b"], ["c:1b"])


def test_a_person_joining_an_automatic_switch_makes_it_explicit(start: Any, server: Any):
    """From then on another automatic one no longer replaces it."""
    process = start()
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0, automatic=True)
    process.to("b:7b", wait_s=0.0)
    with pytest.raises(Cancelled):
        process.to("c:1b", automatic=True)
    server.let("b:7b")


def test_automatic_switches_replace_each_other(start: Any, server: Any, shelf: Any):
    """The later one wins."""
    process = start()
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0, automatic=True)
    server.wait_loading("b:7b")
    assert process.to("c:1b", automatic=True).state == "active"
    assert shelf.models == ["c:1b"]


def test_a_failed_load_changes_nothing_and_says_why(start: Any, server: Any, shelf: Any, make_brain: Any):
    """The error is raised within the wait; the active model stays, and the failure is kept for the status."""
    process = start(brain=make_brain("a"))
    server.errors["b:7b"] = LoadFailed("It could not be loaded.", hint="x")
    with pytest.raises(LoadFailed):
        process.to("b:7b")
    failure = process.switch.last_failure
    assert (failure.code, failure.message) == ("LOAD_FAILED", "It could not be loaded.")
    assert failure.details == {"hint": "x", "model_name": "b:7b"}
    assert (process.active.current.model, process.brain.value, shelf.models) == ("a:latest", "a", [])


def test_a_later_success_clears_the_failure(start: Any, server: Any):
    """An error that was overcome is no news."""
    process = start()
    server.errors["b:7b"] = LoadFailed("no")
    with pytest.raises(LoadFailed):
        process.to("b:7b")
    process.to("c:1b")
    assert process.switch.last_failure is None


def test_a_failure_that_pushed_out_the_active_model_loads_it_again(start: Any, server: Any):
    """In the background, after the answer."""
    process = start()
    process.to("a:latest")
    server.evicts["b:7b"] = "a:latest"
    server.errors["b:7b"] = LoadFailed("no")
    with pytest.raises(LoadFailed):
        process.to("b:7b")
    server.wait_for(lambda: "a:latest" in server.resident)
    assert server.loads == ["a:latest", "b:7b", "a:latest"]


def test_a_failure_that_pushed_nobody_out_loads_nothing(start: Any, server: Any):
    """The model that serves is still there."""
    process = start()
    process.to("a:latest")
    server.errors["b:7b"] = LoadFailed("no")
    with pytest.raises(LoadFailed):
        process.to("b:7b")
    process.to("c:1b")
    assert server.loads == ["a:latest", "b:7b", "c:1b"]


def test_a_failure_does_not_load_an_active_model_that_was_not_resident(start: Any, server: Any):
    """What its keep-alive had ended stays ended: nobody asked for the memory."""
    process = start(configured="a")
    server.errors["b:7b"] = LoadFailed("no")
    with pytest.raises(LoadFailed):
        process.to("b:7b")
    process.to("c:1b")
    assert server.loads == ["b:7b", "c:1b"]


def test_a_newer_switch_calls_off_loading_the_old_model_again(start: Any, server: Any):
    """The way back is no reason to wait."""
    process = start()
    process.to("a:latest")
    server.evicts["b:7b"] = "a:latest"
    server.errors["b:7b"] = LoadFailed("no")
    server.hold("a:latest")
    with pytest.raises(LoadFailed):
        process.to("b:7b")
    server.wait_for(lambda: server.loads.count("a:latest") == 2)
    assert process.to("c:1b").state == "active"
    assert server.aborted == ["a:latest"]


def test_going_back_to_the_model_on_its_way_back_does_not_abort_it(start: Any, server: Any):
    """The same load serves both."""
    process = start()
    process.to("a:latest")
    server.evicts["b:7b"] = "a:latest"
    server.errors["b:7b"] = LoadFailed("no")
    server.hold("a:latest")
    with pytest.raises(LoadFailed):
        process.to("b:7b")
    server.wait_for(lambda: server.loads.count("a:latest") == 2)
    process.to("a:latest", wait_s=0.0)
    server.let("a:latest")
    assert process.to("a:latest").state == "active"
    assert server.aborted == []


def test_a_way_back_that_fails_too_harms_nothing(start: Any, server: Any):
    """The next chat loads the model; the failure told is the first one."""
    process = start()
    process.to("a:latest")
    server.evicts["b:7b"] = "a:latest"
    server.errors["b:7b"] = LoadFailed("first")
    server.errors["a:latest"] = LoadFailed("second")
    with pytest.raises(LoadFailed):
        process.to("b:7b")
    process.to("c:1b")
    assert server.loads[:3] == ["a:latest", "b:7b", "a:latest"]


def test_a_model_that_cannot_chat_is_refused_before_anything(start: Any, server: Any):
    """An embedder is never loaded for chat; the name is in shown form."""
    process = start()
    server.models["c:1b"] = replace(server.models["c:1b"], capabilities=("embedding",))
    with pytest.raises(CannotChat) as caught:
        process.to("c:1b")
    assert caught.value.details == {"model_name": "c:1b"}
    assert server.loads == []


def test_unknown_capabilities_are_left_to_the_load(start: Any, server: Any):
    """None is no reason to refuse."""
    assert server.models["c:1b"].capabilities is None
    assert start().to("c:1b").state == "active"


def test_a_cloud_model_is_refused_unless_allowed(start: Any, server: Any):
    """Prompts would leave the machine."""
    server.models["c:1b"] = replace(server.models["c:1b"], remote=True)
    with pytest.raises(RegistryNotAllowed):
        start().to("c:1b")
    assert server.loads == []


def test_a_choice_made_elsewhere_during_the_load_is_the_newer_one(start: Any, server: Any, shelf: Any, calls: Any):
    """Another process switched while this one loaded: the load is not committed over it."""
    here, there = start(configured="a"), start(configured="a")
    server.hold("b:7b")
    waiting = threading.Thread(target=lambda: calls["b"].append(here.to("b:7b")))
    waiting.start()
    server.wait_loading("b:7b")
    there.to("c:1b")
    here.follower.look()
    server.let("b:7b")
    waiting.join(WAIT_S)
    assert calls["b"] == [Activation("active", "c:1b", "a:latest", "c:1b")]
    assert shelf.models == ["c:1b"]


def test_a_stored_choice_that_comes_back_during_the_load_is_the_older_one(start: Any, server: Any, shelf: Any):
    """The first request of a process may be a switch; what was stored before does not undo it."""
    start(configured="a").active.commit("c:1b")
    here = start(configured="a")
    server.hold("b:7b")
    here.to("b:7b", wait_s=0.0)
    server.wait_loading("b:7b")
    here.follower.look()
    server.let("b:7b")
    here.to("b:7b")
    assert shelf.models == ["c:1b", "b:7b"]


def test_a_changed_configuration_seen_during_the_load_is_the_older_one(start: Any, server: Any, shelf: Any):
    """It counts from the start of the process; the switch was asked for after that."""
    start(configured="a").active.commit("a:latest")
    here = start(configured="c:1b")
    server.hold("b:7b")
    here.to("b:7b", wait_s=0.0)
    server.wait_loading("b:7b")
    here.follower.look()
    assert here.active.current.model == "c:1b"
    server.let("b:7b")
    here.to("b:7b")
    assert (shelf.models, server.loads) == (["a:latest", "c:1b", "b:7b"], ["b:7b"])


def test_a_switch_asked_for_during_our_own_commit_is_the_newer_one(start: Any, server: Any, shelf: Any):
    """The commit before it does not count as somebody else's."""
    process, turns = start(), []
    commit = process.active.commit

    def commit_and_ask(model: str, **given: Any) -> Any:
        if model == "b:7b":
            process.to("c:1b", wait_s=0.0)
            turns.append(process.switch._newest)
        return commit(model, **given)

    process.active.commit = commit_and_ask
    process.to("b:7b")
    assert turns[0].done.wait(WAIT_S)
    assert (turns[0].outcome, shelf.models) == ("active", ["b:7b", "c:1b"])


def test_eight_threads_one_load_at_a_time_and_the_newest_request_wins(start: Any, server: Any, shelf: Any):
    """A hundred switches to three models by eight threads, then one more: it is active, nothing ran side by side."""
    process = start()
    names, barrier = list(server.models), threading.Barrier(8)

    def click(first: int) -> None:
        barrier.wait(WAIT_S)
        for number in range(first, 100, 8):
            process.to(names[number % 3], wait_s=0.0)

    threads = [threading.Thread(target=click, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    last = process.to("b:7b")
    assert (last.state, last.current) == ("active", "b:7b")
    assert (process.active.current.model, shelf.models[-1], process.switch.pending) == ("b:7b", "b:7b", None)


def test_eight_threads_never_load_side_by_side(start: Any, server: Any):
    """With nothing resident that could be switched to at once, Ollama sees one load at a time."""
    process = start()
    threads = [
        threading.Thread(target=process.to, args=(name,), kwargs={"wait_s": 0.0}) for name in list(server.models) * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    process.switch.close()
    assert server.most_at_once == 1


def test_close_aborts_the_load_and_ends_the_thread(start: Any, server: Any):
    """Whoever waits is told, the thread is gone, and a later switch is refused."""
    process = start()
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0)
    server.wait_loading("b:7b")
    process.switch.close()
    process.switch.close()
    assert server.aborted == ["b:7b"]
    assert not [thread for thread in threading.enumerate() if thread.name == "elixi-models-switch"]
    assert process.switch.last_failure is None
    with pytest.raises(Cancelled):
        process.to("c:1b")


def test_close_answers_whoever_waits_for_a_target_not_yet_begun(start: Any, server: Any):
    """It is called off, not left hanging."""
    process = start()
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0)
    process.to("b:7b", wait_s=0.0)
    server.wait_loading("b:7b")
    process.to("c:1b", wait_s=0.0)
    turn = process.switch._waiting
    process.switch.close()
    assert (turn.done.is_set(), turn.error.code, process.switch.pending) == (True, "CANCELLED", None)


def test_close_calls_off_the_way_back(start: Any, server: Any):
    """Also a load that nobody waits for ends with the app."""
    process = start()
    process.to("a:latest")
    server.evicts["b:7b"] = "a:latest"
    server.errors["b:7b"] = LoadFailed("no")
    server.hold("a:latest")
    with pytest.raises(LoadFailed):
        process.to("b:7b")
    server.wait_for(lambda: server.loads.count("a:latest") == 2)
    process.switch.close()
    assert server.aborted == ["a:latest"]


def test_a_forked_child_starts_anew(start: Any, server: Any):
    """The parent's thread and load are not the child's."""
    process = start()
    server.hold("b:7b")
    process.to("b:7b", wait_s=0.0)
    server.wait_loading("b:7b")
    process.switch._lock.acquire()
    process.switch.reset_after_fork()
    assert process.switch.pending is None
    assert process.to("c:1b").state == "active"
    server.let("b:7b")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_is_told_and_does_not_block_the_next_switch(start: Any, server: Any):
    """An error that nobody expected ends the thread with its trace; the waiter gets INTERNAL_ERROR."""
    process = start()
    server.errors["b:7b"] = ValueError("a defect")
    with pytest.raises(InternalError):
        process.to("b:7b")
    assert process.to("c:1b").state == "active"
