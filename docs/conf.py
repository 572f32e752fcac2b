"""Settings of the documentation site; `make docs` builds it into docs/_build."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from ohmgrad import __version__  # noqa: E402

project = "ohmgrad"
author = "The ohmgrad authors"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "docstring",
    "generate",
    "mathml",
]
exclude_patterns = ["_build", "_ext", "_static"]
source_suffix = {".md": "markdown"}
default_role = "py:obj"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4

html_theme = "pydata_sphinx_theme"
html_title = "ohmgrad"
html_static_path = ["_static"]
html_math_renderer = "mathml"

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
napoleon_google_docstring = True
