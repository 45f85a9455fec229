"""The decoder of 0.x's answer to a download: bytes in, lines out, no I/O.

The answer is lines of text with the progress, then one JSON object with the outcome, which may itself take
several lines (docs/reference/service.md, section 13). Each line is one unit, and so is the object; it is
returned as soon as it is complete, because a service may leave the connection open after it. An incomplete
unit at the end, an object or a line, is dropped: the reader recognises a cut answer by the missing object.
"""

from __future__ import annotations

import re

from foundry_rest.errors import InvalidReply
from foundry_rest.transport.sse import is_whole_object

#: Most bytes of one unit: a line is a file name and a number, the object a message. The bound is low
#: because the object is parsed again with every piece that may complete it.
MAX_UNIT = 64 * 1024
_OBJECT = re.compile(rb"^[ \t]*\{", re.MULTILINE)


class LineDecoder:
    """A decoder of the pieces of an answer into its lines, stripped of blanks, and its one object.

    Args:
        max_unit: Most bytes of one line, or of the object.
    """

    __slots__ = ("_max", "_over", "_rest")

    #: A download reports its failure in the object.
    has_error = False

    def __init__(self, max_unit: int = MAX_UNIT) -> None:
        self._max = max_unit
        self._rest = b""  # the unfinished line, or the object so far
        self._over = False

    def feed(self, piece: bytes) -> list[bytes]:
        """Return every unit that ``piece`` completes; ignore bytes after the object.

        Raises:
            InvalidReply: One unit is larger than ``max_unit``.
        """
        if self._over:
            return []
        # A lone CR ends a line too: a progress display uses it to write over the last line.
        text = self._rest + piece.replace(b"\r", b"\n")
        found = _OBJECT.search(text)
        cut = found.start() if found else text.rfind(b"\n") + 1
        units = [line.strip() for line in text[:cut].split(b"\n") if not line.isspace() and line]
        self._rest = text[cut:]
        if found and self._is_whole():
            units.append(self._rest.strip())
            self._over = True
        elif len(self._rest) > self._max:
            raise InvalidReply(f"one line or object of the answer is larger than {self._max:,} bytes")
        return units

    def end(self) -> list[bytes]:
        """Return nothing: complete units were returned before."""
        return []

    def _is_whole(self) -> bool:
        return self._rest.rstrip().endswith(b"}") and is_whole_object(self._rest)
