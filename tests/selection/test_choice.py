"""Choosing: filters, assignments, scores, hysteresis, and the reason."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from elixi_models.inventory import InstalledModel, LoadedModel, ServerView
from elixi_models.quality import TaskScore
from elixi_models.records import TASKS, Choice, ModelSummary, ResourceSample
from elixi_models.selection.filters import needed_bytes
from elixi_models.selection.ranking import SelectionInputs, decide, prepare, rank
from elixi_models.selection.scoring import effective_bandwidth, expected_speed
from elixi_models.selection.snapshot import Selector

ROOT = Path(__file__).resolve().parents[2]
GB = 1_000_000_000
CHAT = ("completion",)


def model(name: str, size_gb: float = 4.0, **facts: object) -> InstalledModel:
    facts.setdefault("capabilities", CHAT)
    return InstalledModel(
        name,
        f"d-{name}",
        size_bytes=int(size_gb * GB),
        weights_digest=f"w-{name}",
        **facts,  # type: ignore[arg-type]
    )


def inputs(*models: InstalledModel, loaded: tuple[str, ...] = (), **facts: object) -> SelectionInputs:
    view = ServerView(
        "http://127.0.0.1:1",
        as_of_s=1.0,
        reachable=True,
        installed=models,
        loaded=tuple(LoadedModel(name, f"d-{name}") for name in loaded),
    )
    facts.setdefault("summaries", {})
    facts.setdefault("assignments", {})
    facts.setdefault("resources", ResourceSample(ram_total_bytes=32 * GB, ram_available_bytes=30 * GB))
    return SelectionInputs(view, **facts)  # type: ignore[arg-type]


def choose(given: SelectionInputs, task: str | None = None, prompt: str | None = None) -> Choice | None:
    selector = Selector(clock=lambda: 1.0)
    selector.rebuild(given)
    return selector.choose(task, prompt)


def test_a_code_model_is_preferred_for_code() -> None:
    """The host's earlier manager chose codellama over neural-chat, and so do we."""
    given = inputs(model("neural-chat:latest", parameter_size="7B"), model("codellama:latest", parameter_size="7B"))
    chosen = choose(given, "coding")
    assert chosen is not None
    assert chosen.model == "codellama:latest"


def test_an_unknown_task_means_general() -> None:
    """No exception, no None; the source says so."""
    chosen = choose(inputs(model("mistral:7b")), "juggling")
    assert chosen is not None
    assert (chosen.task, chosen.task_source, chosen.model) == ("general", "unknown_task", "mistral:7b")


@pytest.mark.parametrize("task", [7, b"coding", ["coding"], object(), ""])
def test_a_task_that_is_no_text_means_general(task: object) -> None:
    """Whatever the host passes, there is an answer."""
    selector = Selector()
    selector.rebuild(inputs(model("mistral:7b")))
    chosen = selector.choose(task, 3)
    assert chosen is not None
    assert chosen.task == "general"


@pytest.mark.parametrize(
    ("word", "task"), [("Coding", "coding"), ("code-generation", "coding"), ("fast-response", "fast"), ("fast", "fast")]
)
def test_the_hosts_words_for_tasks_are_understood(word: str, task: str) -> None:
    """Both vocabularies, in any case."""
    chosen = choose(inputs(model("mistral:7b")), word)
    assert chosen is not None
    assert (chosen.task, chosen.task_source) == (task, "explicit")


def test_the_prompt_gives_the_task_when_none_is_named() -> None:
    """And an explicit task beats it."""
    given = inputs(model("mistral:7b"))
    prompt = "Write a Python function that reverses a string"
    by_prompt, explicit = choose(given, None, prompt), choose(given, "creative", prompt)
    assert by_prompt is not None
    assert explicit is not None
    assert (by_prompt.task, by_prompt.task_source) == ("coding", "prompt")
    assert (explicit.task, explicit.task_source) == ("creative", "explicit")


def test_what_cannot_chat_is_never_chosen() -> None:
    """Not for any task, not even alone; each has its reason."""
    given = inputs(
        model("nomic-embed-text:latest", capabilities=("embedding",)),
        model("mxbai-embed-large:latest", capabilities=None),
        model("gpt-oss:20b-cloud", remote=True),
    )
    assert [choose(given, task) for task in TASKS] == [None] * 5
    chosen = choose(inputs(*given.view.installed, model("tiny:1b", 0.5)))
    assert chosen is not None
    assert [(entry.model, entry.reason) for entry in chosen.rejected] == [
        ("gpt-oss:20b-cloud", "runs in the cloud, which is not allowed"),
        ("mxbai-embed-large:latest", "is known as an embedder"),
        ("nomic-embed-text:latest", "cannot chat"),
    ]
    assert chosen.decided_by == "only_candidate"


