"""Streams for interfaces: texts and server-sent events, whole, broken and left."""

from __future__ import annotations

import json

import pytest
from support.servers import CHAT

from foundry_rest.errors import StreamInterrupted
from foundry_rest.testing import chat_stream, cut, error_stream, json_error, stall


def events(pieces):
    """Return (name, data) of each event, as a browser reads them."""
    found = []
    for block in b"".join(pieces).decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields.get("event", ""), json.loads(fields["data"])))
    return found


def test_texts(server, native):
    """They are the pieces of the text, none of them empty."""
    server.on("POST", CHAT, chat_stream(["one ", "", "two"]))
    assert list(native.stream_complete("Hi").texts()) == ["one ", "two"]


def test_texts_of_a_broken_stream(server, native):
    """What arrived is given, then the error is raised."""
    server.on("POST", CHAT, chat_stream("one two three")[:3] + cut())
    pieces = native.stream_complete("Hi").texts()
    assert next(pieces)
    with pytest.raises(StreamInterrupted):
        list(pieces)


@pytest.mark.parametrize("form", ["texts", "sse"])
def test_leaving(server, native, form):
    """Whoever closes the iterator, or drops it, closes the stream, and frees its slot."""
    server.on("POST", CHAT, chat_stream("one two three")[:3] + stall())
    for leave in (lambda pieces: pieces.close(), lambda pieces: None):
        stream = native.stream_complete("Hi")
        pieces = getattr(stream, form)()
        assert next(pieces)
        leave(pieces)
        del pieces
        assert native.stats().slots.in_use == 0
        del stream


def test_a_whole_stream_as_events(server, native):
    """Each piece is an event, and the last one says that it is whole."""
    server.on("POST", CHAT, chat_stream("Grüße\nan alle"))
    *pieces, last = events(native.stream_complete("Hi").sse())
    assert {name for name, _ in pieces} == {""}
    assert "".join(data["content"] for _, data in pieces) == "Grüße\nan alle"
    assert last[0] == "end"
    assert last[1]["finish_reason"] == "stop"
    assert last[1]["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (chat_stream("one two three")[:3] + cut(), "StreamInterrupted"),
        (error_stream(after="one two"), "StreamInterrupted"),
    ],
)
def test_a_broken_stream_as_events(server, native, script, kind):
    """The last event is the failure, which is not raised: the page has its status already."""
    server.on("POST", CHAT, script)
    *pieces, (name, data) = events(native.stream_complete("Hi").sse())
    assert pieces
    assert (name, data["type"]) == ("failed", kind)
    assert data["message"]
    assert server.url not in data["message"]


def test_a_stream_that_does_not_open(server, native):
    """Its error is raised where it is opened: a page can still answer with a status."""
    server.on("POST", CHAT, json_error(400, "no"))
    with pytest.raises(Exception, match="no"):
        native.stream_complete("Hi").sse()
