"""Check what is in the source archive, and the page that an index shows for it.

    python .ci/check_sdist.py ARCHIVE TREE

Run by .ci/run with the tools of the extra `dev`; TREE is the source tree that the archive was made from.
"""

from __future__ import annotations

import email
import re
import sys
import tarfile
from pathlib import Path

#: What of the tree no archive needs: settings of git.
LEFT_OUT = {".gitignore"}
#: What setuptools adds.
ADDED = re.compile(r"PKG-INFO|setup\.cfg|foundry_rest\.egg-info/.*")
_HREF = re.compile(r'(?:href|src)="([^"]*)"')


def faults(names: set[str], wanted: set[str]) -> list[str]:
    """Return what is wrong with an archive, given the names of its files and of the tree's."""
    missing = sorted(wanted - LEFT_OUT - names)
    foreign = sorted(name for name in names - wanted if not ADDED.fullmatch(name))
    found = {f"not in the source archive: {missing}": missing, f"not of the tree: {foreign}": foreign}
    return [text for text, is_wrong in found.items() if is_wrong]


def broken_links(html: str) -> list[str]:
    """Return the links of a page that an index cannot follow: all that name no host and no place in it."""
    places = {f"#{name}" for name in re.findall(r'id="([^"]*)"', html)}
    return [link for link in _HREF.findall(html) if not link.startswith("https://") and link not in places]


def names_of(archive: Path) -> set[str]:
    """Return the names of an archive's files, below its one folder."""
    with tarfile.open(archive) as opened:
        return {member.name.partition("/")[2] for member in opened if member.isfile()}


def page_of(archive: Path) -> str:
    """Return the page of an archive, as the Python Package Index draws it."""
    from readme_renderer import markdown

    with tarfile.open(archive) as opened:
        (name,) = (each for each in opened.getnames() if re.fullmatch(r"[^/]+/PKG-INFO", each))
        file = opened.extractfile(name)
        assert file is not None
        about = email.message_from_bytes(file.read())
    assert about["Description-Content-Type"] == "text/markdown", about["Description-Content-Type"]
    payload = about.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return markdown.render(payload.decode()) or ""


def main(archive: Path, tree: Path) -> str | None:
    """Print the archive's size; return what is wrong with it."""
    names = names_of(archive)
    wanted = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    page = page_of(archive)
    found = faults(names, wanted)
    found += [f"a link that leads nowhere: {link}" for link in broken_links(page)]
    found += [] if "<h1>" in page or "<h1 " in page else ["the page could not be drawn"]
    print(
        f"{archive.name}: {archive.stat().st_size:,} bytes, {len(names)} files; a page of {len(page):,} bytes"
    )
    return "\n".join(found) or None


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