def test_a_cloud_model_may_be_chosen_when_allowed() -> None:
    """The setting opens the filter."""
    chosen = choose(inputs(model("gpt-oss:20b-cloud", remote=True), allow_cloud=True))
    assert chosen is not None
    assert chosen.model == "gpt-oss:20b-cloud"


def test_an_assignment_beats_every_score() -> None:
    """In any spelling, for its task only."""
    models = (model("llama3.1:8b"), model("tinyllama:latest", 0.6))
    given = inputs(*models, assignments={"coding": "TinyLlama"})
    coding, general = choose(given, "coding"), choose(given, "general")
    assert coding is not None
    assert general is not None
    assert (coding.model, coding.decided_by) == ("tinyllama:latest", "assignment")
    assert general.model == "llama3.1:8b"


@pytest.mark.parametrize("assigned", ["gone:7b", "embedder:latest"])
def test_an_assignment_that_cannot_be_followed_is_skipped(assigned: str) -> None:
    """Not installed, or unable to chat: scores decide."""
    given = inputs(
        model("llama3.1:8b"), model("embedder:latest", capabilities=("embedding",)), assignments={"general": assigned}
    )
    chosen = choose(given)
    assert chosen is not None
    assert chosen.model == "llama3.1:8b"


def test_what_does_not_fit_gives_way_to_what_does() -> None:
    """The figures stand in the reason."""
    given = inputs(
        model("llama3.3:70b", 42.0),
        model("llama3.2:1b", 1.3),
        resources=ResourceSample(ram_total_bytes=16 * GB, ram_available_bytes=8 * GB),
    )
    chosen = choose(given)
    assert chosen is not None
    assert chosen.model == "llama3.2:1b"
    assert [entry.reason for entry in chosen.rejected] == ["needs 46.8 GB of memory, 8.0 GB can be had"]


def test_whether_there_is_room_for_a_model_is_known_from_the_last_look() -> None:
    """Unknown counts as yes: before the first look, and where the memory is hidden; a resident model has its room."""
    large, small = model("llama3.3:70b", 42.0), model("llama3.2:1b", 1.3)
    selector = Selector()
    assert selector.has_room(large)
    memory = ResourceSample(ram_total_bytes=16 * GB, ram_available_bytes=8 * GB)
    selector.rebuild(inputs(large, small, resources=memory))
    assert [selector.has_room(one) for one in (large, small)] == [False, True]
    selector.rebuild(inputs(large, small, resources=memory, loaded=("llama3.3:70b",)))
    assert selector.has_room(large)
    selector.rebuild(inputs(large, small, resources=ResourceSample()))
    assert selector.has_room(large)


def test_idle_runners_count_as_memory_that_can_be_had() -> None:
    """Ollama evicts them; so a model that needs their room is no misfit."""
    given = inputs(
        model("llama3.1:8b", 5.0),
        model("llama3.2:1b", 1.3),
        loaded=("llama3.2:1b",),
        resources=ResourceSample(16 * GB, 5 * GB, None, {"w-llama3.2:1b": 2 * GB}),
    )
    chosen = choose(given)
    assert chosen is not None
    assert chosen.model == "llama3.1:8b"


def test_when_nothing_fits_the_smallest_is_taken_and_flagged() -> None:
    """There is always an answer while anything can chat."""
    given = inputs(
        model("a:70b", 40.0),
        model("b:34b", 20.0),
        resources=ResourceSample(ram_total_bytes=8 * GB, ram_available_bytes=GB),
    )
    chosen = choose(given)
    assert chosen is not None
    assert (chosen.model, chosen.decided_by) == ("b:34b", "degraded")
    assert "does_not_fit" in chosen.flags


@pytest.mark.parametrize("gpu", [True, False])
def test_unknown_memory_counts_as_fitting_and_is_flagged(gpu: bool) -> None:
    """On another machine, or where a GPU holds the models."""
    given = inputs(model("llama3.3:70b", 42.0), resources=ResourceSample())
    if gpu:
        entry = LoadedModel("x:1", "d", vram_bytes=5 * GB)
        given = replace(given, resources=ResourceSample(GB, GB), view=replace(given.view, loaded=(entry,)))
    chosen = choose(given)
    assert chosen is not None
    assert chosen.flags == ("memory_unknown",)


