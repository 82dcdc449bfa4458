"""The host's face as it is inside ELIXI and as it is in any other app."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import elixi_models

HERE = Path(__file__).parent
HOST_MODULES = ("stage5_base", "stage5_utils")


@pytest.fixture
def import_elixi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Imports `elixi_models.elixi` afresh, with a folder of host modules on the path or without."""
    before = sys.modules.get("elixi_models.elixi")

    def fresh(folder: str | None = None) -> ModuleType:
        if folder is not None:
            monkeypatch.syspath_prepend(str(HERE / folder))
        for name in (*HOST_MODULES, "elixi_models.elixi"):
            sys.modules.pop(name, None)
        return importlib.import_module("elixi_models.elixi")

    yield fresh
    for name in (*HOST_MODULES, "elixi_models.elixi"):
        sys.modules.pop(name, None)
    if before is not None:
        sys.modules["elixi_models.elixi"] = before
        elixi_models.elixi = before  # type: ignore[attr-defined]


@pytest.fixture(params=["in the host", "elsewhere"])
def elixi(request: pytest.FixtureRequest, import_elixi: Callable[..., Any]) -> Any:
    """The module over both bases."""
    return import_elixi("host" if request.param == "in the host" else None)


@pytest.fixture
def hosted(import_elixi: Callable[..., Any]) -> Any:
    """The module inside the host."""
    return import_elixi("host")


@pytest.fixture
def alone(import_elixi: Callable[..., Any]) -> Any:
    """The module in an app that is not the host."""
    return import_elixi()
