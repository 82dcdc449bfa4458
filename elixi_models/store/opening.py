"""Which store serves: MongoDB when one was given or configured, else the SQLite file. Decided once."""

from __future__ import annotations

from typing import Any, cast

from .. import elixi
from ..errors import StoreUnavailable
from ..settings import Settings
from .base import Store
from .mongo import explained
from .mongostore import MongoStore
from .sqlite import FILE_NAME, SqliteStore


def open_store(settings: Settings, mongodb: object = None) -> Store:
    """The store of one service. Connects to nothing, calls nothing, imports no driver.

    Args:
        mongodb: a pymongo Database, a wrapper that has one under `.db`, a callable that gives either or None, a URI,
            or None. Never truth-tested. A callable is called at the first use, on the thread that uses the store
            first, and again in a forked child. Where it gives None at the first use the settings decide.
    """
    if isinstance(mongodb, str):
        return MongoStore.connect(mongodb, settings.mongodb_db)
    if mongodb is None:
        return _configured(settings)
    return cast(Store, _UndecidedStore(settings, mongodb))


def _configured(settings: Settings) -> Store:
    if settings.mongodb_uri is not None:
        return MongoStore.connect(settings.mongodb_uri, settings.mongodb_db)
    return SqliteStore(settings.data_dir / FILE_NAME)


class _UndecidedStore:
    """A store that turns out at its first use to be one or the other, and then stays that."""

    def __init__(self, settings: Settings, mongodb: object) -> None:
        self._settings = settings
        self._mongodb = mongodb
        # Without a lock, which a fork could copy while the host's getter runs: the first decision stands.
        self._decided: dict[object, Store] = {}

    @property
    def kind(self) -> str:
        """As the contract says; `undecided` until the first use."""
        return next((store.kind for store in self._decided.values()), "undecided")

    def close(self) -> None:
        """As the contract says; decides nothing."""
        for store in self._decided.values():
            store.close()

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._decide(), verb)

    def _decide(self) -> Store:
        if not self._decided:
            database = self._database()
            found = _configured(self._settings) if database is None else MongoStore(database, reopen=self._database)
            self._decided.setdefault(Store, found)
        return self._decided[Store]

    def _database(self) -> Any:
        try:
            with explained():
                return elixi.database(self._mongodb)
        except elixi.FAULTS as exc:
            raise StoreUnavailable("The host's MongoDB getter failed. Check that MongoDB runs.") from exc
