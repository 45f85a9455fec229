"""Value: a base of everything a caller gets, with one short line as its ``repr`` and a form for JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from typing import ClassVar

#: Most characters of one field, and of a whole ``repr``.
_FIELD, _LINE = 60, 200
#: Most items of a list or a mapping of which any is shown.
_ITEMS = 3


class Value:
    """One value that a caller gets; a mixin for structs."""

    __slots__ = ()
    if TYPE_CHECKING:  # msgspec would compile these anew for every struct that it decodes
        __struct_fields__: ClassVar[tuple[str, ...]]
        __struct_defaults__: ClassVar[tuple[object, ...]]
        AS_IT_CAME: ClassVar[frozenset[str]]

    #: Fields that are no facts of their own: the response as it came.
    AS_IT_CAME = frozenset(("headers", "bodies", "body", "event", "raw"))

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON values, without headers and the response as it came."""
        return {name: _plain(value) for name, value in self._facts()}

    def to_json(self) -> str:
        """Return ``to_dict()`` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def __repr__(self) -> str:
        defaults = _defaults(type(self))
        shown = [f"{name}={_short(value)}" for name, value in self._facts() if value != defaults.get(name)]
        return f"{type(self).__name__}({_cut(', '.join(shown), _LINE)})"

    def _facts(self) -> Iterator[tuple[str, object]]:
        return ((name, getattr(self, name)) for name in self.__struct_fields__ if name not in self.AS_IT_CAME)


def _defaults(kind: type[Value]) -> dict[str, object]:
    """Return the defaults that ``repr`` leaves out."""
    names = kind.__struct_fields__[-len(kind.__struct_defaults__) :] if kind.__struct_defaults__ else ()
    made = ((each.factory() if hasattr(each, "factory") else each) for each in kind.__struct_defaults__)
    return dict(zip(names, made, strict=True))


def _short(value: object) -> str:
    """Return ``repr(value)`` cut to a field's width; of long texts and lists only the start is made."""
    if isinstance(value, (str, bytes)):
        return repr(value) if len(value) <= _FIELD else f"{value[:_FIELD]!r}..."
    if isinstance(value, Mapping):
        return f"{{{len(value)} items}}" if len(value) > _ITEMS else _cut(repr(value), _FIELD)
    if isinstance(value, (list, tuple)):
        if len(value) > _ITEMS:
            return f"[{len(value)} items]"
        return _cut(f"[{', '.join(map(_short, value))}]", _FIELD)
    return _cut(" ".join(repr(value).split()), _FIELD)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _plain(value: object) -> object:
    """Return a value as JSON can say it."""
    if isinstance(value, Value):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, BaseException):
        return {"type": type(value).__name__, "message": getattr(value, "message", str(value))}
    return _foreign(value)


def _foreign(value: object) -> object:
    """Return a caller's own value: what msgspec can say, else its ``repr``."""
    try:
        return msgspec.to_builtins(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
