"""The recorded servers, set up as emulators, and a client that takes answers down as the recorder did."""

from __future__ import annotations

import functools
import gzip
import http.client
import json
import pathlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from elixi_models.testing import EmulatedModel, OllamaEmulator

RECORDINGS = pathlib.Path(__file__).parent / "recordings"
LEAVE = object()
OnLine = Callable[[int], object]
NUMBERS = ("0.9.6", "0.24.0", "0.33.0")
DEADLINE_S = 20.0
KEPT_HEADERS = ("content-type", "transfer-encoding", "allow")

TEMPLATE = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
SMOLLM_INFO = {
    "general.basename": "smollm2",
    "general.finetune": "8k",
    "general.languages": None,
    "general.license": "apache-2.0",
    "general.organization": "HuggingFaceTB",
    "general.quantization_version": 2,
    "general.type": "model",
    "llama.rope.freq_base": 100_000,
    "tokenizer.ggml.add_bos_token": False,
    "tokenizer.ggml.add_space_prefix": False,
    "tokenizer.ggml.unknown_token_id": 0,
}
LONG = "Once upon a time there was a small model. " * 80
SHORT = "The capital of France is Paris, which lies on the Seine, and it is a large town."


FRESH = (
    ("smollm2", "freshling"),
    ("SMOLLM2", "FRESHLING"),
    ("random-1b", "scribble-3b"),
    ("tiny-embed", "minute-vectors"),
    ("no-such-", "never-made-"),
    ("copied", "duplicate"),
    ("aliased", "nicknamed"),
    ("capital of France", "largest town of Peru"),
    ("long story", "tall tale"),
    ("colours", "fruits"),
)
"""Names and words of the recordings, and others that nobody has recorded."""


def freshened(text: str) -> str:
    """The text with names and words that are in no recording."""
    for old, new in FRESH:
        text = text.replace(old, new)
    return text


@functools.cache
def recorded(number: str, *, fresh: bool = False) -> dict[str, dict[str, Any]]:
    """Every recorded case of a server, with fresh names if so wanted."""
    text = gzip.decompress((RECORDINGS / f"{number}.json.gz").read_bytes()).decode()
    return json.loads(freshened(text) if fresh else text)  # type: ignore[no-any-return]


def models(number: str, *, fresh: bool = False, slow_load_s: float = 0.5, speed: float = 200.0) -> list[EmulatedModel]:
    """The four models that every recorded server had, under fresh names if so wanted."""
    smollm: dict[str, Any] = {
        "family": "llama",
        "parameter_size": "134.52M",
        "context_length": 8192,
        "embedding_length": 576,
        "template": TEMPLATE,
        "license": "Apache-2.0",
        "system": "You are a helpful AI assistant.",
        "parameters": {"stop": ["<|im_start|>", "<|im_end|>"]},
        "model_info": SMOLLM_INFO,
        "answers": {"capital": SHORT if number == "0.24.0" else LONG, "largest": SHORT if number == "0.24.0" else LONG},
        "decode_tokens_per_s": speed,
    }
    smollm["answers"] |= dict.fromkeys(("long story", "tall tale", "colours", "fruits"), LONG)
    random = {"parameter_size": "1.3B", "template": TEMPLATE, "lists_lengths": False, "answers": LONG}
    vectors = {"family": "bert", "template": None, "context_length": 512, "embedding_length": 128}
    # The order of the digests decides who is evicted first, so it is as recorded.
    facts: list[tuple[str, int, str, str, dict[str, Any]]] = [
        ("smollm2:135m", 98_363_233, "Q4_1", "b1" * 32, smollm),
        ("smollm2:135m-q8_0", 144_811_711, "Q8_0", "9c" * 32, smollm),
        ("random-1b:latest", 739_313_303, "Q4_0", "b0" * 32, random | {"load_seconds": slow_load_s}),
        ("tiny-embed:latest", 10_309_061, "F16", "c3" * 32, vectors | {"capabilities": ("embedding",)}),
    ]
    return [
        EmulatedModel(
            freshened(name) if fresh else name, size_bytes=size, quantization=kind, weights_digest=digest, **rest
        )
        for name, size, kind, digest, rest in facts
    ]


def emulator(number: str, *, fresh: bool = False, **settings: Any) -> OllamaEmulator:
    """An emulator like the recorded server; its own times are a fiftieth of a real server's."""
    given = {
        "models": models(number, fresh=fresh),
        "version": number,
        "models_dir": "/models",
        "time_scale": 0.02,
        "load_seconds": 1.0,
    }
    return OllamaEmulator(**{**given, **settings})


class Task(threading.Thread):
    """Something done meanwhile. Nothing waits for it for ever, so a test that fails does not hang."""

    def __init__(self, function: Callable[..., Any], *args: Any, **how: Any) -> None:
        super().__init__(name="test-task", daemon=True)
        self._future: Future[Any] = Future()
        self._work = lambda: function(*args, **how)
        self.start()

    def run(self) -> None:
        """Do it."""
        try:
            self._future.set_result(self._work())
        except Exception as failure:  # noqa: BLE001  (whoever asks for the result is told)
            self._future.set_exception(failure)

    def result(self) -> Any:
        """What came of it, within 20 seconds."""
        return self._future.result(DEADLINE_S)

    def exception(self) -> BaseException | None:
        """How it failed, within 20 seconds."""
        return self._future.exception(DEADLINE_S)

    def done(self) -> bool:
        """Whether it has ended."""
        return self._future.done()


class Client:
    """Sends recorded requests to one emulator."""

    def __init__(self, ollama: OllamaEmulator) -> None:
        self.port = ollama.port

    def send(
        self, request: dict[str, Any], *, lines: int | None = None, timeout: float = 20.0, on_line: OnLine | None = None
    ) -> dict[str, Any]:
        """The exchange; after so many `lines` the client leaves, or when `on_line`, told their number, says `LEAVE`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        data = json.dumps(request["body"]) if "body" in request else request.get("text")
        try:
            connection.request(request["method"], request["path"], data, request.get("headers", {}))
            return {"request": request, "response": _taken_down(connection.getresponse(), lines, on_line)}
        except (OSError, http.client.HTTPException) as failure:
            return {"request": request, "response": {"failed": type(failure).__name__}}
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Any = None, **how: Any) -> dict[str, Any]:
        """The response to a request."""
        request = {"method": method, "path": path, **({} if body is None else {"body": body})}
        return self.send(request, **how)["response"]  # type: ignore[no-any-return]

    def post(self, path: str, body: Any, **how: Any) -> dict[str, Any]:
        """The response to a POST."""
        return self.ask("POST", path, body, **how)

    def ps(self) -> list[dict[str, Any]]:
        """The loaded models."""
        return self.ask("GET", "/api/ps")["body"]["models"]  # type: ignore[no-any-return]


def _taken_down(response: http.client.HTTPResponse, most: int | None, on_line: OnLine | None) -> dict[str, Any]:
    began = time.monotonic()
    kept = {name.lower(): value for name, value in response.getheaders() if name.lower() in KEPT_HEADERS}
    taken: dict[str, Any] = {"status": response.status, "headers": kept}
    if "ndjson" in kept.get("content-type", ""):
        taken["lines"] = []
        while (most is None or len(taken["lines"]) < most) and (line := response.readline()):
            taken["lines"].append([round((time.monotonic() - began) * 1000), json.loads(line)])
            if on_line and on_line(len(taken["lines"])) is LEAVE:
                break
        return taken
    text = response.read().decode()
    try:
        return {**taken, "body": json.loads(text)}
    except ValueError:
        return {**taken, "text": text}
