"""The files that conversations are kept in, where that was asked for: JSON lines, for this user alone."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from foundry_rest import clock
from foundry_rest.cli.conversation import Conversation, Record
from foundry_rest.errors import ConfigError
from foundry_rest.file_lock import lock
from foundry_rest.private_files import open_own, read_own

#: Most bytes of a conversation that are read.
_MOST = 64 * 1024 * 1024


def folder() -> Path:
    """Return the folder of kept conversations."""
    import platformdirs

    return Path(platformdirs.user_state_dir("foundry_rest", appauthor=False), "conversations")


class ConversationFile:
    """One file of records; while it is open, no other process keeps anything in it.

    Args:
        path: Its place; it is made with the first records.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def read(self) -> list[Record]:
        """Return the records; a line that was cut, as by the end of the machine, is left out.

        Raises:
            ConfigError: It cannot be read, or another process keeps a conversation in it.
        """
        try:
            self._open()
            content = read_own(self.path, _MOST + 1)
        except OSError as error:
            raise self._failure(error) from error
        if len(content) > _MOST:
            raise ConfigError(f"the conversation {self.path} is too long to go on with")
        found = (_decoded(line) for line in content.splitlines())
        return [record for record in found if isinstance(record, dict)]

    def append(self, records: Iterable[Record]) -> None:
        """Write records behind what is there.

        Raises:
            ConfigError: They cannot be written.
        """
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        try:
            self._open()
            end = os.lseek(self._descriptor, 0, os.SEEK_END)
            if end and self._last_byte(end) != b"\n":
                text = f"\n{text}"
            rest = memoryview(text.encode())
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Let other processes have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0:
            return
        descriptor = open_own(self.path)
        try:
            lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _last_byte(self, end: int) -> bytes:
        os.lseek(self._descriptor, end - 1, os.SEEK_SET)
        return os.read(self._descriptor, 1)

    def _failure(self, error: OSError) -> ConfigError:
        if isinstance(error, BlockingIOError):
            return ConfigError(f"another foundry-rest is in the conversation {self.path}")
        return ConfigError(f"the conversation {self.path} cannot be kept: {error.strerror or error}")


def new() -> ConversationFile:
    """Return the file of a new conversation, which does not exist yet."""
    at = datetime.fromtimestamp(clock.now(), timezone.utc)
    return ConversationFile(folder() / f"{at:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.jsonl")


def last() -> ConversationFile:
    """Return the file of the conversation that was kept last.

    Raises:
        ConfigError: None is kept.
    """
    found = [(path.stat().st_mtime_ns, path) for path in folder().glob("*.jsonl")]
    if not found:
        raise ConfigError(
            "no conversation is kept", advice="Have one kept: foundry-rest chat --keep; -c goes on with it."
        )
    return ConversationFile(max(found)[1])


def conversation_of(file: ConversationFile | None, *, is_new: bool) -> Conversation:
    """Return the conversation that is kept in a file; without one, a conversation that nobody keeps."""
    if file is None:
        return Conversation()
    return Conversation(() if is_new else file.read(), file.append)


def _decoded(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None
