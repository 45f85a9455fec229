"""The messages between parent and child: JSON, one message a line.

The parent sends `Settings` once, then a `Command` for every download or removal. An empty line, the end of
the pipe or anything else means that the parent is done. The child sends `Answer` once, then the `Progress` of
the commands.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

#: In the run directory: the catalog's reply, for a runtime that serves directories.
CATALOG_FILE = "catalog.json"
#: In the run directory: what the child and the native library print.
STDERR_FILE = "stderr.log"

T = TypeVar("T", bound="Settings | Answer | Command | Progress")


class Settings(msgspec.Struct, frozen=True):
    """What the child is to serve: the first line on its standard input.

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
    """The result of the start: the first line on the child's standard output.

    Attributes:
        url: Address of the service; ``""`` when the start failed.
        pid: The child's process id; 0 when the start failed.
        error: Why it failed; ``""`` when it did not.
    """

    url: str = ""
    pid: int = 0
    error: str = ""


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parent's command to begin or to stop a download, or to forget one.

    Attributes:
        number: Identifies the command among those under way.
        download: Alias or id; ``""`` stops the download of this number.
        forget: Id of a model whose folder was deleted, and which is no longer on the disk.
    """

    number: int
    download: str = ""
    forget: str = ""


class Progress(msgspec.Struct, frozen=True):
    """The state of one download.

    Attributes:
        number: The command's number.
        fraction: Share of the bytes that has arrived, 0.0 to 1.0.
        outcome: ``""`` while it runs, then ``"cached"``, ``"forgotten"``, ``"unknown"`` (no such name)
            or ``"failed"``.
        reason: Of a failure: Microsoft's own words.
        code: Of a failure: Microsoft's ``flErrorCode``, 0 for none.
        known: Of an unknown name: alias and id of each model in the catalog.
    """

    number: int
    fraction: float = 0.0
    outcome: str = ""
    reason: str = ""
    code: int = 0
    known: tuple[tuple[str, str], ...] = ()


def to_line(message: Settings | Answer | Command | Progress) -> bytes:
    """Return a message as one line."""
    return msgspec.json.encode(message) + b"\n"


def from_line(line: bytes, kind: type[T]) -> T:
    """Return a line as a message.

    Raises:
        msgspec.DecodeError: The line is cut off, empty, or something else.
    """
    return msgspec.json.decode(line, type=kind)
