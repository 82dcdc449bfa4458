"""The dashboard page and its two files: no framework, nothing from elsewhere, links relative to where it is mounted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from hashlib import blake2b
from importlib.resources import files

from flask import render_template

from .. import __version__
from .responses import Answer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page() -> Answer:
    """The page; a host's own `elixi_models/dashboard.html` among its templates wins."""
    text = render_template("elixi_models/dashboard.html", version=__version__)
    return _answer(text.encode(), "text/html; charset=utf-8")


@cache
def _asset(name: str, content_type: str) -> Answer:
    return _answer(files(__package__).joinpath("static", name).read_bytes(), content_type)


def _answer(body: bytes, content_type: str) -> Answer:
    tag = blake2b(body, digest_size=12).hexdigest()
    return Answer(200, body, tag, {"Content-Type": content_type, "Content-Security-Policy": POLICY})


#: Path under the prefix → what answers there.
PAGES: dict[str, Callable[[], Answer]] = {
    "dashboard": page,
    "dashboard.css": partial(_asset, "dashboard.css", "text/css; charset=utf-8"),
    "dashboard.js": partial(_asset, "dashboard.js", "text/javascript; charset=utf-8"),
}
