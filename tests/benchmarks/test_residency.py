"""What was loaded before a benchmark, and getting back to that."""

from __future__ import annotations

import pytest

from elixi_models.benchmarks.residency import Residency
from elixi_models.errors import OllamaTimeout
from elixi_models.inventory import InstalledModel, LoadedModel, ServerView

from .conftest import URL

NOW_S = 1_800_000_000.0
A, B, C = (InstalledModel(f"{name}:1b", f"d-{name}", weights_digest=f"w-{name}") for name in "abc")


class Server:
    """Ollama as far as loading goes; models named in `slow` stay for so many looks after they were unloaded."""

    def __init__(self, *loaded, installed=(A, B, C)):
        self.loaded = list(loaded)
        self.installed = installed
        self.calls = []
        self.slow = {}
        self.error = None

    @property
    def view(self):
        entries = tuple(
            entry if isinstance(entry, LoadedModel) else LoadedModel(entry.name, entry.digest) for entry in self.loaded
        )
        return ServerView(URL, NOW_S, True, installed=self.installed, loaded=entries)

    def refresh(self, timeout_s=5.0):
        for name, looks in list(self.slow.items()):
            self.slow[name] = looks - 1
            if looks <= 0:
                self.loaded = [entry for entry in self.loaded if entry.name != name]
        return self.view

    def hurry(self):
        self.calls.append(("hurry", ""))

    def unload(self, name):
        self.calls.append(("unload", name))
        if self.error:
            raise self.error
        self.slow.setdefault(name, 0)

    def load(self, name):
        self.calls.append(("load", name))
        if self.error:
            raise self.error


def residency(server, model=A, wait=lambda seconds: False):
    return Residency(model, server.view, gateway=server, observer=server, clock=lambda: NOW_S, wait=wait)


def nobody(model):
    return False


def moves(server):
    return [call for call in server.calls if call[0] != "hurry"]


def test_a_model_that_was_not_loaded_is_unloaded():
    """And nothing else is touched."""
    server = Server(B)
    before = residency(server)
    server.loaded = [A, B]
    before.restore(keep=nobody)

    assert moves(server) == [("unload", "a:1b")]


def test_a_model_that_was_loaded_stays():
    """Nothing is done at all."""
    server = Server(A)
    residency(server).restore(keep=nobody)

    assert moves(server) == []


def test_a_model_that_somebody_uses_meanwhile_stays():
    """A chat or a switch is worth more than tidiness."""
    server = Server()
    before = residency(server)
    server.loaded = [A]
    before.restore(keep=lambda model: True)

    assert moves(server) == []


def test_what_was_driven_out_is_loaded_again():
    """The one that was listed first last, as the most recently used."""
    server = Server(B, C)
    before = residency(server)
    server.loaded = [A]
    before.restore(keep=nobody)

    assert moves(server) == [("unload", "a:1b"), ("load", "c:1b"), ("load", "b:1b")]


def test_at_a_shutdown_nothing_is_loaded():
    """There is no time for it."""
    server = Server(B)
    before = residency(server)
    server.loaded = [A]
    before.restore(keep=nobody, reload=False)

    assert moves(server) == [("unload", "a:1b")]


@pytest.mark.parametrize(
    ("expires_at", "reloaded"),
    [
        ("2027-01-15T07:59:59Z", False),
        ("2027-01-15T08:00:01Z", True),
        ("2027-01-15T09:30:00.123456789+02:00", False),
        ("2027-01-15T05:30:00.5-03:00", True),
        ("soon", True),
        (None, True),
    ],
)
def test_what_would_have_left_by_itself_stays_out(expires_at, reloaded):
    """Its own time in memory decides; an unknown one counts as not over."""
    server = Server(LoadedModel("b:1b", "d-b", expires_at=expires_at))
    before = residency(server)
    server.loaded = []
    before.restore(keep=nobody)

    assert (("load", "b:1b") in server.calls) is reloaded


def test_a_model_deleted_meanwhile_is_not_loaded():
    """There is nothing to load."""
    server = Server(B)
    before = residency(server)
    server.loaded, server.installed = [], (A,)
    before.restore(keep=nobody)

    assert moves(server) == []


def test_unloading_waits_until_the_model_is_gone():
    """The server lets go of it some looks later."""
    server, waits = Server(A), []
    server.slow = {"a:1b": 3}
    residency(server, wait=lambda seconds: waits.append(seconds)).unload()

    assert server.view.loaded == ()
    assert waits == [0.2, 0.2, 0.2]


def test_unloading_does_not_wait_for_ever():
    """Ten seconds, or until the benchmark is called off."""
    server, waits = Server(A), []
    server.slow = {"a:1b": 1_000}
    residency(server, wait=lambda seconds: waits.append(seconds)).unload()
    assert sum(waits) == pytest.approx(10.0)

    stopped = Server(A)
    stopped.slow = {"a:1b": 1_000}
    residency(stopped, wait=lambda seconds: True).unload()
    assert stopped.slow == {"a:1b": 999}


def test_a_server_that_refuses_is_left_as_it_is():
    """Neither a cold load nor the tidying up raises."""
    server = Server(B)
    before = residency(server)
    server.loaded, server.error = [A], OllamaTimeout("slow")
    before.unload()
    before.restore(keep=nobody)

    assert server.calls[-1] == ("hurry", "")
