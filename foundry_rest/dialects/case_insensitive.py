"""Decode JSON whose keys come in any case: 0.x's documents say ModelDirPath, its client modelDirPath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from foundry_rest.transport.json_codec import decode_answer, unreadable

T = TypeVar("T")


def decode_any_case(body: bytes, kind: type[T], url: str = "") -> T:
    """Decode JSON bytes as ``kind``, whose fields are named in lower case.

    Raises:
        InvalidReply: The bytes are not JSON, or not of that shape.
    """
    return convert_any_case(decode_answer(body, object, url), kind, body, url)


def convert_any_case(value: object, kind: type[T], body: bytes, url: str = "") -> T:
    """Convert a decoded part of ``body`` to ``kind``, whose fields are named in lower case.

    Raises:
        InvalidReply: It is not of that shape.
    """
    from foundry_rest.schema.lenient_json import convert_leniently

    try:
        return convert_leniently(folded(value) if isinstance(value, dict) else value, kind, body)
    except msgspec.ValidationError as error:
        raise unreadable(error, body, url) from None


def folded(value: Mapping[str, T]) -> dict[str, T]:
    """Return an object with its top-level keys in lower case."""
    return {name.lower(): part for name, part in value.items()}
