"""The port of ``serve``: the same at every start, so that other programs may keep the address."""

from __future__ import annotations

import errno
import socket

#: No other program is known for it; 5272 and 5273 were Foundry Local's own, 5277 is Android Auto's, .NET's
#: and Vite's templates are around them. It lies below what systems give to outgoing connections.
DEFAULT_PORT = 26527
#: What a system says of a port that somebody holds; Windows says the second of one that it keeps back.
_TAKEN = (errno.EADDRINUSE, errno.EACCES)


def is_free(host: str, port: int) -> bool:
    """Return whether the runtime can listen there; a host that cannot be used is left to it to refuse."""
    with socket.socket() as probe:
        # As the runtime does it: what remains of closed connections is no hindrance. On Windows that option
        # would share the port with whoever holds it.
        probe.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR), 1)
        try:
            probe.bind(("" if host == "*" else host, port))
        except OSError as error:
            return error.errno not in _TAKEN
    return True


def holder_of(url: str) -> str:
    """Return who holds the port of a loopback address, as far as the system tells."""
    import psutil

    from foundry_rest.services.discovery.registry_file import read_all
    from foundry_rest.services.listeners import pids_at

    try:
        pids = pids_at(url)
    except (psutil.Error, OSError, RuntimeError):
        pids = set()
    served = {entry.pid for entry in read_all().values() if entry.url == url}
    if ours := served & pids if pids else served:
        return f"another foundry-rest serve (pid {min(ours)})"
    # Clients that were given the address reach that program now, and its owner reads what they ask.
    return f"another program{f' (pid {min(pids)})' if pids else ''}, which hears what is sent there"
