"""Streams for interfaces: pieces of text for a notebook or Streamlit, server-sent events for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from foundry_rest.errors import FoundryError

if TYPE_CHECKING:
    from foundry_rest.stream.chat import ChatStream

_ENCODER = msgspec.json.Encoder()


def texts(stream: ChatStream) -> Iterator[str]:
    """Yield each piece of a stream's text; the stream ends with the iterator."""
    with stream:
        for chunk in stream:
            if chunk.content:
                yield chunk.content


def server_sent_events(stream: ChatStream) -> Iterator[bytes]:
    """Yield a stream as server-sent events; the last one tells whether the answer is whole."""
    with stream:
        try:
            for chunk in stream:
                piece = {"content": chunk.content, "reasoning": chunk.reasoning}
                told = {name: text for name, text in piece.items() if text}
                if told:
                    yield _event("", told)
            yield _event("end", {"finish_reason": stream.finish_reason, "usage": stream.usage.to_dict()})
        except FoundryError as error:  # the page has its 200 already: it learns of the failure here
            yield _event("failed", {"type": type(error).__name__, "message": error.message})


def _event(name: str, data: Mapping[str, object]) -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return b"%bdata: %b\n\n" % (head, _ENCODER.encode(data))
