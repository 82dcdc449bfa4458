"""`elixi-models`: serve, demo and emulator, and the verbs of the service for people and scripts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .emulator.versions import VERSIONS
from .errors import InvalidSetting
from .web.commands import commands_for

if TYPE_CHECKING:
    from .service import ModelService

_DEFAULT_PORT = 5050


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the SQLite file."),
        click.option("--mongodb-uri", help="MongoDB to store in, instead of the SQLite file."),
        click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
        click.option("--port", default=_DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535)),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="elixi-models")
def main() -> None:
    """List, switch, download, measure and choose local Ollama models."""


def _own_service() -> ModelService:
    """A service over what the environment says, closed when the command ends; it shows what the apps show."""
    from .service import ModelService
    from .settings import Settings

    service = ModelService(Settings.load())
    click.get_current_context().call_on_close(service.close)
    return service


for _command in commands_for(_own_service):
    main.add_command(_command)


@main.command()
@_options
@click.option("--ollama-url", help="Base URL of the Ollama server.  [default: OLLAMA_API_URL or 127.0.0.1:11434]")
def serve(host: str, port: int, data_dir: Path | None, mongodb_uri: str | None, ollama_url: str | None) -> None:
    """Run the dashboard and the API, without a host application."""
    _serve(host, port, data_dir=data_dir, mongodb_uri=mongodb_uri, ollama_url=ollama_url)


@main.command()
@_options
@click.option("--ollama-url", help="Use this Ollama instead of an emulated one.")
def demo(host: str, port: int, data_dir: Path | None, mongodb_uri: str | None, ollama_url: str | None) -> None:
    """Run everything, with a chat route, over an emulated Ollama: nothing else needs to be installed."""
    from . import demo as parts

    with tempfile.TemporaryDirectory(prefix="elixi-models-demo-", ignore_cleanup_errors=True) as folder:
        settings: dict[str, Any] = {"data_dir": data_dir or Path(folder), "mongodb_uri": mongodb_uri}
        if ollama_url:
            _serve(host, port, chat=True, ollama_url=ollama_url, **settings)
            return
        weights = parts.real_weights()
        with parts.emulate(weights) as ollama:
            click.echo(f"Emulated Ollama at {ollama.url}: {parts.introduce(weights)}")
            _serve(
                host,
                port,
                chat=True,
                ollama_url=ollama.url,
                registry_url=ollama.url,
                configured_model=parts.REAL_MODEL,
                **settings,
            )


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=11434, show_default=True, type=click.IntRange(0, 65535))
@click.option("--as-version", default="0.33.0", show_default=True, type=click.Choice(sorted(VERSIONS)))
@click.option("--gguf", multiple=True, metavar="NAME=FILE", help="Install a model with real weights; may be repeated.")
@click.option("--model", multiple=True, metavar="NAME", help="Install a model with scripted answers; may be repeated.")
def emulator(host: str, port: int, as_version: str, gguf: tuple[str, ...], model: tuple[str, ...]) -> None:
    """Run an emulated Ollama alone, for tests and for machines without an Ollama."""
    import signal
    import threading

    from .emulator import OllamaEmulator

    weights = dict(map(_named_file, gguf))
    ended = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: ended.set())
    try:
        with OllamaEmulator([*weights, *model], version=as_version, host=host, port=port, gguf=weights) as ollama:
            click.echo(f"Emulated Ollama {as_version} at {ollama.url}")
            while not ended.wait(3600):
                pass
    except OSError as exc:
        raise click.ClickException(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc


def _named_file(option: str) -> tuple[str, Path]:
    name, separator, file = option.partition("=")
    path = Path(file).expanduser()
    if not name or not separator or not path.is_file():
        raise click.BadParameter(f"expected NAME=FILE with a file that exists: {option}", param_hint="--gguf")
    return name, path


def _serve(host: str, port: int, *, chat: bool = False, **overrides: Any) -> None:
    from flask import Flask, redirect

    from .demo import add_chat
    from .serving import run
    from .settings import Settings
    from .web.extension import ElixiModels

    try:
        settings = Settings.load(**overrides)
    except InvalidSetting as exc:
        raise click.ClickException(exc.message) from exc
    app = Flask("elixi_models.server")
    extension = ElixiModels(settings=settings)
    extension.init_app(app)
    app.add_url_rule("/", "home", lambda: redirect("ai/dashboard"))
    if chat:
        add_chat(app, extension.manager)

    def announce(url: str) -> None:
        click.echo(f"Dashboard: {url}/ai/dashboard")
        click.echo(f"API:       {url}/ai/available-models")
        if chat:
            click.echo(f'Chat:      curl -d \'{{"prompt": "Hello"}}\' {url}/chat')
        extension.manager.service.start()

    try:
        run(app, host=host, port=port, announce=announce, on_stop=extension.close)
    except OSError as exc:
        raise click.ClickException(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
