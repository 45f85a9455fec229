"""Streams of lines: opened, awaited and cut like event streams."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from foundry_rest.config import Timeouts
from foundry_rest.errors import (
    BadRequest,
    InvalidReply,
    ServerError,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
    TransportError,
)
from foundry_rest.testing import (
    answer,
    chunked,
    close_delimited,
    cut,
    html_page,
    json_error,
    stall,
)
from foundry_rest.transport.call import Call, Options

CALL = Call(
    "POST",
    "/openai/download",
    b"{}",
    lines=True,
    options=Options(timeouts=Timeouts(2, first_token=2, idle=2)),
)
HASTY = replace(CALL, options=Options(timeouts=Timeouts(2, first_token=0.05, idle=0.05)))
PARTS = (b"Total 1%\nTot", b"al 50%\n", b'{"success":\n', b"true}")


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "application/json", "text/event-stream", None])
def test_lines_of_any_kind(kind, server, transport):
    """0.x calls its lines what it likes; each one is an event, the object is the last."""
    server.otherwise(chunked(PARTS, content_type=kind))
    opened = transport.open(CALL)

    assert list(opened) == [b"Total 1%", b"Total 50%", b'{"success":\ntrue}']
    assert server.requests[0].headers.get("Accept") == "*/*"


def test_lines_without_a_length(server, transport):
    """HTTP/1.0's end of the connection ends the lines; the missing object tells a cut."""
    server.otherwise(close_delimited(PARTS[:2], content_type="text/plain"))

    assert list(transport.open(CALL)) == [b"Total 1%", b"Total 50%"]


def test_a_finished_answer_keeps_the_connection(server, transport):
    """The connection serves the next call."""
    server.otherwise(chunked(PARTS, content_type=None))
    for _ in range(2):
        opened = transport.open(CALL)
        assert len(list(opened)) == 3
        opened.finish()

    assert server.connections == 1


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (json_error(400, "no"), BadRequest),
        (json_error(200, "no", "server_error"), ServerError),
        (html_page(), InvalidReply),
        (answer(200, b""), StreamInterrupted),
        (answer(200, b'{"success": tr'), StreamInterrupted),
        (answer(200, b"x" * 100_000), InvalidReply),
        (chunked(PARTS)[:1] + cut(), TransportError),
    ],
)
def test_an_answer_that_is_none(script, error, server, transport):
    """A refusal, an error body, a page, nothing, an endless line and a cut are what they are."""
    server.otherwise(script)
    with pytest.raises(error) as caught:
        transport.open(CALL)

    assert (caught.value.call, caught.value.url) == (CALL.label, server.url)


def test_no_line_at_all(server, transport):
    """A service that falls silent before its first line is given up after the time for it."""
    server.otherwise(chunked(PARTS)[:1] + stall())
    with pytest.raises(ServiceTimeout):
        transport.open(HASTY)

    assert server.wait_left()


def test_a_page_is_named(server, transport):
    """The error tells what was expected and what came."""
    server.otherwise(html_page())
    with pytest.raises(InvalidReply, match="expected lines of text, got text/html"):
        transport.open(CALL)


@pytest.mark.parametrize(("end", "error"), [(cut(), ServiceUnreachable), (stall(), ServiceTimeout)])
def test_lines_that_break_off(end, error, server, transport):
    """What comes before a cut or a silence is given, then the cause is raised."""
    server.otherwise(chunked([b"Total 1%\nTotal 50%\nTotal"])[:2] + end)
    opened = transport.open(replace(CALL, options=Options(Timeouts(2, first_token=2, idle=0.05))))
    seen = []
    with pytest.raises(error):
        seen.extend(opened)

    assert seen == [b"Total 1%", b"Total 50%"]