def test_needed_memory_is_file_cache_headroom_and_margin() -> None:
    """(4 GB + 1,000 B × 4,096 + 0.5 GiB) × 1.1; the context is capped by the model's own; unknown size is unknown."""
    assert needed_bytes(model("x:1", 4.0, kv_bytes_per_token=1000)) == int((4 * GB + 4_096_000 + 536_870_912) * 1.1)
    assert needed_bytes(model("x:1", 4.0, kv_bytes_per_token=1000, context_length=100)) == int(
        (4 * GB + 100_000 + 536_870_912) * 1.1
    )
    assert needed_bytes(InstalledModel("x:1", "d")) is None


def test_the_terms_sum_to_the_utility_and_the_margin_is_to_the_next() -> None:
    """A reason that does not add up is no reason."""
    given = inputs(model("llama3.1:8b"), model("llama2:7b"), model("tinyllama:latest", 0.6))
    for task in TASKS:
        chosen = choose(given, task)
        assert chosen is not None
        assert chosen.utility == pytest.approx(sum(chosen.terms.values()))
        assert chosen.runner_up is not None
        assert chosen.margin is not None
        assert len(chosen.rejected) == 2
        assert {entry.model for entry in chosen.rejected} | {chosen.model} == {m.name for m in given.view.installed}


def test_failures_lower_a_model_and_none_cost_nothing() -> None:
    """One failure in ten calls is 40 × (1.5/20 − 0.05) = 1 point."""
    fine = rank("general", inputs(model("llama3.1:8b")))
    failing = rank(
        "general", inputs(model("llama3.1:8b"), summaries={"llama3.1:8b": ModelSummary(error_rate=0.1, requests=10)})
    )
    assert fine is not None
    assert failing is not None
    assert fine.terms["errors"] == 0.0
    assert failing.terms["errors"] == pytest.approx(-1.0)


def test_measured_speed_replaces_the_estimate() -> None:
    """256 prompt tokens and 150 answer tokens at the measured rates; else from size and bandwidth."""
    subject = model("x:7b", 4.5)
    measured = expected_speed(subject, ModelSummary(ms_per_token=20.0, ttft_ms=500.0), True)
    assert (measured.answer_s("general"), measured.source) == (pytest.approx(3.5), "measured")
    guessed = expected_speed(subject, ModelSummary(), True)
    assert (guessed.answer_s("general"), guessed.source) == (pytest.approx(0.1 * 256 / 8 + 15.0), "estimated")
    cold = expected_speed(subject, ModelSummary(), False)
    assert cold.answer_s("general") - guessed.answer_s("general") == pytest.approx(9.0 / 5)


def test_a_model_in_memory_wins_when_scores_are_close() -> None:
    """The load of the other one costs time."""
    twins = (model("llama3.1:8b"), model("llama3.1:8b-instruct"))
    chosen = choose(inputs(*twins, loaded=("llama3.1:8b-instruct",)))
    assert chosen is not None
    assert chosen.model == "llama3.1:8b-instruct"


def test_the_present_choice_stays_within_two_points() -> None:
    """Noise does not move the choice; a real lead does."""
    first, second = model("llama3.1:8b"), model("llama3.1:8b-instruct")
    selector = Selector()
    selector.rebuild(inputs(first, second, loaded=(first.name,)))
    assert selector.choose() is not None
    selector.rebuild(inputs(first, second, loaded=(second.name,)))
    held = selector.choose()
    assert held is not None
    assert held.model == first.name
    assert "kept_by_hysteresis" in held.flags
    slow = {
        first.name: ModelSummary(ms_per_token=500.0, ttft_ms=9000.0),
        second.name: ModelSummary(ms_per_token=20.0, ttft_ms=100.0),
    }
    selector.rebuild(inputs(first, second, loaded=(second.name,), summaries=slow))
    moved = selector.choose()
    assert moved is not None
    assert moved.model == second.name


def test_nothing_built_and_nothing_installed_is_none() -> None:
    """Before the first look, and on an empty server."""
    assert Selector().choose("coding") is Selector().best("coding") is None
    assert choose(inputs()) is None


def test_the_order_of_the_list_does_not_matter() -> None:
    """The same inventory in any order gives the same choice."""
    models = [model(f"m{index}:7b", 4.0) for index in range(8)]
    shuffled = models[:]
    random.Random(1).shuffle(shuffled)
    assert choose(inputs(*models)) == choose(inputs(*shuffled))


