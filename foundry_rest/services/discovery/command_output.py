"""What the ``foundry`` command says, read as it is really printed (docs/service.md, section 3).

Nothing here is anchored, for first-run banners and update notices may stand before anything; and nothing
is believed, for the command's word is stale in both directions: it names dead addresses, and says "not
running" of a service that runs (issue 286). So the text yields candidates, and a probe decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from foundry_rest.config import base_url, is_loopback
from foundry_rest.errors import ConfigError

#: By the word that a version of the command knows, the newest first: what to ask it.
STATUS: dict[str, tuple[str, ...]] = {
    "server": ("server", "status", "-o", "json"),
    "service": ("service", "status"),
}
#: Cut to scheme://host:port. A port must be there, as in the official clients: links in banners have none.
_URL = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[\w.*+-]+):\d{1,5}(?!\d)", re.IGNORECASE | re.ASCII)
#: A line that holds one of these reports a failure, and the address in it is likely a dead one.
_TROUBLE = re.compile(r"exception|error|fail", re.IGNORECASE)
#: How a parser of command lines refuses a word, in English; in any language it quotes the word.
_REFUSED = r"unrecognized|unknown command|usage:|'{word}'"
#: Keys of the daemon's status and of its file, without case and underscores.
_KEYS = ("weburls", "urls")
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[a-z]", re.IGNORECASE)
#: Characters of what the command said that go into a message: its first sentence or two.
_SHOWN = 200


class Output(msgspec.Struct, frozen=True):
    """Hold what one run of the command printed.

    Attributes:
        stdout: What it said.
        stderr: What it complained of.
        trouble: Why the run came to no end of its own, or to none at all; ``""`` for a run that ended.
    """

    stdout: str = ""
    stderr: str = ""
    trouble: str = ""

    def understood(self, word: str) -> bool:
        """Tell whether this version of the command knows ``word``; the exit code does not say it."""
        text = f"{self.stderr}\n{self.stdout}"
        refused = re.search(_REFUSED.format(word=word), text, re.IGNORECASE)
        return bool(text.strip()) and not self.trouble and not refused


def addresses(*texts: str) -> tuple[str, ...]:
    """Return the addresses on this machine that the texts name, the most promising first.

    What a status lists under ``webUrls`` comes first, what stands in the report of a failure last. The
    service binds loopback only (issue 16); addresses of other machines are links, and are left alone.

    >>> addresses("Service is Started on http://0.0.0.0:64646/, PID 17000!")
    ('http://127.0.0.1:64646',)
    """
    lines = [line for text in texts for line in _plain(text).splitlines()]
    lines.sort(key=lambda line: bool(_TROUBLE.search(line)))
    listed = [url for text in texts for url in _listed(_json_in(text))]
    found = [url for line in (*listed, *lines) for url in _URL.findall(line)]
    return tuple(dict.fromkeys(url for url in map(_local, found) if url))


def word_known(outputs: Mapping[str, Output]) -> str | None:
    """Return the word that the command understood, the newest; ``None`` when it understood none."""
    return next((word for word, output in outputs.items() if output.understood(word)), None)


def in_short(output: Output, word: str = "") -> str:
    """Return for a message, on one line, what came of asking the command."""
    if output.trouble:
        return output.trouble
    said = " ".join(_plain(f"{output.stderr}\n{output.stdout}").split())
    if not said:
        return "it said nothing"
    if word and not output.understood(word):
        return "unknown to this version"
    return f"it said: {said[:_SHOWN]}{'...' if len(said) > _SHOWN else ''}"


def _plain(text: str) -> str:
    """Return the text without colours, which may stand in the middle of an address."""
    return _COLOUR.sub("", text)


def _json_in(text: str) -> object:
    """Return the object in a text that may begin with a spinner's leavings, ``None`` for none."""
    start, end = text.find("{"), text.rfind("}")
    try:
        return msgspec.json.decode(text[start : end + 1].encode()) if 0 <= start < end else None
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _listed(status: object) -> Iterator[str]:
    """Yield what a status lists as its addresses: a list, or one text."""
    if not isinstance(status, dict):
        return
    for key, value in status.items():
        if key.lower().replace("_", "") in _KEYS:
            values = value if isinstance(value, list) else [value]
            yield from (item for item in values if isinstance(item, str))


def _local(url: str) -> str:
    """Return the address as this machine reaches it, ``""`` when it is not on this machine."""
    try:
        # "+" is how Kestrel writes "every address", besides "*" and 0.0.0.0.
        url = base_url(url.replace("://+:", "://*:"))
    except ConfigError:
        return ""
    return url if is_loopback(url) else ""
