"""Messages after a quick benchmark, answered by the selector, while nobody says which answers were good.

Goal post 11 is about a choice that learns from such words. The package takes none, so these figures only say what its
fixed choice loses: on the items that the benchmark did not draw, with the model that was used before it in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from elixi_models.inventory import InstalledModel, ServerView
from elixi_models.quality import TaskScore, make_task_score
from elixi_models.records import ModelSummary, ResourceSample, Task
from elixi_models.selection.snapshot import SelectionInputs, Selector

from . import Figure
from .dice import Dice
from .items import SETS, Replayed, fitted, replayed, shown

POOLS, POOL, MESSAGES, REBUILD_EVERY, SEED, ITEMS, MESSAGE_S = 400, 4, 500, 100, 3, 12, 60.0
PLAYED = ("math-l5", "crux", "evalperf")


@dataclass
class Talk:
    """One pool in use: the selector, the task of its messages, and who answered last."""

    models: tuple[InstalledModel, ...]
    task: Task
    selector: Selector
    now_s: float = 0.0
    last: str | None = None
    switches: int = 0

    def learn(self, scores: Mapping[str, TaskScore]) -> None:
        """Rebuild from these scores; all models are as fast, and somebody was answered just now."""
        used = {
            model.name: ModelSummary(
                ms_per_token=40.0,
                ttft_ms=400.0,
                requests=int(model.name == self.last),
                last_used_at_s=self.now_s if model.name == self.last else None,
            )
            for model in self.models
        }
        view = ServerView("http://127.0.0.1:1", self.now_s, True, installed=self.models)
        measured = {name: {self.task: score} for name, score in scores.items()}
        free = ResourceSample(64 * 10**9, 60 * 10**9)
        self.selector.rebuild(SelectionInputs(view, used, {}, free, measured=measured, now_s=self.now_s))

    def answer(self) -> str:
        """Choose for one message."""
        choice = self.selector.choose(self.task)
        assert choice is not None
        self.switches += self.last is not None and self.last != choice.model
        self.last, self.now_s = choice.model, self.now_s + MESSAGE_S
        return choice.model


def talk_over(name: str, played: Replayed, dice: Dice) -> tuple[float, int]:
    """Points lost a message and the switches of one pool, the first answer before its benchmark apart."""
    pool = dice.draw(range(len(played.models)), POOL)
    link = fitted(played, [i for i in range(len(played.models)) if i not in pool])
    drawn, left = dice.draw(range(played.items), ITEMS), played.items - ITEMS
    names = {i: f"pool-{i}:8b" for i in pool}
    models = tuple(InstalledModel(names[i], f"d{i}", size_bytes=5 * 10**9, capabilities=("completion",)) for i in pool)
    talk = Talk(models, SETS[name], Selector(clock=lambda: 0.0))
    talk.learn({names[i]: _score(played.beliefs[i], played.sds[i], 0) for i in pool})
    talk.answer()
    share = {i: sum(dice.uniform() < played.right[i][k] for k in drawn) / ITEMS for i in pool}
    scores = {names[i]: _score(*shown(played, i, link, share[i], ITEMS), ITEMS) for i in pool}
    known = {i: sum(played.right[i][k] for k in drawn) for i in pool}
    truth = {names[i]: 100 * (played.accuracies[i] * played.items - known[i]) / left for i in pool}
    best, lost = max(truth.values()), 0.0
    for message in range(MESSAGES):
        if message % REBUILD_EVERY == 0:
            talk.learn(scores)
        lost += best - truth[talk.answer()]
    return lost / MESSAGES, talk.switches


def _score(z: float, sd: float, n: int) -> TaskScore:
    return make_task_score(z, sd, n=n, source="quick+table", prior_weight=0.5)


def figures() -> Iterator[Figure]:
    """By set: points lost a message, and switches of 100 messages."""
    for name in PLAYED:
        played, dice = replayed(name), Dice(SEED)
        told = [talk_over(name, played, dice) for _ in range(POOLS)]
        words, source = f"{name}, no feedback", f"{POOLS} pools of {POOL}, {MESSAGES} messages, {ITEMS} items"
        lost = sum(points for points, _ in told) / POOLS
        switches = 100 * sum(count for _, count in told) / (POOLS * MESSAGES)
        sample = POOLS * MESSAGES
        yield Figure(11, f"{words}, points lost a message", lost, 0.2, sample=sample, source=source)
        yield Figure(11, f"{words}, switches of 100 messages", switches, 0.1, sample=sample, source=source)
