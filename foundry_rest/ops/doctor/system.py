"""Checks of this machine: versions, several installations, directories that are written to, telemetry."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from foundry_rest.ops.doctor.evidence import Evidence
from foundry_rest.ops.doctor.findings import Finding, error, note, ok, warning
from foundry_rest.ops.doctor.packages import PACKAGE, own_version
from foundry_rest.private_files import make_private
from foundry_rest.resilience.host_slots import default_directory
from foundry_rest.runtime.processes import environment
from foundry_rest.services.discovery.process import on_path
from foundry_rest.services.discovery.registry_file import registry_path

#: Commands of which several versions may lie on ``PATH``.
COMMANDS = ("foundry", "foundry-rest")
#: What has the runtime send no telemetry (docs/reference/service.md, section 12.4).
_SILENCING = ("CI", "ORT_TELEMETRY_DISABLED")


def versions(_: Evidence) -> Iterator[Finding]:
    """Tell the versions of this package, of Python and of the system."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    bits = 64 if sys.maxsize > 2**32 else 32
    yield ok(f"foundry_rest {own_version()}, {python} ({bits} bit), {system}")


def installations(_: Evidence) -> Iterator[Finding]:
    """Tell whether several copies of this package may be imported."""
    folders = {str(path.parent.resolve()): None for path in _copies(sys.path)}
    found = importlib.metadata.distributions(name=PACKAGE)
    yield from installed(list(folders), sorted({each.version for each in found}))


def commands(_: Evidence) -> Iterator[Finding]:
    """Tell whether a command means one of several."""
    for command in COMMANDS:
        yield from on_the_path(command, list(dict.fromkeys(on_path(command))))


def directories(_: Evidence) -> Iterator[Finding]:
    """Tell whether the directories that this package writes to can be written."""
    problems = [
        warning(f"{purpose}: {reason}", "Mend the directory, or set another one in the environment.")
        for purpose, place, is_private in PLACES
        if (reason := _obstacle_at(place, is_private=is_private))
    ]
    yield from problems or [ok("the directories that foundry-rest writes to can be written")]


def telemetry(_: Evidence) -> Iterator[Finding]:
    """Tell whether the runtime that this package starts reports to anybody."""
    yield silenced(environment())


def installed(folders: list[str], found: list[str]) -> Iterator[Finding]:
    """Yield what it means to have the package in some folders and in some versions."""
    if len(folders) > 1:
        where = ", ".join(folders)
        yield warning(f"several copies of foundry_rest may be imported: {where}", "Remove all but one.")
    if len(found) > 1:
        yield warning(
            f"several versions of foundry_rest are installed: {', '.join(found)}", "Remove all but one."
        )
    if not found:
        yield note("foundry_rest is imported, but not installed", "Install it with pip.")
    if len(folders) <= 1 and len(found) == 1:
        yield ok("foundry_rest is installed once")


def on_the_path(command: str, paths: list[str]) -> Iterator[Finding]:
    """Yield what it means to have a command at some paths, the one that is run first."""
    real = {os.path.realpath(path): path for path in reversed(paths)}
    others = [path for path in paths[1:] if path in real.values()]
    if len(real) > 1:
        what = f"{command} is {paths[0]}; PATH has others of that name: {', '.join(others)}"
        yield warning(what, "Remove the others, or put the right one first.")
    elif paths:
        yield ok(f"{command} is {paths[0]}")


def obstacle(directory: Path, *, is_private: bool) -> str:
    """Return why files cannot be written in a directory, which may not exist yet; ``""`` if they can.

    Args:
        directory: The directory.
        is_private: Whether nobody else may write there, either.
    """
    nearest = next((each for each in (directory, *directory.parents) if os.path.lexists(each)), directory)
    if not nearest.is_dir():
        return f"{nearest} is no directory"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{nearest} cannot be written"
    if is_private and nearest == directory:
        try:
            make_private(directory)
        except OSError as failure:
            return str(failure)
    return ""


def silenced(given: Mapping[str, str]) -> Finding:
    """Return whether an environment has the runtime report to nobody."""
    missing = [name for name in _SILENCING if not given.get(name)]
    if missing:
        return error(f"the embedded runtime sends telemetry: {', '.join(missing)} is not set for it")
    return ok("the embedded runtime is started with Microsoft's telemetry off")


#: What is written where; whether the directory must be private; each is looked up when it is checked.
PLACES: tuple[tuple[str, Callable[[], Path], bool], ...] = (
    ("other programs cannot be told of foundry-rest serve", lambda: registry_path().parent, True),
    ("batch --host-slots cannot be used", lambda: default_directory().parent, False),
    ("the embedded runtime cannot be started", lambda: Path(tempfile.gettempdir()), False),
    ("the embedded runtime cannot keep models", lambda: Path.home() / ".foundry_rest", False),
)


def _obstacle_at(place: Callable[[], Path], *, is_private: bool) -> str:
    try:
        return obstacle(place(), is_private=is_private)
    except (OSError, RuntimeError) as failure:  # no temporary directory, no home
        return str(failure)


def _copies(folders: Iterable[str]) -> Iterator[Path]:
    """Yield the package's first file in each folder that holds a copy of it."""
    for folder in folders:
        first = Path(folder or ".", PACKAGE, "__init__.py")
        try:
            if first.is_file():
                yield first
        except OSError:  # a folder that may not be looked into
            continue
