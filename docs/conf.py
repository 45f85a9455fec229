"""How Sphinx builds these pages: ``python -m sphinx -W --keep-going -n docs docs/_build/html``.

Nothing is fetched, neither by the build nor by a page of it.
"""

import sys
from pathlib import Path

import foundry_rest

sys.path.insert(0, str(Path(__file__).with_name("_ext")))

project = "foundry_rest"
author = "foundry_rest contributors"
version = release = foundry_rest.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "docstrings",
    "typed_dicts",
    "linked_files",
    "markdown_copies",
]
exclude_patterns = ["_build", "_ext"]
default_role = "literal"
smartquotes = False

# Headings can be linked to as on GitHub.
myst_heading_anchors = 4

# Types are shown by docstrings.py, beside what is said of each argument: overloads would fill a page.
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "inherited-members": "FoundryError, Value"}
autodoc_class_signature = "mixed"
add_module_names = False
maximum_signature_line_length = 70

html_theme = "furo"
html_title = f"foundry_rest {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
