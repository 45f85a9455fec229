"""SocketHandle: the socket that one attempt uses, so that any thread can end the attempt.

http.client gives access to its socket only after the head of an answer, and a socket's time-out bounds the
silence between two packets, not the whole. So the connections made here pass their socket to the handle of
the attempt that runs in their thread, before the first packet. To end the attempt, by ``close()`` or by its
deadline, the socket is shut down: that wakes a thread that waits on it, which closing it would not.

A session that the caller made reports its socket once it is connected. A proxy has connections of its own:
their socket is known only after the head of the answer, and until then the time-outs of the attempt are the
only bound.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from types import TracebackType

from foundry_rest.errors import Cancelled, DeadlineExceeded, FoundryError
from foundry_rest.transport.cancellation import CancelToken

#: Linux: acknowledge at once. Without it the service's first event waits 40 ms for our delayed ACK
#: on a reused connection (Nagle; docs/service.md, section 8). The kernel resets it: set for each answer.
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_MESSAGES: dict[type[FoundryError], str] = {
    Cancelled: "the call was ended from elsewhere, by close() or its cancel token",
    DeadlineExceeded: "the deadline passed while waiting for the answer",
}
#: Seconds; above 0, because 0 would make the socket non-blocking.
_SHORTEST_TIMEOUT = 0.001
_thread_state = threading.local()


class SocketHandle:
    """The socket of one attempt.

    Within a ``with`` block it is the current handle of the thread, and gets the socket of the request sent
    there. It refers to the socket weakly, so that an answer that is dropped unread releases its connection.

    Attributes:
        is_reused: The connection served another request before.
        ended: Why the attempt was ended from outside, as an error class; ``None`` if it was not.
        due: Monotonic instant of the attempt's deadline; infinity for none, and after the attempt.
    """

    __slots__ = (
        "__weakref__",
        "_before",
        "_socket",
        "_token",
        "_watching",
        "due",
        "ended",
        "is_reused",
    )

    def __init__(self, due: float = float("inf")) -> None:
        self.due = due
        self._socket: weakref.ref[socket.socket] | None = None
        self.ended: type[FoundryError] | None = None
        self._before: SocketHandle | None = None
        self._token: CancelToken | None = None
        self._watching: object = None
        self.is_reused = False

    def __enter__(self) -> None:
        self._before, _thread_state.handle = getattr(_thread_state, "handle", None), self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _thread_state.handle = self._before

    @property
    def held(self) -> socket.socket | None:
        """Return the socket while it is known and exists."""
        return None if self._socket is None else self._socket()

    @property
    def failure(self) -> FoundryError | None:
        """Return the error of an attempt that was ended from outside; ``None`` if it was not."""
        return None if self.ended is None else self.ended(_MESSAGES[self.ended])

    def take(self, sock: socket.socket) -> None:
        """Record the socket in use; shut it down if the attempt was ended before."""
        self._socket = weakref.ref(sock)
        if self.ended is not None:
            self._cut()

    def end(self, why: type[FoundryError]) -> None:
        """End the attempt, from any thread; the first reason counts."""
        self.ended = self.ended or why
        self.due = float("inf")
        self._cut()

    def watch(self, token: CancelToken) -> None:
        """End the attempt when the token is cancelled.

        The token refers to this handle weakly, because one token may serve a thousand calls.
        """
        this = weakref.ref(self)

        def end() -> None:
            handle = this()
            if handle is not None:
                handle.end(Cancelled)

        self._token, self._watching = token, token.watch(end)

    def release(self) -> None:
        """Forget the socket after the attempt, because the connection may serve another one."""
        if self._token is not None:
            self._token.unwatch(self._watching)
            self._token = None
        self._socket = None
        self.due = float("inf")

    def set_timeout(self, seconds: float) -> None:
        """Bound the silence before the next packet."""
        sock = None if self._socket is None else self._socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.settimeout(seconds)

    def begin_reading(self, seconds: float) -> bool:
        """Make the kernel acknowledge at once, and bound the silence; return False without a known socket."""
        sock = None if self._socket is None else self._socket()
        if sock is None:
            return False
        try:
            if _QUICKACK is not None:
                sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            sock.settimeout(seconds)
        except OSError:  # it is closed already, which the next read reports
            pass
        return True

    def _cut(self) -> None:
        sock = self.held
        if sock is not None:
            with contextlib.suppress(OSError):
                # The time-out first: a socket that is not connected yet cannot be shut down.
                sock.settimeout(_SHORTEST_TIMEOUT)
                # Not ``sock.shutdown``: a TLS socket would drop its TLS object, which a read still uses.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def current_handle() -> SocketHandle | None:
    """Return the handle of the attempt that this thread makes, or ``None``."""
    handle: SocketHandle | None = getattr(_thread_state, "handle", None)
    return handle