def test_over_random_inventories_the_choice_is_sound() -> None:
    """Never a model that cannot chat or is remote, nor one that does not fit while one that fits exists."""
    dice = random.Random(7)
    names = ["llama3.1:8b", "qwen2.5:7b", "mistral:7b", "codellama:13b", "nomic-embed-text:latest", "x:1", "y:70b"]
    for _ in range(2000):
        models = [
            model(
                name,
                dice.choice([0.5, 4.0, 40.0]),
                capabilities=dice.choice([CHAT, ("embedding",), None]),
                remote=dice.random() < 0.2,
            )
            for name in dice.sample(names, dice.randint(0, 6))
        ]
        free = dice.choice([None, GB, 10 * GB])
        given = inputs(*models, resources=ResourceSample(64 * GB, free))
        chosen = rank(dice.choice(TASKS), given)
        usable = [m for m in models if not m.remote and m.can_chat is not False and "embed" not in m.name]
        usable += [m for m in models if "embed" in m.name and m.can_chat and not m.remote]
        if chosen is None:
            assert not usable
            continue
        picked = next(m for m in models if m.name == chosen.model)
        assert picked in usable
        fitting = [m for m in usable if free is None or (needed_bytes(m) or 0) <= free]
        assert picked in fitting or not fitting


WATCHED = """
import json, sys
from elixi_models.inventory import InstalledModel, ServerView
from elixi_models.records import ResourceSample
from elixi_models.selection.snapshot import SelectionInputs, Selector

selector, events = Selector(), []
view = ServerView("u", 1.0, True, installed=(InstalledModel("llama3.1:8b", "d", 10**9, capabilities=("completion",)),))
selector.rebuild(SelectionInputs(view, {}, {}, ResourceSample()))
told = []
sys.addaudithook(lambda event, given: events.append([event, str(given[0]) if given else ""]))
for ask in (
    lambda: (selector.best("coding"), selector.choose("coding"), selector.best("fast", "x" * 9000)),
    lambda: selector.best(prompt="Tell me a story about a fox"),
    lambda: (selector.best(prompt="Fix this function"), selector.choose(prompt="Was ist das?", needs=("tools",))),
):
    events.clear()
    ask()
    told.append([one for one in events if one[0].startswith(("open", "os.", "socket.", "subprocess."))])
print(json.dumps(told))
"""


