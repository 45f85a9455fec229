"""What a report that is pasted into an issue must not tell: keys, proxies' hosts, who the user is."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from foundry_rest.config import is_loopback
from foundry_rest.control_characters import visible

MASK = "***"
#: Variables whose values are keys, whoever reads them.
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)
#: Fewest characters of a key that is looked for in a text, and of a home directory.
_SHORTEST_KEY, _SHORTEST_HOME = 6, 4
_CREDENTIALS = re.compile(r"(?<=//)[^/\s@]+@")
#: Most characters of one text; a service may say anything.
_LONGEST = 600


class Redactor:
    """What makes a text fit to be shown to others.

    Args:
        environ: Variables, of which some hold keys.
        home: The user's home directory; ``""`` for none.
        user: The user's name; ``""`` for none.
    """

    def __init__(self, environ: Mapping[str, str], home: str, user: str) -> None:
        keys = (value.strip() for name, value in environ.items() if _SECRET.search(name))
        #: The longest first: a key may begin with another.
        self._keys = sorted({key for key in keys if len(key) >= _SHORTEST_KEY}, key=len, reverse=True)
        self._home = re.compile(rf"{re.escape(home)}(?=\W|$)") if len(home) >= _SHORTEST_HOME else None
        # As a part of a path alone: it may be a word of the language, too.
        self._user = re.compile(rf"(?<=[\\/]){re.escape(user)}(?=\W|$)") if user else None

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Redactor:
        """Return the redactor for whoever runs this process."""
        return cls(environ, _home(), _user())

    def __call__(self, text: str) -> str:
        """Return a text without them, in one line."""
        for key in self._keys:
            text = text.replace(key, MASK)
        text = _CREDENTIALS.sub(f"{MASK}@", text)
        text = text if self._home is None else self._home.sub("~", text)
        text = text if self._user is None else self._user.sub("USER", text)
        shown = visible(text, keep_lines=False)
        return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def masked_proxy(url: str) -> str:
    """Return the address of a proxy without the user, the password and the name of another machine.

    >>> masked_proxy("http://me:secret@proxy.example.com:3128"), masked_proxy("http://127.0.0.1:8080")
    ('http://***:3128', 'http://127.0.0.1:8080')
    """
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        port = "" if parts.port is None else f":{parts.port}"
        host = parts.hostname or ""
        own = is_loopback(f"http://{f'[{host}]' if ':' in host else host}")
    except ValueError:
        return MASK
    return f"{parts.scheme}://{host if own else MASK}{port}"


def _home() -> str:
    try:
        return str(Path.home())
    except RuntimeError:  # the user has none
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # no name for this number
        return ""
