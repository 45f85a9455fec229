"""Check the pages that Sphinx has built: links, what they fetch, and how types are written.

Every link leads somewhere, nothing is fetched from elsewhere, and no type is shown as Python prints it.

    python .ci/check_site.py docs/_build/html

It reads the HTML, the Markdown beside it and `llms.txt`, with the standard library alone.
"""

from __future__ import annotations

import re
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from posixpath import normpath
from urllib.parse import unquote, urlsplit

#: Elements whose address a browser fetches by itself.
FETCHED = {"audio", "embed", "iframe", "img", "link", "object", "script", "source", "video"}
#: `link` elements that only tell of another page.
_TELLING = {"alternate", "index", "next", "prev", "search"}
#: What a style sheet or a script would fetch.
_LOADED = re.compile(r"""url\(\s*['"]?((?:https?:)?//[^)'"\s]+)|@import\s+['"]((?:https?:)?//[^'"]+)""")
_FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
_MARKDOWN = re.compile(r"(?<!`)\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
#: Types as Python prints them; the source says `bool`, and `X | None`.
_PRINTED = re.compile(r"<class '[\w.]+'>|\btyping\.(?:Optional|Union)\b")
_NO_SLUG = re.compile(r"[^\w\u4e00-\u9fff\- ]")


class Page(HTMLParser):
    """What one page of HTML has and names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element's id and its addresses."""
        given = {name: value for name, value in attrs if value}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        found = [given[name] for name in ("href", "src", "data") if name in given]
        if tag in FETCHED and not {*given.get("rel", "").split()} & _TELLING:
            self.fetched += [each for each in found if urlsplit(each).netloc]
        self.links += [each for each in found if not urlsplit(each).scheme and not urlsplit(each).netloc]


def slugs(markdown: str) -> set[str]:
    """Return the places of a page of Markdown: its headings, as GitHub names them, and its anchors."""
    found = dict.fromkeys(re.findall(r'<a id="([^"]+)"', markdown), 0)
    for heading in _HEADING.findall(_FENCE.sub("", markdown)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = _NO_SLUG.sub("", plain.lower()).replace(" ", "-")
        count = found.get(slug)
        found[slug] = 0 if count is None else count + 1
        if count is not None:
            found[f"{slug}-{count + 1}"] = 0
    return {*found}


def read(name: str, text: str) -> tuple[set[str], list[str], list[str]]:
    """Return a file's places, its links to other files of the site, and what is fetched from elsewhere."""
    if name.endswith(".html"):
        page = Page(text)
        return page.places, page.links, page.fetched
    if name.endswith(".css"):
        return set(), [], [one or other for one, other in _LOADED.findall(text)]
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))
    links = [each for each in _MARKDOWN.findall(prose) if not urlsplit(each).scheme]
    return slugs(text), links, []


def faults(files: dict[str, str | None]) -> list[str]:
    """Return what is wrong with a site: name of each file -> its text, or ``None`` for what is no text."""
    known = {name: read(name, text) for name, text in files.items() if text is not None}
    found = []
    for name, text in files.items():
        shown = unescape(re.sub(r"<[^>]*>", "", text or "")) if name.endswith(".html") else ""
        found += [
            f"{name}: {printed} is no type as the source writes it" for printed in _PRINTED.findall(shown)
        ]
    for name, (_, links, fetched) in known.items():
        found += [f"{name}: fetches {address}" for address in fetched]
        for link in links:
            path, place = unquote(urlsplit(link).path), unquote(urlsplit(link).fragment)
            target = normpath(PurePosixPath(name).parent / path) if path else name
            if target not in files:
                found.append(f"{name}: {link} is not there")
            elif place and target in known and place not in known[target][0]:
                found.append(f"{name}: {link} is no place of that page")
    return found


def texts(site: Path) -> dict[str, str | None]:
    """Return every file of a site: HTML, style sheets and Markdown with their text."""
    read_as_text = (".html", ".css", ".md", ".txt")
    return {
        path.relative_to(site).as_posix(): path.read_text("utf-8")
        if is_read(path, site, read_as_text)
        else None
        for path in sorted(site.rglob("*"))
        if path.is_file()
    }


def is_read(path: Path, site: Path, suffixes: tuple[str, ...]) -> bool:
    """Tell whether a file is read: copies of the source tree's files are for readers of that tree."""
    return path.suffix in suffixes and path.relative_to(site).parts[0] != "files"


def main(site: Path) -> str | None:
    """Print how many files there are; return what is wrong with them."""
    files = texts(site)
    pages = [name for name in files if name.endswith(".html")]
    found = faults(files)
    # What Sphinx adds has no source; what has one is there as Markdown, too.
    found += [
        f"{name}: no Markdown beside it"
        for name in pages
        if name not in ("genindex.html", "search.html", "py-modindex.html") and f"{name[:-5]}.md" not in files
    ]
    found += [] if "llms.txt" in files else ["llms.txt is not there"]
    print(f"{len(pages)} pages, {len(files)} files; {len(found)} faults")
    return "\n".join(found) or None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
