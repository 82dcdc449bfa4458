"""Errors that leave the manager as answers."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from elixi_models import elixi
from elixi_models.errors import ElixiModelsError, InvalidRequest, ModelNotInstalled
from elixi_models.refusals import never_raises, refusal, refusal_envelope


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, bool]]:
    """What the host's performance monitor is told."""
    calls: list[tuple[str, float, bool]] = []
    monkeypatch.setattr(elixi, "record_performance", lambda *call: calls.append(call))
    return calls


class Manager:
    """Methods that fail in their ways."""

    @never_raises(lambda error: error.code)
    def fine(self, value: int) -> Any:
        return value + 1

    @never_raises(lambda error: error.code)
    def refused(self) -> Any:
        raise ModelNotInstalled("no")

    @never_raises(lambda error: (error.code, error.message))
    def broken(self) -> Any:
        raise KeyError("a secret path")


def test_a_method_that_succeeds_is_passed_through_and_counted(counted: list[tuple[str, float, bool]]) -> None:
    """Its result is not touched; the host's monitor gets one success with its time."""
    assert Manager().fine(1) == 2
    ((name, duration_ms, success),) = counted
    assert (name, success) == ("ModelManager.fine", True)
    assert 0 <= duration_ms < 1000


def test_an_error_of_ours_becomes_the_answer(counted: list[tuple[str, float, bool]]) -> None:
    """And counts as a failure."""
    assert Manager().refused() == "MODEL_NOT_INSTALLED"
    assert [success for _, _, success in counted] == [False]


def test_an_unexpected_error_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """The trace is in the log, the answer only says that there is one."""
    with caplog.at_level(logging.ERROR, "elixi_models.manager"):
        code, message = Manager().broken()
    assert code == "INTERNAL_ERROR"
    assert "secret" not in message
    assert caplog.records[0].exc_info


def test_the_decorator_keeps_name_and_docstring() -> None:
    """The documentation is made from them."""
    assert Manager.fine.__name__ == "fine"


@pytest.mark.parametrize(("make", "has_data"), [(refusal, False), (refusal_envelope, True)])
def test_a_refusal_has_the_fields_that_the_front_end_reads(make: Any, has_data: bool) -> None:
    """`error` as text, the code, and values for programs; the envelope has a `data` of null."""
    error: ElixiModelsError = InvalidRequest("model_name is required", field="model_name")
    answer = make(error)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.pop("timestamp"))
    assert answer == {
        "success": False,
        "error": "model_name is required",
        "error_code": "INVALID_REQUEST",
        "message": "model_name is required",
        "details": {"field": "model_name"},
        **({"data": None} if has_data else {}),
    }
