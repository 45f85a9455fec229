"""What parent and child say to each other: JSON lines.

The parent says `Settings` once, then an `Order` for every download. An empty line, the pipe's end or
anything else means that the parent is done. The child says `Answer` once, then `News` of the orders.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

#: In the run directory: the catalog's reply, for a runtime that serves directories.
CATALOG_FILE = "catalog.json"
#: In the run directory: what the child and the native library print.
STDERR_FILE = "stderr.log"

T = TypeVar("T", bound="Settings | Answer | Order | News")


class Settings(msgspec.Struct, frozen=True):
    """Tell the child what to serve: the first line on its standard input.

    Attributes:
        host: Name or IPv4 address to listen on.
        port: Port to listen on; 0 for a free one.
        directory: The private run directory.
        cache_dir: The model cache; ``None`` for the runtime's own default.
        own_catalog: Answer the runtime's catalog requests from ``CATALOG_FILE``.
    """

    host: str
    port: int
    directory: str
    cache_dir: str | None
    own_catalog: bool


class Answer(msgspec.Struct, frozen=True):
    """Tell the parent how the start went: the first line on the child's standard output."""

    url: str = ""
    pid: int = 0
    error: str = ""


class Order(msgspec.Struct, frozen=True):
    """Tell the child to fetch a model.

    Attributes:
        number: Tells apart the orders that are under way at once.
        download: Alias or id; ``""``: stop the order of this number.
    """

    number: int
    download: str = ""


class News(msgspec.Struct, frozen=True):
    """Tell the parent how an order goes.

    Attributes:
        number: The order's.
        fraction: How much has come, 0.0 to 1.0.
        outcome: How it ended: ``"cached"``, ``"unknown"`` (no such name), ``"failed"``; ``""`` before that.
        reason: Of a failure: Microsoft's own words.
        code: Of a failure: Microsoft's ``flErrorCode``, 0 for none.
        known: Of an unknown name: alias and id of each model that there is.
    """

    number: int
    fraction: float = 0.0
    outcome: str = ""
    reason: str = ""
    code: int = 0
    known: tuple[tuple[str, str], ...] = ()


def to_line(value: Settings | Answer | Order | News) -> bytes:
    """Return a value as one line."""
    return msgspec.json.encode(value) + b"\n"


def from_line(line: bytes, kind: type[T]) -> T:
    """Return a line as a value.

    Raises:
        msgspec.DecodeError: It is none; cut off, empty, or something else.
    """
    return msgspec.json.decode(line, type=kind)
