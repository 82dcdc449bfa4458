"""The command as people start it: a process of its own, found by what it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import elixi_models

_START_S = 60.0
_END_S = 15.0
_ANSWER_S = 90.0


class Running:
    """A started command; `url` is where it says that it listens."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        source = str(Path(elixi_models.__file__).resolve().parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "elixi_models", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": source, "PYTHONUNBUFFERED": "1", **environment},
        )
        self.output: list[str] = []
        self._found = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip())
            if line.startswith(("API:", "Chat:")) or (" at http" in line and "Emulated Ollama 0" in line):
                self._found.set()
        self._found.set()

    @property
    def url(self) -> str:
        """The address without a path; waits until it is told."""
        assert self._found.wait(_START_S)
        told = re.findall(r"http://[\d.]+:\d+", "\n".join(line for line in self.output if "Dashboard" in line))
        told = told or re.findall(r"http://[\d.]+:\d+", "\n".join(self.output))
        assert told, self.output
        return str(told[0])

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of a GET, or of a POST with a body."""
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, data), timeout=_ANSWER_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and give the exit code; what is still to be read of the output is read."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(_END_S)
        self._reader.join(_END_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def finish(running: Running) -> None:
    """Nothing outlives its test, and pytest shows what was printed when one failed."""
    assert running.process.stdout is not None
    if not running.process.stdout.closed:
        running.end(signal.SIGKILL)
    print(*running.output, sep="\n")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """`start("serve", "--port", "0", VARIABLE="value")`; what still runs after the test is killed."""
    with ExitStack() as processes:

        def run(*arguments: str, **environment: str) -> Running:
            given = {"ELIXI_MODELS_DATA_DIR": str(tmp_path / "data"), **environment}
            running = Running(arguments, given)
            processes.callback(finish, running)
            return running

        yield run
