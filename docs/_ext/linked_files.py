"""Files that are no pages and that pages link to: the site holds a copy of each.

A file of ``docs`` keeps its place, one of the rest of the source tree (an example, the change log) lies below
``files``. The same holds for the Markdown copies.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def place_of(page: str, target: str) -> tuple[Path, str] | None:
    """Return the file that a page's link means and its place in the site; ``None`` for a page or no file."""
    file = Path(os.path.normpath(DOCS / PurePosixPath(page).parent / target))
    if not file.is_file() or not file.is_relative_to(ROOT):
        return None
    if file.is_relative_to(DOCS):
        return None if file.suffix == ".md" else (file, file.relative_to(DOCS).as_posix())
    return file, f"files/{file.relative_to(ROOT).as_posix()}"


def relative(page: str, place: str) -> str:
    """Return the way from a page to a place of the site."""
    return os.path.relpath(place, PurePosixPath(page).parent).replace(os.sep, "/")


class LinksToFiles(SphinxTransform):
    """Make links to files plain ones, to the site's copies."""

    default_priority = 5

    def apply(self, **_: object) -> None:
        """Replace the nodes that MyST makes of such links."""
        page = self.env.docname
        kinds = (addnodes.download_reference, addnodes.pending_xref)
        for node in list(self.document.findall(lambda node: isinstance(node, kinds))):
            target = node["reftarget"]
            if node.get("refdomain") == "doc":
                target = os.path.relpath(DOCS / f"{target}.md", (DOCS / page).parent)
            found = place_of(page, target)
            if found:
                uri = relative(page, found[1])
                node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform."""
    app.add_transform(LinksToFiles)
    return {"parallel_read_safe": True}
