"""Sphinx: furo for the look, MyST for Markdown, autodoc for the API."""

project = "elixi-models"
author = "the elixi-models developers"
copyright = "2026, the elixi-models developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
exclude_patterns = ["_build"]
nitpicky = False
