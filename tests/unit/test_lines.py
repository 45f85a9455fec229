"""The line decoder: the same units however the bytes are cut, the object as soon as it is whole."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from foundry_rest.errors import InvalidReply
from foundry_rest.transport.lines import LineDecoder

SAMPLES = Path(__file__).parents[1] / "samples" / "legacy-0.8"
#: Sample -> how many units it holds, the object included.
UNITS = {
    "download_percent": 4,
    "download_pairs": 5,
    "download_failed": 2,
    "download_windows": 4,
    "download_cut": 2,
}


def read(name):
    """Return the bytes of a sample."""
    return (SAMPLES / f"{name}.txt").read_bytes()


def decode(*pieces):
    """Feed pieces to a new decoder; return all units."""
    decoder = LineDecoder()
    units = [unit for piece in pieces for unit in decoder.feed(piece)]
    return units + decoder.end()


def feed_all(decoder, pieces):
    """Feed pieces one after the other."""
    for piece in pieces:
        decoder.feed(piece)


def test_every_sample_is_used():
    """A sample that no test reads fails, and so does a missing one."""
    assert {path.stem for path in SAMPLES.glob("*.txt")} == set(UNITS)


@pytest.mark.parametrize("name", UNITS)
def test_a_sample_at_every_split(name):
    """Fed whole, byte by byte, or in two pieces cut anywhere, a sample gives the same units."""
    body = read(name)
    whole = decode(body)

    assert len(whole) == UNITS[name]
    assert decode(*(body[at : at + 1] for at in range(len(body)))) == whole
    assert [at for at in range(len(body)) if decode(body[:at], body[at:]) != whole] == []


def test_units_are_lines_and_one_object():
    """Lines come without the blanks around them; the object comes whole, over however many lines it lies."""
    assert decode(read("download_windows")) == [
        b"Starting download",
        rb"Total 42,5% Downloading v4\model.onnx",
        rb"Total 100% Downloading v4\model.onnx",
        b'{"success":\n\ntrue}',
    ]


def test_units_come_with_the_byte_that_completes_them():
    """A line is not held back for its LF, nor the object for a line end or the connection's end."""
    decoder = LineDecoder()

    assert decoder.feed(b"Total 1%") == []
    assert decoder.feed(b"\r") == [b"Total 1%"]
    assert decoder.feed(b'\n {"a":\n {"b": "}') == []
    assert decoder.feed(b'"}') == []
    assert decoder.feed(b"}") == [b'{"a":\n {"b": "}"}}']


def test_nothing_counts_behind_the_object():
    """The object has the last word."""
    decoder = LineDecoder()

    assert decoder.feed(b'{"success": true}\n') == [b'{"success": true}']
    assert decoder.feed(b"Total 1%\n{}\n") == []


@pytest.mark.parametrize(
    "tail", [b"", b"Total 5%", b"{", b'{"success": true', b'{"success": true} x', b"{}}", b'{"a":' * 9000]
)
def test_what_breaks_off_is_dropped(tail):
    """A line without its end and an object that is none are nobody's word; deep nesting is no crash."""
    assert decode(b"one\n" + tail) == [b"one"]


@pytest.mark.parametrize("start", [b"", b"{", b'{"a": "'])
@pytest.mark.parametrize("unit", [b"x", b"}", b" x"])
def test_an_endless_unit_ends_in_an_error(start, unit):
    """A line or object that never ends is refused at the limit; memory stays bounded."""
    decoder = LineDecoder(max_unit=20_000)
    decoder.feed(start)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidReply, match="larger than 20,000 bytes"):
            feed_all(decoder, [unit * 1000] * 1000)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_many_lines_are_no_large_one():
    """The limit is on one unit: an answer may be of any length."""
    decoder = LineDecoder(max_unit=100)

    assert sum(len(decoder.feed(b"Total 1%\r\n" * 50)) for _ in range(100)) == 5000
