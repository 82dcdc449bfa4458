"""Random servers: models of all kinds and sizes, some loaded, some failing, on machines with more or less memory."""

from __future__ import annotations

from elixi_models.inventory import InstalledModel, LoadedModel, ServerView
from elixi_models.quality import TaskScore
from elixi_models.records import Measurement, ModelSummary, ResourceSample
from elixi_models.selection.filters import Request, SelectionInputs

from .dice import Dice


def measured(
    score: float, ci90: tuple[float, float] = (0.0, 100.0), n: int = 12, source: str = "benchmark"
) -> TaskScore:
    """A quality as a benchmark gives it."""
    return TaskScore(score, ci90, n, source, 0.0)


GB = 1_000_000_000
NOW_S = 1_000_000.0
NAMES = (
    "llama3.1:8b", "llama3.2:1b", "qwen2.5:7b", "qwen2.5-coder:7b", "mistral:latest", "codellama:13b", "phi4:14b",
    "gemma3:27b", "deepseek-r1:70b", "nomic-embed-text:latest", "mxbai-embed-large:latest", "smollm2:135m",
    "hf.co/somebody/Mystery-GGUF:Q4_K_M", "My-Own:latest", "gpt-oss:120b-cloud",
)  # fmt: skip
CAPABILITIES = (("completion",), ("completion", "vision"), ("completion", "tools"), ("embedding",), (), None)


def call(dice: Dice, name: str, at_s: float) -> Measurement:
    """One call, more often good than not."""
    outcome = dice.pick(("ok", "ok", "ok", "timeout", "oom", "http_5xx", "cancelled", "unreachable"))
    return Measurement(f"{name}{at_s}", at_s, "http://127.0.0.1:1", name, "chat", outcome, 5 * dice.uniform())  # type: ignore[arg-type]


def model(dice: Dice, name: str) -> InstalledModel:
    """A model of any size, with any of its facts unknown."""
    return InstalledModel(
        name,
        f"d-{name}",
        size_bytes=dice.pick((None, GB // 2, 2 * GB, 5 * GB, 9 * GB, 40 * GB)),
        weights_digest=dice.pick((None, f"w-{name}", "w-shared")),
        parameter_size=dice.pick((None, "1B", "7B", "70B")),
        quantization=dice.pick((None, "Q4_K_M", "Q2_K", "F16")),
        capabilities=dice.pick(CAPABILITIES),
        context_length=dice.pick((None, 2048, 8192, 131_072)),
        kv_bytes_per_token=dice.pick((None, 100_000)),
        remote=dice.uniform() < 0.15,
    )


def inventory(seed: int) -> tuple[SelectionInputs, Request]:
    """One server and one message's needs."""
    dice = Dice(seed)
    models = [model(dice, name) for name in dice.draw(NAMES, dice.below(9))]
    loaded = [one for one in models if dice.uniform() < 0.2 and not one.remote]
    view = ServerView(
        "http://127.0.0.1:1",
        as_of_s=NOW_S,
        reachable=dice.uniform() < 0.9,
        installed=tuple(models),
        loaded=tuple(LoadedModel(one.name, one.digest) for one in loaded),
    )
    free = dice.pick((None, GB, 4 * GB, 12 * GB))
    speeds = {one.name: ModelSummary(ms_per_token=5 + 100 * dice.uniform(), requests=3) for one in models[::2]}
    scores = {one.name: {"general": measured(100 * dice.uniform(), n=12)} for one in models[::3]}
    calls = {one.name: tuple(call(dice, one.name, NOW_S - 60 + 5 * k) for k in range(12)) for one in models[1::2]}
    needs = dice.pick(((), (), (), ("vision",), ("tools",)))
    request = Request(needs, dice.pick((0, 0, 3000, 20_000)))
    given = SelectionInputs(
        view,
        speeds,
        {"analysis": dice.pick(NAMES)} if dice.uniform() < 0.2 else {},
        ResourceSample(None if free is None else 64 * GB, free),
        measured=scores,  # type: ignore[arg-type]
        calls=calls,
        now_s=NOW_S,
        preferred=dice.pick(NAMES),
    )
    return given, request
