"""What the package costs before and after its first use."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import elixi_models

pytestmark = pytest.mark.bench

ROUNDS = 11
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(elixi_models.__file__).resolve().parents[1])}
SERVER = """
import sys
from elixi_models.testing import OllamaEmulator
with OllamaEmulator(["llama3.2:1b", "qwen2.5:0.5b"], load_seconds=0.01) as ollama:
    print(ollama.url, flush=True)
    sys.stdin.read()
"""
TIMED = "import time; began = time.perf_counter(); {code}; print((time.perf_counter() - began) * 1000)"
FOOTPRINT = "{code}\nimport gc, psutil; gc.collect(); print(psutil.Process().memory_info().rss / 1048576)"
#: What Python itself counts as allocated after the libraries: less than the system's figure, but exact.
TRACED = """
{libraries}
import gc, tracemalloc; gc.collect(); tracemalloc.start()
{used}
gc.collect(); print(tracemalloc.get_traced_memory()[0] / 1048576)
"""
LIBRARIES = "import flask, ollama, httpx, psutil, sqlite3, blinker, click, json, gzip, concurrent.futures, logging"
BARE_APP = (
    "from flask import Flask; app = Flask('x'); app.add_url_rule('/', 'x', lambda: {}); app.test_client().get('/')"
)
USED = """
from flask import Flask
from elixi_models import ElixiModels
app = Flask('x'); models = ElixiModels(app, ollama_url={url!r}); client = app.test_client()
client.get('/'); models.service.start(); models.service.parts.observer.refresh(20)
for path in ('available-models', 'model-status', 'health'):
    assert client.get('/ai/' + path).status_code == 200
assert client.post('/ai/switch-model', json={{'model_name': 'llama3.2:1b'}}).status_code in (200, 202)
assert models.manager.chat('Hello')['success']
assert client.post('/ai/recommend-model', json={{'prompt': 'Write a poem'}}).status_code == 200
"""
AT_THE_END = "\nimport os, sys; sys.stdout.flush(); os._exit(0)"


def figures(*codes: str, rounds: int = ROUNDS) -> list[float]:
    """The median of what each piece of code prints, every round in fresh interpreters, in turn."""
    found: list[list[float]] = [[] for _ in codes]
    for _ in range(rounds):
        for code, values in zip(codes, found, strict=True):
            told = subprocess.run(
                [sys.executable, "-c", code + AT_THE_END], env=ENVIRONMENT, capture_output=True, text=True, check=True
            )
            values.append(float(told.stdout))
    return [statistics.median(values) for values in found]


def test_import_time(row: Callable[..., None]) -> None:
    """`import elixi_models`, and what a host with a handler imports, over importing nothing."""
    bare, ours, attach = figures(
        TIMED.format(code="pass"),
        TIMED.format(code="import elixi_models"),
        TIMED.format(code="from elixi_models import attach"),
    )
    row("import elixi_models", "ms", bare, ours, "15 ms")
    row("from elixi_models import attach", "ms", bare, attach, "")


@pytest.fixture
def address() -> Iterator[str]:
    """Of an emulator in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.communicate("")


def test_memory(row: Callable[..., None], address: str) -> None:
    """Until the first use over the interpreter; afterwards over a bare Flask app, and over the same libraries.

    In use is: status, list, health, a switch, a chat that chooses, and a recommendation with its reasons.
    """
    with_libraries = f"{LIBRARIES}\n{BARE_APP}\nollama.Client('http://127.0.0.1:9')"
    in_use = USED.format(url=address)
    bare, imported, app, libraries, used, traced = figures(
        FOOTPRINT.format(code="pass"),
        FOOTPRINT.format(code="import elixi_models"),
        FOOTPRINT.format(code=BARE_APP),
        FOOTPRINT.format(code=with_libraries),
        FOOTPRINT.format(code=in_use),
        TRACED.format(libraries=with_libraries, used=in_use),
        rounds=3,
    )
    row("memory after import, over the interpreter", "MB", bare, imported, "3 MB")
    row("memory in use, over a bare Flask app", "MB", app, used, "30 MB")
    row("of which ours: over an app with the same libraries", "MB", libraries, used, "5 MB")
    row("of which ours: as Python counts it", "MB", None, traced, "")
