"""The error tree that answers are made of."""

from __future__ import annotations

from collections.abc import Iterator

from elixi_models import errors
from elixi_models.errors import ElixiModelsError


def _tree(base: type[ElixiModelsError] = ElixiModelsError) -> Iterator[type[ElixiModelsError]]:
    for child in base.__subclasses__():
        yield child
        yield from _tree(child)


def test_every_error_has_a_code_of_its_own_and_an_error_status() -> None:
    """Codes are unique, upper case, and each has a status of 400 or more."""
    classes = list(_tree())
    codes = [child.code for child in classes]
    duplicates = {code for code in codes if codes.count(code) > 1}
    assert duplicates == set()
    assert all(code.isupper() for code in codes)
    assert all(400 <= child.status <= 599 for child in classes)


def test_an_error_carries_its_message_and_details() -> None:
    """Both are there for the answer."""
    error = errors.ModelNotInstalled("gone", model_name="x")
    assert (error.message, dict(error.details), str(error)) == ("gone", {"model_name": "x"}, "gone")
    assert (error.code, error.status) == ("MODEL_NOT_INSTALLED", 404)
