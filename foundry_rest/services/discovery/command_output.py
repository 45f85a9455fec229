"""The output of the ``foundry`` command, parsed as it is printed (docs/reference/service.md, section 3).

No pattern is anchored, because first-run banners and update notices may precede anything. And no statement is
trusted, because the command may be wrong in both directions: it prints dead addresses, and reports a running
service as "not running". So the text yields candidates, and a probe decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from foundry_rest.config import base_url, is_loopback
from foundry_rest.errors import ConfigError

#: Subcommand that a version of the command knows, the newest first -> arguments of the status query.
STATUS: dict[str, tuple[str, ...]] = {
    "server": ("server", "status", "-o", "json"),
    "service": ("service", "status"),
}
#: Matches scheme://host:port. The port is required, as in the official clients: links in banners have none.
_URL = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[\w.*+-]+):\d{1,5}(?!\d)", re.IGNORECASE | re.ASCII)
#: Words in a line that reports a failure; an address in such a line is probably dead.
_FAILURE = re.compile(r"exception|error|fail", re.IGNORECASE)
#: Messages with which a command refuses a subcommand, in English; in other languages it quotes the word.
_UNKNOWN_SUBCOMMAND = r"unrecognized|unknown command|usage:|'{word}'"
#: Keys of the addresses in the daemon's status and file, in lower case without underscores.
_KEYS = ("weburls", "urls")
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[a-z]", re.IGNORECASE)
#: Most characters of the output in a message: its first sentence or two.
_MAX_SHOWN = 200


class Output(msgspec.Struct, frozen=True):
    """The output of one run of the command.

    Attributes:
        stdout: Text on standard output.
        stderr: Text on standard error.
        trouble: Why the command could not be run or was killed; ``""`` for a run that ended by itself.
    """

    stdout: str = ""
    stderr: str = ""
    trouble: str = ""

    def understood(self, word: str) -> bool:
        """Return whether this version knows the subcommand ``word``, which the exit code does not show."""
        text = f"{self.stderr}\n{self.stdout}"
        refused = re.search(_UNKNOWN_SUBCOMMAND.format(word=word), text, re.IGNORECASE)
        return bool(text.strip()) and not self.trouble and not refused


def addresses(*texts: str) -> tuple[str, ...]:
    """Return the addresses on this machine in the texts, the most likely first.

    Addresses under ``webUrls`` in a status come first, those in the report of a failure last. The service
    binds loopback only, so addresses of other machines are links and are ignored.

    >>> addresses("Service is Started on http://0.0.0.0:64646/, PID 17000!")
    ('http://127.0.0.1:64646',)
    """
    lines = [line for text in texts for line in _without_colours(text).splitlines()]
    lines.sort(key=lambda line: bool(_FAILURE.search(line)))
    listed = [url for text in texts for url in _listed(_json_in(text))]
    found = [url for line in (*listed, *lines) for url in _URL.findall(line)]
    return tuple(dict.fromkeys(url for url in map(_local, found) if url))


def word_known(outputs: Mapping[str, Output]) -> str | None:
    """Return the newest subcommand that the command knows; ``None`` when it knows none."""
    return next((word for word, output in outputs.items() if output.understood(word)), None)


def in_short(output: Output, word: str = "") -> str:
    """Return one line for a message about the outcome of a run."""
    if output.trouble:
        return output.trouble
    text = " ".join(_without_colours(f"{output.stderr}\n{output.stdout}").split())
    if not text:
        return "it said nothing"
    if word and not output.understood(word):
        return "unknown to this version"
    return f"it said: {text[:_MAX_SHOWN]}{'...' if len(text) > _MAX_SHOWN else ''}"


def _without_colours(text: str) -> str:
    """Return the text without colour codes, which may occur in the middle of an address."""
    return _COLOUR.sub("", text)


def _json_in(text: str) -> object:
    """Return the JSON object in a text, which may follow the remains of a spinner; ``None`` for none."""
    start, end = text.find("{"), text.rfind("}")
    try:
        return msgspec.json.decode(text[start : end + 1].encode()) if 0 <= start < end else None
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _listed(status: object) -> Iterator[str]:
    """Yield the addresses in a status: a list, or one text."""
    if not isinstance(status, dict):
        return
    for key, value in status.items():
        if key.lower().replace("_", "") in _KEYS:
            values = value if isinstance(value, list) else [value]
            yield from (item for item in values if isinstance(item, str))


def _local(url: str) -> str:
    """Return the address as this machine can connect to it; ``""`` when it is on another machine."""
    try:
        # Kestrel writes "+" for every interface, besides "*" and 0.0.0.0.
        url = base_url(url.replace("://+:", "://*:"))
    except ConfigError:
        return ""
    return url if is_loopback(url) else ""
