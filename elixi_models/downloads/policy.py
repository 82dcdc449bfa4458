"""What to do with a request for a model, and with a pull that broke: pure, values in, values out."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import (
    Cancelled,
    DigestMismatch,
    ElixiModelsError,
    OllamaBusy,
    OllamaError,
    OllamaTimeout,
    OllamaUnavailable,
    RegistryNotAllowed,
    RegistryUnreachable,
)
from ..names import ModelName
from ..records import DownloadJob
from ..settings import Settings, environment_name

#: How long a failed or cancelled job answers the same request, so that a poll by POST does not start it again.
REPEAT_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 60.0


def check_allowed(name: ModelName, settings: Settings) -> None:
    """Refuse a model before anything happens.

    Raises:
        RegistryNotAllowed: its registry is not on the allow-list, or it runs in Ollama's cloud and that is off.
    """
    if name.is_cloud and not settings.allow_cloud_models:
        variable = environment_name("allow_cloud_models")
        raise RegistryNotAllowed(
            f"{name.shown} runs in Ollama's cloud, where prompts leave this machine. {variable}=true allows it.",
            model_name=name.shown,
            setting=variable,
        )
    if name.host.lower() not in {registry.lower() for registry in settings.registries}:
        variable = environment_name("registries")
        raise RegistryNotAllowed(
            f"Models from {name.host} are not allowed. Add it to {variable} to allow it.",
            registry=name.host,
            setting=variable,
        )


def answers(
    job: DownloadJob | None, *, now_s: float, restart: bool = False, update: bool = False, seen_s: float | None = None
) -> bool:
    """Whether an existing job is the answer to a request for its model; otherwise a new one starts.

    Args:
        seen_s: when the server's list of models was last read and did not have the model (None: never read).
    """
    if job is None or job.live:
        return job is not None
    ended_s = job.updated_at_s if job.finished_at_s is None else job.finished_at_s
    recent = abs(now_s - ended_s) < REPEAT_S
    if restart:
        return False
    if update:
        return recent and (job.update or job.state != "installed")
    if job.state == "installed":
        # A list read after the job ended and without the model says that somebody has deleted it since.
        return seen_s is None or seen_s <= ended_s
    return recent


@dataclass(frozen=True, slots=True)
class Tries:
    """How often a pull has broken: in a row without a new byte, and for reasons worth one more try only."""

    in_a_row: int = 0
    doubtful: int = 0


def take_up_again(tries: Tries, error: ElixiModelsError, *, moved: bool, retries: int) -> tuple[Tries, float | None]:
    """Whether and when to pull again after an error.

    A pull that broke, stalled, or lost its server goes on after 2, 4, 8, 16, 32, 60, 60 … seconds, `retries` times
    in a row without a new byte: with the default of 5 an outage of a minute is survived. A damaged file or an
    answer that nobody understands gets one more try in all; everything else is final.

    Args:
        moved: True when bytes came that had never been there before, since the last error.

    Returns:
        The count to go on with, and the pause in seconds; None when the error is final.
    """
    in_a_row = 0 if moved else tries.in_a_row
    passing = isinstance(error, (RegistryUnreachable, OllamaUnavailable, OllamaTimeout, Cancelled))
    doubtful = isinstance(error, DigestMismatch) or type(error) is OllamaError
    if in_a_row >= retries or not (passing or doubtful) or (doubtful and tries.doubtful > 0):
        return Tries(in_a_row, tries.doubtful), None
    pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**in_a_row)
    return Tries(in_a_row + 1, tries.doubtful + doubtful), pause_s


def is_absence(error: ElixiModelsError) -> bool:
    """True when nothing answered at the Ollama address at all, as opposed to a full queue."""
    return isinstance(error, OllamaUnavailable) and not isinstance(error, OllamaBusy)
