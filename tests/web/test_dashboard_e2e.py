"""The dashboard in Chromium, over an emulated Ollama and over made-up extremes."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server

from elixi_models import create_blueprint
from elixi_models.inventory import InstalledModel
from elixi_models.metrics.history import ModelHistory, Span
from elixi_models.quality import TaskScore
from elixi_models.testing import OllamaEmulator

from .conftest import HISTORY_POINT, NOW_S

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
WAIT_S = 20


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all tests of this file."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("Chromium or its driver is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,900",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


class Page:
    """The dashboard as a person uses it."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser = browser
        browser.get_log("browser")
        browser.get(url)

    def script(self, code: str, *arguments: Any) -> Any:
        return self.browser.execute_script(code, *arguments)

    def text(self, selector: str) -> str:
        text: str = self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
        return text

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.script(
            "return [...document.querySelectorAll(arguments[0])].map(element => element.innerText.trim())", selector
        )
        return found

    def until(self, holds: Callable[[], Any]) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, WAIT_S, poll_frequency=0.05).until(lambda _: holds())

    def press(self, label: str) -> None:
        """Click the button with that accessible name, once it is there and can be clicked."""
        from selenium.common.exceptions import StaleElementReferenceException, WebDriverException

        def click() -> bool:
            for button in self.browser.find_elements("tag name", "button"):
                try:
                    name = button.get_attribute("aria-label") or button.text.strip()
                    if name == label and button.is_displayed() and button.is_enabled():
                        button.click()
                        return True
                except (StaleElementReferenceException, WebDriverException):
                    continue
            return False

        self.until(click)

    def open_tab(self, name: str) -> None:
        self.browser.find_element("id", f"tab-{name}").click()

    def row(self, name: str) -> str:
        """The text of the row of an installed model."""
        text: str = self.script(
            "return document.querySelector(`#installed [data-key='${CSS.escape(arguments[0])}']`)?.innerText ?? ''",
            name,
        )
        return text

    def complaints(self) -> list[str]:
        """What the browser logged: refusals of the policy, errors of the script; refused requests apart."""
        return [
            entry["message"]
            for entry in self.browser.get_log("browser")
            if "Failed to load resource" not in entry["message"]
        ]


class QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serves a WSGI app on a free port until the test ends; gives its address."""
    servers: list[tuple[Any, threading.Thread]] = []

    def start(app: Any, port: int = 0) -> str:
        server = make_server("127.0.0.1", port, app, threaded=True, request_handler=QuietHandler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    start.stop = lambda: [end(*servers.pop()) for _ in list(servers)]  # type: ignore[attr-defined]

    def end(server: Any, thread: threading.Thread) -> None:
        server.shutdown()
        server.server_close()
        thread.join(5)

    yield start
    start.stop()  # type: ignore[attr-defined]


@pytest.fixture
def ollama(ollama_emulators: Callable[..., OllamaEmulator]) -> OllamaEmulator:
    """Two chat models and an embedder; a pull takes some seconds."""
    return ollama_emulators(
        models=["llama3.2:1b", "qwen2.5:0.5b", "nomic-embed-text"], pull_seconds=6.0, load_seconds=0.2
    )


@pytest.fixture
def page(chromium: Any, serve: Callable[..., str], ollama: OllamaEmulator, tmp_path: Path) -> Iterator[Page]:
    """The dashboard over the emulator; the browser has nothing to complain about at the end."""
    app = Flask("host")
    app.register_blueprint(
        create_blueprint(ollama_url=ollama.url, data_dir=tmp_path, settings={"registry_url": ollama.url})
    )
    page = Page(chromium, f"{serve(app)}/ai/dashboard")
    page.until(lambda: "llama3.2:1b" in page.texts("#installed .row-name > span:first-child"))
    yield page
    assert page.complaints() == []
    chromium.get("about:blank")
    app.extensions["elixi_models"]["elixi_models"].close()


@pytest.fixture
def over(chromium: Any, serve: Callable[..., str], host_app: Callable[..., Flask]) -> Iterator[Callable[[Any], Page]]:
    """Opens the dashboard over a fake service."""
    yield lambda service: Page(chromium, f"{serve(host_app(service))}/ai/dashboard")
    chromium.get("about:blank")


def test_it_shows_the_server_and_its_models(page: Page) -> None:
    """Version, installed models with their facts, and the library."""
    page.until(lambda: page.text("#server-text") == "Ollama 0.33.0")

    assert sorted(page.texts("#installed .row-name > span:first-child")) == [
        "llama3.2:1b",
        "nomic-embed-text",
        "qwen2.5:0.5b",
    ]
    assert page.text("#count-installed") == "3"
    assert int(page.text("#count-library")) > 100


def test_it_switches(page: Page) -> None:
    """Use makes a model the active one, and the page says so everywhere."""
    page.press("Use: qwen2.5:0.5b")

    page.until(lambda: page.text("#active-name") == "qwen2.5:0.5b")
    page.until(lambda: page.text("#active-state").startswith("Ready"))
    page.until(lambda: "Active" in page.row("qwen2.5:0.5b"))
    assert "Successfully switched to qwen2.5:0.5b" in page.text("#toasts")


def test_a_model_that_cannot_chat_cannot_be_used(page: Page) -> None:
    """The button is there and does nothing."""
    disabled = page.script(
        "return document.querySelector(\"#installed [aria-label='Use: nomic-embed-text']\").disabled"
    )

    assert disabled is True


def test_a_download_moves_and_is_cancelled(page: Page) -> None:
    """The bar moves on by itself and never back, the title tells it too, and Cancel stops it."""
    page.open_tab("library")
    page.browser.find_element("id", "pull-name").send_keys("mistral:7b\n")
    seen: list[int] = []

    def moved() -> bool:
        value = page.script("return document.querySelector('#jobs progress')?.value ?? 0")
        seen.append(value)
        return value >= 30

    page.until(moved)
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert "% mistral:7b" in page.browser.title
    assert "GB" in page.text("#jobs .job-foot")

    page.press("Cancel: mistral:7b")

    page.until(lambda: "Cancelled" in page.text("#jobs"))
    assert page.browser.title == "Models"


def test_a_download_from_the_library_gets_installed(page: Page) -> None:
    """Found by the search, downloaded by the button, then among the installed."""
    page.open_tab("library")
    page.browser.find_element("id", "search").send_keys("smollm2")
    page.until(lambda: page.texts("#library .row-name > span:first-child")[:1] == ["smollm2"])

    page.press("Download: smollm2")

    page.until(lambda: "smollm2" in page.text("#jobs"))
    page.open_tab("installed")
    page.browser.find_element("id", "search").clear()
    page.script("document.getElementById('search').dispatchEvent(new Event('input'))")
    page.until(lambda: "smollm2" in page.texts("#installed .row-name > span:first-child"))


def test_a_typo_is_told_in_words(page: Page) -> None:
    """The registry's no reaches the person, with nothing of the server's own text."""
    page.open_tab("library")
    page.browser.find_element("id", "pull-name").send_keys("no-such-model\n")

    page.until(lambda: "no-such-model" in page.text("#toasts") + page.text("#jobs"))


def a_day(service: Any, figures: dict[int, tuple[float | None, float | None]]) -> None:
    """Has the fake service tell of these hours: speed and response time."""
    start_s = int(NOW_S) // 3_600 * 3_600
    service.answers["model_history"] = ModelHistory(
        Span("neural-chat:latest", "w1", "hour", start_s, start_s + 25 * 3_600),
        tuple(
            replace(HISTORY_POINT, start_s=start_s + hour * 3_600, tokens_per_second=speed, latency_ms=latency_ms)
            for hour, (speed, latency_ms) in figures.items()
        ),
        as_of_s=NOW_S,
    )


def test_a_day_of_speed_and_response_is_a_line_each(over: Callable[[Any], Page], service: Any) -> None:
    """Lines break where nobody asked, an hour alone is a dot, and words say the same to those who see no picture."""
    a_day(service, {0: (40.0, 900.0), 1: (44.0, 1_500.0), 2: (42.0, 800.0), 5: (50.0, None), 24: (45.5, 700.0)})
    page = over(service)
    page.until(lambda: len(page.texts(".trend")) == 2)

    assert page.texts(".trend figcaption") == [
        "Speed, 24 h\n40.0 tokens/s to 50.0 tokens/s",
        "Response, 24 h\n700 ms to 1.5 s",
    ]
    speed, response = page.browser.find_elements("css selector", ".trend svg")
    assert speed.get_attribute("role") == "img"
    assert speed.get_attribute("aria-label") == (
        "Speed by the hour over 24 hours: 40.0 tokens/s to 50.0 tokens/s, last 45.5 tokens/s"
    )
    lines = [line.get_attribute("points").split() for line in speed.find_elements("css selector", "polyline")]
    assert [len(line) for line in lines] == [3, 2, 2]
    assert lines[0][0] == "3.0,33.0"
    assert lines[1] == ["51.8,3.0"] * 2
    assert lines[2][0].startswith("237.0,")
    assert len(response.find_elements("css selector", "polyline")) == 2
    assert page.complaints() == []


def test_a_day_without_calls_has_no_picture(over: Callable[[Any], Page], service: Any) -> None:
    """One hour alone has none either: there is nothing to compare it with."""
    a_day(service, {3: (40.0, 900.0)})
    page = over(service)
    page.until(lambda: page.text("#active-name") == "neural-chat")
    page.until(lambda: any(verb == "model_history" for verb, *_ in service.calls))

    assert page.script("return document.getElementById('trends').hidden") is True


def test_deleting_asks_first(page: Page) -> None:
    """Keeping keeps it; Escape keeps it; only Delete deletes."""
    from selenium.webdriver.common.keys import Keys

    page.press("Delete: qwen2.5:0.5b")
    page.until(lambda: page.text("#ask-title") == "Delete qwen2.5:0.5b?")
    assert page.script("return document.activeElement.id") == "ask-no"
    page.press("Keep it")
    page.press("Delete: qwen2.5:0.5b")
    page.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.until(lambda: not page.script("return document.getElementById('ask').open"))
    assert page.row("qwen2.5:0.5b")

    page.press("Delete: qwen2.5:0.5b")
    page.press("Delete")

    page.until(lambda: not page.row("qwen2.5:0.5b"))
    page.until(lambda: "deleted" in page.text("#toasts"))


def test_a_benchmark_shows_its_progress(page: Page) -> None:
    """Measure starts it; the result stands in the row, as measured, and with its speed in the activity."""
    page.until(lambda: "Coding ~" in page.row("qwen2.5:0.5b"))
    page.press("Measure: qwen2.5:0.5b")

    page.until(lambda: "qwen2.5:0.5b" in page.text("#jobs"))
    page.until(lambda: "Measured" in page.text("#jobs"))
    page.until(lambda: "tokens/s" in page.row("qwen2.5:0.5b"))
    page.until(lambda: page.row("qwen2.5:0.5b") and "~" not in page.row("qwen2.5:0.5b"))
    done = page.text("#jobs").replace("\u00a0", " ")
    assert re.search(r"General \d+ · Coding \d+ · Analysis \d+ · Creative \d+ · \d+\.\d tokens/s · \d+ s ago", done)


def test_a_score_says_what_it_rests_on(over: Callable[[Any], Page], service: Any) -> None:
    """A measured one with its questions, an estimate as one; a model that cannot chat has none."""
    card = service.answers["available"].cards[0]
    quality = {
        "general": TaskScore(74.4, (65.8, 81.2), 8, "quick+table", 0.4, 0.9),
        "coding": TaskScore(60.6, (40.0, 80.0), 0, "family", 1.0),
    }
    embedder = replace(card, model=InstalledModel("e:1b", "2", capabilities=("embedding",)), quality=quality)
    service.answers["available"] = replace(
        service.answers["available"], cards=(replace(card, quality=quality), embedder)
    )
    page = over(service)

    page.until(lambda: page.texts(".scores li"))
    assert [text for text in page.texts(".scores li") if text] == ["General 74", "Coding ~61"]
    assert page.script("return [...document.querySelectorAll('.scores li')].map(each => each.title)") == [
        "General 74 of 100, measured with 8 questions; 90 % sure of 66 to 81",
        "Coding 61 of 100, thought of its kind, not measured here; 90 % sure of 40 to 80",
    ]


def test_a_task_shows_whom_the_scores_choose(page: Page) -> None:
    """With the reason; an assignment hides it."""
    page.until(lambda: page.texts("#task-fast option")[0].endswith(", by score"))
    chosen = page.texts("#task-fast option")[0].removesuffix(", by score")
    assert chosen in ("llama3.2:1b", "qwen2.5:0.5b")
    assert page.script("return document.getElementById('task-fast').title").startswith(f"{chosen}: best for fast with ")


def test_a_task_is_assigned(page: Page) -> None:
    """The choice is stored, and shown after a reload."""
    from selenium.webdriver.support.ui import Select

    page.until(lambda: len(page.texts("#task-coding option")) == 3)
    Select(page.browser.find_element("id", "task-coding")).select_by_value("llama3.2:1b")
    page.until(lambda: "llama3.2:1b takes Coding" in page.text("#toasts"))

    page.browser.refresh()

    page.until(lambda: page.script("return document.getElementById('task-coding')?.value") == "llama3.2:1b")


def test_it_works_with_the_keyboard_alone(page: Page) -> None:
    """The slash finds the search, arrows change the tab, everything that acts is a button."""
    from selenium.webdriver.common.keys import Keys

    page.browser.find_element("tag name", "body").send_keys("/")
    assert page.script("return document.activeElement.id") == "search"
    page.browser.switch_to.active_element.send_keys("qwen")
    page.until(lambda: page.texts("#installed .row-name > span:first-child") == ["qwen2.5:0.5b"])

    page.browser.find_element("id", "tab-installed").send_keys(Keys.ARROW_RIGHT)

    assert page.script("return document.activeElement.id") == "tab-library"
    assert page.script("return document.getElementById('pane-library').hidden") is False


def test_it_goes_on_when_ollama_is_away(page: Page, ollama: OllamaEmulator) -> None:
    """The last copy stays, with its age in words, and nothing breaks."""
    ollama.stop()

    page.until(lambda: page.text("#server-text") == "Ollama does not answer")
    notice = page.text("#notice")
    assert notice.startswith("Ollama does not answer. What you see is the last copy, ")
    assert notice.endswith("this page goes on by itself.")
    assert page.row("llama3.2:1b")


def test_it_goes_on_when_the_app_is_away(
    chromium: Any, serve: Any, host_app: Callable[..., Flask], service: Any
) -> None:
    """Without the app behind it the page says so, and is back by itself."""
    app = host_app(service)
    url = serve(app)
    page = Page(chromium, f"{url}/ai/dashboard")
    page.until(lambda: page.text("#active-name") == "neural-chat")

    serve.stop()
    page.until(lambda: "does not answer. Trying again" in page.text("#notice"))
    serve(app, int(url.rpartition(":")[2]))

    page.until(lambda: page.text("#server-text") == "Ollama 0.33.0")
    page.until(lambda: page.script("return document.getElementById('notice').hidden"))
    chromium.get("about:blank")


def test_a_server_never_seen_is_told(chromium: Any, serve: Callable[..., str], tmp_path: Path) -> None:
    """No copy at all: words instead of lists, and everything else is there."""
    app = Flask("host")
    app.register_blueprint(create_blueprint(ollama_url="http://127.0.0.1:9", data_dir=tmp_path))
    page = Page(chromium, f"{serve(app)}/ai/dashboard")

    page.until(lambda: "It has not been seen yet" in page.text("#notice"))
    page.until(lambda: page.text("#installed-empty p").startswith("Ollama does not answer"))
    assert len(page.texts(".task")) == 5
    assert page.complaints() == []
    chromium.get("about:blank")
    app.extensions["elixi_models"]["elixi_models"].close()


def test_an_empty_server_leads_to_the_library(over: Callable[[Any], Page], service: Any) -> None:
    """Nothing installed is no blank page."""
    service.answers["available"] = replace(service.answers["available"], cards=(), active=None)
    page = over(service)

    page.until(lambda: "No model is installed yet" in page.text("#installed-empty"))
    page.press("Open the library")

    assert page.texts("#library .row-name > span:first-child") == ["llama2"]


def test_a_huge_list_is_drawn_as_it_is_scrolled(over: Callable[[Any], Page], service: Any) -> None:
    """A thousand models cost forty rows at first; the search still finds the last one."""
    card = service.answers["available"].cards[0]
    cards = tuple(
        replace(card, model=InstalledModel(f"model-{number:04}:7b", str(number)), active=False, loaded=False)
        for number in range(1000)
    )
    service.answers["available"] = replace(service.answers["available"], cards=cards)
    page = over(service)
    page.until(lambda: page.text("#count-installed") == "1000")
    count = lambda: page.script("return document.querySelectorAll('#installed > li').length")  # noqa: E731
    assert 40 <= count() <= 120

    first = count()
    page.script("window.scrollTo(0, document.body.scrollHeight)")
    page.until(lambda: count() > first)
    page.browser.find_element("id", "search").send_keys("0999")

    page.until(lambda: page.texts("#installed .row-name > span:first-child") == ["model-0999:7b"])


def test_odd_names_are_text(over: Callable[[Any], Page], service: Any) -> None:
    """What somebody called a model is shown letter by letter, and nothing of it is run."""
    evil = '<img src=x onerror="document.title=1">"\'&amp;</script>\u202e'
    card = service.answers["available"].cards[0]
    entry = replace(service.answers["available"].catalogue[0], name=evil, description=evil)
    service.answers["available"] = replace(
        service.answers["available"],
        cards=(replace(card, model=InstalledModel(evil, "1", quantization=evil)),),
        catalogue=(entry,),
    )
    service.answers["assignments"] = replace(service.answers["assignments"], tasks={"coding": evil})
    service.answers["downloads"] = [replace(service.answers["download"], model=evil)]
    page = over(service)

    page.until(lambda: page.texts("#installed .row-name > span:first-child"))

    assert page.script("return document.querySelector('#installed .row-name > span').textContent") == evil
    assert page.script("return document.querySelector('#task-coding').value") == evil
    assert page.script("return document.images.length") == 0
    assert page.browser.title == f"45 % {evil}"
    assert page.complaints() == []


def test_a_refusal_is_told_with_its_remedy(over: Callable[[Any], Page], service: Any) -> None:
    """An action that the host forbids ends in words, not in silence."""
    from elixi_models.errors import OutOfMemory

    card = service.answers["available"].cards[0]
    other = replace(card, model=InstalledModel("big:70b", "2"), active=False)
    service.answers["available"] = replace(service.answers["available"], cards=(card, other))
    page = over(service)
    page.until(lambda: page.row("big:70b"))
    service.switch = lambda *arguments, **options: (_ for _ in ()).throw(OutOfMemory("big:70b does not fit."))

    page.press("Use: big:70b")

    page.until(lambda: page.text("#toasts") == "big:70b does not fit.")


def test_it_works_anywhere(chromium: Any, serve: Callable[..., str], host_app: Any, service: Any) -> None:
    """Under another prefix, behind SCRIPT_NAME: every address of the page is relative."""
    app = DispatcherMiddleware(Flask("outer"), {"/base": host_app(service, url_prefix="/m/x")})
    page = Page(chromium, f"{serve(app)}/base/m/x/dashboard")

    page.until(lambda: page.text("#active-name") == "neural-chat")
    page.press("Unload: neural-chat")

    page.until(lambda: "is unloaded" in page.text("#toasts"))
    assert page.complaints() == []
    chromium.get("about:blank")


def test_what_did_not_change_is_not_sent_again(over: Callable[[Any], Page], service: Any) -> None:
    """Polls carry the tag; the answer is then 304 without a body."""
    page = over(service)
    page.until(lambda: page.text("#active-name") == "neural-chat")

    def revalidated() -> Any:
        return page.script(
            "return performance.getEntriesByType('resource')"
            ".filter(entry => entry.name.endsWith('available-models') && entry.responseStatus === 304).length"
        )

    page.until(revalidated)


def test_it_fits_a_phone(over: Callable[[Any], Page], service: Any, chromium: Any) -> None:
    """Nothing is wider than a narrow screen."""
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        page = over(service)
        page.until(lambda: page.text("#active-name") == "neural-chat")
        for tab in ("installed", "library"):
            page.open_tab(tab)
            assert page.script("return document.documentElement.scrollWidth") <= 360
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(
    over: Callable[[Any], Page], service: Any, chromium: Any, scheme: str
) -> None:
    """Contrast of quiet text on its ground is at least 4.5 (WCAG AA)."""
    chromium.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        page = over(service)
        page.until(lambda: page.text("#active-name") == "neural-chat")
        colours = page.script(
            "const of = (element, name) => getComputedStyle(document.querySelector(element))[name].match(/[0-9.]+/g)"
            ".slice(0, 3).map(Number);"
            "return [[of('.row-note', 'color'), of('.panel', 'backgroundColor')],"
            "[of('footer', 'color'), of('html', 'backgroundColor')],"
            "[of('.search input', 'color'), of('.search input', 'backgroundColor')],"
            "[of('.badge', 'color'), of('.badge', 'backgroundColor')]]"
        )
    finally:
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    assert [pair for pair in colours if contrast(*pair) < 4.5] == []


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG's contrast ratio of two colours."""

    def luminance(colour: list[float]) -> float:
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
