"""The gate's look at the built pages: a link that leads nowhere is told, and so is what would be fetched."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SITE = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "check_site.py"))
PAGE = '<h1 id="top">A</h1>'


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<a href="b.html">', ["a.html: b.html is not there"]),
        ('<a href="d/c.html#top"><a href="#here"><p id="here">', []),
        ('<a href="d/c.html#low">', ["a.html: d/c.html#low is no place of that page"]),
        ('<a href="#low">', ["a.html: #low is no place of that page"]),
        ('<img src="plot.svg">', ["a.html: plot.svg is not there"]),
        ('<a href="https://example.org/x.html"><a href="mailto:a@example.org">', []),
        ('<script src="https://example.org/x.js">', ["a.html: fetches https://example.org/x.js"]),
        ('<link rel="stylesheet" href="//example.org/x.css">', ["a.html: fetches //example.org/x.css"]),
        ('<img src="https://example.org/x.png">', ["a.html: fetches https://example.org/x.png"]),
        ('<link rel="alternate" href="https://example.org/">', []),
        ("<i>&lt;class</i> <b>'bool'&gt;</b>", ["a.html: <class 'bool'> is no type as the source writes it"]),
        ("<i>typing.Union[int, str]</i>", ["a.html: typing.Union is no type as the source writes it"]),
    ],
)
def test_pages(html, found):
    """Links lead to places of the site, nothing is fetched from another host, types are as in the source."""
    assert SITE["faults"]({"a.html": html, "d/c.html": PAGE}) == found


@pytest.mark.parametrize(
    ("style", "found"),
    [
        ("body { background: url(x.png) }", []),
        ("body { background: url('https://example.org/x.png') }", ["https://example.org/x.png"]),
        ("@import '//example.org/x.css';", ["//example.org/x.css"]),
    ],
)
def test_style_sheets(style, found):
    """A style sheet fetches nothing from another host either."""
    assert SITE["faults"]({"a.css": style}) == [f"a.css: fetches {each}" for each in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[x](d/c.md#one-thing) [y](#two) [z](https://example.org/)\n\n## Two\n", []),
        ("[x](d/c.md#other)", ["a.md: d/c.md#other is no place of that page"]),
        ("[x](b.md)", ["a.md: b.md is not there"]),
        ("```text\n[x](b.md)\n```\n`[x](b.md)`", []),
        ("[x](d/c.md#named)", []),
    ],
)
def test_markdown(text, found):
    """The links of Markdown lead to files, headings and anchors; what a block of code shows is no link."""
    other = '# `One` [thing](x)\n<a id="named"></a>\n'.replace("](x)", "](c.md)")

    assert SITE["faults"]({"a.md": text, "d/c.md": other}) == found


def test_every_page_has_its_markdown(tmp_path, capsys):
    """A page without Markdown beside it is told, and a site without ``llms.txt``; an index has no source."""
    for name in ("a.html", "b.html", "genindex.html"):
        (tmp_path / name).write_text(PAGE, encoding="utf-8")
    (tmp_path / "a.md").write_text("# A\n", encoding="utf-8")

    assert SITE["main"](tmp_path) == "b.html: no Markdown beside it\nllms.txt is not there"
    assert capsys.readouterr().out == "3 pages, 4 files; 2 faults\n"
