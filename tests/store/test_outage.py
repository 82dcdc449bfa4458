"""A MongoDB that goes away and comes back, over real sockets."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from elixi_models.records import Measurement
from elixi_models.settings import Settings
from elixi_models.store.base import Store
from elixi_models.store.following import StoreFollower
from elixi_models.store.opening import open_store

from . import media

pytestmark = pytest.mark.mongodb


def measurement(number: int) -> Measurement:
    return Measurement(f"m{number}", time.time(), "u", "m", "chat", "ok", 1.0)


def test_nothing_acknowledged_is_lost_over_an_outage(tmp_path: Path) -> None:
    """A server killed in the middle: a choice made meanwhile holds and is stored on its return, and what periodic work
    still holds is written then; nobody waited for it."""
    folder, port = tmp_path / "nx", media.free_port()
    folder.mkdir()
    waiting: list[Measurement] = [measurement(1)]
    written, held, returned = threading.Event(), threading.Event(), threading.Event()

    def flush(store: Store) -> None:
        store.add_measurements(waiting)
        written.set()

    with media.nx_server(folder, port) as uri:
        store = open_store(Settings(), uri)
        follower = StoreFollower(store, Settings(store_follow_s=0.1))
        follower.every(0.1, flush)
        assert follower.set_preference("k", {"n": 1}).result(20).version == 1
        assert written.wait(20)
    waiting.append(measurement(2))
    written.clear()
    began = time.monotonic()
    future = follower.set_preference("k", {"n": 2})
    assert follower.preference("k").value == {"n": 2}  # type: ignore[union-attr]
    assert time.monotonic() - began < 0.5
    future.add_done_callback(lambda done: held.set())
    assert held.wait(20)
    assert not follower.status.available
    assert follower.status.pending == 1
    with media.nx_server(folder, port):
        assert written.wait(60)
        follower.submit(lambda store: returned.set()).result(20)
        assert follower.status.pending == 0
        stored = store.preference("k")
        assert stored is not None
        assert (stored.version, stored.value) == (2, {"n": 2})
        assert {m.id for m in store.measurements(ollama_url="u", since_s=0)} == {"m1", "m2"}
        follower.close()
        store.close()
