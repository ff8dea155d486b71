from __future__ import annotations

import cloome_sk

project = "cloome_sk"
author = "cloome_sk contributors"
copyright = "2026, cloome_sk contributors"
version = release = cloome_sk.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "code"

# A module's page lists exactly what its __all__ names, each with a page of its own, so that the
# reference cannot fall behind the code.
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"  # the docstrings give types, with shapes and units
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = f"cloome_sk {release}"
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False


def _skip_generated(app, what, name, obj, skip, options):
    """Leave out the request methods scikit-learn adds to each estimator; they are its own docs."""
    return True if name.startswith("set_") and name.endswith("_request") else skip


def setup(app):
    app.connect("autodoc-skip-member", _skip_generated)
