"""What the emulator's package may hold, and what it may import."""

from __future__ import annotations

import ast
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import elixi_models.emulator

from .servers import NUMBERS, recorded

PACKAGE = pathlib.Path(elixi_models.emulator.__file__).parent
SOURCES = {path.name: path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
ONE_WORD = ({"error"}, {"status"})
"""Bodies of these keys alone are the protocol's own words."""
WRITTEN = ("response", "content", "template", "description", "modelfile", "system", "digest", "embedding", "license")
LEAST = 20


def exchanges() -> Iterator[dict[str, Any]]:
    """Every recorded exchange, follow-ups too."""
    for number in NUMBERS:
        for exchange in recorded(number).values():
            yield exchange
            yield from exchange.get("then", [])


def bodies() -> Iterator[Any]:
    """Every recorded body and line that is more than an error or a status."""
    for exchange in exchanges():
        response = exchange["response"]
        told = [response["body"]] if "body" in response else [line[-1] for line in response.get("lines", [])]
        yield from (value for value in told if not (isinstance(value, dict) and set(value) in ONE_WORD))


def texts(value: Any, key: str = "") -> Iterator[str]:
    """What models, people or machines wrote into a body."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from texts(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part, key)
    elif isinstance(value, str) and key in WRITTEN and len(value) >= LEAST:
        yield value.rstrip("…")


def test_no_recorded_body_is_in_the_package() -> None:
    """Answers are computed: no recorded body, nor any text that was written into one, is in the sources."""
    forms = {
        json.dumps(value, **form)
        for value in bodies()
        for form in ({}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False})
    }
    found = {text for value in bodies() for text in texts(value)} | {form for form in forms if len(form) >= LEAST}

    assert len(found) > 500
    assert [text for text in sorted(found) if any(text in source for source in SOURCES.values())] == []


def test_no_other_files_are_in_the_package() -> None:
    """There is no data beside the sources where a recording could be kept."""
    others = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]

    assert others == []


def test_only_the_standard_library_is_imported() -> None:
    """It works where nothing else is installed, and knows nothing of the rest of the package."""
    imported = {name.partition(".")[0] for source in SOURCES.values() for name in _imports(ast.parse(source))}

    assert sorted(imported - set(sys.stdlib_module_names) - {"xllamacpp"}) == []


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1
