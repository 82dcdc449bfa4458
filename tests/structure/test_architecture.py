"""The shape of the package: what may import what, how long things are, and what an import costs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import elixi_models

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "elixi_models"
MODULES = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {path: ast.parse(text) for path, text in MODULES.items()}
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_BROAD_EXCEPTS = 3
HEAVY = ("flask", "werkzeug", "ollama", "httpx", "pymongo", "bson", "requests", "psutil", "blinker", "jinja2")

#: Library → the only modules that may import it, as path beginnings.
HOMES = {
    "ollama": ("elixi_models/upstream/gateway",),
    "httpx": ("elixi_models/upstream/gateway",),
    "psutil": ("elixi_models/upstream/resources.py",),
    "requests": ("elixi_models/upstream/registry.py",),
    "pymongo": ("elixi_models/store/mongo",),
    "bson": ("elixi_models/store/mongo",),
    "blinker": ("elixi_models/signals.py",),
    "sqlite3": ("elixi_models/store/",),
    "flask": ("elixi_models/web/", "elixi_models/cli.py", "elixi_models/demo.py", "elixi_models/serving.py"),
    "werkzeug": ("elixi_models/web/", "elixi_models/cli.py", "elixi_models/demo.py", "elixi_models/serving.py"),
    "xllamacpp": ("elixi_models/emulator/",),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def run_python(code: str) -> str:
    """What a fresh interpreter prints, with the package that this one has."""
    source = str(Path(elixi_models.__file__).resolve().parents[1])
    prelude = f"import sys; sys.path.insert(0, {source!r})\n"
    answer = subprocess.run(
        [sys.executable, "-c", prelude + code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def functions() -> Iterator[tuple[str, Function]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield path, node


def imported(tree: ast.AST) -> Iterator[str]:
    """The top names of everything from elsewhere that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_import_contracts_are_kept() -> None:
    """import-linter's contracts of setup.cfg: layers, features apart, the emulator alone, one library one module."""
    told = run_python(
        "from importlinter.cli import lint_imports\n"
        "raise SystemExit(lint_imports(config_filename='setup.cfg', no_cache=True, no_logo=True))"
    )
    assert "0 broken" in told, told


def test_no_module_is_longer_than_three_hundred_lines() -> None:
    """A module that grows past that holds two things."""
    long = {path: len(text.splitlines()) for path, text in MODULES.items() if len(text.splitlines()) > MAX_MODULE_LINES}
    assert not long


def test_no_function_is_longer_than_sixty_lines() -> None:
    """From `def` to its last line, docstring included."""
    lengths = {f"{path}:{node.name}": (node.end_lineno or 0) - node.lineno + 1 for path, node in functions()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def broad_handlers() -> list[tuple[str, int, bool]]:
    """Path, line and whether a reason is given, of each handler that catches everything."""
    found = []
    for path, tree in TREES.items():
        docstrings = {
            line: ast.get_docstring(node) or ""
            for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            for line in range(node.lineno, (node.end_lineno or 0) + 1)
            if "broad except" in (ast.get_docstring(node) or "")
        }
        lines = MODULES[path].splitlines()
        for statement in ast.walk(tree):
            if not isinstance(statement, ast.Try):
                continue
            for handler in statement.handlers:
                if is_broad(handler):
                    above = lines[statement.lineno - 2].strip()
                    found.append((path, handler.lineno, above.startswith("#") or handler.lineno in docstrings))
    return found


def is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds
    )


def test_broad_excepts_are_few_and_each_says_why() -> None:
    """At most three in the whole package, each with a comment above its `try` or a word in its docstring."""
    found = broad_handlers()
    assert len(found) <= MAX_BROAD_EXCEPTS, found
    assert [entry for entry in found if not entry[2]] == []


@pytest.mark.parametrize("library", sorted(HOMES))
def test_one_library_is_imported_in_one_place(library: str) -> None:
    """Also inside functions and under TYPE_CHECKING."""
    users = {path for path, tree in TREES.items() if library in imported(tree)}
    assert {path for path in users if not path.startswith(HOMES[library])} == set()


