"""The page that an index shows: README without links into the source tree, which lead nowhere there.

All else about the package is in setup.cfg.
"""

import re
from pathlib import Path

#: A link to a file of the source tree: its text and its target.
LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)([^)#\s]+)(?:#[^)\s]*)?\)")
#: Where the files are that the page names.
NOTE = "\n\nFiles that are named here, such as `docs/how-to/batch.md`, are in the source archive.\n"


def page_of(readme: str) -> str:
    """Return the page: each such link becomes its text, with the file's name unless that is the text."""
    return LOCAL_LINK.sub(_as_text, readme) + NOTE


def _as_text(link: re.Match[str]) -> str:
    text, target = link.groups()
    return f"`{target}`" if target.startswith(text) else f"{text} (`{target}`)"


if __name__ == "__main__":
    from setuptools import setup

    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(long_description=page_of(readme), long_description_content_type="text/markdown")
