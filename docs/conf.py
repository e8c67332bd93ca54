"""Sphinx: MyST Markdown, executed where a page is a notebook; every warning is an error (make docs)."""

from importlib.metadata import version as installed_version

project = "bnlab"
author = "The bnlab developers"
version = release = installed_version("bnlab")

extensions = ["myst_nb"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
suppress_warnings = ["mystnb.unknown_mime_type"]  # a page has no use for the terminal's pictures

html_theme = "furo"
html_title = "bnlab"
html_show_copyright = False
html_static_path = ["_static"]
