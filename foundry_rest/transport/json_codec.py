"""JSON encoding and decoding; a failure is one of our errors, which never quotes the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from foundry_rest.errors import ConfigError, InvalidReply
from foundry_rest.errors.parsing import stream_error
from foundry_rest.errors.process import late_import
from foundry_rest.raw_json import UNDECODABLE

T = TypeVar("T")


def encode_json(value: object) -> bytes:
    """Return ``value`` as JSON bytes.

    Raises:
        ConfigError: The value holds a lone surrogate, or cannot be JSON.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        kind = "a lone surrogate" if isinstance(error, UnicodeError) else type(error).__name__
        raise ConfigError(f"the request cannot be written as JSON: {kind}") from None


def decode_json(body: bytes, kind: type[T], url: str = "") -> T:
    """Decode JSON bytes as ``kind``.

    Raises:
        InvalidReply: The bytes are not JSON, or not of that shape; ``where`` is the path.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE as error:
        raise unreadable(error, body, url) from None


def decode_answer(body: bytes, kind: type[T], url: str = "") -> T:
    """Decode what a service answered; what does not fit and nobody needs is left out.

    Raises:
        ServiceError: It is an error, in spite of a status that says success.
        InvalidReply: The bytes are not JSON, or what is needed is not of that shape; ``where`` is the path.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE as error:
        return decode_odd(body, kind, error, url)


def decode_odd(
    body: bytes, kind: type[T], cause: Exception, url: str = "", *, keeps_halves: bool = False
) -> T:
    """Decode what a strict decoder refused for ``cause``, as ``decode_answer`` does.

    ``keeps_halves`` is for an event whose text may end in half a character.
    """
    with late_import(sent=True):
        from foundry_rest.schema.lenient_json import decode_leniently

    if reported := stream_error(body):
        raise reported
    try:
        return decode_leniently(body, kind, keeps_halves=keeps_halves)
    except InvalidReply as refused:
        refused.url = url
        raise
    except msgspec.ValidationError as error:
        raise unreadable(error, body, url) from None
    except ValueError:
        raise unreadable(cause, body, url) from None


def unreadable(error: Exception, body: bytes, url: str = "") -> InvalidReply:
    """Build the error for a body that msgspec refused; the message never quotes the body."""
    text = str(error) if isinstance(error, msgspec.ValidationError) else "the body is not JSON"
    what, _, where = text.partition(" - at `")
    return InvalidReply(
        f"unreadable answer: {what}", where=where.rstrip("`") or "$", body=body[:2048], url=url
    )


def _plain(value: object) -> object:
    """Return a value that msgspec can encode for a mapping, text or number of another class."""
    if isinstance(value, Mapping):
        return dict(value)
    for kind in (str, int, float):  # for their subclasses, such as numpy.float64
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(type(value).__name__)


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
