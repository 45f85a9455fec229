"""Values that are odd on purpose."""

from __future__ import annotations


def nested(levels: int, kind=list) -> object:
    """Return lists, or mappings, inside each other."""
    value: object = "x"
    for _ in range(levels):
        value = [value] if kind is list else {"a": value}
    return value
