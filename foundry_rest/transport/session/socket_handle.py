"""The line: the socket that one attempt uses, so that any thread can end the attempt.

http.client shows its socket only when the head of an answer has come, and a socket's time-out bounds the
silence between two packets, not the whole. So the connections made here tell the attempt that runs in
their thread which socket they use, from the first packet on. To end the attempt, by ``close()`` or by its
deadline, the socket is shut down: that wakes whoever waits on it, which closing it would not.

A session that the caller made, and a proxy, have connections of their own: there the socket is known from
the head of the answer on, and until then the time-outs of the attempt are the only bound.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import weakref
from types import TracebackType
from typing import TYPE_CHECKING

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from foundry_rest.errors import Cancelled, DeadlineExceeded, FoundryError
from foundry_rest.transport.call import CancelToken

if TYPE_CHECKING:
    from urllib3._base_connection import BaseHTTPConnection

#: Linux: acknowledge at once. Without it the service's first event waits 40 ms for our delayed ACK
#: on a reused connection (Nagle; native-runtime-measured.md section 15). Not lasting: once per answer.
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_WORDS: dict[type[FoundryError], str] = {
    Cancelled: "the call was ended from elsewhere, by close() or its cancel token",
    DeadlineExceeded: "the deadline passed while waiting for the answer",
}
#: Seconds, above 0: none would mean another mode of the socket.
_NO_TIME = 0.001
_here = threading.local()


class SocketHandle:
    """Know the socket of one attempt; as a context manager, of what this thread sends meanwhile.

    The socket is held weakly: an answer that is dropped unread gives its connection back by itself.

    Attributes:
        is_reused: The connection served another request before.
        due: Monotonic instant of the attempt's deadline; infinity for none, and once it is over.
    """

    __slots__ = (
        "__weakref__",
        "_before",
        "_ended",
        "_pid",
        "_socket",
        "_token",
        "_watching",
        "due",
        "is_reused",
    )

    def __init__(self, due: float = float("inf")) -> None:
        self.due = due
        self._socket: weakref.ref[socket.socket] | None = None
        self._ended: type[FoundryError] | None = None
        self._pid = os.getpid()
        self._before: SocketHandle | None = None
        self._token: CancelToken | None = None
        self._watching: object = None
        self.is_reused = False

    def __enter__(self) -> None:
        self._before, _here.line = getattr(_here, "line", None), self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _here.line = self._before

    @property
    def held(self) -> socket.socket | None:
        """Return the socket, while it is known and lives."""
        return None if self._socket is None else self._socket()

    @property
    def failure(self) -> FoundryError | None:
        """Return why the attempt was ended from outside, as an error; ``None`` when it was not."""
        return None if self._ended is None else self._ended(_WORDS[self._ended])

    def take(self, sock: socket.socket) -> None:
        """Note the socket in use; one that was ended before is shut down now."""
        self._socket = weakref.ref(sock)
        if self._ended is not None:
            self._cut()

    def end(self, why: type[FoundryError]) -> None:
        """End the attempt, from any thread; the first reason stays."""
        self._ended = self._ended or why
        self.due = float("inf")
        self._cut()

    def heed(self, token: CancelToken) -> None:
        """End with the token; it holds this line weakly, for one token may serve a thousand calls."""
        this = weakref.ref(self)

        def end() -> None:
            line = this()
            if line is not None:
                line.end(Cancelled)

        self._token, self._watching = token, token.watch(end)

    def let_go(self) -> None:
        """Forget the socket: the attempt is over, and the connection may serve another one."""
        if self._token is not None:
            self._token.unwatch(self._watching)
            self._token = None
        self._socket = None
        self.due = float("inf")

    def set_timeout(self, seconds: float) -> None:
        """Bound the silence before the next packet."""
        sock = self.held
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.settimeout(seconds)

    def acknowledge_at_once(self) -> None:
        """Ask the kernel not to delay its acknowledgements, where it can be asked."""
        sock = self.held
        if sock is not None and _QUICKACK is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _cut(self) -> None:
        sock = self.held
        # A forked child has the same sockets; shutting one down there would end the parent's answer.
        if sock is not None and self._pid == os.getpid():
            with contextlib.suppress(OSError):
                # First the time-out: a socket that is about to be connected cannot be shut down yet.
                sock.settimeout(_NO_TIME)
                # Not the method: under TLS it would take the protocol away from the reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _tell(sock: socket.socket | None, *, is_reused: bool = False) -> None:
    """Tell the attempt of this thread which socket is used."""
    line = getattr(_here, "line", None)
    if line is not None and sock is not None:
        line.is_reused = is_reused
        line.take(sock)


class _Connection(HTTPConnection):
    """Tell the socket before it is connected."""

    def _new_conn(self) -> socket.socket:
        try:
            return _dial(self)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection within the time allowed") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection: {error}") from error


class _SecureConnection(_Connection, HTTPSConnection):
    """Do the same under TLS; what fails before TLS stands is a failure to connect."""

    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no secure connection within the time allowed") from error
        except (ConnectionError, ssl.SSLEOFError) as error:
            raise NewConnectionError(self, f"no secure connection: {error}") from error


def _dial(connection: HTTPConnection) -> socket.socket:
    """Return a connected socket of the first address that answers.

    urllib3's own function shows the socket only once it is connected; a wait that nobody can end.
    """
    host = connection._dns_host.strip("[]")  # noqa: SLF001
    refusal: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, connection.port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        try:
            for option in connection.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(connection.timeout)
            _tell(sock)
            sock.connect(address)
            _tell(sock)  # again: what was ended before it was connected could not be shut down
        except OSError as error:
            sock.close()
            refusal = error
        else:
            return sock
    raise refusal


class _Pool(HTTPConnectionPool):
    """Tell the socket of a connection that is reused."""

    ConnectionCls = _Connection

    def _validate_conn(self, conn: BaseHTTPConnection) -> None:
        before = getattr(conn, "sock", None)
        super()._validate_conn(conn)
        sock = getattr(conn, "sock", None)
        _tell(sock, is_reused=sock is not None and sock is before)


class _SecurePool(_Pool, HTTPSConnectionPool):
    """Tell the socket once TLS stands: it is another one then."""

    ConnectionCls = _SecureConnection


def tell_sockets(adapter: HTTPAdapter) -> None:
    """Make a new adapter's connections tell their sockets to the line of the thread that uses them."""
    adapter.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
