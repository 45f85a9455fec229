"""One connection of the fault server: it reads requests and plays the steps of their scripts.

Bytes that arrive while a script plays (a pipelined request) are kept for the next read, so that the
connection's end is noticed during every silence. A client that closes, half-closes or resets while its
answer is under way counts as having left: tests of abandoned calls check that.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from foundry_rest import clock
from foundry_rest.testing.script import Scripted, as_script

#: Seconds between two checks of a silence's gate: a selector cannot wait for an Event.
_GATE_SLICE = 0.002
#: SO_LINGER on with zero seconds: close() sends RST. The struct's fields are shorter on Windows.
_LINGER_NOTHING = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class GoneError(Exception):
    """The end of a connection, for the thread that handles it."""


class Headers(tuple[tuple[str, str], ...]):
    """Header fields as pairs, in the order and case in which they came."""

    __slots__ = ()

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value under this name, in any case."""
        return next(iter(self.get_all(name)), default)

    def get_all(self, name: str) -> list[str]:
        """Return every value under this name, in any case."""
        return [value for key, value in self if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came.

    Attributes:
        method: HTTP verb.
        path: Path without its query, not decoded.
        headers: Pairs, with a case-insensitive ``get``.
        body: Whole body; chunks are joined.
        connection: Number of the connection, from 1.
        number: Number of the request on its connection, from 1; above 1 the connection was reused.
        query: The part after ``?``, or ``""``.
        version: ``HTTP/1.1`` or ``HTTP/1.0``.
    """

    method: str
    path: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    connection: int = 1
    number: int = 1
    query: str = ""
    version: str = "HTTP/1.1"

    def json(self) -> object:
        """Return the decoded JSON body.

        Raises:
            ValueError: The body is not JSON.
        """
        value: object = json.loads(self.body)
        return value

    @property
    def wants_close(self) -> bool:
        """Return whether the client asked to close the connection after the answer."""
        options = (self.headers.get("Connection") or "").lower()
        return "close" in options or (self.version == "HTTP/1.0" and "keep-alive" not in options)


class Connection:
    """One client's socket: requests are read from it and scripts played on it; the ``Wire`` of the steps.

    Args:
        sock: Connected socket; the connection closes it.
        number: Number of the connection, from 1.
        die: Called by a step that ends the whole server.
        header_limit: Most bytes of a request's head; a larger one is reset. ``None`` for no limit.
    """

    def __init__(
        self, sock: socket.socket, number: int, die: Callable[[], None], header_limit: int | None = None
    ) -> None:
        self.number = number
        self.left = False
        self._sock = sock
        self._die = die
        self._header_limit = header_limit
        self._ended = False  # by the server
        self._playing = False
        self._buffer = bytearray()
        sock.settimeout(clock.SLICE)
        with contextlib.suppress(OSError):  # the client may have disconnected already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, number: int) -> Request:
        """Wait for the next request and return all of it.

        Raises:
            GoneError: The connection ended, or the bytes are not HTTP.
        """
        try:
            return self._read(number)
        except ValueError as error:
            raise GoneError(f"not HTTP: {error}") from None

    def play(self, script: Scripted) -> None:
        """Play every step.

        Raises:
            GoneError: A step, the client or the server ended the connection.
        """
        self._playing = True
        for step in as_script(script):
            step.play(self)
        self._playing = False

    def send(self, data: bytes) -> None:
        """Send bytes at once."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except TimeoutError:
                self._check_running()
            except OSError:
                self._lost()

    def wait(self, seconds: float | None, gate: threading.Event | None = None) -> None:
        """Send nothing until the time is over or the gate is open."""
        until = None if seconds is None else time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            while not (gate is not None and gate.is_set()):
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return
                slice_ = clock.SLICE if gate is None else _GATE_SLICE
                if selector.select(left if slice_ is None else min(slice_, left or slice_)):
                    self._fill()
                self._check_running()

    def cut(self) -> None:
        """Close with FIN."""
        self.close()
        raise GoneError("cut")

    def reset(self) -> None:
        """Close with RST."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)
        self._sock.close()
        raise GoneError("reset")

    def die(self) -> None:
        """End the whole server."""
        self._die()
        raise GoneError("died")

    def end(self) -> None:
        """End every wait on this connection because the server stops; from any thread."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket so that the client sees an end (FIN), not a reset."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(0.0)
            # The kernel turns the FIN into an RST when unread bytes are thrown away.
            while self._sock.recv(65536):
                pass
        self._sock.close()

    def _read(self, number: int) -> Request:
        first, *lines = self._head().decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        pairs = (line.partition(":") for line in lines if line)
        headers = Headers((name.strip(), value.strip()) for name, _, value in pairs)
        path, _, query = target.partition("?")
        body = self._body(headers)
        return Request(method, path, headers, body, self.number, number, query, version)

    def _head(self) -> bytes:
        head = self._until(b"\r\n\r\n", self._header_limit)
        # An empty line before a request must be ignored (RFC 9112 section 2.2).
        return head.lstrip(b"\r\n") or self._head()

    def _body(self, headers: Headers) -> bytes:
        if (headers.get("Expect") or "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
            return self._chunks()
        return self._exactly(max(0, int(headers.get("Content-Length") or 0)))

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := int(self._until(b"\r\n").partition(b";")[0], 16):
            body += self._exactly(size)
            self._until(b"\r\n")
        while self._until(b"\r\n"):
            pass  # trailers
        return bytes(body)

    def _until(self, mark: bytes, limit: int | None = None) -> bytes:
        start = 0
        while (found := self._buffer.find(mark, start)) < 0:
            start = max(0, len(self._buffer) - len(mark) + 1)
            self._check(len(self._buffer), limit)
            self._fill()
        self._check(found, limit)
        return self._take(found + len(mark))[: -len(mark)]

    def _check(self, size: int, limit: int | None) -> None:
        if limit is not None and size > limit:
            self.reset()

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _fill(self) -> None:
        data = None
        while data is None:
            try:
                data = self._sock.recv(65536)
            except TimeoutError:
                self._check_running()
            except OSError:
                data = b""
        if not data:
            self._lost()
        self._buffer += data

    def _check_running(self) -> None:
        if self._ended:
            self._lost()

    def _lost(self) -> NoReturn:
        self.left = self._playing and not self._ended
        raise GoneError("the server stops" if self._ended else "the client left")
