"""The page and its files, as far as they can be judged without a browser."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest
from flask import Flask

from elixi_models import __version__, create_blueprint
from elixi_models.web.dashboard import POLICY

STATIC = files("elixi_models.web").joinpath("static")
TEMPLATE = files("elixi_models.web").joinpath("templates/elixi_models/dashboard.html")


def test_the_policy_is_strict(client: Any) -> None:
    """Nothing from elsewhere, nothing inline, no frame."""
    response = client.get("/ai/dashboard")

    assert (response.status_code, response.mimetype) == (200, "text/html")
    assert response.headers["Content-Security-Policy"] == POLICY
    assert POLICY == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert f"elixi-models {__version__}" in response.text


@pytest.mark.parametrize(("path", "mimetype"), [("dashboard.css", "text/css"), ("dashboard.js", "text/javascript")])
def test_the_files_are_served_and_revalidated(client: Any, path: str, mimetype: str) -> None:
    """Beside the page, so that relative links find them under any prefix."""
    response = client.get(f"/ai/{path}")

    assert (response.status_code, response.mimetype) == (200, mimetype)
    assert response.data == STATIC.joinpath(path).read_bytes()
    again = client.get(f"/ai/{path}", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


def test_the_page_keeps_to_its_policy() -> None:
    """No inline script or style, no absolute link, no other origin, in any of the three files."""
    page = TEMPLATE.read_text("utf-8")

    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", page)
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert links
    assert not [link for link in links if link.startswith(("/", "http")) and not link.startswith("data:")]
    code = STATIC.joinpath("dashboard.js").read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|https?://", code)
    assert "url(" not in STATIC.joinpath("dashboard.css").read_text("utf-8")


def test_every_address_the_page_uses_is_a_route() -> None:
    """The script asks nothing that the blueprint does not answer."""
    from elixi_models.web.routes import ENDPOINTS

    code = STATIC.joinpath("dashboard.js").read_text("utf-8")
    used = set(re.findall(r'(?:act|read)\((?:"\w+", )?"([a-z-]+)"', code)) | {"task-assignments"}

    assert {"model-status", "available-models", "downloads", "switch-model", "delete-model"} <= used
    assert used <= {endpoint.path for endpoint in ENDPOINTS}


def test_a_host_s_own_template_wins(service: Any, tmp_path: Any) -> None:
    """A host may bring its own page under the same template name."""
    folder = tmp_path / "elixi_models"
    folder.mkdir()
    (folder / "dashboard.html").write_text("own {{ version }}")
    app = Flask("host", template_folder=str(tmp_path))
    app.register_blueprint(create_blueprint(service=service))

    assert app.test_client().get("/ai/dashboard").text == f"own {__version__}"
