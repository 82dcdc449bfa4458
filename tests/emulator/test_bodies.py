"""Request bodies, and how they are refused."""

from __future__ import annotations

import pytest

from elixi_models.emulator.bodies import body_of, check_options, runner_options, seconds_of
from elixi_models.emulator.errors import Refusal


@pytest.mark.parametrize(
    ("task", "raw", "error"),
    [
        ("generate", b"", "missing request body"),
        ("generate", b"x", "invalid character 'x' looking for beginning of value"),
        ("generate", b"{x", "invalid character 'x' looking for beginning of object key string"),
        ("generate", b'{"a" 1}', "invalid character '1' after object key"),
        ("generate", b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        ("generate", b'{"a":[1 2]}', "invalid character '2' after array element"),
        ("generate", b'{"model": "x', "unexpected EOF"),
        ("generate", b'{"model": ', "unexpected EOF"),
        ("chat", b"[1]", "json: cannot unmarshal array into Go value of type api.ChatRequest"),
        ("chat", b"null", "json: cannot unmarshal null into Go value of type api.ChatRequest"),
        ("show", b'"x"', "json: cannot unmarshal string into Go value of type api.ShowRequest"),
        ("pull", b'{"model":3}', "json: cannot unmarshal number into Go struct field PullRequest.model of type string"),
        (
            "pull",
            b'{"stream":"no"}',
            "json: cannot unmarshal string into Go struct field PullRequest.stream of type bool",
        ),
        (
            "pull",
            b'{"model":true}',
            "json: cannot unmarshal bool into Go struct field PullRequest.model of type string",
        ),
        (
            "pull",
            b'{"model":{}}',
            "json: cannot unmarshal object into Go struct field PullRequest.model of type string",
        ),
        (
            "chat",
            b'{"messages":["hi"]}',
            "json: cannot unmarshal string into Go struct field ChatRequest.messages of type api.Message",
        ),
        ("generate", b"[" * 100_000, "exceeded max depth"),
    ],
)
def test_a_wrong_body_is_refused_in_the_words_of_go(task: str, raw: bytes, error: str) -> None:
    """Status 400, and the text of Go's JSON."""
    with pytest.raises(Refusal) as refused:
        body_of(task, raw)

    assert (refused.value.status, refused.value.error) == (400, error)


def test_what_follows_the_first_value_is_not_read() -> None:
    """Neither are unknown fields a mistake, nor nulls."""
    assert body_of("pull", b' {"model": null, "colour": 1} {') == {"model": None, "colour": 1}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None), (0, 0.0), (300, 300.0), (0.5, 0.5), (-1, -1.0), (-5.5, -1.0), ("0", 0.0), ("10m", 600.0),
        ("1h30m", 5400.0), ("1.5s", 1.5), ("250ms", 0.25), ("-1m", -1.0), ("+2s", 2.0), ("0s", 0.0),
    ],
)  # fmt: skip
def test_a_keep_alive_is_seconds_or_a_duration(given: object, seconds: float | None) -> None:
    """Below 0 is for ever."""
    assert seconds_of(given) == seconds


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("-1", 'time: missing unit in duration "-1"'),
        ("300", 'time: missing unit in duration "300"'),
        ("soon", 'time: invalid duration "soon"'),
        ("", 'time: invalid duration ""'),
        (True, "Unsupported type: 'bool'"),
        ([1], "Unsupported type: '[]interface {}'"),
        ({}, "Unsupported type: 'map[string]interface {}'"),
    ],
)
def test_a_wrong_keep_alive_is_refused(given: object, error: str) -> None:
    """Status 400, and the text of Go's durations."""
    with pytest.raises(Refusal) as refused:
        seconds_of(given)

    assert (refused.value.status, refused.value.error) == (400, error)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"num_ctx": "big"}, "integer"), ({"seed": None}, "integer"), ({"temperature": "hot"}, "float32"),
        ({"use_mmap": 1}, "boolean"), ({"stop": "x"}, "array"), ({"num_predict": True}, "integer"),
    ],
)  # fmt: skip
def test_an_option_of_the_wrong_type_is_refused(options: dict[str, object], kind: str) -> None:
    """Status 500, as real servers do."""
    with pytest.raises(Refusal) as refused:
        check_options(options)

    assert (refused.value.status, refused.value.error) == (
        500,
        f'option "{next(iter(options))}" must be of type {kind}',
    )


def test_other_options_are_let_through() -> None:
    """Right ones and unknown ones."""
    check_options({"num_ctx": 1, "temperature": 0.5, "use_mmap": False, "stop": [], "nonsense": "x"})


def test_only_some_options_belong_to_the_loaded_model() -> None:
    """Those, and no others, load it again."""
    assert runner_options({"temperature": 1, "num_thread": 4, "num_gpu": 0}) == (("num_gpu", 0), ("num_thread", 4))
