"""The recorded servers, set up as emulators, and a client that takes answers down as the recorder did."""

from __future__ import annotations

import functools
import gzip
import http.client
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

from elixi_models.testing import EmulatedModel, OllamaEmulator

RECORDINGS = pathlib.Path(__file__).parent / "recordings"
OnLine = Callable[[int], None]
NUMBERS = ("0.9.6", "0.24.0", "0.33.0")
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


@functools.cache
def recorded(number: str) -> dict[str, dict[str, Any]]:
    """Every recorded case of a server."""
    return json.loads(gzip.decompress((RECORDINGS / f"{number}.json.gz").read_bytes()))  # type: ignore[no-any-return]


def models(number: str, *, slow_load_s: float = 0.5, speed: float = 200.0) -> list[EmulatedModel]:
    """The four models that every recorded server had."""
    smollm = {
        "family": "llama",
        "parameter_size": "134.52M",
        "context_length": 8192,
        "embedding_length": 576,
        "template": TEMPLATE,
        "license": "Apache-2.0",
        "system": "You are a helpful AI assistant.",
        "parameters": {"stop": ["<|im_start|>", "<|im_end|>"]},
        "model_info": SMOLLM_INFO,
        "answers": {"capital": SHORT if number == "0.24.0" else LONG, "": ""} | {"long story": LONG, "colours": LONG},
        "decode_tokens_per_s": speed,
    }
    return [
        EmulatedModel("smollm2:135m", size_bytes=98_363_233, quantization="Q4_1", weights_digest="b1" * 32, **smollm),
        EmulatedModel(
            "smollm2:135m-q8_0", size_bytes=144_811_711, quantization="Q8_0", weights_digest="9c" * 32, **smollm
        ),
        EmulatedModel(
            "random-1b:latest",
            size_bytes=739_313_303,
            family="llama",
            parameter_size="1.3B",
            quantization="Q4_0",
            template=TEMPLATE,
            lists_lengths=False,
            answers=LONG,
            load_seconds=slow_load_s,
            weights_digest="b0" * 32,
        ),
        EmulatedModel(
            "tiny-embed:latest",
            size_bytes=10_309_061,
            family="bert",
            parameter_size="4.77M",
            quantization="F16",
            context_length=512,
            embedding_length=128,
            template=None,
            capabilities=("embedding",),
            weights_digest="c3" * 32,
        ),
    ]


def emulator(number: str, **settings: Any) -> OllamaEmulator:
    """An emulator like the recorded server; its own times are a fiftieth of a real server's."""
    given = {
        "models": models(number),
        "version": number,
        "models_dir": "/models",
        "time_scale": 0.02,
        "load_seconds": 1.0,
    }
    return OllamaEmulator(**{**given, **settings})


class Client:
    """Sends recorded requests to one emulator."""

    def __init__(self, ollama: OllamaEmulator) -> None:
        self.port = ollama.port

    def send(
        self, request: dict[str, Any], *, lines: int | None = None, timeout: float = 20.0, on_line: OnLine | None = None
    ) -> dict[str, Any]:
        """The exchange; `lines` closes the connection after so many, `on_line` is told the number of each."""
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
            if on_line:
                on_line(len(taken["lines"]))
        return taken
    text = response.read().decode()
    try:
        return {**taken, "body": json.loads(text)}
    except ValueError:
        return {**taken, "text": text}
