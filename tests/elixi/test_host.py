"""The host's classes, log, monitor and database, and what stands in for them elsewhere."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mongomock
import pymongo
import pytest


def analyzer_of(elixi: Any) -> type[Any]:
    class Manager(elixi.BaseAnalyzer):  # type: ignore[misc,name-defined]
        def analyze(self, input_data: Any = None) -> Any:
            return elixi.AnalysisResult(success=True, data={"a": 1}, metadata={"analysis_type": "x"})

    return Manager


def test_inside_the_host_its_own_classes_are_used(hosted: Any) -> None:
    """A manager of ours is an instance of the host's own class, not of a copy."""
    import stage5_base

    assert hosted.BaseAnalyzer is stage5_base.BaseAnalyzer
    assert hosted.AnalysisResult is stage5_base.AnalysisResult
    assert isinstance(analyzer_of(hosted)("ModelManager"), stage5_base.BaseAnalyzer)


def test_elsewhere_no_module_of_the_hosts_names_appears(alone: Any) -> None:
    """Another program may look for those names; we must not answer for the host."""
    alone.log("info", "ModelManager", "hello")
    alone.record_performance("x", 1.0, True)
    assert "stage5_base" not in sys.modules
    assert "stage5_utils" not in sys.modules
    assert alone.BaseAnalyzer.__module__ == "elixi_models.analyzer"


def test_an_import_error_from_inside_the_host_is_raised(import_elixi: Callable[..., Any]) -> None:
    """A broken host module is not taken for a missing one."""
    with pytest.raises(ModuleNotFoundError, match="a_module_the_host_lacks"):
        import_elixi("broken_host")


