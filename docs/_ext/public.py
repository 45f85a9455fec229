"""Which object is explained on which page: read from the directives of the pages themselves."""

from __future__ import annotations

import functools
import re
from pathlib import Path

REFERENCE = Path(__file__).parents[1] / "reference"
_DIRECTIVE = re.compile(r"^\.\. auto(?:class|exception|function|data):: ([\w.]+)", re.MULTILINE)


@functools.cache
def documented() -> dict[str, str]:
    """Return the short name of each object of the reference -> the name under which a page explains it."""
    pages = sorted(REFERENCE.glob("*.md"))
    names = [name for page in pages for name in _DIRECTIVE.findall(page.read_text(encoding="utf-8"))]
    return {name.rpartition(".")[2]: name for name in names}
