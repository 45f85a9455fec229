"""Where a service that was started here can be reached: one small file, for this user's processes.

``foundry-rest serve`` writes it, discovery reads it. Whoever could write it could send every prompt to
an address of his choice, so it is believed only when it is a plain file that belongs to this user.
Whether the service it names is still there is for a probe to say.
"""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import msgspec

from foundry_rest.config import base_url
from foundry_rest.errors import ConfigError

#: More than any entry needs; a larger file is not ours.
_LARGEST = 65536


class Entry(msgspec.Struct, frozen=True):
    """Say where a service is.

    Attributes:
        url: Base URL.
        pid: Id of the service's process, as its ``/status`` says it.
        started: When, in seconds since the epoch.
    """

    url: str
    pid: int
    started: float


def registry_path() -> Path:
    """Return the file's place: the user's runtime directory, which the system empties at logout."""
    import platformdirs

    with warnings.catch_warnings():
        # Cron and containers have no XDG_RUNTIME_DIR; the place it then takes serves as well.
        warnings.simplefilter("ignore")
        place = platformdirs.user_runtime_dir("foundry_rest", appauthor=False, ensure_exists=False)
    return Path(place, "service.json")


def write(entry: Entry, path: Path | None = None) -> None:
    """Put the entry in place of whatever was there, all at once; readable by this user only.

    Raises:
        ConfigError: The file or its directory cannot be written, or the directory is another user's.
    """
    place = path or registry_path()
    try:
        _make_private(place.parent)
        _replace(place, msgspec.json.encode(entry))
    except OSError as error:
        raise ConfigError(f"the registry file {place} cannot be written: {error}") from error


def read(path: Path | None = None) -> Entry | None:
    """Return the entry, or ``None`` when there is none that can be believed."""
    try:
        entry = msgspec.json.decode(_own_bytes(path or registry_path()), type=Entry)
        return Entry(base_url(entry.url), entry.pid, entry.started)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, ConfigError):
        return None


def remove(pid: int, path: Path | None = None) -> None:
    """Delete the entry of the service with this pid; a newer service's entry stays."""
    place = path or registry_path()
    entry = read(place)
    if entry is not None and entry.pid == pid:
        with suppress(OSError):
            place.unlink()


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = directory.stat()
    # In a shared place anyone may have made it first.
    if not _is_ours(facts) or (os.name == "posix" and facts.st_mode & 0o022):
        raise PermissionError(f"{directory} is not private to this user")


def _replace(place: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}-")  # mode 0600
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        fresh.replace(place)
    finally:
        fresh.unlink(missing_ok=True)


def _own_bytes(place: Path) -> bytes:
    # No link is followed, and opening a named pipe must not wait for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(place, flags)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or not _is_ours(facts):
            raise PermissionError(f"{place} is not a file of this user")
        return file.read(_LARGEST)


def _is_ours(facts: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or facts.st_uid == os.getuid()
