"""The routes that use a model: generate, chat, embed; without a prompt they load it, or let it go."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .answers import Answer, Call, Json, Lines, Stream
from .bodies import check_options, runner_options, seconds_of
from .clock import stamp
from .errors import Refusal
from .installed import Installed
from .machine import Machine, refusal
from .scheduler import Busy, Runner, Wanted
from .scripted import Ask, EngineFailed, Piece, prompt_of, tokens_of

_BUSY = "server busy, please try again.  maximum pending requests exceeded"
_BROKE_OFF = "an error was encountered while running the model: "
_NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"
_FITTING_CONTEXT = 1_000_000
"""A server that counts memory by the context asked for takes no more than this beside other models."""


@dataclass(frozen=True, slots=True)
class Request:
    """A generation or a chat, its model found."""

    machine: Machine
    call: Call
    task: str
    entry: Installed

    @property
    def body(self) -> Mapping[str, Any]:
        """What was sent."""
        return self.call.body

    def said(self, text: str = "", thinking: str = "") -> dict[str, Any]:
        """A piece of the answer in the form of the endpoint."""
        extra = {"thinking": thinking} if thinking else {}
        if self.task == "generate":
            return self._dated({"response": text, **extra})
        return self._dated({"message": {"role": "assistant", "content": text, **extra}})

    def ended(self, reason: str) -> dict[str, Any]:
        """The last piece, without its figures."""
        end: dict[str, Any] = {"done": True, "done_reason": reason}
        if self.task == "chat" and self.machine.version.reason_first:
            end = {"done_reason": reason, "done": True}
        return {**self.said(), **end}

    def _dated(self, what: Mapping[str, Any]) -> dict[str, Any]:
        return {"model": self.body["model"], "created_at": stamp(self.machine.clock.now_ns()), **what}


def generate(machine: Machine, call: Call) -> Answer:
    """Complete a prompt."""
    return _answer(machine, call, "generate", bool(call.body.get("prompt")))


def chat(machine: Machine, call: Call) -> Answer:
    """Answer a conversation."""
    return _answer(machine, call, "chat", bool(call.body.get("messages")))


def embed(machine: Machine, call: Call) -> Answer:
    """Turn texts into vectors."""
    keep_alive = seconds_of(call.body.get("keep_alive"))
    entry = machine.resolve("embed", call.body, "model")
    texts = _texts(call.body.get("input"))
    wanted = _wanted(machine, entry, call, keep_alive, "embed")
    began = time.perf_counter_ns()
    with _lease(machine, wanted, call) as runner:
        load_ns = time.perf_counter_ns() - began
        if not texts:
            return Json({"model": call.body["model"], "embeddings": []})
        if not entry.model.is_embedder and not machine.version.chat_embeds:
            raise Refusal(501, _NO_EMBEDDINGS)
        with machine.scheduler.turn(runner, call.abort):
            vectors = _embedded(runner, texts)
    return Json(
        {
            "model": call.body["model"],
            "embeddings": vectors,
            "total_duration": time.perf_counter_ns() - began,
            "load_duration": load_ns,
            "prompt_eval_count": sum(len(tokens_of(text)) for text in texts),
        }
    )


def _answer(machine: Machine, call: Call, task: str, asks: bool) -> Answer:
    keep_alive = seconds_of(call.body.get("keep_alive"))
    request = Request(machine, call, task, machine.resolve(task, call.body, "model"))
    if not asks and keep_alive == 0:
        machine.scheduler.unload(request.entry.weights)
        return Json(request.ended("unload"))
    _check_able(request)
    wanted = _wanted(machine, request.entry, call, keep_alive, task)
    if not asks:
        with _lease(machine, wanted, call):
            return Json(request.ended("load"))
    lines = _chunks(request, wanted, _ask(request))
    return Lines(lines) if call.body.get("stream") is not False else Json(_folded(request, lines))


def _ask(request: Request) -> Ask:
    """What the model is asked: a prompt too is put into the model's template, unless it is to stay raw."""
    body, model = request.body, request.entry.model
    options = {**model.parameters, **(body.get("options") or {})}
    if "think" in body:
        options["think"] = body["think"]
    if body.get("raw"):
        return Ask(None, body.get("prompt"), options, _form(body.get("format")))
    messages = tuple(body.get("messages") or ({"role": "user", "content": body.get("prompt")},))
    system = body.get("system") or model.system
    if system and messages[0].get("role") != "system":
        messages = ({"role": "system", "content": system}, *messages)
    return Ask(messages, None, options, _form(body.get("format")))


