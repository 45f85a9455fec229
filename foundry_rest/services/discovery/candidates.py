"""Candidate addresses of the service, from one source each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from foundry_rest.services.discovery.command_output import Output, addresses, in_short

#: File below the home directory in which the daemon of the 0.10 command keeps its ``web_urls`` and ``pid``.
#: It is undocumented, but other programs read it, and so can a cron job without ``foundry`` on ``PATH``.
_DAEMON_FILE = Path(".foundry", "daemon.json")
#: Most bytes that are read; the file has some hundred.
_MAX_BYTES = 65536


class _DaemonFile(msgspec.Struct):
    pid: int | None = None


class Candidate(msgspec.Struct, frozen=True):
    """The addresses from one source, and the note for the error when none of them answers.

    Attributes:
        source: Name of the source.
        note: Why the source did not help.
        urls: Addresses, the most likely first.
        pid: Id of the process that must answer there; ``None`` for any.
        holder: Id of the process that must hold the port, though it may not tell its id; ``None`` for any.
    """

    source: str
    note: str
    urls: tuple[str, ...] = ()
    pid: int | None = None
    holder: int | None = None


def from_registry(registry: Path | None) -> Iterator[Candidate]:
    """Yield the addresses in the registry files of ``foundry-rest serve``, the newest first.

    Args:
        registry: One file to read in place of all.
    """
    from foundry_rest.services.discovery.registry_file import read, read_all, registry_path

    try:
        place = registry or registry_path()
        entries = read_all() if registry is None else {registry: read(registry)}
    except OSError as error:
        yield Candidate("registry file", str(error))
        return
    if not any(entries.values()):
        yield Candidate(f"registry file {place}", "none")
    for path, entry in entries.items():
        if entry is not None:
            note = f"stale: nothing of pid {entry.pid} answers at {entry.url}"
            yield Candidate(f"registry file {path}", note, (entry.url,), entry.pid)


def from_daemon_file() -> Candidate:
    """Return the addresses in the file of the ``foundry`` command's daemon in this user's home."""
    source = f"daemon file {Path('~') / _DAEMON_FILE}"
    try:
        path = Path.home() / _DAEMON_FILE
        text = path.read_bytes()[:_MAX_BYTES].decode("utf-8", "replace") if path.is_file() else ""
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        return Candidate(source, str(error))
    urls = addresses(text)
    return Candidate(source, _unanswered(urls) if urls else "none", urls, holder=_daemon_pid(text))


def _daemon_pid(text: str) -> int | None:
    try:
        return msgspec.json.decode(text, type=_DaemonFile).pid
    except (msgspec.DecodeError, UnicodeError):  # another layout: who holds the port may be any of this user
        return None


def from_answer(words: Sequence[str], output: Output) -> Candidate:
    """Return the addresses in the output of the ``foundry`` command with the arguments ``words``."""
    urls = addresses(output.stdout, output.stderr)
    summary = in_short(output, words[0])
    return Candidate(
        f"foundry {' '.join(words)}", f"{_unanswered(urls)}; {summary}" if urls else summary, urls
    )


def _unanswered(urls: tuple[str, ...]) -> str:
    return f"nothing answers at {', '.join(urls)}"
