"""The figures of one run of a job, in a file that node_exporter's textfile collector reads.

A job that lives two seconds is gone before Prometheus asks, and counters that begin at zero with each run say
nothing. So what is left behind are gauges of the last run, in a file for each job.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from foundry_rest import clock
from foundry_rest.checks import instance_of
from foundry_rest.errors import ConfigError
from foundry_rest.private_files import read_own, replace_whole

if TYPE_CHECKING:
    from typing_extensions import Self

_logger = logging.getLogger("foundry_rest")

#: Name -> what it is; the collector wants the same HELP and TYPE in all files.
GAUGES = {
    "foundry_rest_job_last_run_timestamp_seconds": "When the last run of the job ended.",
    "foundry_rest_job_last_success_timestamp_seconds": "When the last run that went well ended.",
    "foundry_rest_job_duration_seconds": "How long the last run took.",
    "foundry_rest_job_exit_code": "The exit code of the last run.",
    "foundry_rest_job_items": "What the last run has done, by outcome.",
}
_RUN, _SUCCESS, _DURATION, _CODE, _ITEMS = GAUGES
#: Most bytes of a file that are read again: it has a handful of lines.
_MOST = 1 << 20
#: The collector runs as another user; there is nothing in the file that others must not read.
_MODE = 0o644
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class JobTextfile:
    """The textfile of one job: a ``with`` statement writes it when its block ends, however it ends.

    A file that cannot be written then is told in the log, for the job has done its work, or has an error of
    its own. A run has gone well when its exit code is 0; a run that has not keeps the time of the last one
    that did.

    Args:
        path: The file, in the directory that node_exporter was given; its name ends with ``.prom``.
        job: Value of the label ``job``; default the file's name without its ending.

    Attributes:
        path: The file.
        items: What was done, by outcome, such as ``{"succeeded": 99, "failed": 1}``.
        exit_code: Exit code of the run; without one it is 0, or 1 after an exception.

    Raises:
        ConfigError: The file cannot be one that the collector reads.
    """

    def __init__(self, path: str | Path, job: str | None = None) -> None:
        self.path = Path(path)
        if self.path.suffix != ".prom":
            raise ConfigError(
                f"the textfile {self.path} must end with .prom", advice="The collector reads no other files."
            )
        if not self.path.absolute().parent.is_dir():
            raise ConfigError(f"there is no directory {self.path.absolute().parent}", advice="Make it first.")
        self._job = self.path.stem if job is None else instance_of("job", job, str)
        self.items: dict[str, int] = {}
        self.exit_code: int | None = None
        self._began = clock.monotonic()

    def __enter__(self) -> Self:
        self._began = clock.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.write(_code_of(error) if self.exit_code is None else self.exit_code)
        except OSError as failure:
            _logger.warning("%s", not_written(self.path, failure))

    def write(self, exit_code: int) -> None:
        """Write the file for a run that ends now.

        Raises:
            OSError: It cannot be written; the old one is left as it is.
        """
        now = clock.now()
        success = now if exit_code == 0 else self._last_success()
        figures = {_RUN: now, _SUCCESS: success, _DURATION: clock.monotonic() - self._began, _CODE: exit_code}
        series = {name: {"": value} for name, value in figures.items() if value is not None}
        series[_ITEMS] = {f',outcome="{_escaped(name)}"': count for name, count in self.items.items()}
        replace_whole(self.path, b"".join(self._lines(series)), _MODE)

    def _lines(self, series: Mapping[str, Mapping[str, float]]) -> Iterator[bytes]:
        """Yield the lines of each gauge: its help, its type, and its series by their further labels."""
        for name, values in series.items():
            if values:
                yield f"# HELP {name} {GAUGES[name]}\n# TYPE {name} gauge\n".encode()
            for more, value in values.items():
                yield f'{name}{{job="{_escaped(self._job)}"{more}}} {value!r}\n'.encode(errors="replace")

    def _last_success(self) -> float | None:
        """Return the time of the last success that the file knows of; ``None`` for none."""
        with suppress(OSError, ValueError):
            content = read_own(self.path, _MOST).decode(errors="replace")
            found = re.search(rf"^{_SUCCESS}\{{.*\}} (\S+)$", content, re.MULTILINE)
            return float(found[1]) if found else None
        return None


def not_written(path: Path, error: OSError) -> str:
    """Return the sentence for a textfile that could not be written."""
    reason = error.strerror or error
    return f"The textfile {path} cannot be written ({reason}) and is as it was: look at its folder."


def _escaped(label: str) -> str:
    return label.translate(_ESCAPES)


def _code_of(error: BaseException | None) -> int:
    """Return the exit code with which Python ends after an exception."""
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        return 1
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    return 1
