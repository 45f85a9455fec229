"""Answers that are odd in a part that nobody needs: what does not fit its type is mended or left out.

Text, calls and what an answer consists of have to be readable. All else is mended where its meaning is
plain, such as a number in place of an id, and left out where it is not; the bytes stay in ``raw``. Answers in
the usual form are never read here, for it takes several times as long.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar, get_args

import msgspec

from foundry_rest.errors import InvalidMember
from foundry_rest.raw_json import encode_raw, mend_surrogates, read_raw

T = TypeVar("T")

#: Members that hold words of the model; what is no text is not turned into one.
_TEXTS = frozenset(
    {"content", "text", "refusal", "arguments", "name", "delta", "finish_reason", "status", "type"}
)
#: Members without which an answer would say something else.
_NEEDED = _TEXTS | {
    *("choices", "message", "tool_calls", "function", "call_id"),
    *("output", "item", "response", "data", "has_more", "embedding"),
}
#: Members that are texts where some servers write numbers.
_IDS = frozenset({"id", "call_id", "item_id", "previous_response_id", "model", "version"})
#: A call in a chat is a function, whatever its type is called.
_SPARE = re.compile(r"\.tool_calls\[\d+\]\.type")
#: Most members that are mended in one answer: each costs another conversion.
_MOST = 200
#: Bounds of the numbers that a field of whole numbers holds.
_LARGEST = 2**63
#: Types -> what an error calls them.
_KINDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}
#: What msgspec calls a type -> what an error calls it.
_WANTED = {"str": "text", "int": "a number", "float": "a number", "bool": "true or false", "array": "a list"}
#: What msgspec says of one member; all else is about the whole.
_MISFITS = ("Expected ", "Number out of range")
_EXPECTED = re.compile(r"Expected `([^`]+)`")
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def decode_leniently(data: bytes, kind: type[T], *, keeps_halves: bool = False) -> T:
    """Return JSON bytes as ``kind``, without what cannot be read and is not needed.

    Args:
        data: The bytes.
        kind: Any type that msgspec converts to; what it holds as ``msgspec.Raw`` is not examined.
        keeps_halves: Leave lone halves of surrogate pairs in texts, for the next event may hold the other
            half; else they become U+FFFD.

    Raises:
        ValueError: They are not JSON even so.
        InvalidMember: A needed member cannot be read; ``where`` is its path.
        msgspec.ValidationError: The whole is of another form, or a member without which it has no meaning is
            missing.
    """
    value = read_raw(data)
    if not keeps_halves:
        value = _without_halves(value)
    damaged = None if _is_utf8(data) else _damaged(value, "$")
    if damaged:
        raise InvalidMember("unreadable answer: its text is not UTF-8", where=damaged, body=data[:2048])
    return convert_leniently(_packed(value, kind), kind, data)


def convert_leniently(value: object, kind: type[T], data: bytes) -> T:
    """Return a decoded part of some bytes as ``kind``; what is mended or left out is so in ``value``, too.

    Raises:
        InvalidMember: A needed member cannot be read; ``where`` is its path.
        msgspec.ValidationError: As from ``decode_leniently``.
    """
    mender = _Mender(value, data)
    for _ in range(_MOST):
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            message, _, where = str(error).partition(" - at `")
            if not mender.mend(message, where.rstrip("`")):
                raise
    return msgspec.convert(value, kind)


class _Mender:
    """One decoded value, whose members are mended where msgspec finds a misfit."""

    def __init__(self, value: object, data: bytes) -> None:
        self._value, self._data = value, data
        self._left_out: dict[str, tuple[object, set[str]]] = {}

    def mend(self, message: str, where: str) -> bool:
        """Mend or leave out what is at a path; return whether there is something to mend.

        Raises:
            InvalidMember: It is needed.
        """
        if missing := _MISSING.match(message):
            path = f"{where or '$'}.{missing[1]}"
            if path in self._left_out:
                self._refuse(*self._left_out[path], path)
            return False
        steps: list[Any] = [name or int(number) for name, number in _STEP.findall(where)]
        if not steps or "[...]" in where or not message.startswith(_MISFITS):
            return False
        parent: Any = self._value
        for step in steps[:-1]:
            parent = parent[step]
        expected = _EXPECTED.search(message)
        wanted = set(expected[1].split(" | ")) if expected else set()
        mend = self._mend_item if isinstance(steps[-1], int) else self._mend_member
        mend(parent, steps[-1], wanted, where)
        return True

    def _mend_item(self, parent: list[object], at: int, wanted: set[str], where: str) -> None:
        if parent[at] is None and "object" in wanted:
            parent[:] = [item for item in parent if item is not None]
        else:
            self._refuse(parent[at], wanted, where)

    def _mend_member(self, parent: dict[str, object], name: str, wanted: set[str], where: str) -> None:
        found = parent[name]
        better = _mended(name, found, wanted)
        if better is not None:
            parent[name] = better
        elif _says_nothing(found, wanted) or name not in _NEEDED or _SPARE.search(where):
            self._left_out[where] = parent.pop(name), wanted
        else:
            self._refuse(found, wanted, where)

    def _refuse(self, value: object, wanted: set[str], where: str) -> NoReturn:
        found = _KINDS.get(type(value), "null")
        named = " or ".join(sorted({_WANTED.get(each, "an object") for each in wanted - {"null"}}))
        raise InvalidMember(
            f"unreadable answer: {where} is {found} in place of {named}", where=where, body=self._data[:2048]
        )


def _packed(value: Any, kind: Any) -> Any:  # noqa: ANN401 (any JSON, any type)
    """Return a value with JSON bytes in place of what ``kind`` decodes later."""
    if kind is msgspec.Raw:
        return msgspec.Raw(encode_raw(value))
    inner = get_args(kind)[-1:]
    if inner == (msgspec.Raw,) and isinstance(value, list):
        return [_packed(item, msgspec.Raw) for item in value]
    if inner == (msgspec.Raw,) and isinstance(value, dict):
        return {name: _packed(item, msgspec.Raw) for name, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        kinds = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        return {name: _packed(item, kinds.get(name)) for name, item in value.items()}
    return value


def _says_nothing(value: object, wanted: set[str]) -> bool:
    return value is None or ("str" in wanted and (value is False or value in ([], {})))


def _mended(name: str, value: object, wanted: set[str]) -> object:
    """Return a value in the type that is wanted; ``None`` if its meaning is not plain."""
    if name == "content" and isinstance(value, list) and "str" in wanted:
        return _joined_texts(value)
    if name == "arguments" and isinstance(value, dict):
        return mend_surrogates(json.dumps(value, ensure_ascii=False))
    if "int" in wanted:
        return _whole(value)
    if "float" in wanted and isinstance(value, str):
        return _number(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if is_number and name in _IDS else None


def _joined_texts(parts: list[object]) -> str:
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "".join(text for text in texts if isinstance(text, str))


def _whole(value: object) -> int | None:
    """Return a whole number, also one that is written as a float or a text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:18])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if abs(value) < _LARGEST and value == int(value) else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _damaged(value: object, where: str, name: str = "") -> str:
    """Return the path of the first needed text with a replaced byte; bytes of other members do not matter."""
    if isinstance(value, str):
        return where if "\ufffd" in value and (not name or name in _TEXTS | _IDS) else ""
    if isinstance(value, dict):
        inner = ((f"{where}.{key}", item, key) for key, item in value.items())
    elif isinstance(value, list):
        inner = ((f"{where}[{at}]", item, name) for at, item in enumerate(value))
    else:
        return ""
    return next(filter(None, (_damaged(item, path, key) for path, item, key in inner)), "")


def _without_halves(value: object) -> object:
    """Return a value whose texts hold no lone half of a surrogate pair."""
    if isinstance(value, str):
        return value if value.isascii() else mend_surrogates(value)
    if isinstance(value, list):
        return [_without_halves(item) for item in value]
    if isinstance(value, dict):
        return {mend_surrogates(key): _without_halves(item) for key, item in value.items()}
    return value
