"""Settings: where they are read, how they are checked."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from elixi_models.errors import InvalidSetting
from elixi_models.settings import Settings, environment_name, is_local, normalise_url


def test_without_anything_given_the_defaults_hold() -> None:
    """An empty environment is a working configuration."""
    settings = Settings.load(environ={})
    assert settings.ollama_url == "http://127.0.0.1:11434"
    assert settings.switch_wait_s == 0.9
    assert settings.keep_alive == "30m"
    assert settings.data_dir == Path.home() / ".elixi-models"
    assert settings.mongodb_uri is None


def test_the_hosts_own_variables_are_read() -> None:
    """OLLAMA_API_URL, OLLAMA_ENABLED, OLLAMA_MODEL, MONGODB_URI and MONGODB_DB count; blank ones do not."""
    environ = {
        "OLLAMA_API_URL": "http://localhost:9999/",
        "OLLAMA_ENABLED": "false",
        "OLLAMA_MODEL": "mistral",
        "MONGODB_URI": "mongodb://h/",
        "MONGODB_DB": " ",
    }
    settings = Settings.load(environ=environ)
    assert settings.ollama_url == "http://127.0.0.1:9999"
    assert settings.ollama_enabled is False
    assert settings.configured_model == "mistral"
    assert settings.mongodb_uri == "mongodb://h/"
    assert settings.mongodb_db == "ELIXIDB"


def test_later_sources_win() -> None:
    """Host variables, then ELIXI_MODELS_*, then the app's config, then arguments; None means not given."""
    environ = {"OLLAMA_API_URL": "http://a:1", "ELIXI_MODELS_OLLAMA_URL": "http://b:1"}
    assert Settings.load(environ=environ).ollama_url == "http://b:1"
    config = {"ELIXI_MODELS_OLLAMA_URL": "http://c:1"}
    assert Settings.load(environ=environ, config=config).ollama_url == "http://c:1"
    assert Settings.load(environ=environ, config=config, ollama_url="http://d:1").ollama_url == "http://d:1"
    assert Settings.load(environ=environ, config=config, ollama_url=None).ollama_url == "http://c:1"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("pull_retries", "0", 0),
        ("max_pulls", "16", 16),
        ("switch_wait_s", "0", 0.0),
        ("switch_wait_s", 30, 30.0),
        ("allow_cloud_models", "YES", True),
        ("install_paths", "off", False),
        ("registries", " a.io , b.io,", ("a.io", "b.io")),
        ("registries", ["a.io"], ("a.io",)),
        ("data_dir", "~/x", Path.home() / "x"),
        ("registry_url", "localhost:5000", "http://127.0.0.1:5000"),
    ],
)
def test_values_are_converted(key: str, value: Any, expected: Any) -> None:
    """Texts of the environment and values of a config give the same typed setting."""
    assert getattr(Settings.load(environ={}, **{key: value}), key) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("switch_wait_s", "-0.1"),
        ("switch_wait_s", "30.1"),
        ("switch_wait_s", "nan"),
        ("switch_wait_s", "soon"),
        ("max_pulls", 0),
        ("max_pulls", 17),
        ("max_pulls", 1.5),
        ("max_pulls", True),
        ("ollama_enabled", "perhaps"),
        ("ollama_url", "ftp://x"),
        ("ollama_url", "http://"),
        ("ollama_url", "http://u:p@h"),
        ("ollama_url", "http://h:99999"),
        ("ollama_url", "http://h/?x=1"),
    ],
)
def test_a_bad_value_names_its_key(key: str, value: Any) -> None:
    """Reading fails at once, saying which key and which value."""
    with pytest.raises(InvalidSetting) as caught:
        Settings.load(environ={environment_name(key): value})
    assert environment_name(key) in caught.value.message
    assert caught.value.details["setting"] == environment_name(key)


def test_an_unknown_argument_is_refused() -> None:
    """A typo in a keyword is no silent default."""
    with pytest.raises(InvalidSetting, match="unknown setting: switch_wait"):
        Settings.load(environ={}, switch_wait=1)


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        ("localhost", "http://127.0.0.1:11434"),
        ("http://localhost:11434/", "http://127.0.0.1:11434"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("http://[::]:11434", "http://127.0.0.1:11434"),
        ("http://[::1]:11434", "http://[::1]:11434"),
        ("HTTPS://Ollama.Example/base/", "https://ollama.example/base"),
        ("http://10.0.0.5", "http://10.0.0.5"),
    ],
)
def test_urls_have_one_form(raw: str, url: str) -> None:
    """What is stored under a server's URL is found again however it was written."""
    assert normalise_url(raw) == url


@pytest.mark.parametrize(
    ("url", "local"),
    [("http://127.0.0.1:1", True), ("http://[::1]:1", True), ("http://10.0.0.5:1", False), ("http://h:1", False)],
)
def test_only_loopback_is_local(url: str, local: bool) -> None:
    """Processes and files are looked at only where the server surely runs here."""
    assert is_local(url) is local


def test_every_setting_says_what_it_means() -> None:
    """Meaning and, for numbers, bounds are there for the documentation and the check."""
    for spec in fields(Settings):
        assert spec.metadata["meaning"]
        if spec.type in ("int", "float"):
            assert spec.metadata["low"] is not None
            assert spec.metadata["high"] is not None
