"""Whole HTTP answers as scripts, valid and broken; step 0 is always the head, the rest is the body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TypeAlias

from foundry_rest.testing.script import Script, Send, cut

#: Header fields: pairs when one of them comes twice, as 2.x sends them.
Fields: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
#: UTF-8's byte order mark; put it before the first event.
BOM = b"\xef\xbb\xbf"
#: The event that ends a valid stream, and its spelling without the space.
DONE = b"data: [DONE]\n\n"
DONE_UNSPACED = b"data:[DONE]\n\n"
#: An event whose JSON breaks off.
MALFORMED = b'data: {"choices": [{"delta"\n\n'


def answer(
    status: int = 200,
    body: bytes | str = b"",
    *,
    headers: Fields = (),
    content_type: str | None = JSON,
    length: int | None = None,
) -> Script:
    """Answer with a body of known length; ``length`` states a false one, for a cut or a wrong header.

    Args:
        status: HTTP status; the reason phrase follows from it.
        body: Text is sent as UTF-8.
        headers: Added after Content-Type and Content-Length.
        content_type: ``None`` for no such header.
        length: Content-Length to state; default: the body's own.
    """
    data = body.encode() if isinstance(body, str) else body
    size = str(len(data) if length is None else length)
    head = _head("HTTP/1.1", status, content_type, (("Content-Length", size), *_pairs(headers)))
    return Script((head, Send(data)))


def chunked(
    parts: Iterable[bytes], *, status: int = 200, headers: Fields = (), content_type: str | None = JSON
) -> Script:
    """Answer in chunks: step 0 is the head, then one HTTP chunk for each part, last the zero chunk.

    Drop the last step (``[:-1]``) and add ``cut()`` for a body that breaks off.
    """
    head = _head("HTTP/1.1", status, content_type, (("Transfer-Encoding", "chunked"), *_pairs(headers)))
    return Script((head, *map(_chunk, parts), Send(b"0\r\n\r\n")))


def bad_chunk_size(
    parts: Iterable[bytes] = (), *, headers: Fields = (), content_type: str | None = EVENT_STREAM
) -> Script:
    """Answer in chunks, the one after ``parts`` with a size that is not a number; then close."""
    whole = chunked(parts, headers=headers, content_type=content_type)
    return whole[:-1] + Script((Send(b"zz\r\nnot a chunk\r\n"),)) + cut()


def close_delimited(
    parts: Iterable[bytes],
    *,
    status: int = 200,
    headers: Fields = (),
    content_type: str | None = EVENT_STREAM,
) -> Script:
    """Answer as HTTP/1.0 does: without length or chunks; the end of the connection ends the body.

    A cut looks exactly like an end here: leave parts out to simulate one.
    """
    head = _head("HTTP/1.0", status, content_type, _pairs(headers))
    return Script((head, *map(Send, parts))) + cut()


def sse(
    events: Iterable[bytes], *, done: bool = True, status: int = 200, headers: Fields = (), bom: bool = False
) -> Script:
    """Answer with an event stream: one step and one HTTP chunk for each event.

    Args:
        events: Whole blocks, as ``event`` and ``comment`` build them; any bytes are accepted.
        done: Add ``data: [DONE]`` before the zero chunk.
        status: HTTP status.
        headers: Added to the answer's own.
        bom: Put a byte order mark before the first event.
    """
    blocks = [*events, DONE] if done else list(events)
    if bom:
        blocks[:1] = [BOM + (blocks[0] if blocks else b"")]
    return chunked(blocks, status=status, headers=headers, content_type=EVENT_STREAM)


def event(data: str | None = None, *, name: str | None = None, id: str | None = None) -> bytes:
    r"""Build one block of an event stream; a client must ignore one without ``data``.

    >>> event("one", name="ping", id="7")
    b'event: ping\nid: 7\ndata: one\n\n'
    """
    lines = [f"{key}: {text}" for key, text in (("event", name), ("id", id)) if text is not None]
    lines += [f"data: {line}" for line in data.split("\n")] if data is not None else []
    return "\n".join((*lines, "", "")).encode()


def comment(text: str = "keep-alive") -> bytes:
    """Build the comment block that 2.2 sends every 250 ms while it processes the prompt."""
    return f": {text}\n\n".encode()


def html_page(status: int = 200, title: str = "Sign in") -> Script:
    """Answer with an HTML page, as a captive portal or a proxy does."""
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return answer(status, page, content_type="text/html; charset=utf-8")


def _head(version: str, status: int, content_type: str | None, pairs: tuple[tuple[str, str], ...]) -> Send:
    kind = () if content_type is None else (("Content-Type", content_type),)
    lines = [f"{name}: {value}" for name, value in (*kind, *pairs)]
    return Send("\r\n".join((f"{version} {status} {_reason(status)}", *lines, "", "")).encode("latin-1"))


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _pairs(fields: Fields) -> tuple[tuple[str, str], ...]:
    return tuple(fields.items() if isinstance(fields, Mapping) else fields)


def _chunk(part: bytes) -> Send:
    # An empty chunk would be the zero chunk, the end of the body.
    return Send(b"%x\r\n%b\r\n" % (len(part), part) if part else b"")
