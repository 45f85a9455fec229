"""What may tell where the service is, one source after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from foundry_rest.services.discovery.command_output import Output, addresses, in_short

#: Below the home directory. Written by the daemon of the 0.10 command, with its ``web_urls`` and ``pid``;
#: not documented, but read by public programs, and there where a cron job has no ``foundry`` on ``PATH``.
_DAEMON_FILE = Path(".foundry", "daemon.json")
#: Bytes; the file has some hundred.
_LARGEST = 65536


class Candidate(msgspec.Struct, frozen=True):
    """Name addresses to be probed, and say what to tell of this source when none answers.

    Attributes:
        source: What was looked at.
        note: Why it did not help.
        urls: Candidates, the most promising first.
        pid: Process that must answer there, ``None`` for any.
    """

    source: str
    note: str
    urls: tuple[str, ...] = ()
    pid: int | None = None


def from_registry(registry: Path | None) -> Candidate:
    """Return what the registry file of ``foundry-rest serve`` says."""
    from foundry_rest.services.discovery.registry_file import read, registry_path

    try:
        path = registry or registry_path()
    except OSError as error:
        return Candidate("registry file", str(error))
    source, entry = f"registry file {path}", read(path)
    if entry is None:
        return Candidate(source, "none")
    note = f"stale: nothing of pid {entry.pid} answers at {entry.url}"
    return Candidate(source, note, (entry.url,), entry.pid)


def from_daemon_file() -> Candidate:
    """Return what the daemon of the ``foundry`` command left in this user's home."""
    source = f"daemon file {Path('~') / _DAEMON_FILE}"
    try:
        path = Path.home() / _DAEMON_FILE
        text = path.read_bytes()[:_LARGEST].decode("utf-8", "replace") if path.is_file() else ""
    except (OSError, RuntimeError) as error:  # the latter: a user without a home
        return Candidate(source, str(error))
    urls = addresses(text)
    return Candidate(source, _dead(urls) if urls else "none", urls)


def from_answer(words: Sequence[str], output: Output) -> Candidate:
    """Return what the ``foundry`` command answered to ``words``."""
    urls = addresses(output.stdout, output.stderr)
    told = in_short(output, words[0])
    return Candidate(f"foundry {' '.join(words)}", f"{_dead(urls)}; {told}" if urls else told, urls)


def _dead(urls: tuple[str, ...]) -> str:
    return f"nothing answers at {', '.join(urls)}"
