"""Signals: the host connects by attribute, nothing is loaded before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from elixi_models import signals


@pytest.mark.parametrize("name", ["model_switched", "download_finished", "benchmark_finished"])
def test_a_connected_receiver_hears_the_facts(name: str) -> None:
    """What is announced reaches who connected to the attribute of that name, with its sender."""
    heard: list[tuple[object, dict[str, object]]] = []
    signal = getattr(signals, name)

    def receive(sender: object, **facts: object) -> None:
        heard.append((sender, facts))

    with signal.connected_to(receive):
        signals.announce(name, "service", model="a:latest")
    signals.announce(name, "service", model="b:latest")
    assert heard == [("service", {"model": "a:latest"})]


def test_an_unknown_signal_is_no_attribute() -> None:
    """A typo fails where it is written."""
    with pytest.raises(AttributeError, match="model_swiched"):
        signals.model_swiched  # noqa: B018


def test_importing_signals_loads_no_blinker() -> None:
    """blinker comes with the first use."""
    script = "import sys, elixi_models.signals; sys.exit('blinker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
