"""The media of the contract, as fixtures; each that is absent skips with its reason."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from elixi_models.store.base import Store

from . import media
from .media import Medium

MEDIA = [
    "sqlite",
    "mongomock",
    pytest.param("nx", marks=pytest.mark.mongodb),
    pytest.param("server", marks=[pytest.mark.mongodb, pytest.mark.live]),
]


@pytest.fixture(scope="session")
def nx_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One nx-27017 for all tests."""
    with media.nx_server(tmp_path_factory.mktemp("nx"), media.free_port()) as uri:
        yield uri


def _server_uri() -> str:
    if media.SERVER_URI is None:
        pytest.skip("ELIXI_TEST_MONGODB_URI names no server")
    return media.SERVER_URI


@pytest.fixture(params=MEDIA)
def medium(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Medium]:
    """An empty medium of each kind."""
    opened = {
        "sqlite": lambda: media.sqlite(tmp_path),
        "mongomock": lambda: media.mongomock(tmp_path),
        "nx": lambda: media.fresh_database(request.getfixturevalue("nx_uri")),
        "server": lambda: media.fresh_database(_server_uri()),
    }[request.param]()
    with opened as medium:
        yield medium


@pytest.fixture
def store(medium: Medium) -> Iterator[Store]:
    """A store on an empty medium."""
    with contextlib.closing(medium.open()) as store:
        yield store
