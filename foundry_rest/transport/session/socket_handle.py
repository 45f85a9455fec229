"""SocketHandle: the socket that one attempt uses, so that any thread can end the attempt.

http.client gives access to its socket only after the head of an answer, and a socket's time-out bounds the
silence between two packets, not the whole. So the connections made here pass their socket to the handle of
the attempt that runs in their thread, before the first packet. To end the attempt, by ``close()`` or by its
deadline, the socket is shut down: that wakes a thread that waits on it, which closing it would not.

A socket's time-out bounds the silence before one packet, and one read of http.client receives as often as a
head, a chunk's size or a trailer asks for: whoever sends a byte now and then is waited for without end. So
the sockets made here look at the bound of the attempt before each ``recv``; sending is bounded by progress.
Where shutting a socket down wakes nobody for sure, a wait is cut in slices (``clock.SLICE``).

A proxy has connections of its own: their socket is known only after the head of the answer, and until then
the time-outs of the attempt are the only bound.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import warnings
import weakref
from types import TracebackType
from typing import Any

from foundry_rest import clock
from foundry_rest.errors import Cancelled, DeadlineExceeded, FoundryError
from foundry_rest.transport.cancellation import CancelToken

#: Linux: acknowledge at once. Without it the service's first event waits 40 ms for our delayed ACK
#: on a reused connection (Nagle; docs/reference/service.md, section 8). The kernel resets it: set for each
#: answer.
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_MESSAGES: dict[type[FoundryError], str] = {
    Cancelled: "the call was ended from elsewhere, by close() or its cancel token",
    DeadlineExceeded: "the deadline passed while waiting for the answer",
}
#: Seconds; above 0, because 0 would make the socket non-blocking.
_SHORTEST_TIMEOUT = 0.001
#: Bytes that the kernel takes at once, so that sending them waits for nobody.
_SMALL = 16 * 1024
#: Most bytes handed to the kernel at once, so that progress is seen, and kept by it unsent.
_PIECE, _KEPT = 256 * 1024, 128 * 1024
#: Not on Windows. Without it Linux counts up to 4 MB as sent that the service has not taken yet.
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_FOREVER = float("inf")
#: Most seconds of a socket's time-out.
_LONGEST = 1e6
#: Seconds by which the socket's own time-out may pass a bound: each change of it costs a system call.
_SLACK = 0.02
#: Receipts for one piece of a body, of which a usual one needs one to three: more may be a trickle.
_MANY = 16
_thread_state = threading.local()


class SocketHandle:
    """The socket of one attempt.

    Within a ``with`` block it is the current handle of the thread, and gets the socket of the request sent
    there. It refers to the socket weakly, so that an answer that is dropped unread releases its connection.

    Attributes:
        is_reused: The connection served another request before.
        ended: Why the attempt was ended from outside, as an error class; ``None`` if it was not.
        due: Monotonic instant of the attempt's deadline; infinity for none, and after the attempt.
        bound: Monotonic instant at which the phase under way is over, however much arrives.
        patience: Seconds within which the service takes more of the request, then sends the answer's head.
        is_watched: A thread ends the attempt at its deadline; else its socket looks itself.
        longest: Seconds that many receipts may take which are not even a piece of a body.
        receipts: Number of receipts since the last piece of the body.
        is_stuck: The service stopped taking the request.
    """

    __slots__ = (
        "__weakref__",
        "_before",
        "_socket",
        "_token",
        "_watching",
        "bound",
        "due",
        "ended",
        "is_reused",
        "is_stuck",
        "is_watched",
        "longest",
        "patience",
        "receipts",
    )

    def __init__(self, due: float = float("inf"), patience: float = float("inf")) -> None:
        self.due, self.patience = due, patience
        self.bound = self.longest = float("inf")
        self.receipts = 0
        self.is_stuck, self.is_watched, self.is_reused = False, True, False
        self._socket: weakref.ref[socket.socket] | None = None
        self.ended: type[FoundryError] | None = None
        self._before: SocketHandle | None = None
        self._token: CancelToken | None = None
        self._watching: object = None

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
        if isinstance(sock, (BoundedSocket, BoundedTLSSocket)):
            sock.attempt = self
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
        sock = None if self._socket is None else self._socket()
        if isinstance(sock, (BoundedSocket, BoundedTLSSocket)) and sock.attempt is self:
            sock.attempt = None
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


class _Bounded(socket.socket):
    """The waits of a socket."""

    #: The attempt that uses the socket; ``None`` between two of them.
    attempt: SocketHandle | None = None

    def __del__(self) -> None:
        # With an answer that was dropped in a cycle of references the collector may come here first.
        if self.fileno() == -1:  # closed, or never made
            return
        if self.attempt is None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        self.close()

    def recv_into(self, buffer: Any, nbytes: int | None = 0, flags: int = 0) -> int:  # noqa: ANN401
        """Receive into a buffer as soon as there is something.

        Raises:
            TimeoutError: The silence or the attempt's bound was reached.
        """
        attempt = self.attempt
        if attempt is None:
            return super().recv_into(buffer, nbytes or 0, flags)
        attempt.receipts += 1
        if (
            clock.SLICE is None
            and attempt.bound == _FOREVER
            and attempt.receipts < _MANY
            and attempt.is_watched
        ):
            return super().recv_into(buffer, nbytes or 0, flags)
        if attempt.receipts == _MANY:
            attempt.bound = min(attempt.bound, clock.monotonic() + attempt.longest)
        silence, until = self.gettimeout(), min(attempt.bound, attempt.due)
        if silence is not None:
            ends = clock.monotonic() + silence
            if clock.SLICE is None and ends <= until + _SLACK:
                return super().recv_into(buffer, nbytes or 0, flags)
            until = min(until, ends)
        try:
            while (left := until - clock.monotonic()) > 0 and attempt.ended is None:
                self.settimeout(min(left, clock.SLICE or _LONGEST))
                try:
                    return super().recv_into(buffer, nbytes or 0, flags)
                except TimeoutError:
                    if clock.SLICE is None:
                        raise
            raise TimeoutError("the time allowed is over")
        finally:
            self.settimeout(silence)

    def sendall(self, data: Any, flags: int = 0) -> None:  # noqa: ANN401 (any buffer)
        """Send all of the data; what the other side takes extends the time allowed.

        Raises:
            TimeoutError: The other side took nothing within the attempt's ``patience``.
        """
        attempt = self.attempt
        if attempt is None or len(data) <= _SMALL:
            super().sendall(data, flags)
        else:
            self._send_pieces(data, flags, attempt)
        if attempt is not None:
            attempt.bound = clock.monotonic() + attempt.patience

    def _send_pieces(self, data: Any, flags: int, attempt: SocketHandle) -> None:  # noqa: ANN401
        silence, at = self.gettimeout(), 0
        attempt.bound = _FOREVER
        if _NOTSENT_LOWAT is not None:
            self.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _KEPT)
        with memoryview(data) as view, view.cast("B") as rest:
            while at < len(rest):
                with rest[at : at + _PIECE] as piece:
                    at += self._send_piece(piece, flags, attempt)
        self.settimeout(silence)

    def _send_piece(self, piece: memoryview, flags: int, attempt: SocketHandle) -> int:
        until = min(attempt.due, clock.monotonic() + attempt.patience)
        while (left := until - clock.monotonic()) > 0 and attempt.ended is None:
            self.settimeout(min(left, clock.SLICE or _LONGEST))
            with contextlib.suppress(TimeoutError):
                return super().send(piece, flags)
        attempt.is_stuck = True
        raise TimeoutError("the service takes no more of the request")


class BoundedSocket(_Bounded):
    """A plain socket."""

    def connect(self, address: Any) -> None:  # noqa: ANN401 (socket's own)
        """Connect within the time-out."""
        if clock.SLICE is None or self.attempt is None:
            return super().connect(address)
        from foundry_rest.transport.session import sliced_connect

        attempt, silence = self.attempt, self.gettimeout()
        until = attempt.due if silence is None else min(attempt.due, clock.monotonic() + silence)
        self.settimeout(0)
        sliced_connect.connect(self, address, until, lambda: attempt.ended is not None)
        return self.settimeout(silence)


class BoundedTLSSocket(_Bounded, ssl.SSLSocket):
    """A socket with TLS: one that ssl has made becomes one of this class after its handshake."""


def current_handle() -> SocketHandle | None:
    """Return the handle of the attempt that this thread makes, or ``None``."""
    handle: SocketHandle | None = getattr(_thread_state, "handle", None)
    return handle
