"""The private equivalents of the host's base classes."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from elixi_models import analyzer


class Manager(analyzer.BaseAnalyzer):
    def analyze(self, input_data: Any = None) -> Any:
        return None


def test_cached_values_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value counts for its minutes; what is too old is dropped by `cleanup_expired`."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    cache = analyzer.MemoryCache()
    cache.set("short", 1, ttl_minutes=1)
    cache.set("long", 2, ttl_minutes=1440)
    now[0] += 60
    assert (cache.get("short"), cache.get("long")) == (None, 2)
    cache.cleanup_expired()
    assert set(cache._entries) == {"long"}


def test_keys_do_not_depend_on_order() -> None:
    """The same arguments give the same key, others another."""
    manager = Manager("ModelManager")
    assert manager.get_cache_key(a=1, b=2) == manager.get_cache_key(b=2, a=1)
    assert manager.get_cache_key(a=1) != manager.get_cache_key(a=2)
    assert len(manager.get_cache_key()) == 32


def test_without_a_cache_nothing_is_kept() -> None:
    """`enable_cache=False` makes the cache methods harmless."""
    manager = Manager("ModelManager", enable_cache=False)
    manager.cache_result("key", 1)
    assert manager.get_cached_result("key") is None


@pytest.mark.parametrize(
    ("given", "required", "valid"),
    [(None, None, False), ({}, None, True), ({"a": 1}, ["a"], True), ({}, ["a"], False), ("text", ["a"], False)],
)
def test_input_is_valid_when_all_fields_are_there(given: Any, required: Any, valid: bool) -> None:
    """Nothing is never valid; required fields are those of a dict."""
    assert Manager("ModelManager").validate_input(given, required) is valid


def test_shapes_of_success_and_error(caplog: pytest.LogCaptureFixture) -> None:
    """The host's formatter answers with `status`, and an error is logged as well."""
    manager = Manager("ModelManager")
    success, error = manager.format_success([1]), manager.format_error("no", "NOPE")
    assert {key: success[key] for key in ("status", "message", "data")} == {
        "status": "success",
        "message": "Analysis successful",
        "data": [1],
    }
    assert (error["status"], error["message"], error["error_code"], error["details"]) == ("error", "no", "NOPE", {})
    assert caplog.record_tuples == [("elixi_models.ModelManager", logging.ERROR, "NOPE: no")]


def test_an_analysis_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    """What was asked, what came out, and how long it took."""
    with caplog.at_level(logging.INFO, logger="elixi_models"):
        Manager("ModelManager").log_analysis("status", "ok", 1.25)
    assert caplog.messages == ["status -> ok (1.2 ms)"]


def test_a_result_has_two_forms() -> None:
    """The dict has every field, the response the host's shape of a success or an error."""
    good = analyzer.AnalysisResult(True, {"a": 1}, "fine", metadata={"m": 1})
    bad = analyzer.AnalysisResult(False, message="no", error_code="NOPE")
    assert good.to_dict() == {
        "success": True,
        "data": {"a": 1},
        "message": "fine",
        "error_code": "",
        "metadata": {"m": 1},
        "timestamp": good.timestamp,
    }
    response = {"status": "success", "message": "fine", "data": {"a": 1}, "timestamp": good.timestamp}
    assert good.to_json_response() == response
    assert bad.to_json_response() == {
        "status": "error",
        "message": "no",
        "error_code": "NOPE",
        "details": {},
        "timestamp": bad.timestamp,
    }
