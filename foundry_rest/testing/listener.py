"""The fault server's listener: a listening socket, its connections, and one thread for each.

A listener ends once and is not started again; ``FaultServer.start`` makes a new one on the same port. The
end is split in two, because a step may end the server from a connection's own thread: ``end`` closes
every socket and never waits, ``join`` waits for the threads.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterator

from foundry_rest.testing.wire import Connection

HOST = "127.0.0.1"
#: Seconds before the next try to accept after one that failed.
_PAUSE = 0.005


class Listener:
    """A listening socket that passes each connection to ``serve``, in a thread of its own, until ``end``.

    Args:
        port: Port to listen on; 0 for any free one.
        serve: Handles one connection to its end.
        connect: Makes the connection of an accepted socket.
        accept_delay: Seconds before each connection is accepted.
    """

    def __init__(
        self,
        port: int,
        serve: Callable[[Connection], None],
        connect: Callable[[socket.socket], Connection],
        accept_delay: float,
    ) -> None:
        self._serve = serve
        self._connect = connect
        self._accept_delay = accept_delay
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._threads: list[threading.Thread] = []
        self._socket = _listen(port)
        self._woken, self._waker = socket.socketpair()
        self.port = int(self._socket.getsockname()[1])
        self._acceptor = _thread(self._accept_all, "accept")

    @property
    def connections(self) -> int:
        """Return how many connections are open now."""
        with self._lock:
            return len(self._open)

    def end(self) -> None:
        """Refuse new connections, then end the open ones; does not wait."""
        with self._lock:
            self._over.set()
            open_now = tuple(self._open)
        # The listening socket first: a client that loses its connection and comes back must be refused.
        self._socket.close()
        self._waker.close()
        for connection in open_now:
            connection.end()

    def join(self) -> None:
        """Wait until every other thread has ended."""
        # The acceptor first: until it ends it may start one more.
        self._acceptor.join()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _accept_all(self) -> None:
        # `end` closes the socket while the selector waits for it.
        with self._woken, contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while selector.select() and not self._over.wait(self._accept_delay):
                self._accept()

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except OSError:
            # The client disconnected before it was accepted, in one of many words, or no file is free now.
            self._over.wait(_PAUSE)
            return
        connection = self._connect(sock)
        if self._register(connection):
            self._threads.append(_thread(lambda: self._handle(connection), f"connection {connection.number}"))
        else:
            connection.close()

    def _register(self, connection: Connection) -> bool:
        with self._lock:
            if not self._over.is_set():
                self._open.add(connection)
            return connection in self._open

    def _handle(self, connection: Connection) -> None:
        try:
            self._serve(connection)
        finally:
            connection.close()
            with self._lock:
                self._open.discard(connection)


@contextlib.contextmanager
def dead_address() -> Iterator[str]:
    """Yield a base URL at which connections are refused; no other program gets its port meanwhile."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        yield f"http://{HOST}:{held.getsockname()[1]}"


@contextlib.contextmanager
def deaf_address() -> Iterator[str]:
    """Yield a base URL at which connecting hangs, as with a stopped process whose queue is full.

    It works where a full queue makes the kernel drop new connections (Linux), not on macOS and Windows.
    """
    with contextlib.ExitStack() as held:
        deaf = held.enter_context(socket.socket())
        deaf.bind((HOST, 0))
        deaf.listen(0)
        for _ in range(4):  # Linux queues one more than the backlog; two of these wait for ever
            filler = held.enter_context(socket.socket())
            filler.settimeout(0.0)
            filler.connect_ex(deaf.getsockname())
        yield f"http://{HOST}:{deaf.getsockname()[1]}"


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    if os.name == "posix":  # on Windows the option lets other programs take a port in use
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    listener.settimeout(0.0)
    return listener


def _thread(target: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=target, name=f"FaultServer {name}", daemon=True)
    thread.start()
    return thread
