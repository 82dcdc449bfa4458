"""The replays of priors and choice: what the documentation shows is what they give, as far as a few seconds tell."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def part(name: str) -> ModuleType:
    return importlib.import_module(f"tests.replay.{name}")


def kept(post: int) -> dict[str, Any]:
    return {figure.name: figure for figure in part("record").kept() if figure.post == post}


def test_the_documentation_shows_the_figures_that_were_kept() -> None:
    """All of them, with their verdicts."""
    record = part("record")
    page = record.PAGE.read_text("utf-8")
    assert record.filled(page, record.kept()) == page


def test_no_kept_figure_misses_without_being_known() -> None:
    """And nothing is excused that is met."""
    replay = importlib.import_module("tests.replay")
    record = part("record")
    words = {replay.verdict(figure, replay.known_misses()) for figure in record.kept() if figure.steady}
    assert words <= {"met", "known miss"}
    posts = {figure.post for figure in record.kept()}
    assert posts >= {1, 3, 4, 5, *range(8, 18)}


def test_the_cold_start_gives_the_figures_that_were_kept() -> None:
    """Goal post 8, whole: two seconds."""
    for figure in part("cold_start").figures():
        assert figure.value == pytest.approx(kept(8)[figure.name].value, abs=1e-6)


def test_a_source_left_out_is_told_by_the_others() -> None:
    """One cell of goal post 9."""
    assert part("left_out_sources").gap_share("livebench", "coding", 36) >= 0.8


def test_after_twelve_items_the_posterior_loses_less_than_the_mean() -> None:
    """Goal posts 5 and 10 in small."""
    outcome = part("short_benchmarks").outcome_of("crux", 12, 200)
    assert outcome.lost["posterior"] < outcome.lost["mean"] < outcome.lost["random"]
    assert 0.85 <= outcome.covered / outcome.intervals <= 0.97


@pytest.mark.parametrize(("name", "strange"), [("evalperf", True), ("gsm", False)])
def test_what_a_set_has_of_its_own_widens_its_intervals(name: str, strange: bool) -> None:
    """Models outside the pool tell how much that is: much on EvalPerf, nothing on GSM8K."""
    items = part("items")
    played = items.replayed(name)
    assert (items.fitted(played, range(2, len(played.models))).sd > 0.4) is strange
    outcome = part("short_benchmarks").outcome_of(name, 12, 300)
    assert 0.85 <= outcome.covered / outcome.intervals <= 0.95


def test_the_choice_follows_a_benchmark_and_then_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the package's selector; at most one switch for each pool."""
    without = part("without_feedback")
    monkeypatch.setattr(without, "POOLS", 20)
    monkeypatch.setattr(without, "MESSAGES", 200)
    lost, switches = [figure.value for figure in without.figures()][:2]
    assert lost < 3
    assert 0 < switches <= 0.5


def test_over_random_servers_no_choice_breaks_a_rule() -> None:
    """Goal post 14 in small; the whole has ten thousand servers."""
    assert part("safety").violations(1500) == {}


def test_choices_are_one_and_explain_themselves() -> None:
    """Goal post 15 in small."""
    seen, faults = part("explanations").faults(150)
    assert seen > 400
    assert set(faults.values()) == {0}


def test_a_broken_rule_is_found() -> None:
    """The judge of goal post 14 sees each kind of wrong choice."""
    safety, inventories = part("safety"), part("inventories")
    records = importlib.import_module("elixi_models.records")
    found: set[str] = set()
    for seed in range(60):
        given, request = inventories.inventory(seed)
        for name in [*(model.name for model in given.view.installed), "gone:1b"]:
            choice = records.Choice(name, "general", "explicit", "score")
            found.update(safety.broken(choice, "general", given, request))
        found.update(safety.broken(None, "general", given, request))
    assert found == set(safety.RULES)


def test_no_switch_with_constant_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal post 12 in small."""
    living = part("living_choice")
    monkeypatch.setattr(living, "CONSTANT_CALLS", 20_000)
    monkeypatch.setattr(living, "NOISY_CALLS", 500)
    assert (living.constant_switches(), living.noisy_switches()) == (0, 0)


def test_dice_fall_the_same_everywhere() -> None:
    """Fixed figures of the generator, so that no Python changes a replay."""
    dice = part("dice").Dice(1)
    assert [dice.below(100) for _ in range(6)] == [44, 76, 87, 52, 28, 79]
    assert dice.draw("abcdef", 3) == ["c", "e", "d"]


def test_the_table_of_priors_is_what_its_script_makes() -> None:
    """Fitted anew from the scores: the same bytes' worth of figures; two seconds."""
    tool = part("tables").tool("build_priors")
    prior = importlib.import_module("elixi_models.selection.prior")
    made = json.loads(json.dumps(tool.document()))
    packed = (Path(str(prior.__file__)).parent / "data" / "priors.json.gz").read_bytes()
    assert json.loads(importlib.import_module("gzip").decompress(packed)) == made
