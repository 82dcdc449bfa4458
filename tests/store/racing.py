"""A process of its own that races others for the same things, or writes until it is killed.

    python racing.py <what> <recipe...>

Prints `ready`, waits for a line, then prints what it won, or each id as soon as it is acknowledged.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 20


def spawn(what: str, recipe: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start one and wait until it is ready."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); from tests.store.racing import main; main(sys.argv[2:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT), what, *recipe],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def main(arguments: list[str]) -> None:
    """The process."""
    from .media import open_recipe

    what, recipe = arguments[0], tuple(arguments[1:])
    store = open_recipe(recipe)
    store.preference("warm")
    say("ready")
    sys.stdin.readline()
    if what == "write":
        write_for_ever(store)
    for number in range(ROUNDS):
        if RACES[what](store, number):
            say(str(number))
    store.close()


def race_lease(store, number: int) -> bool:  # type: ignore[no-untyped-def]
    return store.take_lease(f"job#{number}", owner=f"{id(store)}", now_s=1000.0, term_s=60.0) is not None


def race_preference(store, number: int) -> bool:  # type: ignore[no-untyped-def]
    return bool(store.put_preference("choice", version=number + 1, value={"n": number}, now_s=1000.0))


def race_job(store, number: int) -> bool:  # type: ignore[no-untyped-def]
    return bool(store.create_job(f"download:u:m#{number}", job(number)))


RACES: dict[str, Callable[..., bool]] = {"lease": race_lease, "preference": race_preference, "job": race_job}


def job(number: int, **more: object) -> dict[str, object]:
    """A job with all that the contract asks for."""
    return {
        "kind": "download",
        "subject": "u:m",
        "number": number,
        "ollama_url": "u",
        "state": "queued",
        "live": True,
        "updated_at_s": float(number),
        **more,
    }


def write_for_ever(store) -> None:  # type: ignore[no-untyped-def]
    """One measurement after the other, each told when it is acknowledged."""
    from elixi_models.records import Measurement

    for number in itertools.count():
        store.add_measurements([Measurement(f"m{number}", 1000.0 + number, "u", "m", "chat", "ok", 1.0)])
        say(f"m{number}")


def say(text: str) -> None:
    print(text, flush=True)
