"""Checks of plain values that users pass in: numbers, flags, instances and the spellings of a host."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import inet_aton
from typing import Literal, TypeVar

from foundry_rest.errors import ConfigError, UnknownArgument
from foundry_rest.errors.advice import Advice, Words

T = TypeVar("T")

#: Largest float: a larger whole number cannot be used as a number of seconds.
_LARGEST = sys.float_info.max


def is_whole(value: object, least: float = -_LARGEST, most: float = _LARGEST) -> bool:
    """Return whether a value is a whole number within bounds; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: object, least: float = -_LARGEST, most: float = _LARGEST) -> bool:
    """Return whether a value is a finite number within bounds; True and False are none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return least <= value <= most and -_LARGEST <= value <= _LARGEST


def positive_seconds(name: str, value: object) -> float:
    """Return ``value`` as seconds, above 0.

    Raises:
        ConfigError: It is not a finite number above 0.
    """
    return positive_number(name, value, "a number of seconds")


def positive_number(name: str, value: object, kind: str = "a number") -> float:
    """Return ``value``, checked to be above 0; ``kind`` is what the error calls it.

    Raises:
        ConfigError: It is not a finite number above 0.
    """
    if not is_number(value, 0) or not value:
        raise ConfigError(f"{name} must be {kind} above 0, not {value!r}")
    return float(value)  # type: ignore[arg-type]


def seconds_from_zero(name: str, value: object) -> float:
    """Return ``value`` as seconds, 0 or more.

    Raises:
        ConfigError: It is not a finite number of at least 0.
    """
    if not is_number(value, 0):
        raise ConfigError(f"{name} must be seconds, 0 or more, not {value!r}")
    return float(value)  # type: ignore[arg-type]


def cache_mark(value: object, *, has_cache: bool) -> None:
    """Check the option ``cache`` of a call.

    Raises:
        ConfigError: It is neither True, False nor seconds, or asks for a cache where there is none.
    """
    if value is None or value is False:
        return
    if value is not True and (not is_number(value, 0) or not value):
        raise ConfigError(f"cache must be True, False or a number of seconds above 0, not {value!r}")
    if not has_cache:
        raise ConfigError(
            f"cache={value!r} asks for a cache, and the client has none",
            advice=Advice(Words('Make the client with FoundryAPIClient(cache="answers.sqlite").', "")),
        )


def whole_number(name: str, value: object, least: int, most: int | None = None) -> int:
    """Return ``value``, checked to be a whole number within bounds.

    Raises:
        ConfigError: It is not a whole number, below ``least`` or above ``most``.
    """
    if not is_whole(value, least, _LARGEST if most is None else most):
        raise ConfigError(f"{name} must be a whole number{_bounds(least, most)}, not {value!r}")
    return value  # type: ignore[return-value]


def whole_number_or_auto(name: str, value: object, most: int | None = None) -> int | Literal["auto"]:
    """Return ``value``, checked to be a whole number above 0, or ``"auto"`` for one that is found out.

    Raises:
        ConfigError: It is neither, or above ``most``.
    """
    if value == "auto" and isinstance(value, str):
        return "auto"
    if is_whole(value, 1, _LARGEST if most is None else most):
        return value  # type: ignore[return-value]
    raise ConfigError(f'{name} must be a whole number{_bounds(1, most)}, or "auto", not {value!r}')


def number(name: str, value: object, least: float, most: float | None = None) -> float:
    """Return ``value``, checked to be a finite number within bounds.

    Raises:
        ConfigError: It is not a finite number, below ``least`` or above ``most``.
    """
    if not is_number(value, least, _LARGEST if most is None else most):
        raise ConfigError(f"{name} must be a number{_bounds(least, most)}, not {value!r}")
    return value  # type: ignore[return-value]


def flag(name: str, value: object) -> bool:
    """Return ``value``, checked to be a bool.

    Raises:
        ConfigError: It is neither True nor False.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, not {value!r}")
    return value


def instance_of(name: str, value: T, kind: type[T]) -> T:
    """Return ``value``, checked to be an instance of ``kind``.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"{name} must be {kind.__name__}, not {value!r}")
    return value


def plain_host(host: str) -> str:
    """Return a host as it is looked up: without the dot at its end, wide digits and letters made plain."""
    try:
        ascii_only = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_only = host
    return ascii_only.removesuffix(".")


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host spells, as a connection reads it; ``None`` for a name.

    An IPv4 address may be short, decimal, hexadecimal, octal (``127.1``, ``0x7f000001``), or in an IPv6 one.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return _loose_address(host)
    return getattr(address, "ipv4_mapped", None) or address


def _loose_address(host: str) -> IPv4Address | None:
    try:
        return IPv4Address(inet_aton(host))
    except (OSError, ValueError):
        return None


def _bounds(least: float, most: float | None) -> str:
    return f", {least:g} or more" if most is None else f" from {least:g} to {most:g}"


def only_known(
    given: Iterable[str], known: Collection[str], what: str = "argument", advice: str = ""
) -> None:
    """Raise UnknownArgument for the first name that is not known.

    Args:
        given: Names that were given.
        known: Names that there are; the error names the similar ones, else all.
        what: What the names are names of.
        advice: Another way to say the same.
    """
    unknown = next((name for name in given if name not in known), None)
    if unknown is None:
        return
    import difflib

    near = difflib.get_close_matches(str(unknown).casefold(), sorted(known), n=2, cutoff=0.6)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(sorted(known))}."
    is_name = isinstance(unknown, str) and unknown.isidentifier()  # else it may be what was to be kept apart
    message = f"there is no {what} {unknown!r}" if is_name or not unknown else f"a name is no {what}"
    raise UnknownArgument(message, advice=f"{hint} {advice}".rstrip())
