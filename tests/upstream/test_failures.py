"""Texts of real servers (0.9.6 to 0.33) become our errors, and stay out of their messages."""

from __future__ import annotations

import pytest

from elixi_models import errors
from elixi_models.upstream.failures import Action, parse_bytes, refusal

BLOB = "/models/blobs/sha256-9c71a242935027300bbc8844861346069ebd9e1c6e7c6e727d6e0767c2a4d19c"
ECHO = '{"errors": [{"code": "UNKNOWN", "message": "local fault"}]}'
MANIFEST_URL = "https://registry.ollama.ai/v2/library/x/manifests/latest"

PULLS: list[tuple[str, type[errors.ElixiModelsError]]] = [
    ("pull model manifest: file does not exist", errors.ModelNotFound),
    ("file does not exist", errors.ModelNotFound),
    ('model "x" not found', errors.ModelNotFound),
    (f"pull model manifest: 404: {ECHO}", errors.ModelNotFound),
    (f"write {BLOB}-partial: no space left on device", errors.InsufficientStorage),
    ("write C:\\m\\x: There is not enough space on the disk.", errors.InsufficientStorage),
    ("digest mismatch, file must be downloaded again: want sha256:c3, got sha256:dd", errors.DigestMismatch),
    ("max retries exceeded: unexpected EOF", errors.RegistryUnreachable),
    ("max retries exceeded: EOF", errors.RegistryUnreachable),
    (f'pull model manifest: Get "{MANIFEST_URL}": dial tcp: lookup x: no such host', errors.RegistryUnreachable),
    (f'pull model manifest: Get "{MANIFEST_URL}": Service Unavailable', errors.RegistryUnreachable),
    (f'Get "{MANIFEST_URL}": net/http: TLS handshake timeout', errors.RegistryUnreachable),
    ("http: no Location header in response", errors.RegistryUnreachable),
    ("tls: failed to verify certificate: x509: unknown authority", errors.RegistryUnreachable),
    ("read tcp 10.0.0.1:1->10.0.0.2:443: read: connection reset by peer", errors.RegistryUnreachable),
    (f"pull model manifest: 429: {ECHO}", errors.RegistryUnreachable),
    (f"pull model manifest: 500: {ECHO}", errors.RegistryUnreachable),
    (f"pull model manifest: 503: {ECHO}", errors.RegistryUnreachable),
    (f"pull model manifest: 403: {ECHO}", errors.RegistryDenied),
    (f"pull model manifest: 412: {ECHO}", errors.RegistryDenied),
    ("pull model manifest: 412: The model requires a newer version of Ollama", errors.RegistryDenied),
    ("pull model manifest: unauthorized: access denied", errors.RegistryDenied),
    ('pull model manifest: realm host "" does not match original host "registry.ollama.ai"', errors.RegistryDenied),
    ('pull model manifest: Get "?nonce=R&ts=1": unsupported protocol scheme ""', errors.RegistryDenied),
    ("context canceled", errors.OllamaBusy),
    ("invalid model name", errors.InvalidRequest),
    ("something nobody has seen", errors.OllamaError),
]


@pytest.mark.parametrize(("text", "expected"), PULLS, ids=[text[:40] for text, _ in PULLS])
def test_pull_failures(text: str, expected: type[errors.ElixiModelsError]) -> None:
    """A pull's error line has no status of its own; the text decides."""
    assert type(refusal(text, -1, action="pull", model="x")) is expected