def test_a_choice_touches_neither_network_nor_files() -> None:
    """The interpreter tells of every file and socket. Only the first prompt of all reads: the detector's two files."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    explicit, first, later = json.loads(done.stdout)
    assert (explicit, later) == ([], [])
    assert {event for event, _ in first} == {"open"}
    assert {Path(name).name for _, name in first} == {"detection.weights", "detection_words.txt"}


def told(choice: Choice | None) -> frozenset[str]:
    """Every model that a choice speaks of."""
    assert choice is not None
    assert choice.utility == pytest.approx(sum(choice.terms.values()))
    assert {one.model for one in choice.ranking} == {choice.model, *(entry.model for entry in choice.rejected)}
    return frozenset(one.model for one in choice.ranking)


def test_readers_never_see_a_half_built_snapshot() -> None:
    """Eight threads read while two inventories alternate: each choice, and its reasons, belong to one of them."""
    one, two = (inputs(*[model(f"{name}{number}:7b") for number in range(5)]) for name in ("one", "two"))
    selector = Selector()
    selector.rebuild(one)
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.update({told(selector.choose("coding")), told(selector.choose(None, "Write a poem"))})
            best = selector.best("general")
            seen.add(next((whole for whole in wholes if best in whole), frozenset()))

    wholes = [frozenset(each.name for each in given.view.installed) for given in (one, two)]
    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    rounds = 0
    while rounds < 100 or (len(seen) < 2 and rounds < 10_000):
        selector.rebuild(two)
        selector.rebuild(one)
        rounds += 1
    stop.set()
    for reader in readers:
        reader.join()
    assert seen == set(wholes)


def test_reasons_asked_for_late_are_those_of_the_decision() -> None:
    """Whoever holds a snapshot is told what it was decided from, whatever was rebuilt since; and what is held stays."""
    first, second = model("llama3.1:8b"), model("llama3.1:8b-instruct")
    asked, silent = Selector(), Selector()
    for selector in (asked, silent):
        selector.rebuild(inputs(first, second, loaded=(first.name,)))
    at_once, earlier = asked.choose("coding"), silent.snapshot
    for selector in (asked, silent):
        selector.rebuild(inputs(first, second, loaded=(second.name,)))
    assert asked.choose("coding") == silent.choose("coding") != at_once
    silent.snapshot = earlier
    assert silent.choose("coding") == at_once


def test_the_name_alone_is_that_of_the_choice() -> None:
    """Over many alike models, where ties of a tenth of a point decide and an incumbent is kept."""
    dice = random.Random(7)
    for _ in range(200):
        models = [model(f"m{number}:7b", dice.choice([4.0, 4.004, 4.1])) for number in range(12)]
        speeds = {one.name: ModelSummary(ms_per_token=dice.choice([20.0, 20.05, 20.1]), ttft_ms=9.0) for one in models}
        given = inputs(*models, summaries=speeds)
        held = {dice.choice(models).name.upper(): dice.choice([-1.0, 0.01, 2.0])}
        for task in TASKS:
            ranked = rank(task, given, incumbents=held)
            assert ranked is not None
            first = ranked.ranking[0]
            incumbent = next(one for one in ranked.ranking if one.model.upper() in held)
            stays = first.utility - incumbent.utility <= next(iter(held.values()))
            assert ranked.model == (incumbent if stays else first).model
            decision = decide(task, prepare(given), held)
            assert decision is not None
            assert (decision.model.name, decision.decided_by) == (ranked.model, "score")


def test_a_slow_machine_is_slow_for_the_models_it_was_not_measured_with() -> None:
    """One model measured at 1 GB/s: one of half its size is expected at half its time, not at the default."""
    slow, untried = model("qwen2.5:7b", 4.0), model("tinyllama:latest", 2.0)
    summaries = {slow.name: ModelSummary(ms_per_token=4000.0)}
    assert effective_bandwidth([slow, untried], summaries) == pytest.approx(1e9)
    assert effective_bandwidth([slow, untried], {}) == 45e9
    chosen = choose(inputs(slow, untried, loaded=(slow.name, untried.name), summaries=summaries))
    assert chosen is not None
    assert chosen.model == slow.name


def score(value: float, n: int = 6) -> TaskScore:
    return TaskScore(value, (value - 8, value + 8), n, "quick+table", 0.6, 0.5)


def test_a_measured_score_takes_the_place_of_the_estimate() -> None:
    """With what it rests on; its quantization is in it, so no allowance is made for that."""
    subject = model("llama3.1:8b", quantization="Q2_K")
    guessed, measured = (
        rank("coding", inputs(subject)),
        rank("coding", inputs(subject, measured={subject.name: {"coding": score(61.0)}})),
    )
    assert guessed is not None
    assert measured is not None
    assert measured.terms["quality"] == 61.0
    assert {name: measured.evidence[name] for name in ("quality", "n", "ci90", "estimated")} == {
        "quality": "quick+table",
        "n": 6,
        "ci90": [53.0, 69.0],
        "estimated": False,
    }
    assert (guessed.evidence["estimated"], guessed.evidence["n"], guessed.evidence["quality"]) == (True, 0, "table")
    assert guessed.terms["quality"] == pytest.approx(42.7 - 10, abs=0.3)
    assert guessed.evidence["ci90"][0] < guessed.terms["quality"] < guessed.evidence["ci90"][1]


def test_the_choice_follows_the_scores() -> None:
    """Twins by their names; the one that did better is chosen for that task, and for that one only."""
    able, poor = model("llama3.1:8b-instruct"), model("llama3.1:8b-a")
    given = inputs(able, poor, measured={able.name: {"coding": score(70.0)}, poor.name: {"coding": score(30.0)}})
    chosen = choose(given, "coding")
    assert chosen is not None
    assert chosen.model == able.name
    assert chosen.margin == pytest.approx(40.0)
    general = choose(given, "general")
    assert general is not None
    assert general.model == poor.name
    swapped = choose(
        replace(given, measured={able.name: {"coding": score(30.0)}, poor.name: {"coding": score(70.0)}}), "coding"
    )
    assert swapped is not None
    assert swapped.model == poor.name


def test_fast_is_judged_by_the_general_score() -> None:
    """It has no questions of its own."""
    subject = model("llama3.1:8b")
    chosen = rank("fast", inputs(subject, measured={subject.name: {"general": score(33.0), "coding": score(90.0)}}))
    assert chosen is not None
    assert chosen.terms["quality"] == 33.0


def test_who_was_only_assigned_is_no_incumbent() -> None:
    """When the assignment goes, scores decide as if it had never been."""
    near, first = model("llama3.1:8b-instruct", 4.1), model("llama3.1:8b")
    selector = Selector()
    selector.rebuild(inputs(near, first, assignments={"coding": near.name}))
    assert selector.best("coding") == near.name
    selector.rebuild(inputs(near, first))
    chosen = selector.choose("coding")
    assert chosen is not None
    assert (chosen.model, chosen.incumbents, chosen.flags) == (first.name, {}, ())
