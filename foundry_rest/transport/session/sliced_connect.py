"""Connecting on Windows in slices, because no other thread can end the wait of a socket that connects."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from typing import Any

from foundry_rest import clock

#: Results of a connect that goes on.
_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)


def connect(sock: socket.socket, address: Any, until: float, is_ended: Callable[[], bool]) -> None:  # noqa: ANN401
    """Connect a socket that does not block.

    Raises:
        TimeoutError: ``until`` passed, or ``is_ended`` returned true, before it was connected.
        OSError: The connection was refused or failed.
    """
    code = sock.connect_ex(address)
    while code in _UNDER_WAY:
        if clock.monotonic() >= until or is_ended():
            raise TimeoutError("no connection within the time allowed")
        _, connected, failed = select.select([], [sock], [sock], clock.SLICE)
        if connected or failed:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        # Windows' numbers have their words in socket alone.
        raise OSError(code, getattr(socket, "errorTab", {}).get(code) or os.strerror(code))
