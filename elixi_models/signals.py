"""Signals that a host can connect to: `model_switched`, `download_finished`, `benchmark_finished`.

    from elixi_models import signals
    signals.model_switched.connect(remember)     # def remember(sender, model, previous): …

The sender is the ModelService. They are sent from worker threads. blinker comes with Flask and is loaded at the first
use of a signal, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blinker import NamedSignal, Namespace

    model_switched: NamedSignal
    download_finished: NamedSignal
    benchmark_finished: NamedSignal

__all__ = ["announce", "benchmark_finished", "download_finished", "model_switched"]

_MEANINGS = {
    "model_switched": "The active model changed. `model` and `previous` are installed names or None.",
    "download_finished": "A download ended, well or not. `job` is its DownloadJob.",
    "benchmark_finished": "A benchmark ended, well or not. `job` is its BenchmarkJob.",
}
_namespace: Namespace | None = None


def announce(name: str, sender: object, **facts: Any) -> None:
    """Send a signal to all who connected to it, in this thread.

    Receivers are the host's: what they raise reaches the caller.
    """
    _signal(name).send(sender, **facts)


def __getattr__(name: str) -> Any:
    if name not in _MEANINGS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _signal(name)


def _signal(name: str) -> NamedSignal:
    global _namespace
    if _namespace is None:
        from blinker import Namespace

        _namespace = Namespace()
    return _namespace.signal(name, _MEANINGS[name])
