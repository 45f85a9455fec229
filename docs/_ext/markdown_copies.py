"""Beside each page its Markdown, and ``llms.txt``: a list of them, one line each (llmstxt.org).

A page without directives is copied as it was written; what a directive makes is told by ``as_markdown``.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from as_markdown import markdown
from docutils import nodes
from linked_files import LINK, ROOT, place_of, relative
from sphinx.application import Sphinx

#: The folders of pages, in the order of ``llms.txt``.
SECTIONS = {
    "": "Pages",
    "tutorial": "Tutorial",
    "how-to": "How to",
    "reference": "Reference",
    "explanation": "Explanation",
}
_IGNORED = shutil.ignore_patterns("__pycache__", ".*")
_DIRECTIVE = re.compile(r"^```\{", re.MULTILINE)
_SENTENCE = re.compile(r".+?[.](?=\s|$)", re.DOTALL)


def copied(page: str, text: str, site: Path) -> str:
    """Return a page's Markdown with links to files as they are in the site, and copy these there."""

    def link(found: re.Match[str]) -> str:
        file = place_of(page, found[1])
        if file is None:
            return found[0]
        place = site / file[1]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file[0], place)
        if file[0].name == "README.md" and file[0].parent != ROOT:  # it tells of what lies beside it
            shutil.copytree(file[0].parent, place.parent, ignore=_IGNORED, dirs_exist_ok=True)
        return relative(page, file[1])

    return LINK.sub(link, text)


def summary(document: nodes.document) -> str:
    """Return the first sentence of a page."""
    for paragraph in document.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            sentence = _SENTENCE.match(paragraph.astext())
            return " ".join((sentence[0] if sentence else paragraph.astext()).split())
    return ""


def index(lines: dict[str, str], title: str, about: str) -> str:
    """Return ``llms.txt``: pages by folder, in the order in which they are given."""
    parts = [f"# {title}\n\n> {about}\n"]
    for folder, heading in SECTIONS.items():
        own = [line for page, line in lines.items() if page.rpartition("/")[0] == folder]
        if own:
            parts.append("\n".join([f"## {heading}\n", *own]) + "\n")
    return "\n".join(parts)


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the copies and the index beside the pages."""
    if error or app.builder.format != "html":
        return
    lines, site = {}, Path(app.outdir)
    for page in ordered(app):
        source = Path(app.env.doc2path(page)).read_text(encoding="utf-8")
        doctree = app.env.get_and_resolve_doctree(page, app.builder)
        text = copied(page, source, site)
        if _DIRECTIVE.search(source):
            text = markdown(doctree)
        (site / f"{page}.md").write_text(text, encoding="utf-8")
        lines[page] = f"- [{app.env.titles[page].astext()}]({page}.md): {summary(doctree)}"
    about = summary(app.env.get_doctree("index"))
    (site / "llms.txt").write_text(index(lines, app.config.project, about), encoding="utf-8")


def tell(_app: Sphinx, page: str, _template: str, context: dict[str, Any], doctree: object) -> None:
    """Have a page name its Markdown; what Sphinx adds has none."""
    if doctree:
        copy = f"{PurePosixPath(page).name}.md"
        context["metatags"] += f'<link rel="alternate" type="text/markdown" href="{copy}">'


def ordered(app: Sphinx) -> list[str]:
    """Return all pages in the order of the tables of contents."""
    found: list[str] = []

    def follow(page: str) -> None:
        if page not in found:
            found.append(page)
            for each in app.env.toctree_includes.get(page, []):
                follow(each)

    follow(app.config.root_doc)
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the writer."""
    app.connect("html-page-context", tell)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