def _form(wanted: Any) -> bool | Mapping[str, Any] | None:
    if wanted == "json":
        return True
    return wanted if isinstance(wanted, dict) else None


def _check_able(request: Request) -> None:
    model, version, raw = request.entry.model, request.machine.version, request.body["model"]
    if model.remote:
        raise Refusal(403, "ollama cloud is disabled: remote model is unavailable")
    if model.broken == "missing":
        raise refusal(version.file_missing, raw, task=request.task)
    if "completion" not in model.capabilities:
        raise Refusal(400, f'"{raw}" does not support {request.task}')
    full = request.entry.name.full
    if request.body.get("tools") and "tools" not in model.capabilities:
        raise Refusal(400, f"{full} does not support tools")
    if request.body.get("think") and "thinking" not in model.capabilities:
        raise Refusal(400, version.no_thinking.format(name=raw, full=full))


def _wanted(machine: Machine, entry: Installed, call: Call, keep_alive_s: float | None, task: str) -> Wanted:
    if entry.model.broken == "missing":
        raise refusal(machine.version.file_missing, call.body["model"], task=task)
    options = call.body.get("options") or {}
    check_options(options)
    asked = options.get("num_ctx") or 0
    return Wanted(
        entry,
        machine.engine_maker(entry),
        machine.context_of(entry, options),
        runner_options(options),
        keep_alive_s,
        needs_all_memory=machine.version.clears_for_context and asked > _FITTING_CONTEXT,
    )


@contextlib.contextmanager
def _lease(machine: Machine, wanted: Wanted, call: Call) -> Iterator[Runner]:
    """Hold the model; failures of the load become refusals."""
    with contextlib.ExitStack() as stack:
        try:
            runner = stack.enter_context(machine.scheduler.lease(wanted, call.abort))
        except Busy:
            raise Refusal(503, _BUSY) from None
        except EngineFailed as failure:
            raise Refusal(500, failure.reason) from None
        yield runner


def _chunks(request: Request, wanted: Wanted, ask: Ask) -> Stream:
    scheduler, abort = request.machine.scheduler, request.call.abort
    began = time.perf_counter_ns()
    with _lease(request.machine, wanted, request.call) as runner:
        load_ns = time.perf_counter_ns() - began
        with scheduler.turn(runner, abort):
            heard: list[str] = []
            try:
                for piece in runner.engine.generate(ask, abort=abort):
                    heard.append(piece.text)
                    if piece.done_reason is None:
                        yield {**request.said(piece.text, piece.thinking), "done": False}
                    else:
                        figures = _figures(request, ask, heard, piece, began, load_ns)
                        yield {**request.ended(piece.done_reason), **figures}
            except EngineFailed as failure:
                runner.dead = True
                raise Refusal(500, _BROKE_OFF + failure.reason) from None


def _figures(request: Request, ask: Ask, heard: list[str], last: Piece, began: int, load_ns: int) -> dict[str, Any]:
    eval_ns = max(last.eval_ns, request.machine.version.least_eval_ns if last.tokens else 0)
    spent = max(time.perf_counter_ns() - began, load_ns + last.prompt_ns + eval_ns)
    figures = {
        "total_duration": spent,
        "load_duration": load_ns,
        "prompt_eval_count": last.prompt_tokens,
        "prompt_eval_duration": last.prompt_ns,
        "eval_count": last.tokens,
        "eval_duration": eval_ns,
    }
    told: dict[str, Any] = {name: figure for name, figure in figures.items() if figure}
    if request.task == "generate" and not request.body.get("raw"):
        told = {"context": _token_ids(prompt_of(ask) + "".join(heard)), **told}
    return told


def _token_ids(text: str) -> list[int]:
    return [zlib.crc32(token.encode()) % 49_152 for token in tokens_of(text)]


def _folded(request: Request, lines: Stream) -> dict[str, Any]:
    """The whole answer in one object."""
    text, thinking, last = "", "", {}
    for line in lines:
        part = line if request.task == "generate" else line["message"]
        text += part.get("response" if request.task == "generate" else "content", "")
        thinking += part.get("thinking", "")
        last = dict(line)
    return {**last, **request.said(text, thinking), "created_at": last.get("created_at")} if last else {}


def _embedded(runner: Runner, texts: list[str]) -> list[list[float]]:
    try:
        return runner.engine.embed(texts)
    except EngineFailed as failure:
        raise Refusal(500, failure.reason) from None


def _texts(given: Any) -> list[str]:
    if given is None or given == "":
        return []
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and all(isinstance(text, str) for text in given):
        return given
    raise Refusal(400, "invalid input type")
