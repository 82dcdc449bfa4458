"""The commands: list, status, switch, pull, recommend, benchmark; the same under `flask elixi-models` and alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from .. import reasons, shapes
from ..errors import ElixiModelsError, ModelNotInstalled
from ..messages import message_for
from ..names import ModelName
from ..records import BenchmarkJob, DownloadJob
from .responses import ok, refused

if TYPE_CHECKING:
    from ..service import ModelService

_POLL_S = 0.5
_BAR_WIDTH = 30

FindService = Callable[[], "ModelService"]


@dataclass(frozen=True, slots=True)
class Output:
    """What a command found: `data` and `message` as over HTTP, `lines` for people; `failed` sets the exit code."""

    data: Any
    message: str = ""
    lines: Iterable[str] = ()
    failed: bool = False


def commands_for(find_service: FindService) -> list[click.Command]:
    """The commands over a way to get the service, which each calls when it runs.

    Each prints for people, or with `--json` the envelope of the HTTP route; the exit code is 1 on any failure.
    """
    return [
        click.Command(
            name,
            params=[
                *params,
                click.Option(["--json", "as_json"], is_flag=True, help="Print what the HTTP route answers."),
            ],
            callback=partial(_run, action, find_service),
            help=action.__doc__,
        )
        for name, (action, params) in _COMMANDS.items()
    ]


def inside_app(command: click.Command) -> click.Command:
    """The same command with Flask's app context pushed while it runs."""
    from flask.cli import with_appcontext

    if command.callback is not None:
        command.callback = with_appcontext(command.callback)
    return command


def _run(action: Callable[..., Output], find_service: FindService, as_json: bool, **arguments: Any) -> None:
    show: Callable[[str], None] = (lambda text: None) if as_json else partial(click.echo, err=True)
    try:
        output = action(find_service(), show, **arguments)
        answer = ok(output.data, output.message)
    except ElixiModelsError as exc:
        if not as_json:
            raise click.ClickException(exc.message) from exc
        output, answer = Output(None, failed=True), refused(exc)
    if as_json:
        click.echo(answer.body.decode(), nl=False)
    else:
        for line in (*output.lines, *([output.message] if output.message else [])):
            click.echo(line)
    if output.failed:
        raise click.exceptions.Exit(1)


def _list(service: ModelService, show: Callable[[str], None], available: bool) -> Output:
    """Installed models, or with --available those that can be downloaded."""
    data = shapes.inventory(service.available())
    rows = (
        [_available_row(entry) for entry in data["available"]]
        if available
        else list(map(_installed_row, data["installed"]))
    )
    return Output(data, lines=rows or ["Nothing is installed. Try: pull llama3.2:1b"])


def _installed_row(card: dict[str, Any]) -> str:
    mark = "*" if card["active"] else "+" if card["loaded"] else " "
    speed = card["performance"]["tokens_per_second"]
    rate = f"{speed:.1f} tokens/s" if speed is not None else ""
    return f"{mark} {card['name']:<36} {card['size'] or '':>8} {card['disk_size'] or '':>10}  {rate}".rstrip()


def _available_row(entry: dict[str, Any]) -> str:
    return f"  {entry['name']:<36} {entry['size'] or '':>8} {entry['disk_size'] or '':>10}".rstrip()


def _status(service: ModelService, show: Callable[[str], None]) -> Output:
    """The active model and what is under way."""
    data = shapes.status(service.status())
    performance, usage = data["performance"], data["resource_usage"]
    lines = [
        f"model     {data['current_model'] or 'none'}",
        f"state     {data['status']}",
        f"speed     {_or_unknown(performance['tokens_per_second'], 'tokens/s')}",
        f"latency   {_or_unknown(performance['avg_latency_ms'], 'ms')}",
        f"memory    {_or_unknown(usage['memory_mb'], 'MB')}",
        f"requests  {performance['total_requests']}",
    ]
    lines += [f"download  {job['model_name']} {job['progress']} %" for job in data["downloads"]]
    return Output(data, lines=lines)


def _or_unknown(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value} {unit}"