def test_a_foreign_module_of_that_name_is_no_host(
    import_elixi: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the host's classes in it, the private ones are used."""
    (tmp_path / "stage5_base.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert import_elixi().BaseAnalyzer.__module__ == "elixi_models.analyzer"


def test_a_manager_has_what_every_analyzer_has(elixi: Any) -> None:
    """Attributes, abstract `analyze` and the result object are alike over both bases."""
    manager = analyzer_of(elixi)("ModelManager", mongodb=None, enable_cache=True)
    assert (manager.name, manager.mongodb, manager.enable_cache) == ("ModelManager", None, True)
    assert set(manager.config) >= {"ollama_enabled", "ollama_api_url", "default_model"}
    result = manager.analyze()
    assert (result.success, result.data, result.error_code) == (True, {"a": 1}, "")
    assert result.metadata["analysis_type"] == "x"
    with pytest.raises(TypeError, match="abstract"):
        elixi.BaseAnalyzer("x")


def test_cache_round_trip(elixi: Any) -> None:
    """What is cached is found, what was cleared or never there is not; without a cache there is none."""
    manager = analyzer_of(elixi)("ModelManager")
    manager.cache.set("key", {"a": 1})
    assert manager.cache.get("key") == {"a": 1}
    manager.cache_result("other", [1], ttl_minutes=1440)
    assert manager.get_cached_result("other") == [1]
    manager.cache.clear("key")
    assert manager.cache.get("key") is None
    manager.cache.clear()
    assert manager.get_cached_result("other") is None
    assert analyzer_of(elixi)("ModelManager", enable_cache=False).cache is None


class Answering:
    """A Database as pymongo's is: it gives a collection for every name and refuses to be tested for truth."""

    def __init__(self) -> None:
        self.real = mongomock.MongoClient()["ELIXIDB"]

    def __bool__(self) -> bool:
        raise NotImplementedError("Database objects do not implement truth value testing")

    def __getattr__(self, name: str) -> Any:
        return self.real[name]

    def get_collection(self, name: str) -> Any:
        return self.real[name]

    def list_collection_names(self) -> list[str]:
        names: list[str] = self.real.list_collection_names()
        return names


def test_the_hosts_cache_works_over_the_adapter(hosted: Any) -> None:
    """Handed a Database, the host's CacheManager raises or writes into `db.cache`; through ours it does neither."""
    database = Answering()
    manager = analyzer_of(hosted)("ModelManager", mongodb=hosted.cache_adapter(database))
    manager.cache_result("key", {"a": 1}, ttl_minutes=1440)
    manager.cache.memory_cache.clear()
    assert manager.get_cached_result("key") == {"a": 1}
    assert database.list_collection_names() == ["cache"]
    bare = analyzer_of(hosted)("ModelManager", mongodb=database)
    with pytest.raises(NotImplementedError):
        bare.get_cached_result("other")


def test_every_form_of_mongodb_leads_to_the_database(elixi: Any) -> None:
    """A Database, a wrapper, a getter of either: the same object; None and a URI: None."""
    database = pymongo.MongoClient(connect=False)["ELIXIDB"]
    wrapper = SimpleNamespace(db=database)
    for form in (database, wrapper, lambda: database, lambda: wrapper):
        assert elixi.database(form) is database
        assert elixi.cache_adapter(form).db is database
    for form in (None, "mongodb://127.0.0.1/x"):
        assert elixi.database(form) is None
        assert elixi.cache_adapter(form) is None
    for form in (lambda: None, SimpleNamespace(db=None), SimpleNamespace(db=3), object(), 3):
        assert elixi.database(form) is None
    database.client.close()


def test_mongomock_and_a_class_with_db_are_understood(elixi: Any) -> None:
    """mongomock's Database is one as well; a class is called, its attributes are not taken for an instance's."""
    database = mongomock.MongoClient()["ELIXIDB"]

    class Wrapper:
        db = None

        def __init__(self) -> None:
            self.db = database

    assert elixi.database(database) is database
    assert elixi.database(Wrapper) is database


def test_the_adapter_asks_the_getter_once_and_late(elixi: Any) -> None:
    """The host's getter makes a new client at every call and may connect."""
    calls: list[int] = []

    def get_db() -> Any:
        calls.append(1)
        return Answering()

    adapter = elixi.cache_adapter(get_db)
    assert bool(adapter) is True
    assert calls == []
    assert adapter.db is adapter.db
    assert calls == [1]


def test_the_hosts_log_gets_plain_ascii(hosted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A Windows console cannot print more, and the host's logger cannot serialise more than JSON has."""
    hosted.log("warning", "ModelManager", "Modell läuft ✓", {"at": object, "sizes": (1, 2)})
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("[WARNING] [ModelManager] Modell l\\xe4uft \\u2713")
    assert json.loads(second.removeprefix("  Details: ")) == {"at": "<class 'object'>", "sizes": [1, 2]}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_component_logger_names_its_component(hosted: Any, capsys: pytest.CaptureFixture[str], level: str) -> None:
    """`manager.logger` has the host's four methods, message and details."""
    getattr(hosted.ComponentLogger("ModelManager"), level)("hello", {"a": 1})
    assert f"[{level.upper()}] [ModelManager] hello" in capsys.readouterr().out


def test_elsewhere_the_log_is_pythons(alone: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Apps that are not the host configure `logging`."""
    with caplog.at_level(logging.DEBUG, logger="elixi_models"):
        alone.log("warning", "ModelManager", "hello ✓")
    assert caplog.record_tuples == [("elixi_models.ModelManager", logging.WARNING, "hello \\u2713")]


def test_a_log_that_fails_harms_nobody(hosted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed console is no reason for a request to fail."""

    def fail(*args: Any) -> None:
        raise OSError("console closed")

    monkeypatch.setattr(hosted._utils.Logger, "info", fail)
    hosted.log("info", "ModelManager", "hello")


def test_calls_are_counted_in_the_hosts_monitor(hosted: Any) -> None:
    """The host's own statistics show our endpoints."""
    import stage5_base

    hosted.record_performance("ModelManager.switch_model", 12.5, False)
    assert stage5_base.get_performance_monitor().metrics == {"ModelManager.switch_model": [(12.5, False)]}


def test_a_monitor_that_fails_harms_nobody(hosted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics are not worth a failed request."""

    def fail() -> None:
        raise KeyError("broken")

    monkeypatch.setattr(hosted._base, "get_performance_monitor", fail)
    hosted.record_performance("x", 1.0, True)
