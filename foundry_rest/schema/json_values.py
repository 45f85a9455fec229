"""Check that values survive a round trip through JSON, before anything is sent.

JSON has no NaN and no bytes: msgspec encodes NaN as null and bytes as base64, and the service then
ignores the parameter or answers a prompt that nobody wrote. JSON nested 60,000 deep ends the process of
2.x (docs/reference/service.md, section 11.2). So every value is walked once, without recursion, before it is
encoded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from foundry_rest.errors import ConfigError

#: Deepest nesting sent. Real requests (tool schemas) stay below 20.
MAX_DEPTH = 64


def check_json(value: object, where: str) -> None:
    """Raise ConfigError unless ``value`` survives a round trip through JSON.

    Refused are bytes and other types, NaN and infinity, NUL in texts (2.x cuts the text there), keys
    that are not text, and nesting deeper than 64.
    """
    pending: list[tuple[object, int]] = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, str):
            _check_text(item, where)
        elif isinstance(item, Mapping):
            if not all(isinstance(key, str) for key in item):
                raise ConfigError(f"{where} holds a mapping whose keys are not all text")
            pending.extend((inner, depth + 1) for pair in item.items() for inner in pair)
        elif isinstance(item, (list, tuple)):
            pending.extend((inner, depth + 1) for inner in item)
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
