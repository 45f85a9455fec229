"""SocketHandle: the socket that one attempt uses, so that any thread can end the attempt.

http.client shows its socket only when the head of an answer has come, and a socket's time-out bounds the
silence between two packets, not the whole. So the connections made here tell the attempt that runs in
their thread which socket they use, from the first packet on. To end the attempt, by ``close()`` or by its
deadline, the socket is shut down: that wakes whoever waits on it, which closing it would not.

A session that the caller made, and a proxy, have connections of their own: there the socket is known from
the head of the answer on, and until then the time-outs of the attempt are the only bound.
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
#: on a reused connection (Nagle; docs/service.md, section 8). Not lasting: once per answer.
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_WORDS: dict[type[FoundryError], str] = {
    Cancelled: "the call was ended from elsewhere, by close() or its cancel token",
    DeadlineExceeded: "the deadline passed while waiting for the answer",
}
#: Seconds, above 0: none would mean another mode of the socket.
_NO_TIME = 0.001
_here = threading.local()


class SocketHandle:
    """The socket of one attempt; as a context manager, of what this thread sends meanwhile.

    The socket is held weakly: an answer that is dropped unread gives its connection back by itself.

    Attributes:
        is_reused: The connection served another request before.
        ended: Why the attempt was ended from outside, as an error class; ``None`` while it was not.
        due: Monotonic instant of the attempt's deadline; infinity for none, and once it is over.
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
        self._before, _here.handle = getattr(_here, "handle", None), self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _here.handle = self._before

    @property
    def held(self) -> socket.socket | None:
        """Return the socket, while it is known and lives."""
        return None if self._socket is None else self._socket()

    @property
    def failure(self) -> FoundryError | None:
        """Return why the attempt was ended from outside, as an error; ``None`` when it was not."""
        return None if self.ended is None else self.ended(_WORDS[self.ended])

    def take(self, sock: socket.socket) -> None:
        """Note the socket in use; one that was ended before is shut down now."""
        self._socket = weakref.ref(sock)
        if self.ended is not None:
            self._cut()

    def end(self, why: type[FoundryError]) -> None:
        """End the attempt, from any thread; the first reason stays."""
        self.ended = self.ended or why
        self.due = float("inf")
        self._cut()

    def watch(self, token: CancelToken) -> None:
        """End with the token; it holds this handle weakly, for one token may serve a thousand calls."""
        this = weakref.ref(self)

        def end() -> None:
            handle = this()
            if handle is not None:
                handle.end(Cancelled)

        self._token, self._watching = token, token.watch(end)

    def release(self) -> None:
        """Forget the socket: the attempt is over, and the connection may serve another one."""
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
        """Ask the kernel to acknowledge at once, and bound the silence; False where no socket is known."""
        sock = None if self._socket is None else self._socket()
        if sock is None:
            return False
        try:
            if _QUICKACK is not None:
                sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            sock.settimeout(seconds)
        except OSError:  # it is closed already, which the reader finds out
            pass
        return True

    def _cut(self) -> None:
        sock = self.held
        if sock is not None:
            with contextlib.suppress(OSError):
                # First the time-out: a socket that is about to be connected cannot be shut down yet.
                sock.settimeout(_NO_TIME)
                # Not the method: under TLS it would take the protocol away from the reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def current_handle() -> SocketHandle | None:
    """Return the handle of the attempt that this thread makes."""
    handle: SocketHandle | None = getattr(_here, "handle", None)
    return handle