ANSWERS: list[tuple[int, str, Action, type[errors.ElixiModelsError]]] = [
    (404, "model 'no-such-model' not found", "load", errors.ModelNotInstalled),
    (404, 'model "x" not found, try pulling it first', "generate", errors.ModelNotInstalled),
    (404, "model 'x:latest' not found", "show", errors.ModelNotInstalled),
    (404, "model 'x' not found", "delete", errors.ModelNotInstalled),
    (404, "404 page not found", "read", errors.OllamaError),
    (405, "405 method not allowed", "delete", errors.OllamaError),
    (400, "invalid model name", "generate", errors.InvalidRequest),
    (400, 'name "a b" is invalid', "delete", errors.InvalidRequest),
    (400, "model is required", "show", errors.InvalidRequest),
    (500, "invalid model path", "show", errors.InvalidRequest),
    (400, '"tiny-embed:latest" does not support generate', "load", errors.CannotChat),
    (400, '"tiny-embed:latest" does not support chat', "generate", errors.CannotChat),
    (400, '"x" does not support thinking', "generate", errors.InvalidRequest),
    (503, "server busy, please try again.  maximum pending requests exceeded", "load", errors.OllamaBusy),
    (503, "Server overloaded, please retry shortly (ref: 1)", "generate", errors.OllamaBusy),
    (499, "request canceled", "load", errors.OllamaBusy),
    (500, "model requires more system memory (7.5 GiB) than is available (5.2 GiB)", "load", errors.OutOfMemory),
    (500, "model requires 9 GiB but only 6 GiB are available (after 1 GiB overhead)", "load", errors.OutOfMemory),
    (500, "llama-server reported out-of-memory during startup: x", "load", errors.OutOfMemory),
    (500, "llama-server process has terminated: exit status 1: cudaMalloc failed", "load", errors.OutOfMemory),
    (500, "llama-server process has terminated: exit status 1: bad", "load", errors.LoadFailed),
    (500, "timed out waiting for llama-server to start - ", "load", errors.LoadFailed),
    (500, f"unable to load model: {BLOB}", "load", errors.LoadFailed),
    (500, 'tensor "blk.18" offset+size (73315712) exceeds file size (72405568)', "load", errors.LoadFailed),
    (500, "some failure without a known word", "load", errors.LoadFailed),
    (500, "some failure without a known word", "generate", errors.OllamaError),
    (-1, "an error was encountered while running the model: unexpected EOF", "generate", errors.LoadFailed),
    (500, "model runner has unexpectedly stopped, this may be due to", "generate", errors.LoadFailed),
    (500, 'option "num_ctx" must be of type integer', "load", errors.OllamaError),
    (400, 'time: missing unit in duration "-1"', "load", errors.OllamaError),
    (403, "", "read", errors.OllamaError),
    (403, "ollama cloud is disabled: remote model is unavailable", "generate", errors.RegistryNotAllowed),
    (401, "unauthorized", "generate", errors.RegistryDenied),
    (302, "", "read", errors.OllamaError),
    (502, "<html><h1>Bad Gateway</h1>", "read", errors.OllamaUnavailable),
    (503, " <html>", "read", errors.OllamaUnavailable),
    (504, "<html>", "load", errors.OllamaTimeout),
    (200, "<!doctype html>", "read", errors.OllamaError),
    (502, "dial tcp: lookup ollama.com: no such host", "generate", errors.OllamaError),
]


@pytest.mark.parametrize(
    ("status", "text", "action", "expected"), ANSWERS, ids=[f"{action} {text[:40]}" for _, text, action, _ in ANSWERS]
)
def test_failures_of_all_else(status: int, text: str, action: Action, expected: type[errors.ElixiModelsError]) -> None:
    """The same texts under any status give the same errors; the action helps where the text is unknown."""
    assert type(refusal(text, status, action=action, model="x")) is expected


def test_no_server_text_reaches_the_message() -> None:
    """Paths, URLs and upstream bodies stay out of message and details."""
    for text, _ in PULLS:
        error = refusal(text, -1, action="pull", model="the-model")
        shown = f"{error.message} {dict(error.details)}"
        for leak in ("/models", "blobs", "http", "local fault", "tcp", "sha256"):
            assert leak not in shown
    for status, text, action, _ in ANSWERS:
        error = refusal(text, status, action=action, model="the-model")
        assert BLOB not in error.message
        assert "cudaMalloc" not in error.message


def test_memory_figures_become_details() -> None:
    """What the server says about memory is parsed, in both wordings; without figures there are none."""
    old = "model requires more system memory (7.5 GiB) than is available (512 MiB)"
    new = "model requires 9 GB but only 6.5 GB are available (after 1 GB overhead)"
    assert dict(refusal(old, 500, action="load", model="x").details) == {
        "model": "x",
        "needed_bytes": 8_053_063_680,
        "available_bytes": 536_870_912,
    }
    assert dict(refusal(new, 500, action="load").details) == {
        "needed_bytes": 9_000_000_000,
        "available_bytes": 6_500_000_000,
    }
    assert dict(refusal("out of memory", 500, action="load").details) == {}


@pytest.mark.parametrize(
    ("text", "expected"), [("1 B", 1), ("1.5 KiB", 1536), ("2 MB", 2_000_000), ("1 GiB", 2**30), ("1 TiB", 2**40)]
)
def test_parse_bytes(text: str, expected: int) -> None:
    """Binary and decimal units are told apart."""
    assert parse_bytes(text) == expected


def test_what_the_model_lacks_is_named() -> None:
    """A refused option of the request says which one."""
    error = refusal('"x" does not support thinking', 400, action="generate", model="x")
    assert (error.message, error.details["field"]) == ("x does not support thinking.", "thinking")


def test_messages_without_a_model_read_well() -> None:
    """Where no model is named the sentences still are sentences."""
    assert refusal("digest mismatch", -1, action="pull").message.startswith("A file of the model arrived damaged.")
    assert refusal("out of memory", 500, action="load").message.startswith("The model does not fit")
