"""JSON as servers really write it, decoded without an error of another library."""

from __future__ import annotations

import json

import msgspec

from foundry_rest.errors.parsing import UNDECODABLE

#: Most digits that Python converts to a whole number.
_MOST_DIGITS = 4000


def decode_raw(data: bytes) -> object:
    """Return what JSON bytes say; the text itself where they are no JSON.

    NaN and infinities, numbers beyond a float, whole numbers of any length (as floats), a byte order mark,
    bytes that are not UTF-8 and halves of surrogate pairs are read, too.
    """
    try:
        return msgspec.json.decode(data)
    except UNDECODABLE:
        text = data.decode("utf-8-sig", "replace")
    try:
        return json.loads(text, parse_int=_whole, strict=False)
    except (ValueError, RecursionError):
        return text


def mend_surrogates(text: str) -> str:
    """Return a text whose halves of surrogate pairs are joined; a lone half becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)
