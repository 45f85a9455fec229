"""Pings: a service such as healthchecks.io learns that a job began and how it ended, and warns of silence.

https://healthchecks.io/docs/http_api/
"""

from __future__ import annotations

import threading
import urllib.request
import uuid
from urllib.parse import urlsplit

from foundry_rest.checks import instance_of
from foundry_rest.config import is_loopback
from foundry_rest.errors import ConfigError

#: Seconds that one ping may take, looking the name up included.
TIMEOUT = 5.0
#: Most exit codes that the other side understands.
_MOST = 255


class Ping:
    """The pings of one run of a job, which have one id; none of them raises, or changes how the job ends.

    Args:
        url: Where to ping, as the monitor gives it.
        timeout: Seconds that one ping may take.

    Raises:
        ConfigError: It is no http or https URL.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(instance_of("ping", url, str))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise ConfigError("the ping's URL must start with http:// or https:// and name a host")
        self._parts, self._timeout = parts, timeout
        self._run = str(uuid.uuid4())

    def start(self) -> bool:
        """Tell that the job began; return whether that was heard."""
        return self._tell("start")

    def end(self, exit_code: int) -> bool:
        """Tell how the job ended; return whether that was heard."""
        return self._tell(str(min(max(exit_code, 0), _MOST)))

    def _tell(self, what: str) -> bool:
        """Ping from a thread: looking a name up may take longer than any time-out of a socket."""
        heard: list[bool] = []
        thread = threading.Thread(target=self._ask, args=(what, heard), name="foundry_rest-ping", daemon=True)
        thread.start()
        thread.join(self._timeout)
        return bool(heard)

    def _ask(self, what: str, heard: list[bool]) -> None:
        parts = self._parts
        query = f"{parts.query}&rid={self._run}" if parts.query else f"rid={self._run}"
        url = parts._replace(path=f"{parts.path.rstrip('/')}/{what}", query=query).geturl()
        try:
            with _opener(url).open(url, timeout=self._timeout) as answer:
                heard += [True] * (answer.status < 300)
        except (OSError, ValueError):  # whatever it is, the job goes on
            return


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Return what opens a URL: through the proxy of the environment, but never for this machine."""
    handlers = [urllib.request.ProxyHandler({})] if is_loopback(url) else []
    return urllib.request.build_opener(*handlers)
