"""Reports put together from memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from elixi_models.catalogue.catalogue import CatalogueEntry
from elixi_models.inventory import InstalledModel, LoadedModel, ServerView
from elixi_models.records import ActiveModel, DownloadJob, ModelSummary, ResourceSample
from elixi_models.reports import Facts, freed_bytes, model_state, report_health, report_status, take_inventory
from elixi_models.store.following import StoreStatus

URL = "http://127.0.0.1:11434"
MISTRAL = InstalledModel("mistral:7b", "d1", size_bytes=4_000, weights_digest="w1")
ALIAS = InstalledModel("mine:latest", "d1", size_bytes=4_000, weights_digest="w1")
CHILD = InstalledModel("child:latest", "d2", size_bytes=4_100, weights_digest="w1")
PHI = InstalledModel("phi:latest", "d3", size_bytes=1_600, weights_digest="w3")
VIEW = ServerView(URL, as_of_s=100.0, reachable=True, version="0.33.0", installed=(MISTRAL, PHI))
RESIDENT = LoadedModel("mistral:7b", "d1", size_bytes=None, context_length=4096)


def facts(view: ServerView = VIEW, active: str | None = "mistral:7b", **more: object) -> Facts:
    return Facts(
        view=view,
        active=ActiveModel(active, previous="phi:latest", since_s=90.0),
        resources=more.pop("resources", ResourceSample()),  # type: ignore[arg-type]
        summarise=lambda model: ModelSummary(requests=1),
        classify=lambda model: "general",
        **more,  # type: ignore[arg-type]
    )


def job(state: str = "downloading", model: str = "new:1b", **more: object) -> DownloadJob:
    return DownloadJob("download:x#1", URL, model, state, 1.0, 1.0, **more)  # type: ignore[arg-type]


def entry(name: str) -> CatalogueEntry:
    return CatalogueEntry(name, None, None, None, None, None, None, (), None, None, ())


def test_the_inventory_has_a_card_for_each_model_and_the_families_given() -> None:
    """In the server's order; the active one is marked."""
    report = take_inventory(facts(), [entry("llama3")])
    assert [found.name for found in report.catalogue] == ["llama3"]
    assert [(card.model.name, card.active) for card in report.cards] == [("mistral:7b", True), ("phi:latest", False)]


@pytest.mark.parametrize(("active", "installed"), [("MISTRAL:7b", True), ("gone:1b", False), (None, False)])
def test_the_list_says_whether_the_active_model_is_installed(active: str | None, installed: bool) -> None:
    """In any spelling."""
    assert take_inventory(facts(active=active), []).active_installed is installed


@pytest.mark.parametrize(
    ("view", "active", "resident", "pending", "jobs", "state"),
    [
        (replace(VIEW, reachable=False), "mistral:7b", True, "phi:latest", (), "offline"),
        (VIEW, "mistral:7b", True, "phi:latest", (), "loading"),
        (VIEW, "new:1b", False, None, (job(),), "downloading"),
        (VIEW, "gone:1b", False, None, (job(auto_switch=True),), "downloading"),
        (VIEW, "gone:1b", False, None, (job(),), "not_installed"),
        (VIEW, None, False, None, (), "not_installed"),
        (VIEW, "mistral:7b", True, None, (job(auto_switch=True),), "active"),
        (VIEW, "mistral:7b", False, None, (), "not_loaded"),
    ],
)
def test_one_word_for_the_active_model(
    view: ServerView, active: str | None, resident: bool, pending: str | None, jobs: tuple[DownloadJob, ...], state: str
) -> None:
    """The table of model_state, row by row."""
    assert model_state(view, active, RESIDENT if resident else None, pending, jobs) == state


def status(view: ServerView, given: Facts | None = None, **more: object):  # type: ignore[no-untyped-def]
    arguments = {
        "now_s": 100.5,
        "pending": None,
        "last_failure": None,
        "downloads": [],
        "supports": lambda model: ("x",),
    }
    return report_status(given or facts(view), **{**arguments, **more})  # type: ignore[arg-type]


def test_uptime_counts_while_the_model_serves_and_is_zero_otherwise() -> None:
    """Since it became active; not loaded or offline is no uptime; a clock that went back is none either."""
    loaded = replace(VIEW, loaded=(RESIDENT,))
    assert status(loaded).uptime_s == 10.5
    assert status(VIEW).uptime_s == 0.0
    assert status(replace(loaded, reachable=False)).uptime_s == 0.0
    assert status(loaded, now_s=50.0).uptime_s == 0.0
    assert status(loaded, pending="phi:latest").uptime_s == 10.5


def test_status_works_with_a_server_that_was_never_seen() -> None:
    """No card, no figures, and the configured name."""
    report = status(ServerView(URL, error_code="OLLAMA_UNAVAILABLE"))
    assert (report.state, report.card, report.supports) == ("offline", None, ())
    assert (report.active.model, report.error_code) == ("mistral:7b", "OLLAMA_UNAVAILABLE")


def test_only_live_downloads_are_shown() -> None:
    """What ended is history."""
    report = status(VIEW, downloads=[job("installed"), job("queued"), job("failed")])
    assert [found.state for found in report.downloads] == ["queued"]


@pytest.mark.parametrize(
    ("residence", "measured", "expected"),
    [
        (replace(RESIDENT, size_bytes=None), {"w1": 232}, 232),
        (replace(RESIDENT, size_bytes=466), {"w1": 232}, 232),
        (replace(RESIDENT, size_bytes=466), {}, 466),
        (replace(RESIDENT, size_bytes=900, vram_bytes=800), {"w1": 150}, 900),
        (RESIDENT, {}, 77),
        (None, {"w1": 232}, 77),
    ],
)
def test_memory_is_what_the_machine_says(
    residence: LoadedModel | None, measured: dict[str, int], expected: int
) -> None:
    """The runner's own figure, then Ollama's, with a GPU Ollama's, else the last one seen."""
    view = replace(VIEW, loaded=(residence,) if residence else ())
    given = facts(view, resources=ResourceSample(runner_bytes=measured), footprints={"w1": 77})
    assert given.memory_bytes(MISTRAL) == expected


def test_memory_never_seen_is_unknown() -> None:
    """None, not 0."""
    assert facts().memory_bytes(PHI) is None


@pytest.mark.parametrize(
    ("others", "freed"),
    [((PHI,), 4_000), ((ALIAS,), 0), ((CHILD,), None), ((ALIAS, CHILD), 0), ((), 4_000)],
)
def test_only_what_nobody_shares_comes_free(others: tuple[InstalledModel, ...], freed: int | None) -> None:
    """An alias frees nothing, a child of the same weights an unknown little."""
    assert freed_bytes(MISTRAL, [MISTRAL, *others]) == freed


def test_unknown_weights_free_an_unknown_amount() -> None:
    """Nothing is promised before show was read."""
    assert freed_bytes(replace(PHI, weights_digest=None), [PHI, MISTRAL]) is None


@pytest.mark.parametrize(
    ("reachable", "store", "status_word"), [(True, True, "ok"), (True, False, "degraded"), (False, True, "down")]
)
def test_health_is_down_without_ollama_and_degraded_without_the_store(
    reachable: bool, store: bool, status_word: str
) -> None:
    """One word, and both sides told apart."""
    report = report_health(
        replace(VIEW, reachable=reachable), StoreStatus("sqlite", store, 1.0, 3), live_downloads=2, version="1"
    )
    assert report.status == status_word
    assert report.store == {"kind": "sqlite", "available": store, "pending": 3}
    assert (report.ollama["reachable"], report.live_downloads) == (reachable, 2)
