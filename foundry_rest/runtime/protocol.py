"""What parent and child say to each other: one JSON line each way."""

from __future__ import annotations

from typing import TypeVar

import msgspec

#: In the run directory: the catalog's reply, for a runtime that serves directories.
CATALOG_FILE = "catalog.json"
#: In the run directory: what the child and the native library print.
STDERR_FILE = "stderr.log"

T = TypeVar("T", bound="Settings | Answer")


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
    """Tell the parent how the start went: the only line on the child's standard output."""

    url: str = ""
    pid: int = 0
    error: str = ""


def to_line(value: Settings | Answer) -> bytes:
    """Return a value as one line."""
    return msgspec.json.encode(value) + b"\n"


def from_line(line: bytes, kind: type[T]) -> T:
    """Return a line as a value.

    Raises:
        msgspec.DecodeError: It is none; cut off, empty, or something else.
    """
    return msgspec.json.decode(line, type=kind)
