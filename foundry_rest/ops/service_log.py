"""The service's own log: where it is, its end, and what is added to it.

No generation tells the place over REST. Two are known: our embedded runtime writes below the directory that
its command line names, and Microsoft's programs beside the model cache of their directory: a cache at
``~/.foundry/cache/models`` means logs in ``~/.foundry/logs``.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from foundry_rest import clock
from foundry_rest.client import FoundryAPIClient
from foundry_rest.config import is_loopback
from foundry_rest.errors import ConfigError, ServiceNotFound, ServiceUnreachable, UnsupportedByService
from foundry_rest.models.disk import is_remote
from foundry_rest.private_files import read_regular
from foundry_rest.runtime.child_directory import log_directory
from foundry_rest.schema import HealthReport

#: Log files of all generations: foundry_local_DATE.log, foundry.coreDATE.log, foundrylocald-DATE.log.
_FILES = "foundry*.log"
#: Most bytes that are read at a time.
_READ = 4 * 1024 * 1024
#: Seconds between two looks at a file that is followed.
_PAUSE = 0.3


class LogEnd(NamedTuple):
    """The last lines of a log, and the place behind them.

    Attributes:
        lines: The lines.
        file: Where they were read.
        at: Bytes of the file up to their end.
    """

    lines: list[str]
    file: Path
    at: int


class ServiceLog(NamedTuple):
    """The log of a service on this machine.

    Attributes:
        directory: Where its files are, one for each day.
        is_of_running: Whether the service runs whose log this is.
    """

    directory: Path
    is_of_running: bool = True

    def _newest(self) -> tuple[int, Path]:
        """Return size and path of the newest file; of those with something in them, where there are any."""
        found = [
            (status.st_size > 0, status.st_mtime, status.st_size, file)
            for file, status in _log_files(self.directory)
        ]
        if not found:
            raise ConfigError(
                f"the log in {self.directory} is gone", advice="Look for another: foundry-rest logs."
            )
        return max(found)[2:]

    def last(self, lines: int, *, whole: bool = False) -> LogEnd:
        """Return the last lines of the newest file.

        Args:
            lines: How many, at most.
            whole: Leave out a line that is being written.

        Raises:
            ConfigError: It cannot be read.
        """
        size, file = self._newest()
        start = max(0, size - _READ)
        content = _bytes_from(file, start)
        if whole:
            content = content[: content.rfind(b"\n") + 1]
        text = content.decode("utf-8", "replace").splitlines()
        return LogEnd(text[-lines:] if lines else [], file, start + len(content))

    def added(self, end: LogEnd) -> Iterator[str]:
        """Yield each piece of text that is added behind an end, also to a newer file; it ends never.

        Raises:
            ConfigError: The log cannot be read any more.
        """
        file, at, decoder = end.file, end.at, _decoder()
        while True:
            clock.sleep(_PAUSE)
            size, newest = self._newest()  # asked first: what a newer file follows has been written
            if newest == file and size < at:  # begun anew
                at, decoder = 0, _decoder()
            content = _bytes_from(file, at)
            at += len(content)
            if content:
                yield decoder.decode(content)
            elif newest != file:  # the next day's
                file, at, decoder = newest, 0, _decoder()


def find_log(client: FoundryAPIClient, home: Path | None = None) -> ServiceLog:
    """Return the log of a client's service; where none answers, that of the last one of the foundry command.

    Args:
        client: Asks the service.
        home: The home directory; default this user's.

    Raises:
        UnsupportedByService: It is on another machine, or its log is at no place that is known.
        ServiceNotFound, ServiceUnreachable: No service answers, and none has left a log.
    """
    try:
        report = client.health_check()
    except (ServiceNotFound, ServiceUnreachable):
        left = (home or Path.home()) / ".foundry" / "logs"
        if _has_logs(left) and (client.url is None or is_loopback(client.url)):
            return ServiceLog(left, is_of_running=False)
        raise
    if not is_loopback(report.url):
        raise _unknown(report, "is on the service's own machine", "Ask there: foundry-rest logs.")
    places = list(_places(report))
    for place in places:
        if _has_logs(place):
            return ServiceLog(place)
    looked = f": none at {' or '.join(map(str, places))}" if places else ""
    raise _unknown(report, f"is at no place that is known{looked}", "See the program that started it.")


def _places(report: HealthReport) -> Iterator[Path]:
    ours = None if report.pid is None else log_directory(report.pid)
    if ours is not None:
        yield ours
    if report.cache_path and not is_remote(report.cache_path):
        cache = Path(report.cache_path)
        yield (cache.parent.parent if cache.parent.name == "cache" else cache.parent) / "logs"


def _unknown(report: HealthReport, where: str, advice: str) -> UnsupportedByService:
    return UnsupportedByService(
        f"the service's own log {where}",
        feature="the service's log",
        generation=report.generation,
        url=report.url,
        advice=advice,
    )


def _has_logs(directory: Path) -> bool:
    return any(_log_files(directory))


def _log_files(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the log files of a directory, which a service may have named: no pipes, no devices."""
    with suppress(OSError, ValueError):  # a directory that may not be looked at, or a name that none can have
        for file in directory.glob(_FILES):
            with suppress(OSError):  # it has just gone
                status = file.stat()
                if stat.S_ISREG(status.st_mode):
                    yield file, status


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


def _bytes_from(file: Path, start: int) -> bytes:
    """Return what a file holds from a place on; a negative one counts from its end."""
    try:
        return read_regular(file, _READ, start)
    except OSError as error:
        raise ConfigError(f"the log {file} cannot be read: {error.strerror or error}") from error
