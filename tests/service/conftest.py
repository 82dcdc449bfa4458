"""A service over an emulated server, quick in all that a test would wait for, and closed after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from elixi_models import ModelService, Settings

PATIENCE_S = 20.0
QUICK = {"observe_active_s": 0.1, "store_follow_s": 0.05, "switch_wait_s": 5.0}


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., ModelService]]:
    """`make_service(url, brain=…, mongodb=…, clock=…, **settings)`; all of one test share a data folder.

    With `ready=False` it is as new; else it has looked at the server once, however busy the machine is.
    """
    with ExitStack() as services:

        def make(
            url: str, brain: Any = None, mongodb: Any = None, *, ready: bool = True, **settings: Any
        ) -> ModelService:
            more = {"clock": settings.pop("clock")} if "clock" in settings else {}
            given = Settings.load({}, ollama_url=url, **{**QUICK, "data_dir": tmp_path, **settings})
            service = ModelService(given, brain=brain, mongodb=mongodb, **more)
            services.callback(service.close)
            if ready:
                service.start()
                service.parts.observer.refresh(PATIENCE_S)
            return service

        yield make
