"""The one way to the Ollama server, through its official client; every failure becomes one of ours.

The only module that knows `ollama` and httpx. Both are imported at the first use, in any version from 0.3.3 on.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import logging
import os
import ssl
import threading
from collections.abc import Generator, Iterator, Mapping
from types import EllipsisType
from typing import TYPE_CHECKING, Any, cast

from ..errors import ElixiModelsError, OllamaError
from ..inventory import InstalledModel, LoadedModel
from ..records import PullEvent, ReplyEvent
from ..settings import Settings
from . import answers
from .attempt import Attempt
from .cancellation import Cancellation, Deadline, SocketStop
from .failures import Action

if TYPE_CHECKING:
    import httpx
    import ollama

_log = logging.getLogger(__name__)

PULL_SILENCE_S = 3600.0
"""How long a pull may send nothing: the server is silent while it verifies, minutes for tens of gigabytes."""


class OllamaGateway:
    """All that is asked of one Ollama server. Thread-safe; nothing is imported or opened before the first call.

    Every method blocks until the server answered, at most for its timeout, and raises only `ElixiModelsError`s:
    `OllamaUnavailable`, `OllamaTimeout` and `OllamaError` are possible everywhere, others where they are named. A
    `cancellation`, from any thread, ends a call at once with `Cancelled`, and the server drops the work; closing an
    iterator, in the thread that reads it, does the same.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.ollama_url
        self._settings = settings
        self._keep_alive = _keep_alive(settings.keep_alive)
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget the parent's connections without touching them."""
        self._lock = threading.Lock()
        self._closing = Cancellation()
        self._shared: dict[float, ollama.Client] = {}
        self._pid = os.getpid()

    def close(self) -> None:
        """End loads, pulls and replies under way and close all connections; later calls raise `Cancelled`."""
        self._closing.cancel()
        with self._lock:
            clients, self._shared = list(self._shared.values()), {}
        for client in clients:
            client._client.close()

    def version(self) -> str:
        """The server's version; `0.0.0` for development builds."""
        with self._control("read") as client:
            return answers.version(_fetch(client, "/api/version"))

    def installed(self) -> list[InstalledModel]:
        """What `tags` lists, newest first; capabilities and weights digest are None (`complete` adds them)."""
        # The client's own `list` drops what tells a cloud model from a local one.
        with self._control("read") as client:
            return answers.installed_models(_fetch(client, "/api/tags"))

    def complete(self, model: InstalledModel) -> InstalledModel:
        """The model with what `show` knows about it. Raises `ModelNotInstalled` when it is gone."""
        with self._control("show", model.name) as client:
            return answers.completed(model, answers.plain(client.show(model.name)))

    def loaded(self) -> list[LoadedModel]:
        """What `ps` lists. `OllamaTimeout` is common while a model is being loaded and means unknown, not down."""
        with self._control("read", timeout_s=self._settings.ps_timeout_s) as client:
            return answers.loaded_models(answers.plain(client.ps()))

    def load(self, name: str, *, cancellation: Cancellation | None = None) -> None:
        """Load a model and wait until it is resident, at most `load_timeout_s`.

        Raises:
            ModelNotInstalled, CannotChat, OutOfMemory, LoadFailed, OllamaBusy: as the server says.
        """
        with self._dedicated(self._attempt("load", name, self._settings.load_timeout_s, cancellation)) as client:
            answers.expect_done(answers.plain(client.generate(model=name, keep_alive=self._keep_alive)))

    def unload(self, name: str) -> None:
        """Ask the server to drop a model, loaded or not; it does so once nobody uses it. Raises `ModelNotInstalled`."""
        with self._control("unload", name) as client:
            answers.expect_done(answers.plain(client.generate(model=name, keep_alive=0)))

    def delete(self, name: str) -> None:
        """Remove an installed model; a loaded one stays in memory. Raises `ModelNotInstalled`."""
        with self._control("delete", name) as client:
            client.delete(name)

    def pull(self, name: str, *, cancellation: Cancellation | None = None) -> Iterator[PullEvent]:
        """Download a model; the events end with status `success`. Nothing is sent before the first `next()`.

        The server keeps what it has of one that was ended, and repeats its last line while one stands still.

        Raises:
            ModelNotFound, InsufficientStorage, DigestMismatch, RegistryUnreachable, RegistryDenied, OllamaBusy,
            InvalidRequest: as the server says.
            OllamaUnavailable: also for a stream that ends without `success` (reason `disconnected`).
        """
        attempt = self._attempt("pull", name, PULL_SILENCE_S, cancellation)
        with self._dedicated(attempt) as client:
            with contextlib.closing(cast("Any", client.pull(name, stream=True))) as parts:
                for part in parts:
                    event = answers.pull_event(answers.plain(part))
                    yield event
                    if event.status == "success":
                        return
            raise attempt.ended_by_us() or attempt.disconnected()

    def generate(
        self,
        name: str,
        prompt: str,
        *,
        options: Mapping[str, Any] | None = None,
        keep_alive: str | float | EllipsisType | None = ...,
        think: bool | None = None,
        schema: Mapping[str, Any] | None = None,
        timeout_s: float,
        cancellation: Cancellation | None = None,
    ) -> Iterator[ReplyEvent]:
        """Stream a reply; the last event has `done`. Nothing is sent before the first `next()`.

        Args:
            options: Ollama's options, sent only when given; the server ignores those it does not know.
            keep_alive: By default the setting; None sends none.
            think: Sent only when given; False switches off what newer servers do by default.
            schema: The JSON schema that the server holds the reply to.
            timeout_s: For the whole reply, loading included.

        Raises:
            ModelNotInstalled, CannotChat, OutOfMemory, LoadFailed, OllamaBusy, InvalidRequest: as the server says.
            OllamaUnavailable: also when the stream ends without `done` (reason `disconnected`).
        """
        kept = self._keep_alive if keep_alive is ... else keep_alive
        wishes = {"keep_alive": kept, "options": dict(options) if options else None, "think": think, "format": schema}
        request = {"model": name, "prompt": prompt, **{key: wish for key, wish in wishes.items() if wish is not None}}
        with contextlib.closing(Deadline(timeout_s)) as deadline:
            attempt = self._attempt("generate", name, timeout_s, deadline, cancellation)
            with self._dedicated(attempt) as client:
                with contextlib.closing(_reply_parts(client, request)) as parts:
                    for part in parts:
                        deadline.arm()
                        event = answers.reply_event(answers.plain(part))
                        yield event
                        if event.done:
                            return
                raise attempt.ended_by_us() or attempt.disconnected()

    def _attempt(self, action: Action, model: str | None, timeout_s: float, *switches: Cancellation | None) -> Attempt:
        if self._pid != os.getpid():
            self.reset_after_fork()
        given = tuple(switch for switch in (self._closing, *switches) if switch is not None)
        return Attempt(self.url, action, model, timeout_s, given)

    @contextlib.contextmanager
    def _control(
        self, action: Action, model: str | None = None, timeout_s: float | None = None
    ) -> Iterator[ollama.Client]:
        """A client that short calls share, its connections kept; failures inside the block become ours."""
        timeout_s = self._settings.control_timeout_s if timeout_s is None else timeout_s
        with _translated(self._attempt(action, model, timeout_s)):
            with self._lock:
                client = self._shared.get(timeout_s)
                if client is None:
                    client = self._shared[timeout_s] = self._connect(timeout_s)
            yield client

    @contextlib.contextmanager
    def _dedicated(self, attempt: Attempt) -> Iterator[ollama.Client]:
        """A client with one connection of its own, which the attempt's switches end; failures become ours."""
        with _translated(attempt), contextlib.ExitStack() as stack:
            stop = SocketStop()
            client = self._connect(attempt.timeout_s, stop)
            stack.callback(client._client.close)
            for switch in attempt.switches:
                stack.enter_context(switch.on_cancel(stop.stop))
            yield client

    def _connect(self, timeout_s: float, stop: SocketStop | None = None) -> ollama.Client:
        """A client, not connected yet; `stop` learns of the connection as soon as there is one."""
        import httpx
        import ollama

        client = ollama.Client(
            host=self.url,
            timeout=httpx.Timeout(timeout_s, connect=min(self._settings.connect_timeout_s, timeout_s)),
            limits=httpx.Limits(max_connections=None),
            verify=_tls_context(self.url.startswith("https:")),
            trust_env=False,
            follow_redirects=False,
            event_hooks={"request": [] if stop is None else [stop.watch]},
        )
        # The client adds OLLAMA_API_KEY, which is meant for Ollama's cloud, to whatever host it talks to.
        client._client.headers.pop("authorization", None)
        return client


