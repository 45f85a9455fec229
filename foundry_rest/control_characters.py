"""Control characters in what others wrote, made visible where a terminal would obey them."""

from __future__ import annotations

import re

#: Escape, bell and the rest of C0 and C1, delete, marks that turn the direction of text, halves of pairs,
#: and a carriage return that would write over its line.
_CONTROLS = (
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)
_LINES = "[\t\n\r]"


def visible(text: str, *, keep_lines: bool = True) -> str:
    r"""Return a text with its control characters as Python's escapes, such as ``\x1b``.

    Args:
        text: Any text.
        keep_lines: Leave line ends and tabs; else they are made visible, too, for a log has one line for each
            record.
    """
    if text.isprintable():
        return text
    shown = re.sub(_CONTROLS, _escape, text)
    return shown if keep_lines else re.sub(_LINES, _escape, shown)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
