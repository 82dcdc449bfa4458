"""All that knows the host: its base classes, its log and monitor, the forms of its database, its brain.

The host's `stage5_base` and `stage5_utils` are used where they can be imported, the very same classes, so that
`isinstance` holds there; elsewhere private equivalents. Modules of those names are never installed by us. An
ImportError from inside the host's modules is the host's to see and is raised on.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import threading
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from . import analyzer
from .errors import ElixiModelsError
from .settings import normalise_url

Reply = Callable[[str, str, "float | None"], "str | None"]

FAULTS = (
    ElixiModelsError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What code that is not under our control raises when it is broken, and ours when we are."""


def _host_module(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name:
            raise
        return None


_base = _host_module("stage5_base")
_utils = _host_module("stage5_utils")

BaseAnalyzer = getattr(_base, "BaseAnalyzer", None) or analyzer.BaseAnalyzer
AnalysisResult = getattr(_base, "AnalysisResult", None) or analyzer.AnalysisResult

_monitor_lock = threading.Lock()


def log(level: str, component: str, message: str, details: Any = None) -> None:
    """Write a line to the host's log, else to `logging`; never raises.

    Args:
        level: debug, info, warning or error.
        details: Plain values; anything else is written as its text.

    Made ASCII on the way: the host prints, and a Windows console takes no more.
    """
    text = message.encode("ascii", "backslashreplace").decode()
    logger = getattr(_utils, "Logger", None)
    if logger is None:
        logging.getLogger(f"elixi_models.{component}").log(logging.getLevelName(level.upper()), text)
        return
    try:
        plain = None if details is None else json.loads(json.dumps(details, default=str))
        getattr(logger, level)(component, text, plain)
    except FAULTS:
        logging.getLogger(__name__).debug("the host's log failed", exc_info=True)


class ComponentLogger:
    """A logger in the host's manner: `logger.info(message, details)`."""

    def __init__(self, component: str) -> None:
        self.debug = functools.partial(log, "debug", component)
        self.info = functools.partial(log, "info", component)
        self.warning = functools.partial(log, "warning", component)
        self.error = functools.partial(log, "error", component)


def record_performance(name: str, duration_ms: float, success: bool) -> None:
    """Count a call in the host's PerformanceMonitor, where there is one; never raises."""
    find_monitor = getattr(_base, "get_performance_monitor", None)
    if find_monitor is None:
        return
    try:
        with _monitor_lock:  # the host's monitor is not thread-safe
            find_monitor().record(name, duration_ms, success)
    except FAULTS:
        logging.getLogger(__name__).debug("the host's monitor failed", exc_info=True)


def database(mongodb: object) -> Any:
    """The Database behind any form of the host's `mongodb` argument, or None.

    A Database, a wrapper with `.db`, or a callable that gives either; a URI is None here. It is never truth-tested:
    pymongo's Database raises on that. Calls the callable, whose errors are raised on.
    """
    if mongodb is None or isinstance(mongodb, str):
        return None
    if _is_database(mongodb):
        return mongodb
    # A class with `.db` is a callable all the same.
    inner = None if isinstance(mongodb, type) else getattr(mongodb, "db", None)
    if inner is not None:
        return inner if _is_database(inner) else None
    return database(mongodb()) if callable(mongodb) else None


def _is_database(value: object) -> bool:
    # Of the class: a pymongo Database answers to any name itself, with a collection.
    return hasattr(type(value), "list_collection_names") and hasattr(type(value), "get_collection")


class CacheAdapter:
    """What the host's CacheManager wants as its `mongodb`: true, and the Database is at `.db`."""

    def __init__(self, mongodb: object) -> None:
        self._mongodb = mongodb

    @functools.cached_property
    def db(self) -> Any:
        """The Database, found at the first use: the host's getter may connect."""
        return database(self._mongodb)


def cache_adapter(mongodb: object) -> CacheAdapter | None:
    """An adapter for any form of `mongodb` but None and a URI, which have no Database yet."""
    return None if mongodb is None or isinstance(mongodb, str) else CacheAdapter(mongodb)


class BrainLink:
    """The host's brain, which may come late, be a stand-in, or not be there at all. Thread-safe; never raises.

    Args:
        brain: The brain, or a callable that gives it: called at the first need, and again while it gives None or fails.
    """

    def __init__(self, brain: object = None) -> None:
        self._given = brain
        self._found: object = None
        self._wish: tuple[Reply, Callable[[], bool]] | None = None
        self._originals: dict[str, Any] = {}
        self._replaced: dict[str, Any] = {}
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """A fresh lock; the brain and its wrapping stay."""
        self._lock = threading.RLock()

    @property
    def brain(self) -> Any:
        """The brain, or None while there is none."""
        if self._found is not None or self._given is None:
            return self._found
        with self._lock:
            if self._found is None:
                self._found = self._resolve()
                self._apply_wish()
            return self._found

    def model(self) -> str | None:
        """The name in `brain.model`; None where it is no text."""
        value = self._attribute("model")
        return value if isinstance(value, str) and value else None

    def set_model(self, installed_name: str) -> None:
        """Tell the brain which model to use, by the exact installed name."""
        brain = self.brain
        if brain is None:
            return
        try:
            brain.model = installed_name
        except FAULTS as exc:
            log("warning", "ModelManager", f"The brain does not take a model: {exc!r}")

    def api_url(self) -> str | None:
        """The server in `brain.api_url`; None where it is no text."""
        value = self._attribute("api_url")
        return value if isinstance(value, str) and value else None

    def server_url(self) -> str | None:
        """`api_url` in the form that settings have; None where there is none that could be used."""
        url = self.api_url()
        try:
            return None if url is None else normalise_url(url)
        except ValueError:
            return None

    def timeout_s(self) -> float | None:
        """The brain's own timeout; None where it is no positive number."""
        value = self._attribute("timeout")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(value) if number and value > 0 else None

    def wrap(self, *, reply: Reply, available: Callable[[], bool]) -> None:
        """Have the brain answer through us, as soon as there is one; a second call does nothing.

        Only a brain with a model by name is wrapped, on the instance, and only the two methods that it has. An error
        of ours, or arguments that we do not know, go to the method that was there before.

        Args:
            reply: Called with prompt, context and timeout in seconds or None; gives the text, None for a failure.
            available: Whether the brain could reply now.
        """
        with self._lock:
            if self._wish is None:
                self._wish = (reply, available)
                if self._found is not None:
                    self._apply_wish()
                else:
                    _ = self.brain

    def unwrap(self) -> None:
        """Give the brain its own methods back. Idempotent.

        Where somebody wrapped ours in turn, ours stays below and hands everything on.
        """
        with self._lock:
            self._wish = None
            for name, ours in self._replaced.items():
                if vars(self._found).get(name) is not ours:
                    continue
                if name in self._originals:
                    setattr(self._found, name, self._originals[name])
                else:
                    delattr(self._found, name)
            self._replaced, self._originals = {}, {}

    def _resolve(self) -> object:
        given = self._given
        is_getter = callable(given) and (isinstance(given, type) or not hasattr(given, "generate_reply"))
        if not is_getter:
            return given
        try:
            return given()  # type: ignore[operator]
        except FAULTS as exc:
            logging.getLogger(__name__).debug("the brain's getter failed: %r", exc)
            return None

    def _attribute(self, name: str) -> Any:
        try:
            return getattr(self.brain, name, None)
        except FAULTS:
            return None

    def _apply_wish(self) -> None:
        if self._wish is None or self._found is None or self._replaced or self.model() is None:
            return
        reply, available = self._wish

        def generate_reply(prompt: str, context: str = "", timeout: float | None = None) -> str | None:
            return reply(prompt, context, timeout)

        def is_available() -> bool:
            return available()

        for ours in (generate_reply, is_available):
            self._replace(ours)

    def _replace(self, ours: Callable[..., Any]) -> None:
        name = ours.__name__
        original = self._attribute(name)
        if not callable(original) or not hasattr(self._found, "__dict__"):
            return
        signature = inspect.signature(ours)

        @functools.wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:
            if self._wish is None:
                return original(*args, **kwargs)
            try:
                signature.bind(*args, **kwargs)
                return ours(*args, **kwargs)
            except FAULTS as exc:
                log("warning", "ModelManager", f"{name} goes to the brain itself: {type(exc).__name__}")
                return original(*args, **kwargs)

        if name in vars(self._found) or not hasattr(type(self._found), name):
            self._originals[name] = original
        try:
            setattr(self._found, name, method)
        except FAULTS:
            self._originals.pop(name, None)
            return
        self._replaced[name] = method
