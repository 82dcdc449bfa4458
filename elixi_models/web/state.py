"""AppState: the one service of a mounted app, built when it is first needed."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ..errors import InvalidSetting, ManagerUnavailable
from ..settings import Settings
from .options import Options

if TYPE_CHECKING:
    from ..manager import ModelManager
    from ..service import ModelService

_log = logging.getLogger("elixi_models.web")


class AppState:
    """Settings, service and manager of one mount in one app; each built once, under a lock, at its first use.

    A failure to build is told as ManagerUnavailable and tried again at the next call. A forked child has a lock of
    its own and a service without the parent's threads and connections. `lock` is held while anything of the mount
    is built.

    Args:
        options: what the host gave.
        config: the app's config, read at the first use; later changes are ignored.
    """

    def __init__(self, options: Options, config: Mapping[str, Any]) -> None:
        self.options = options
        self._config = config
        self.lock = threading.RLock()
        self._settings: Settings | None = None
        self._service: ModelService | None = None
        self._manager: ModelManager | None = None
        self._awake = False
        self._closed = False
        _states.add(self)

    @property
    def settings(self) -> Settings:
        """All settings, read once.

        Raises:
            ManagerUnavailable: one of them cannot be used.
        """
        settings = self._settings
        if settings is None:
            try:
                settings = self._settings = self.options.read_settings(self._config)
            except InvalidSetting as exc:
                _log.error("%s", exc.message)
                # The value stays out of the answer: it may be a URL with a password.
                name = exc.details.get("setting") or "a setting"
                raise ManagerUnavailable(
                    f"elixi-models cannot start: {name} has a value that cannot be used. Correct it and try again."
                ) from exc
        return settings

    @property
    def service(self) -> ModelService:
        """The service, built at the first call; opens no connection.

        Raises:
            ManagerUnavailable: it could not be built, or `close` was called.
        """
        service = self._service
        if service is None:
            with self.lock:
                service = self._service
                if service is None:  # another thread may have built it meanwhile
                    service = self._service = self._build()
        return service

    @property
    def manager(self) -> ModelManager:
        """The host-shaped face of the same service.

        Raises:
            ManagerUnavailable: as `service`.
        """
        from ..manager import ModelManager

        service = self.service
        with self.lock:
            if self._manager is None:
                self._manager = ModelManager(self.options.brain, mongodb=self.options.mongodb, service=service)
            return self._manager

    def _build(self) -> ModelService:
        if self._closed:
            raise ManagerUnavailable("elixi-models was closed in this process.")
        settings = self.settings
        # The broad except is one of three in the package: building calls what the host gave and what the drivers
        # do, and whatever goes wrong there must leave the host's app and our JSON standing.
        try:
            return self.options.build_service(settings)
        except Exception as exc:
            _log.error("The model service could not be built", exc_info=True)
            raise ManagerUnavailable("elixi-models could not start; the next request tries again.") from exc

    def wake(self, prepare: Callable[[], object] = lambda: None) -> None:
        """Build and start the service on a thread of its own, once; returns at once and never raises.

        For the app's first request of any route, which may have nothing to do with models.

        Args:
            prepare: called first on that thread.
        """
        if self._awake or self._closed:
            return
        self._awake = True
        try:
            threading.Thread(target=self._start, args=(prepare,), name="elixi-models-start", daemon=True).start()
        except RuntimeError:
            # No thread to be had now; a request that needs the service starts it itself.
            _log.warning("No thread to start with", exc_info=True)

    def _start(self, prepare: Callable[[], object]) -> None:
        prepare()
        try:
            service = self.service
        except ManagerUnavailable as exc:
            _log.warning("%s", exc.message)
            return
        service.start()
        if self._closed and service is not self.options.service:
            service.close()

    def close(self) -> None:
        """Stop the service's threads and close its connections, unless it was given; idempotent, a few seconds.

        Afterwards every request is answered with MANAGER_UNAVAILABLE.
        """
        self._closed = True
        with self.lock:
            service, self._service, self._manager = self._service, None, None
        if service is not None and service is not self.options.service:
            service.close()

    def reset_after_fork(self) -> None:
        """In a forked child: a lock that nobody holds, and a service that starts anew at the next request."""
        # The inherited lock may be held for ever by a thread that the child does not have.
        self.lock = threading.RLock()
        self._awake = False
        if self._service is not None:
            self._service.reset_after_fork()


_states: WeakSet[AppState] = WeakSet()


def _reset_all() -> None:
    for state in list(_states):
        state.reset_after_fork()


def _close_all() -> None:
    for state in list(_states):
        state.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
atexit.register(_close_all)
