"""Facts that cross module borders: frozen, with the unit in each name; unknown is None, never 0.

Times named `…_at_s` are seconds since the epoch (UTC); durations are `…_s` or `…_ms`; sizes are `…_bytes`.
Model names are in Ollama's installed form (`neural-chat:latest`) everywhere below the edge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Task = Literal["general", "coding", "analysis", "creative", "fast"]
TASKS: tuple[Task, ...] = ("general", "coding", "analysis", "creative", "fast")
BENCHMARK_SUITES = ("quick", "full")
#: The most requests of one benchmark that measure speed, and the most prompts of the user's own, each so long.
MAX_BENCHMARK_PROMPTS = 20
MAX_BENCHMARK_PROMPT_CHARS = 8_000
#: Capabilities, by Ollama's words, that a message can ask for beside being answered.
NEEDS: tuple[str, ...] = ("vision", "tools", "thinking", "insert", "audio")

DownloadState = Literal["queued", "downloading", "verifying", "installed", "failed", "cancelled"]
BenchmarkState = Literal["queued", "running", "ok", "partial", "failed", "cancelled"]
ModelState = Literal["active", "not_loaded", "loading", "downloading", "not_installed", "offline"]
LIVE_DOWNLOAD_STATES = frozenset({"queued", "downloading", "verifying"})
LIVE_BENCHMARK_STATES = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True)
class PullEvent:
    """One line of a pull: `digest` and the byte counts are None where the line has none."""

    status: str
    digest: str | None = None
    total_bytes: int | None = None
    completed_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ReplyEvent:
    """One piece of a streamed reply; the last has `done` and the counts that the server knows."""

    text: str = ""
    thinking: str = ""
    done: bool = False
    done_reason: str | None = None
    total_s: float | None = None
    load_s: float | None = None
    prompt_tokens: int | None = None
    prompt_s: float | None = None
    tokens: int | None = None
    eval_s: float | None = None


Outcome = Literal[
    "ok", "empty", "timeout", "unreachable", "http_5xx", "oom", "load_failed", "disconnected", "refused", "cancelled"
]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One request to a model, as it went. `cancelled` is no error. `duration_s` is the caller's wall time."""

    id: str
    created_at_s: float
    ollama_url: str
    model: str
    source: Literal["chat", "brain", "benchmark", "switch"]
    outcome: Outcome
    duration_s: float
    digest: str | None = None
    weights_digest: str | None = None
    ttft_s: float | None = None
    total_s: float | None = None
    load_s: float | None = None
    prompt_tokens: int | None = None
    prompt_s: float | None = None
    tokens: int | None = None
    eval_s: float | None = None
    done_reason: str | None = None

    @property
    def failed(self) -> bool:
        """True for every outcome that counts in the error rate."""
        return self.outcome not in ("ok", "cancelled")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The times in ms below which 50, 95 and 99 % of those counted lie, each within 1 %; None of nothing."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """What one model's calls add up to: the window of 24 hours, and all requests ever.

    `error_rate` is a fraction 0-1 and None when there were no requests. `tokens_per_second` follows design
    decision 11 and is None until 64 token gaps were seen. `latency_ms` is the mean response time, load excluded.
    """

    tokens_per_second: float | None = None
    latency_ms: float | None = None
    ms_per_token: float | None = None
    ttft_ms: float | None = None
    error_rate: float | None = None
    requests: int = 0
    total_requests: int = 0
    last_used_at_s: float | None = None
    latency_percentiles: Percentiles = Percentiles()
    ttft_percentiles: Percentiles = Percentiles()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is. `fraction` is 0-1 and never decreases; bytes are over the layers seen so far."""

    fraction: float = 0.0
    completed_bytes: int | None = None
    total_bytes: int | None = None
    speed_bytes_per_s: float | None = None
    remaining_s: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job or a load failed: a stable code, words for people, and values for programs."""

    code: str
    message: str
    at_s: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DownloadJob:
    """A pull as the world sees it. `id` is `download:<url>:<name key>#<n>`; `attempt` fences its writers."""

    id: str
    ollama_url: str
    model: str
    state: DownloadState
    created_at_s: float
    updated_at_s: float
    attempt: int = 0
    progress: Progress = Progress()
    auto_switch: bool = False
    update: bool = False
    user: str | None = None
    failure: Failure | None = None
    finished_at_s: float | None = None

    @property
    def live(self) -> bool:
        """True while it may still change by itself."""
        return self.state in LIVE_DOWNLOAD_STATES


@dataclass(frozen=True, slots=True)
class BenchmarkJob:
    """A benchmark as the world sees it; `report` is there once it ended with anything measured.

    `stale` says why its result does not count any more (`weights`, `machine`, `suite_version`); it is never stored.
    """

    id: str
    ollama_url: str
    model: str
    suite: str
    state: BenchmarkState
    created_at_s: float
    updated_at_s: float
    done_items: int = 0
    total_items: int = 0
    remaining_s: float | None = None
    reason: str | None = None
    user: str | None = None
    failure: Failure | None = None
    finished_at_s: float | None = None
    report: dict[str, Any] | None = None
    stale: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """True while it may still change by itself."""
        return self.state in LIVE_BENCHMARK_STATES


@dataclass(frozen=True, slots=True)
class Activation:
    """The answer to a switch: who serves now, and who is on the way.

    `current` serves now (still the previous one while `state` is loading or downloading);
    `load_ms` is the wall time of the real load, None while pending.
    """

    state: Literal["active", "loading", "downloading"]
    current: str | None
    previous: str | None
    requested: str
    load_ms: float | None = None
    download: DownloadJob | None = None


@dataclass(frozen=True, slots=True)
class ActiveModel:
    """Which model answers chat: the stored choice and the configuration it was made under."""

    model: str | None = None
    previous: str | None = None
    since_s: float | None = None
    version: int = 0
    user: str | None = None


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """A line of the usage history: who did what to which model, when, and how it ended."""

    id: str
    created_at_s: float
    ollama_url: str
    action: Literal["switch", "download", "benchmark", "delete", "unload", "assign"]
    model: str | None
    outcome: str
    user: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """What the Ollama machine shows; every field is None where Ollama is remote or nothing can be read.

    `cpu_percent` is of the whole machine (0-100), over all Ollama processes.
    """

    ram_total_bytes: int | None = None
    ram_available_bytes: int | None = None
    cpu_percent: float | None = None
    runner_bytes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a model was not eligible."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that could take the task, scored. `terms` are points and sum to `utility`; both to four decimals."""

    model: str
    utility: float
    terms: dict[str, float]
    resident: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The best model for a task and why. `terms` are points of 100 and sum to `utility`; `utility` is None and they
    are empty when an assignment or the lack of memory decided. `ranking` and `incumbents` (names, and by how many
    points each may be behind and still stay) are what the choice can be made again from."""

    model: str
    task: Task
    task_source: str
    decided_by: Literal["assignment", "score", "only_candidate", "degraded"]
    utility: float | None = None
    terms: dict[str, float] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    runner_up: str | None = None
    margin: float | None = None
    rejected: tuple[Rejection, ...] = ()
    flags: tuple[str, ...] = ()
    ranking: tuple[Candidate, ...] = ()
    incumbents: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """A chat answer: `text` is None when it failed, then `failure` says why."""

    text: str | None
    model: str | None
    choice: Choice | None
    failure: Failure | None = None
