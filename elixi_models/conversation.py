"""Choosing a model for a message, asking it, and answering for the host's brain."""

from __future__ import annotations

from collections.abc import Sequence

from .assembly import Assembly
from .errors import ElixiModelsError, InvalidRequest, ModelNotInstalled, NoUsableModel, OllamaUnavailable
from .names import ModelName
from .records import NEEDS, Choice, Failure, Reply
from .reports import unavailable

_MAX_PROMPT_CHARS = 1_000_000
_PATIENT_LOOK_S = 5.0


class Conversation:
    """What a chat route needs, over the parts of one service."""

    def __init__(self, parts: Assembly) -> None:
        self._parts = parts

    def best(self, task_type: str | None, prompt: str | None, needs: Sequence[str] = ()) -> str:
        """The name of what `choose` chooses; microseconds, but for the very first look at the server.

        Raises:
            as `choose`.
        """
        parts = self._parts
        parts.look()
        name = parts.selector.best(task_type, prompt, needs=_checked(needs) if needs else ())
        if name is None:
            raise NoUsableModel(_nobody(needs))
        return name

    def choose(self, task_type: str | None, prompt: str | None, needs: Sequence[str] = ()) -> Choice:
        """The best installed model with the reasons; waits a moment for the very first look at the server.

        Raises:
            InvalidRequest: an unknown need.
            NoUsableModel: no installed model can take the task.
        """
        parts = self._parts
        parts.look()
        choice = parts.selector.choose(task_type, prompt, needs=_checked(needs) if needs else ())
        if choice is None:
            raise NoUsableModel(_nobody(needs))
        return choice

    def chat(
        self, prompt: str, *, context: str, task_type: str | None, model: str | None, timeout_s: float | None
    ) -> Reply:
        """Choose unless a model is named, ask, measure; blocks for the reply.

        Raises:
            InvalidRequest: no prompt, one over 1,000,000 characters with its context, or an invalid model name.
        """
        parts = self._parts
        if not isinstance(prompt, str) or not prompt.strip():
            raise InvalidRequest("prompt is required", field="prompt", reason="empty")
        if len(prompt) + len(context) > _MAX_PROMPT_CHARS:
            raise InvalidRequest(
                f"prompt is longer than {_MAX_PROMPT_CHARS} characters", field="prompt", reason="length"
            )
        name = None if model is None else ModelName.parse(model, field="model")
        if parts.observer.view.as_of_s is None:
            # A reply takes seconds anyway; a first message must not fail because the server was not looked at yet.
            parts.observer.ask(min(_PATIENT_LOOK_S, timeout_s or parts.settings.chat_timeout_s))
        try:
            choice = self.choose(task_type, prompt) if name is None else None
            target = choice.model if choice else self._installed(name)
        except (NoUsableModel, ModelNotInstalled, OllamaUnavailable) as exc:
            return Reply(None, None, None, _failure(exc, parts.clock()))
        text, _, failure = parts.chat.ask(
            target,
            prompt,
            context=context,
            timeout_s=timeout_s or parts.settings.chat_timeout_s,
            options={"num_predict": parts.settings.chat_max_tokens},
            source="chat",
        )
        return Reply(text, target, choice, failure)

    def _installed(self, name: ModelName | None) -> str:
        view = self._parts.look()
        model = view.find(name.installed) if name else None
        if model is None and view.as_of_s is None:
            raise unavailable(view)
        if model is None:
            raise ModelNotInstalled("That model is not installed. Download it first.")
        return model.name

    def reply_for_brain(self, prompt: str, context: str, timeout_s: float | None) -> str | None:
        """What the brain's own `generate_reply` would have answered, through our gateway and measured."""
        parts = self._parts
        parts.active.notice_brain()
        model = parts.brain.model() or parts.active.current.model
        if model is None:
            return None
        wait_s = timeout_s or parts.brain.timeout_s() or parts.settings.chat_timeout_s
        text, _, _ = parts.chat.ask(model, prompt, context=context, timeout_s=wait_s, source="brain")
        return text

    def brain_can_reply(self) -> bool:
        """Whether the server answers and has exactly the brain's model."""
        view = self._parts.look()
        model = self._parts.brain.model()
        return view.reachable and model is not None and view.find(model) is not None


def _checked(needs: Sequence[str]) -> tuple[str, ...]:
    """Each need once, in one order: choices for the same needs are made once."""
    for need in needs:
        if need not in NEEDS:
            raise InvalidRequest(
                f"needs must be among {', '.join(NEEDS)}", field="needs", reason="choice", allowed=list(NEEDS)
            )
    return tuple(sorted(set(needs)))


def _nobody(needs: Sequence[str]) -> str:
    if needs:
        return f"No installed model is known to have {' and '.join(needs)}. Download one that does, or ask without."
    return "No installed model can take this task. Download one that can chat, for example llama3.2:3b."


def _failure(exc: ElixiModelsError, now_s: float) -> Failure:
    return Failure(exc.code, exc.message, now_s, dict(exc.details))
