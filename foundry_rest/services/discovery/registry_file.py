"""The registry files: the addresses of services that were started here, for this user's other processes.

``foundry-rest serve`` writes one, with its process id in the name, so that several may run side by side and
stop in any order; discovery reads all, the newest first. Anybody who could write one could redirect every
prompt to an address of their choice, so it is used only if it is a regular file that belongs to this user.
Whether the service still runs is left to a probe.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path

import msgspec

from foundry_rest.config import base_url
from foundry_rest.errors import ConfigError
from foundry_rest.private_files import make_private, patiently, read_own, replace_whole

#: Most bytes that are read; an entry needs far fewer.
_MAX_BYTES = 65536


class Entry(msgspec.Struct, frozen=True):
    """The entry of a running service.

    Attributes:
        url: Base URL.
        pid: Id of the service's process, as ``/status`` reports it.
        started: Time of its start in seconds since the epoch.
    """

    url: str
    pid: int
    started: float


def registry_path(pid: int | None = None) -> Path:
    """Return the file's path in the user's runtime directory, which the system empties at logout.

    Args:
        pid: Id of the service's process; ``None`` for the name that all begin with.
    """
    import platformdirs

    with warnings.catch_warnings():
        # Cron and containers have no XDG_RUNTIME_DIR; the directory that is used instead serves as well.
        warnings.simplefilter("ignore")
        file_path = platformdirs.user_runtime_dir("foundry_rest", appauthor=False, ensure_exists=False)
    return Path(file_path, "service.json" if pid is None else f"service-{pid}.json")


def write(entry: Entry, path: Path | None = None) -> None:
    """Replace the file by one with this entry, atomically, readable by this user only.

    Raises:
        ConfigError: The file or its directory cannot be written, or the directory is another user's.
    """
    file_path = path or registry_path(entry.pid)
    try:
        make_private(file_path.parent)
        if path is None:
            _remove_dead(file_path.parent)
        replace_whole(file_path, msgspec.json.encode(entry))
    except OSError as error:
        raise ConfigError(f"the registry file {file_path} cannot be written: {error}") from error


def read(path: Path) -> Entry | None:
    """Return the entry; ``None`` when there is none that can be trusted."""
    try:
        entry = msgspec.json.decode(read_own(path, _MAX_BYTES), type=Entry)
        return Entry(base_url(entry.url), entry.pid, entry.started)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, ConfigError):
        return None


def read_all() -> dict[Path, Entry]:
    """Return the entries that can be trusted by their files, the newest first."""
    place = registry_path()
    found = {path: read(path) for path in place.parent.glob(f"{place.stem}*{place.suffix}")}
    entries = [(path, entry) for path, entry in found.items() if entry is not None]
    return dict(sorted(entries, key=lambda pair: -pair[1].started))


def remove(pid: int, path: Path | None = None) -> None:
    """Delete the entry of the service with this pid, but not that of a newer service."""
    file_path = path or registry_path(pid)
    entry = read(file_path)
    if entry is not None and entry.pid == pid:
        with suppress(OSError):
            patiently(file_path.unlink)


def _remove_dead(directory: Path) -> None:
    """Delete the entries of services whose process was killed."""
    import psutil

    for path, entry in read_all().items():
        if path.parent == directory and not psutil.pid_exists(entry.pid):
            with suppress(OSError):
                path.unlink()
