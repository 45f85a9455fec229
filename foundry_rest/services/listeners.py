"""Which processes of this machine listen at an address."""

from __future__ import annotations

from urllib.parse import urlsplit

#: Addresses at which a listener hears what is sent to loopback, the most specific first.
_HEARD = {"127.0.0.1": ("127.0.0.1", "0.0.0.0", "::"), "::1": ("::1", "::")}  # noqa: S104 (read, not bound)
_BY_NAME = ("127.0.0.1", "::1", "0.0.0.0", "::")  # noqa: S104 (as above)


def pids_at(url: str) -> set[int]:
    """Return the ids of the processes that hear what is sent to a loopback address.

    Several share a port when one has handed its socket on, as a parent does to its children. A process that
    the system does not reveal is left out.

    Raises:
        psutil.Error, OSError, RuntimeError: The system shows no connections, or not now.
    """
    import psutil

    parts = urlsplit(url)
    found: dict[str, set[int]] = {}
    for each in psutil.net_connections("tcp"):
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == parts.port:
            found.setdefault(each.laddr.ip, set()).update(
                {each.pid} if each.pid else ()
            )  # Windows has 0, too
    heard = _HEARD.get(parts.hostname or "", _BY_NAME)
    return next((found[ip] for ip in heard if ip in found), set())
