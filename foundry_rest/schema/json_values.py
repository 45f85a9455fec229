"""Check that values can be said in JSON and read back as they are, before anything is sent.

JSON has no way to say NaN, bytes or endless nesting: msgspec writes NaN as null and bytes as base64,
and the service then ignores the parameter or answers a prompt nobody wrote; JSON nested 60,000 deep
kills 2.x. Everything is therefore walked once, without recursion, before it is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from foundry_rest.errors import ConfigError

#: Deepest nesting sent. Real requests (tool schemas) stay below 20.
MAX_DEPTH = 64


def check_json(value: object, where: str) -> None:
    """Raise ConfigError unless ``value`` can be said in JSON and read back as it is.

    Refused: bytes and other types, NaN and infinity, NUL in texts (2.x cuts the text there), keys
    that are not text, nesting deeper than 64.
    """
    waiting: list[tuple[object, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            _check_text(item, where)
        elif isinstance(item, Mapping):
            if not all(isinstance(key, str) for key in item):
                raise ConfigError(f"{where} holds a mapping whose keys are not all text")
            waiting.extend((inner, depth + 1) for pair in item.items() for inner in pair)
        elif isinstance(item, (list, tuple)):
            waiting.extend((inner, depth + 1) for inner in item)
        else:
            _check_scalar(item, where)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where} is nested deeper than {MAX_DEPTH} levels")


def _check_text(text: str, where: str) -> None:
    if "\0" in text:
        raise ConfigError(f"{where} holds a NUL character (U+0000), at which the service would cut it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{where} holds a lone surrogate at position {error.start}") from None


def _check_scalar(item: object, where: str) -> None:
    if isinstance(item, float) and not math.isfinite(item):
        raise ConfigError(f"{where} holds {item}, which JSON cannot say")
    if item is not None and not isinstance(item, (bool, int, float)):
        raise ConfigError(f"{where} holds {type(item).__name__}, which is not JSON (text must be str)")
