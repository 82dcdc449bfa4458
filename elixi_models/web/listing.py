"""The list of models as JSON: large, asked for every two seconds, and nearly always the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from .. import shapes
from .responses import Answer, Content, Fragment

if TYPE_CHECKING:
    from ..catalogue.catalogue import CatalogueEntry
    from ..reports import Inventory
    from ..service import ModelService


class ListingText:
    """The last list of one service. What did not change is not made again: neither the whole nor the catalogue.

    Safe in any thread: each keeps or replaces whole tuples.
    """

    def __init__(self) -> None:
        self._whole: tuple[Inventory, Content] | None = None
        self._catalogue: tuple[Sequence[CatalogueEntry], Fragment] | None = None

    def answer(self, report: Inventory) -> Answer:
        """The answer to `available-models`. While the server answers, a newer look at the same lists is no news."""
        whole = self._whole
        if whole is None or whole[0] != report:
            data = shapes.inventory(replace(report, catalogue=()))
            data["available"] = self._available(report)
            whole = self._whole = report, Content.of(data, untagged=("as_of",) if report.reachable else ())
        return whole[1].answer()

    def _available(self, report: Inventory) -> Fragment:
        known = self._catalogue
        if known is None or known[0] != report.catalogue:
            known = self._catalogue = report.catalogue, Fragment.of_all(map(shapes.family, report.catalogue))
        return known[1]


_texts: WeakKeyDictionary[ModelService, ListingText] = WeakKeyDictionary()


def listing_of(service: ModelService) -> ListingText:
    """The kept list of a service."""
    text = _texts.get(service)
    if text is None:
        text = _texts[service] = ListingText()
    return text
