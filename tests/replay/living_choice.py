"""Living with the choice: 300 messages on a machine that holds what fits, and how often the model changes.

The package's own selector chooses; residency, lengths and the noise of what it believes are played. Quality is the
table's, speed is size over memory bandwidth, an oracle knows both and the true task of each message.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from elixi_models.inventory import InstalledModel, LoadedModel, ServerView
from elixi_models.quality import TaskScore
from elixi_models.records import ModelSummary, ResourceSample, Task
from elixi_models.selection.snapshot import SelectionInputs, Selector

from . import Figure, tables
from .dice import Dice


def measured(
    score: float, ci90: tuple[float, float] = (0.0, 100.0), n: int = 12, source: str = "benchmark"
) -> TaskScore:
    """A quality as a benchmark gives it."""
    return TaskScore(score, ci90, n, source, 0.0)


#: Bytes a second of memory, and bytes of it.
MACHINES = {"CPU, 16 GB": (45e9, 16e9), "GPU, 12 GB": (330e9, 12e9), "GPU, 24 GB": (900e9, 24e9)}
POOLS, SEED, MESSAGES, POOL = 120, 3, 300, 4
SINCE_YEAR, BYTES_PER_PARAMETER, DISK_BYTES_PER_S = 2023 + 11 / 12, 0.6, 0.5e9
PERSISTENCE, WRONG_LABELS, SCORE_SD, LENGTH_SD = 0.7, 0.15, 3.0, 0.5
MIX: Mapping[Task, float] = {"general": 0.45, "coding": 0.25, "analysis": 0.2, "creative": 0.1}
TOKENS: Mapping[Task, int] = {"general": 150, "coding": 300, "analysis": 250, "creative": 350}
WEIGHT: Mapping[Task, float] = {"general": 1.0, "coding": 0.8, "analysis": 0.7, "creative": 0.6}
CONSTANT_CALLS, NOISY_CALLS = 1_000_000, 40_000
#: The spread of a reply's time that moves the latency term of a ten-second answer by three points.
NOISE_SD = 1.03


@dataclass
class Machine:
    """What is loaded, least recently used first."""

    bandwidth: float
    memory_bytes: float
    loaded: list[InstalledModel] = field(default_factory=list)
    loads: int = 0

    def use(self, model: InstalledModel) -> bool:
        """Load a model if it must be, and say whether it had to be; what is old goes."""
        cold = model not in self.loaded
        if cold:
            self.loads += 1
        else:
            self.loaded.remove(model)
        self.loaded.append(model)
        while sum(size(one) for one in self.loaded) > self.memory_bytes:
            self.loaded.pop(0)
        return cold


def size(model: InstalledModel) -> float:
    """Bytes in memory: a tenth more than the file, and half a GiB."""
    return ((model.size_bytes or 0) + 2**29) * 1.1


@dataclass(frozen=True)
class Pool:
    """Four models on one machine: true qualities, what is believed of them, seconds a token."""

    models: Sequence[InstalledModel]
    truth: Mapping[str, Mapping[Task, float]]
    believed: Mapping[str, Mapping[Task, TaskScore]]
    per_token_s: Mapping[str, float]

    def utility(self, model: InstalledModel, task: Task, tokens: float, cold: bool) -> float:
        """What a message was worth: quality less the points for its time."""
        per_token_s = self.per_token_s[model.name]
        load_s = (model.size_bytes or 0) / DISK_BYTES_PER_S if cold else 0.0
        time_s = 256 / 8 * per_token_s + tokens * per_token_s + load_s / 5
        return self.truth[model.name][task] - WEIGHT[task] * 10 * math.log10(1 + time_s / 5)

    def inputs(self, machine: Machine) -> SelectionInputs:
        """What the selector sees; the model at the end of the loaded ones answered last."""
        loaded = tuple(LoadedModel(model.name, model.digest) for model in machine.loaded)
        used = {model.name: int(size(model)) for model in machine.loaded}
        free = int(machine.memory_bytes) - sum(used.values())
        last = machine.loaded[-1].name if machine.loaded else None
        speeds = {
            name: ModelSummary(
                ms_per_token=1000 * s, ttft_ms=32_000 * s, last_used_at_s=1.0 if name == last else None, requests=1
            )
            for name, s in self.per_token_s.items()
        }
        view = ServerView("http://127.0.0.1:1", 1.0, True, installed=tuple(self.models), loaded=loaded)
        resources = ResourceSample(int(machine.memory_bytes), free, None, used)
        return SelectionInputs(view, speeds, {}, resources, measured=self.believed, now_s=2.0)


def draw_pool(dice: Dice, machine: Machine) -> Pool:
    """Four models of the table that fit, each alone."""
    candidates = [
        row for row in tables.rows() if row.year >= SINCE_YEAR and size(_installed(row)) <= machine.memory_bytes
    ]
    rows = dice.draw(candidates, POOL)
    scores = {row.tag: tables.scores(row.tag) for row in rows}
    believed = {
        tag: {task: measured(dice.normal(points, SCORE_SD)) for task, points in own.items()}
        for tag, own in scores.items()
    }
    speeds = {row.tag: row.active_b * 1e9 * BYTES_PER_PARAMETER / machine.bandwidth for row in rows}
    return Pool([_installed(row) for row in rows], scores, believed, speeds)


def _installed(row: Any) -> InstalledModel:
    size_bytes = int(row.total_b * 1e9 * BYTES_PER_PARAMETER)
    return InstalledModel(row.tag, f"d-{row.tag}", size_bytes=size_bytes, capabilities=("completion",))


def messages(dice: Dice) -> Iterator[tuple[Task, Task, float]]:
    """The true task, the detected one, and the length of each reply in tokens."""
    task = _any_task(dice)
    for _ in range(MESSAGES):
        if dice.uniform() >= PERSISTENCE:
            task = _any_task(dice)
        label = dice.pick([other for other in MIX if other != task]) if dice.uniform() < WRONG_LABELS else task
        yield task, label, TOKENS[task] * math.exp(dice.normal(-(LENGTH_SD**2) / 2, LENGTH_SD))


def _any_task(dice: Dice) -> Task:
    point = dice.uniform()
    for task, share in MIX.items():
        point -= share
        if point < 0:
            return task
    return "general"


@dataclass
class Tally:
    """Sums over all messages of a machine."""

    ours: float = 0.0
    oracle: float = 0.0
    switches: int = 0
    loads: int = 0
    messages: int = 0


def live(pool: Pool, dice: Dice, ours: Machine, oracle: Machine, tally: Tally) -> None:
    """One pool's messages, answered by our choice and by the oracle's."""
    selector, by_name = Selector(clock=lambda: 0.0), {model.name: model for model in pool.models}
    selector.rebuild(pool.inputs(ours))
    before = None
    for task, label, tokens in messages(dice):
        choice = selector.choose(label)
        assert choice is not None
        model = by_name[choice.model]
        cold = ours.use(model)
        tally.ours += pool.utility(model, task, tokens, cold)
        best = max(pool.models, key=lambda one: pool.utility(one, task, tokens, one not in oracle.loaded))
        tally.oracle += pool.utility(best, task, tokens, oracle.use(best))
        tally.switches += before is not None and before is not model
        if before is not model:
            selector.rebuild(pool.inputs(ours))
        before = model
    tally.loads += ours.loads
    tally.messages += MESSAGES


def lived(name: str) -> Tally:
    """All pools on one machine."""
    bandwidth, memory_bytes = MACHINES[name]
    dice, tally = Dice(SEED), Tally()
    for _ in range(POOLS):
        ours, oracle = Machine(bandwidth, memory_bytes), Machine(bandwidth, memory_bytes)
        live(draw_pool(dice, ours), dice, ours, oracle, tally)
    return tally


def twins() -> tuple[Pool, Machine]:
    """Two models one point apart, both loaded, ten seconds an answer."""
    machine = Machine(45e9, 64e9)
    models = [InstalledModel(name, f"d-{name}", size_bytes=10**9, capabilities=("completion",)) for name in "ab"]
    machine.loaded = list(models)
    truth: dict[str, dict[Task, float]] = {"a": {"general": 51.0}, "b": {"general": 50.0}}
    believed = {name: {task: measured(points) for task, points in own.items()} for name, own in truth.items()}
    return Pool(models, truth, believed, dict.fromkeys("ab", 10 / 182)), machine


def constant_switches() -> int:
    """Changes of model in a million calls, with a rebuild from the same inputs every thousand."""
    pool, machine = twins()
    selector, given, switches = Selector(clock=lambda: 0.0), pool.inputs(machine), 0
    selector.rebuild(given)
    first = selector.choose("general")
    for call in range(CONSTANT_CALLS):
        if call % 1000 == 0:
            selector.rebuild(given)
        choice = selector.choose("general")
        switches += choice is None or first is None or choice.model != first.model
    return switches


def noisy_switches() -> int:
    """Changes of model while every reply's time is a wild sample; figures add up over a day, as the package's do."""
    pool, machine = twins()
    dice, selector, switches, before = Dice(SEED), Selector(clock=lambda: 0.0), 0, None
    times: dict[str, list[float]] = {model.name: [0.0, 0.0] for model in pool.models}
    for _ in range(NOISY_CALLS):
        speeds = {name: total / count if count else pool.per_token_s[name] for name, (total, count) in times.items()}
        selector.rebuild(Pool(pool.models, pool.truth, pool.believed, speeds).inputs(machine))
        choice = selector.choose("general")
        assert choice is not None
        switches += before is not None and before != choice.model
        before = choice.model
        machine.use(next(model for model in pool.models if model.name == before))
        times[before][0] += pool.per_token_s[before] * math.exp(dice.normal(-(NOISE_SD**2) / 2, NOISE_SD))
        times[before][1] += 1
    return switches


def figures() -> Iterator[Figure]:
    """By machine: share of the oracle's utility and switches; then constant inputs and noise."""
    for name in MACHINES:
        tally = lived(name)
        share, n = 100 * tally.ours / tally.oracle, tally.messages
        switches, loads = 100 * tally.switches / n, 100 * tally.loads / n
        source = "model_scores, bandwidth model"
        yield Figure(12, f"utility, % of oracle, {name}", share, 0.2, at_least=98.5, sample=n, source=source)
        yield Figure(12, f"switches of 100 messages, {name}", switches, 0.5, at_most=7, sample=n, source=source)
        yield Figure(12, f"loads of 100 messages, {name}", loads, 0.5, sample=n, source=source)
    source, calls = "two models, one point apart", CONSTANT_CALLS
    yield Figure(12, "switches with constant inputs", constant_switches(), 0, at_most=0, sample=calls, source=source)
    noisy = 100 * noisy_switches() / NOISY_CALLS
    name = "switches of 100 replies, noise of 3 points"
    yield Figure(12, name, noisy, 0.005, at_most=0.01, sample=NOISY_CALLS, source=source)