@pytest.mark.parametrize(
    "code",
    ["import elixi_models", "from elixi_models import ElixiModelsError, Settings", "from elixi_models import attach"],
)
def test_an_import_loads_no_library(code: str) -> None:
    """Neither the door nor what a host imports beside its own handler loads anything heavy."""
    told = run_python(f"{code}\nimport json; print(json.dumps(sorted(sys.modules)))")
    assert set(HEAVY) & set(json.loads(told)) == set()


def test_building_a_manager_loads_no_library() -> None:
    """The libraries come with the first method."""
    told = run_python(
        "from elixi_models import ModelManager\nmanager = ModelManager()\n"
        "import json; print(json.dumps(sorted(sys.modules)))\nmanager.close()"
    )
    assert set(HEAVY) & set(json.loads(told)) == set()


def test_the_door_is_small_and_opens() -> None:
    """The names that others rely on are there, and no more than ten in all."""
    told = run_python(
        "from elixi_models import ModelManager, create_model_manager, create_blueprint, attach, ElixiModels\n"
        "import elixi_models\n"
        "assert all(hasattr(elixi_models, name) for name in elixi_models.__all__)\n"
        "print(len(elixi_models.__all__))"
    )
    assert int(told) <= 10


def test_a_name_that_the_door_does_not_have_is_an_attribute_error() -> None:
    """As for any module, and `dir` shows what there is."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        elixi_models.Nothing  # noqa: B018
    assert set(elixi_models.__all__) <= set(dir(elixi_models))


def texts() -> Iterator[tuple[str, str]]:
    """Every text of the project that a person wrote."""
    kinds = {".py", ".md", ".cfg", ".toml", ".in", ".html", ".css", ".js", ".json", ".sh"}
    folders = ("elixi_models", "tests", "docs", "tools", ".ci")
    places = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in kinds]
    places += [ROOT / ".ci/run", *(path for path in ROOT.iterdir() if path.suffix in kinds)]
    for path in places:
        if path.is_file() and path != Path(__file__).resolve():
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8", errors="replace")


def test_nothing_refers_to_the_machine_it_was_written_on() -> None:
    """No absolute path of somebody's disk; `somebody`, `user` and `me` are nobody."""
    theirs = re.compile(r"(?<![\w.])/(?:work|root|mnt)/|/(?:home|Users)/(?!somebody|user|me\b)\w|\.\./shared")
    found = {f"{path}: {match.group()}" for path, text in texts() for match in theirs.finditer(text)}
    assert found == set()


def undocumented() -> Iterator[str]:
    """Public things without a docstring; a method of a subclass may leave it to its base."""
    promised = {
        child.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for child in node.body
        if isinstance(child, ast.FunctionDef) and ast.get_docstring(child)
    }
    for path, tree in TREES.items():
        if not ast.get_docstring(tree):
            yield path
        for node in tree.body:
            yield from missing_in(path, node, frozenset())
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                inherited = frozenset(promised if node.bases else ())
                for child in node.body:
                    yield from missing_in(f"{path}:{node.name}", child, inherited)


def missing_in(place: str, node: ast.AST, inherited: frozenset[str]) -> Iterator[str]:
    if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or node.name.startswith("_"):
        return
    is_setter = any(ast.unparse(decorator).endswith((".setter", "overload")) for decorator in node.decorator_list)
    if not ast.get_docstring(node) and not is_setter and node.name not in inherited:
        yield f"{place}:{node.name}"


def test_everything_public_says_what_it_promises() -> None:
    """Modules, classes, functions and methods without a leading underscore have a docstring; it is the contract."""
    assert sorted(undocumented()) == []


def test_no_work_is_left_undone_in_the_sources() -> None:
    """A marker of unfinished work belongs into the tracker."""
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [path for path, text in MODULES.items() if marks.search(text)] == []


def test_no_waiting_loop_of_the_package_sleeps() -> None:
    """A wait that cannot be ended by closing would hold up the end of a process."""
    calls = {
        path
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep")
    }
    assert calls == set()
