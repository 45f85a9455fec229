"""JSON as servers really write it, decoded without an error of another library."""

from __future__ import annotations

import json

import msgspec

#: What a decoder raises for bytes that are not JSON, or for JSON that is nested too deeply.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: Most digits that Python converts to a whole number.
_MOST_DIGITS = 4000


def decode_raw(data: bytes) -> object:
    """Return what JSON bytes say; the text itself where they are no JSON."""
    try:
        return read_raw(data)
    except ValueError:
        return data.decode("utf-8-sig", "replace")


def read_raw(data: bytes) -> object:
    """Return what JSON bytes say.

    NaN and infinities, numbers beyond a float, whole numbers of any length (as floats), a byte order mark,
    bytes that are not UTF-8 and halves of surrogate pairs are read, too.

    Raises:
        ValueError: They are not JSON even so, or nested too deeply.
    """
    try:
        return msgspec.json.decode(data)
    except UNDECODABLE:
        text = data.decode("utf-8-sig", "replace")
    try:
        return json.loads(text, parse_int=_whole, strict=False)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def encode_raw(value: object) -> bytes:
    """Return what ``read_raw`` returned as JSON bytes that it reads, halves of pairs and NaN included."""
    return json.dumps(value).encode()


class HalfJoiner:
    """A joiner of surrogate pairs whose halves came in two pieces of one text.

    Attributes:
        held: The first half at the end of the last piece, or ``""``.
    """

    def __init__(self) -> None:
        self.held = ""

    def join(self, text: str) -> str:
        """Return a piece with the half before it, and without a first half at its end, which is kept."""
        if not self.held and (text.isascii() or not text):
            return text
        text, self.held = self.held + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self.held = text[:-1], text[-1]
        return mend_surrogates(text)

    def flush(self) -> str:
        """Return U+FFFD if half a character is left at the end of the text, else ``""``."""
        half, self.held = self.held, ""
        return mend_surrogates(half)


def mend_surrogates(text: str) -> str:
    """Return a text whose halves of surrogate pairs are joined; a lone half becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)