def _switch(service: ModelService, show: Callable[[str], None], model: str, pull: bool) -> Output:
    """Make a model the active one, and wait until it is."""
    name = ModelName.parse(model, field="MODEL")
    wait_s = service.settings.load_timeout_s
    try:
        result = service.switch(name, wait_s=wait_s)
    except ModelNotInstalled:
        if not pull:
            raise
        job = _follow_download(service, service.download(name), show)
        if job.state != "installed":
            return Output(shapes.download(job), message_for(job), failed=True)
        result = service.switch(name, wait_s=wait_s)
    return Output(shapes.activation(result), message_for(result), failed=result.state != "active")


def _pull(service: ModelService, show: Callable[[str], None], model: str, update: bool) -> Output:
    """Download a model, and wait until it is installed."""
    name = ModelName.parse(model, field="MODEL")
    job = _follow_download(service, service.download(name, update=update), show)
    data = shapes.download(job, service.install_path(job))
    return Output(data, message_for(job), failed=job.state != "installed")


def _follow_download(service: ModelService, job: DownloadJob, show: Callable[[str], None]) -> DownloadJob:
    name = ModelName.parse(job.model)
    pause = threading.Event()
    shown = ""
    while job.live:
        line = _bar(job)
        if line != shown:
            show(line)
            shown = line
        pause.wait(_POLL_S)
        job = service.download_status(name)
    return job


def _bar(job: DownloadJob) -> str:
    data = shapes.download(job)
    filled = "#" * (_BAR_WIDTH * data["progress"] // 100)
    left = data["estimated_time_seconds"]
    rest = "" if left is None else f"  {left} s left"
    return (
        f"{data['status']:<12} [{filled:<{_BAR_WIDTH}}] {data['progress']:>3} % of {data['download_size'] or '?'}{rest}"
    )


def _recommend(
    service: ModelService, show: Callable[[str], None], task: str | None, prompt: str | None, needs: tuple[str, ...]
) -> Output:
    """The model that should take a task or a prompt, and why."""
    choice = service.recommend(task, prompt, needs=needs)
    return Output(shapes.choice(choice), reasons.why_text(choice))


def _benchmark(service: ModelService, show: Callable[[str], None], model: str, suite: str) -> Output:
    """Measure a model, and wait for the result."""
    name = ModelName.parse(model, field="MODEL")
    job = _follow_benchmark(service, service.benchmark(name, suite=suite), show)
    data = shapes.benchmark(job)
    return Output(data, message_for(job), _result_lines(data), failed=job.state not in ("ok", "partial"))


def _result_lines(data: dict[str, Any]) -> list[str]:
    """The speed and the scores of a benchmark, as far as it came."""
    if data["report"] is None:
        return []
    speed = data["report"]["speed"]
    lines = [
        f"speed        {_or_unknown(speed['decode_tokens_per_second']['value'], 'tokens/s')}",
        f"first token  {_or_unknown(speed['first_token_ms']['value'], 'ms')}",
    ]
    for task, score in (data["scores"] or {}).items():
        low, high = score["ci90"]
        lines.append(f"{task:<11} {score['score']:5} of 100, 90 % sure of {low} to {high}, {score['n']} questions")
    return lines


def _follow_benchmark(service: ModelService, job: BenchmarkJob, show: Callable[[str], None]) -> BenchmarkJob:
    name = ModelName.parse(job.model)
    pause = threading.Event()
    done_items = -1
    while job.live:
        if job.done_items != done_items:
            done_items = job.done_items
            show(f"{job.state:<12} {done_items} of {job.total_items}")
        pause.wait(_POLL_S)
        job = service.benchmark_status(name)
    return job


_MODEL = click.Argument(["model"])

_COMMANDS: dict[str, tuple[Callable[..., Output], list[click.Parameter]]] = {
    "list": (_list, [click.Option(["--available"], is_flag=True, help="What can be downloaded.")]),
    "status": (_status, []),
    "switch": (_switch, [_MODEL, click.Option(["--pull"], is_flag=True, help="Download it first if need be.")]),
    "pull": (_pull, [_MODEL, click.Option(["--update"], is_flag=True, help="Pull an installed model again.")]),
    "recommend": (
        _recommend,
        [
            click.Option(["--task"], help="Task, for example coding."),
            click.Option(["--prompt"], help="A message to choose for."),
            click.Option(["--needs"], multiple=True, help="A capability it takes, for example vision."),
        ],
    ),
    "benchmark": (_benchmark, [_MODEL, click.Option(["--suite"], default="quick", show_default=True)]),
}
