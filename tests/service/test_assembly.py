"""Where the parts meet: what a forked child keeps and what it starts anew."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import elixi_models
from elixi_models import ModelService, assembly
from elixi_models.records import Measurement
from elixi_models.testing import OllamaEmulator

_FORKING = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from elixi_models import ModelService, Settings
from elixi_models.names import ModelName

service = ModelService(Settings.load({{}}, ollama_url={url!r}, data_dir={folder!r}, switch_wait_s=5.0))
service.switch(ModelName.parse("llama3.2:1b"))
child = os.fork()
if child == 0:
    service.reset_after_fork()
    done = service.switch(ModelName.parse("qwen2.5:0.5b"))
    service.chat("Hello", model="qwen2.5:0.5b")
    service.close()
    os._exit(0 if done.state == "active" else 1)
_, status = os.waitpid(child, 0)
import threading
pause = threading.Event()
for _ in range(200):
    if service.active_model() == "qwen2.5:0.5b":
        break
    pause.wait(0.05)
print(os.waitstatus_to_exitcode(status), service.active_model(), service.status().reachable)
service.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_works_and_the_parent_goes_on(ollama_emulator: OllamaEmulator, tmp_path: Path) -> None:
    """As under a pre-forking server: the child has threads and connections of its own, and the parent follows it."""
    code = _FORKING.format(url=ollama_emulator.url, folder=str(tmp_path))
    source = str(Path(elixi_models.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": source},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "qwen2.5:0.5b", "True"], done.stderr


def test_what_was_not_started_can_be_reset_and_used(
    make_service: Callable[..., ModelService], ollama_emulator: OllamaEmulator
) -> None:
    """A pre-forking server builds the app before it forks, so every child resets what never ran."""
    service = make_service(ollama_emulator.url, ready=False)
    service.reset_after_fork()
    service.start()
    service.parts.observer.refresh(20.0)
    assert service.status().reachable is True


def test_a_service_that_is_switched_off_starts_no_look(make_service: Callable[..., ModelService]) -> None:
    """OLLAMA_ENABLED=false: nothing is asked, the status answers."""
    service = make_service("http://127.0.0.1:9", ready=False, ollama_enabled=False)
    service.start()
    report = service.status()
    assert (report.state, report.error_code) == ("offline", "OLLAMA_DISABLED")


def test_what_has_had_its_time_is_swept(
    make_service: Callable[..., ModelService],
    ollama_emulator: OllamaEmulator,
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the days of the settings, while the service runs."""
    monkeypatch.setattr(assembly, "LOOK_S", 0.01)
    service = make_service(ollama_emulator.url, ready=False, measurement_days=2)
    url, now_s, store = service.settings.ollama_url, time.time(), service.parts.store
    ages_s = {"old": 3 * 86_400.0, "young": 86_400.0}
    store.add_measurements(
        [Measurement(name, now_s - age_s, url, "m:1b", "chat", "ok", 1.0) for name, age_s in ages_s.items()]
    )
    service.start()
    eventually(lambda: [it.id for it in store.measurements(ollama_url=url, since_s=0.0)] == ["young"])
