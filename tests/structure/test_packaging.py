"""What is in the wheel and in the source archive."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

import elixi_models

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", "__pycache__", "*.egg-info", ".*_cache", ".coverage*", ".hypothesis", "build", "dist", ".venv*", "mutants"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, so that building leaves nothing behind."""
    copy = tmp_path_factory.mktemp("packaging") / "project"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    return copy


def run(*arguments: str, cwd: Path) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(source: Path) -> Iterator[zipfile.ZipFile]:
    """The wheel, as pip has it built, but without a network: by the setuptools that are here."""
    run("-c", "from setuptools.build_meta import build_wheel as build; build('dist')", cwd=source)
    with zipfile.ZipFile(next((source / "dist").glob("*.whl"))) as archive:
        yield archive


@pytest.fixture(scope="module")
def archive_names(source: Path) -> set[str]:
    """The names in the source archive, without its top folder."""
    run("-c", "from setuptools.build_meta import build_sdist as build; build('dist')", cwd=source)
    with tarfile.open(next((source / "dist").glob("*.tar.gz"))) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def files_of_the_package() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "elixi_models").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every module, data file, template and `py.typed`; no test, no tool."""
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == files_of_the_package()
    assert {"elixi_models/py.typed", "elixi_models/catalogue/data/families.json.gz"} <= names


def test_the_wheel_says_what_it_needs(wheel: zipfile.ZipFile) -> None:
    """Five libraries at run time, the command, the licence."""
    folder = f"elixi_models-{elixi_models.__version__}.dist-info"
    metadata = wheel.read(f"{folder}/METADATA").decode()
    needed = {re.split(r"[<>=]", line)[0] for line in re.findall(r"(?m)^Requires-Dist: ([^;\n]+)$", metadata)}
    assert {name.strip() for name in needed} == {"flask", "ollama", "psutil", "pymongo", "requests"}
    assert "elixi-models = elixi_models.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()
    assert any(name.endswith("LICENSE") for name in wheel.namelist())


def test_the_source_archive_can_run_the_tests(archive_names: set[str]) -> None:
    """Package, tests with their recordings, documentation, tools and what builds it."""
    assert {
        *files_of_the_package(),
        "setup.cfg",
        "setup.py",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "ruff.toml",
        "docs/http-api.md",
        "docs/conf.py",
        "tests/conftest.py",
        "tests/emulator/recordings/0.33.0.json.gz",
        "tools/document_settings.py",
    } <= archive_names


def test_the_version_is_the_newest_of_the_changelog() -> None:
    """One version, told once in the package and once to people."""
    newest = re.search(r"(?m)^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert newest
    assert newest[1] == elixi_models.__version__


def test_what_the_tests_need_is_in_their_extra() -> None:
    """Every library that a test imports is a dependency or in `test`, else the README's line would fail."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    given = config["options"]["install_requires"] + config["options.extras_require"]["test"]
    names = {re.split(r"[<>=;\[]", line)[0].strip().lower() for line in given.strip().splitlines()}
    assert {"pytest", "pytest-timeout", "hypothesis", "mongomock", "import-linter", "setuptools"} <= names
