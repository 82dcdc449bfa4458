"""Histories of models as JSON: charts ask again and again, and an hour that is over does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from .. import timelines
from .responses import Answer, Content

if TYPE_CHECKING:
    from ..metrics.history import ModelHistory, Span
    from ..service import ModelService

_MOST_KEPT = 32


class HistoryTexts:
    """The last 32 histories of one service, made into JSON once. Safe in any thread: each replaces whole tuples."""

    def __init__(self) -> None:
        self._kept: dict[Span, tuple[ModelHistory, Content]] = {}

    def answer(self, history: ModelHistory) -> Answer:
        """The answer to `model-history`. A newer look at the same figures is no news, unless it is pending."""
        kept = self._kept.get(history.span)
        if kept is None or kept[0] != history:
            content = Content.of(timelines.model_history(history), untagged=() if history.pending else ("as_of",))
            others = [(span, text) for span, text in self._kept.items() if span != history.span]
            kept = history, content
            self._kept = dict([*others[1 - _MOST_KEPT :], (history.span, kept)])
        return kept[1].answer()


_texts: WeakKeyDictionary[ModelService, HistoryTexts] = WeakKeyDictionary()


def texts_of(service: ModelService) -> HistoryTexts:
    """The kept histories of a service."""
    texts = _texts.get(service)
    if texts is None:
        texts = _texts[service] = HistoryTexts()
    return texts
