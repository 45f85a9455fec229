"""The decoder of the event-stream format: bytes in, events out, no I/O.

Goals: the same events wherever the bytes are cut; linear time on a long line; bounded memory. The rules
are the WHATWG's (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)
with three departures, each because a real server needs it:

* the byte order mark is dropped even when its three bytes arrive in several pieces;
* at the end of the stream an event without its blank line counts if its data is ``[DONE]`` or
  a whole JSON object (some servers stop right after it); anything else there is a cut;
* blocks without data (``id:``, ``event: ping``, ``retry:``, comments), or whose data says nothing, make no
  event;
* a block named ``error``, or with a field of that name, makes an event even without data.

Lines end in LF, CRLF or CR. A CR at the end of one piece may be half of a CRLF, so an LF at the start of
the next piece is then dropped. What is *not* done: reconnecting, last event ids, other names of events (every
Foundry Local answer repeats the name inside its data).
"""

from __future__ import annotations

import msgspec

from foundry_rest.errors import InvalidReply
from foundry_rest.raw_json import UNDECODABLE

#: Most bytes of one event. Whole tool calls and images as data URLs come in one event; 32 MiB is far
#: above both and far below a program's memory.
MAX_EVENT = 32 * 1024 * 1024
DONE = b"[DONE]"
#: Data that says nothing, by which proxies and servers keep a connection open; and names of such events.
_BLANK = (b"", b"{}", b"null")
_MOST_BLANK = 8
_HEARTBEATS = frozenset((b"ping", b"heartbeat", b"keepalive", b"keep-alive"))
_BOM = b"\xef\xbb\xbf"


class ErrorEvent(bytes):
    """The data of an event that is named ``error``."""

    __slots__ = ()


class SSEDecoder:
    """A decoder of the pieces of an event stream into the data of its events.

    Args:
        max_event: Most bytes of one event, comments and unfinished lines included.

    Attributes:
        has_error: One of the events so far was an ``ErrorEvent``.
    """

    __slots__ = (
        "_data",
        "_head",
        "_is_error",
        "_is_heartbeat",
        "_line",
        "_max",
        "_size",
        "_skip_lf",
        "has_error",
    )

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._head: bytes | None = b""  # the first bytes, until it is clear that they are no BOM
        self._skip_lf = False
        self._line = bytearray()  # the unfinished line; appending keeps a long one linear
        self._data: list[bytes] = []  # data lines of the unfinished event
        self._size = 0  # their bytes
        self._is_error = self._is_heartbeat = False  # the unfinished event is named so
        self.has_error = False

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of every event that ``piece`` completes.

        Raises:
            InvalidReply: One event is larger than ``max_event``.
        """
        if self._head is not None:
            piece = self._strip_bom(piece)
        piece = self._only_lf(piece)
        lines = piece.split(b"\n")
        events: list[bytes] = []
        if len(lines) > 1:
            lines[0] = self._finish_line(lines[0])
            for line in lines[:-1]:
                self._take(line, events)
        self._line += lines[-1]
        if self._size + len(self._line) > self._max:
            raise InvalidReply(f"one event of the stream is larger than {self._max:,} bytes")
        return events

    def end(self) -> list[bytes]:
        """Return the last event when only its blank line is missing.

        Data that is neither ``[DONE]`` nor a whole JSON object is dropped; the reader recognises a cut
        stream by its missing end.
        """
        events: list[bytes] = []
        self._take(self._finish_line(b""), events)
        self._take(b"", events)
        return [
            data for data in events if isinstance(data, ErrorEvent) or data == DONE or is_whole_object(data)
        ]

    def _strip_bom(self, piece: bytes) -> bytes:
        start = (self._head or b"") + piece
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._head = start
            return b""
        self._head = None
        return start.removeprefix(_BOM)

    def _only_lf(self, piece: bytes) -> bytes:
        if self._skip_lf and piece:
            self._skip_lf = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._skip_lf = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return piece

    def _finish_line(self, rest: bytes) -> bytes:
        if not self._line:
            return rest
        line = bytes(self._line) + rest
        self._line.clear()
        return line

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data or self._is_error:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                if self._is_error or self._is_heartbeat:
                    self._take_named(data, events)
                elif len(data) > _MOST_BLANK or data.strip() not in _BLANK:
                    events.append(data)
                self._data.clear()
                self._size = 0
            self._is_heartbeat = False
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            self._size += len(line)
        elif line == b"data":
            self._data.append(b"")
            self._size += len(line)
        elif line.startswith(b"error:"):  # as llama.cpp's server wrote it
            self._is_error = True
            self._data.append(line[6:].strip())
            self._size += len(line)
        elif line.startswith(b"event:"):
            name = line[6:].strip().lower()
            self._is_error, self._is_heartbeat = name == b"error", name in _HEARTBEATS

    def _take_named(self, data: bytes, events: list[bytes]) -> None:
        """Add an event that is an error or a heartbeat by its name, though an answer may be named so, too."""
        if self._is_error:
            events.append(ErrorEvent(data))
            self.has_error, self._is_error = True, False
        elif b'"choices"' in data and data.strip() not in _BLANK:
            events.append(data)


def is_whole_object(data: bytes) -> bool:
    """Return whether these bytes are one JSON object and nothing else."""
    try:
        return isinstance(msgspec.json.decode(data), dict)
    except UNDECODABLE:
        return False
