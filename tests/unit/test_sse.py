"""The event-stream decoder: the same events however the bytes are cut, in linear time and bounded memory."""

from __future__ import annotations

import re
import time
import tracemalloc
from pathlib import Path

import pytest
from support.platforms import TICK

from foundry_rest.errors import InvalidReply
from foundry_rest.transport.sse import DONE, SSEDecoder

SAMPLES = Path(__file__).parents[1] / "samples"
#: Sample -> how many events it holds, ``[DONE]`` included.
EVENTS = {
    "native-2.2.1/stream": 7,
    "native-2.2.1/keep_alive": 8,
    "native-2.2.1/usage": 8,
    "native-2.2.1/error_only": 1,
    "native-2.2.1/error_after_role": 2,
    "native-2.2.1/buffer_limit": 6,
    "native-2.2.1/tool_call": 5,
    "native-2.2.1/reasoning": 8,
    "native-2.2.1/emoji": 5,
    "native-2.2.1/line_separator": 5,
    "native-2.2.1/responses": 4,
    "core-1.2.4/stream": 5,
    "core-1.2.4/cut": 2,
    "legacy-0.8/no_finish_reason": 3,
    "legacy-0.8/no_done": 2,
    "wire/crlf": 3,
    "wire/cr": 3,
    "wire/mixed_ends": 3,
    "wire/bom": 2,
    "wire/no_data_blocks": 2,
    "wire/multi_line": 4,
    "wire/unspaced": 2,
    "wire/no_blank_line": 2,
    "wire/no_last_newlines": 2,
    "wire/cut_event": 1,
    "wire/other_fields": 2,
}


def read(name):
    """Return the bytes of a sample."""
    return (SAMPLES / f"{name}.sse").read_bytes()


def decode(*pieces):
    """Feed pieces to a new decoder; return all events."""
    decoder = SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.end()


def feed_all(decoder, pieces):
    """Feed pieces one after the other."""
    for piece in pieces:
        decoder.feed(piece)


def by_the_book(body):
    """Decode a whole body the simple way: what the decoder must give, however it is fed."""
    text = re.sub(r"\r\n|\r", "\n", body.decode("utf-8-sig"))
    blocks = (re.findall(r"^data(?:: ?(.*))?$", block, re.MULTILINE) for block in text.split("\n\n"))
    return ["\n".join(lines).encode() for lines in blocks if lines]


def test_every_sample_is_used():
    """A sample that no test reads fails, and so does a missing one."""
    found = {path.relative_to(SAMPLES).with_suffix("").as_posix() for path in SAMPLES.rglob("*.sse")}

    assert found == set(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_sample_whole(name):
    """Fed whole, a sample gives its events, each byte for byte."""
    body = read(name)
    events = decode(body)

    assert len(events) == EVENTS[name]
    assert events == [data for data in by_the_book(body) if data][: len(events)]


@pytest.mark.parametrize("name", EVENTS)
def test_sample_byte_by_byte(name):
    """Fed byte by byte, a sample gives the same events."""
    body = read(name)

    assert decode(*(body[at : at + 1] for at in range(len(body)))) == decode(body)


@pytest.mark.parametrize("name", EVENTS)
def test_sample_at_every_split(name):
    """Fed in two pieces, cut at any byte, a sample gives the same events."""
    body = read(name)
    whole = decode(body)

    assert [at for at in range(len(body) + 1) if decode(body[:at], body[at:]) != whole] == []


def test_events_come_with_the_byte_that_completes_them():
    """An event is not held back for the packet after it, not even for the LF of a CRLF."""
    decoder = SSEDecoder()

    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\n") == [b"a"]
    assert decoder.feed(b"data: b\r\n\r") == [b"b"]
    assert decoder.feed(b"\ndata: c\r\r") == [b"c"]


def test_text_is_not_split_at_unicode_line_ends():
    """U+2028, U+2029 and U+0085 may stand raw inside JSON: only LF, CR and CRLF end a line."""
    events = decode(read("native-2.2.1/line_separator"))

    assert "one\u2028two".encode() in events[1]
    assert "\u0085three\u2029".encode() in events[2]


def test_data_lines_of_one_event_are_joined():
    """Several data lines are one event; one space after the colon is dropped, a second one kept.

    Data that is empty makes no event.
    """
    assert decode(read("wire/multi_line")) == [b'{"n":\n1}', b"\nx", b" two spaces", DONE]


def test_byte_order_mark_only_at_the_start():
    """A mark is dropped before the first byte and is data anywhere else."""
    assert decode(b"\xef\xbb\xbfdata: \xef\xbb\xbfx\n\n") == [b"\xef\xbb\xbfx"]
    assert decode(b"\xef\xbb", b"\n\ndata: y\n\n") == [b"y"]


@pytest.mark.parametrize(
    ("tail", "counts"),
    [
        (b"data: [DONE]", True),
        (b"data: [DONE]\n", True),
        (b'data: {"a": 1}', True),
        (b'data: {"a": 1', False),
        (b"data: [1]", False),
        (b"data: \xff", False),
        (b": comment", False),
        (b"", False),
    ],
)
def test_last_event_without_its_blank_line(tail, counts):
    """At the end ``[DONE]`` or a whole object counts without its blank line; anything else is a cut."""
    events = decode(b"data: first\n\n" + tail)

    assert len(events) == 1 + counts


@pytest.mark.parametrize("unit", [b"x", b": comment", b"data: x\n", b"data\n", b"id: 1"])
def test_an_endless_event_ends_in_an_error(unit):
    """An event that never ends is refused at the limit, whatever it is made of; memory stays bounded."""
    decoder = SSEDecoder(max_event=200_000)
    pieces = [unit * (65536 // len(unit))] * 100
    tracemalloc.start()
    try:
        with pytest.raises(InvalidReply, match="larger than 200,000 bytes"):
            feed_all(decoder, pieces)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 10 * 200_000


def test_many_small_events_are_no_large_one():
    """The limit is on one event: a stream may be of any length."""
    decoder = SSEDecoder(max_event=100)

    assert sum(len(decoder.feed(b"data: 123456789\n: c\n\n")) for _ in range(1000)) == 1000


def seconds_for(size, piece):
    """Return the least processor time of three runs over one line of ``size`` bytes."""
    parts = [b"data: ", *[b"x" * piece] * (size // piece), b"\n\n"]

    def run():
        began = time.process_time()
        assert len(decode(*parts)[0]) == size
        return time.process_time() - began

    return min(run() for _ in range(3))


def test_a_long_line_costs_linear_time():
    """Four times the line costs about four times the work (quadratic: 16), in small pieces too."""
    small, large = seconds_for(2**20, 1024), seconds_for(2**22, 1024)

    assert large < 10 * max(small, 0.001, TICK)