@functools.cache
def _tls_context(secure: bool) -> ssl.SSLContext:
    # One for all clients: reading the system's certificates takes 14 ms, and plain HTTP needs none.
    return ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextlib.contextmanager
def _translated(attempt: Attempt) -> Iterator[None]:
    """Raise what the client raises inside the block as an error of ours; the original stays in the debug log."""
    attempt.check()
    failures = _client_failures()
    try:
        yield
    except failures as exc:
        _log.debug("%s of %s at %s failed: %r", attempt.action, attempt.model, attempt.url, exc)
        raise attempt.ended_by_us() or _explained(exc, attempt) from exc


def _client_failures() -> tuple[type[Exception], ...]:
    """All that the client is known to raise: odd answers come out as attribute, type and value errors."""
    try:
        import httpx
        import ollama
    except (ImportError, ValueError) as exc:
        # Importing it builds a client of its own from OLLAMA_HOST and the proxy variables.
        raise OllamaError(
            "The ollama client cannot be loaded. Check OLLAMA_HOST and the proxy variables of this process.",
            reason="client",
        ) from exc
    own = (ollama.ResponseError, ollama.RequestError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
    return (*own, OSError, ValueError, TypeError, AttributeError, RuntimeError)


def _explained(exc: Exception, attempt: Attempt) -> ElixiModelsError:
    import httpx
    import ollama

    if isinstance(exc, ollama.ResponseError):
        return attempt.refused(str(exc.error or ""), exc.status_code)
    if isinstance(exc, (httpx.ConnectError, httpx.ConnectTimeout, ConnectionError)):
        return attempt.unreachable()
    if isinstance(exc, httpx.TimeoutException):
        return attempt.timed_out()
    if isinstance(exc, httpx.TransportError):
        return attempt.disconnected()
    return attempt.misunderstood()


def _fetch(client: ollama.Client, path: str) -> Any:
    response = client._client.get(path)
    _check_status(response)
    return response.json()


def _check_status(response: httpx.Response) -> None:
    import ollama

    if not response.is_success:
        response.read()
        raise ollama.ResponseError(response.text, response.status_code)


def _reply_parts(client: ollama.Client, request: Mapping[str, Any]) -> Generator[Any, None, None]:
    """The parts of a streamed reply; by hand where the client, as 0.3.x, knows neither `think` nor schemas."""
    import ollama

    if not {"think", "format"} & request.keys() or "think" in inspect.signature(client.generate).parameters:
        yield from client.generate(stream=True, **request)
        return
    with client._client.stream("POST", "/api/generate", json={**request, "stream": True}) as response:
        _check_status(response)
        for line in response.iter_lines():
            part = json.loads(line)
            if part.get("error"):
                raise ollama.ResponseError(part["error"])
            yield part


def _keep_alive(text: str) -> str | float:
    # Ollama takes bare numbers (-1 is for ever) only as numbers.
    with contextlib.suppress(ValueError):
        return float(text)
    return text
