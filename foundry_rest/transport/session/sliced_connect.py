"""Connecting in slices, on Windows and macOS, where no other thread can end the wait of such a socket."""

from __future__ import annotations

import errno
import os
import selectors
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
        if _is_over(sock):
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        # Windows' numbers have their words in socket alone.
        raise OSError(code, getattr(socket, "errorTab", {}).get(code) or os.strerror(code))


def _is_over(sock: socket.socket) -> bool:
    # Not ``select``: on macOS it takes no descriptor above 1,023.
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        return bool(selector.select(clock.SLICE))
