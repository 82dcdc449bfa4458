"""One thing asked of the Ollama server, and the errors for the ways in which it can fail to be answered."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Cancelled, ElixiModelsError, OllamaError, OllamaTimeout, OllamaUnavailable
from ..names import shown
from .cancellation import Cancellation, Deadline
from .failures import Action, refusal

_WORK: dict[Action, str] = {"load": "load", "generate": "reply", "pull": "download"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is asked, of which model (in the installed form), for how long, and what may call it off."""

    url: str
    action: Action
    model: str | None
    timeout_s: float
    switches: tuple[Cancellation, ...]

    def check(self) -> None:
        """Raise `Cancelled` if it was called off, `OllamaTimeout` if its time is over."""
        error = self.ended_by_us()
        if error is not None:
            raise error

    def ended_by_us(self) -> ElixiModelsError | None:
        """The error of the cancellation or the deadline that broke the connection, if one did."""
        for switch in self.switches:
            if switch.cancelled:
                return self.timed_out() if isinstance(switch, Deadline) else self._called_off()
        return None

    def refused(self, text: str, status: int) -> ElixiModelsError:
        """The server said no; see `failures.refusal`."""
        return refusal(text, status, action=self.action, model=None if self.model is None else shown(self.model))

    def unreachable(self) -> OllamaUnavailable:
        """Nothing answers at the address, or nothing whose certificate is trusted: the client does not tell which."""
        remedy = "Start Ollama, or set OLLAMA_API_URL to where it runs."
        if self.url.startswith("https:"):
            remedy += " If it runs, this machine does not trust its certificate."
        return OllamaUnavailable(f"Nothing answers at {self.url}. {remedy}", reason="unreachable")

    def disconnected(self) -> OllamaUnavailable:
        """The server went away before its answer was complete."""
        return OllamaUnavailable(
            f"Ollama at {self.url} ended the connection before it was done. Try again.", reason="disconnected"
        )

    def timed_out(self) -> OllamaTimeout:
        """The server is there and did not answer in time."""
        return OllamaTimeout(
            f"Ollama did not answer within {self.timeout_s:g} s. It may be busy with a large model: try again later.",
            reason="timeout",
            timeout_s=self.timeout_s,
        )

    def misunderstood(self) -> OllamaError:
        """Something answers that does not speak as Ollama does."""
        return OllamaError(
            f"What answers at {self.url} does not speak as Ollama does. Check OLLAMA_API_URL.", reason="protocol"
        )

    def _called_off(self) -> Cancelled:
        return Cancelled(f"The {_WORK.get(self.action, 'request')} was called off.", action=self.action)
