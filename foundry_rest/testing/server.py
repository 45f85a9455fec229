"""A loopback HTTP server that fails exactly as scripted, request by request.

It uses raw sockets and one thread for each connection, so that scripts decide about every byte on the wire
and every silence between two bytes. A healthy 2.x service answers the requests that no script is for, so
that a client finds the service, loads models and sends prompts as usual. The test can inspect everything:
requests, connections, and the clients that left early are recorded.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Protocol, TypeAlias

from foundry_rest.testing.healthy import DEMO, HealthyService
from foundry_rest.testing.listener import HOST, Listener
from foundry_rest.testing.script import Script, Scripted, as_script
from foundry_rest.testing.wire import Connection, GoneError, Request

#: What answers a request: a script, or a function that returns one.
Answer: TypeAlias = Scripted | Callable[[Request], Scripted]
#: Bytes that 2.2.1 accepts: 4,000 bytes of request headers passed, 5,000 were reset (measured).
HEADER_LIMIT = 4096


class Service(Protocol):
    """A healthy service that answers the requests that no script is for."""

    @property
    def loaded(self) -> tuple[str, ...]:
        """Return or set the ids of the models in memory."""

    @loaded.setter
    def loaded(self, names: Iterable[str]) -> None:
        """Replace the models in memory."""

    def answer(self, request: Request, url: str) -> Scripted:
        """Return the answer to a request; ``url`` is the service's own address."""


class _Route:
    """The scripts for some requests: the n-th request gets the n-th script, all further ones the last."""

    def __init__(self, method: str, path: str, scripts: tuple[Answer, ...]) -> None:
        if not scripts:
            raise ValueError(f"give at least one script for {method} {path}")
        self.key = (method, path)
        self._scripts = [script if callable(script) else as_script(script) for script in scripts]

    def matches(self, request: Request) -> bool:
        return fnmatchcase(request.method, self.key[0]) and fnmatchcase(request.path, self.key[1])

    def next(self) -> Answer:
        return self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]


class FaultServer:
    """A server of scripted answers on a loopback port; a context manager.

    Without a script it is a healthy Foundry Local 2.x. An exception inside a function that answers ends
    its connection and goes to ``threading.excepthook``, which pytest reports.

    Args:
        models: Alias -> id of the catalog; default: ``{"demo": "demo-generic-cpu:1"}``.
        loaded: Aliases or ids in memory at the start; default: all that are on disk.
        not_cached: Aliases or ids that are in the catalog, but not on disk.
        reply: Text of the healthy chat answers.
        model_cache_path: Directory that ``/status`` names; the default does not exist.
        pid: Process that ``/status`` names; default: this one.
        accept_delay: Seconds before each connection is accepted (connecting itself works at once).
        close_after: Requests after which a connection is closed without notice; default: never.
        header_limit: Bytes of request headers above which a connection is reset; ``None`` for no limit.
        service: A service other than 2.x, such as ``LegacyService()``; the arguments about models, the
            reply, the directory and the process apply to 2.x only.
        port: Port of the first start; 0 for any free one.

    Raises:
        ValueError: ``loaded`` or ``not_cached`` has a name that is not among ``models``.
    """

    def __init__(
        self,
        models: Mapping[str, str] | None = None,
        loaded: Iterable[str] | None = None,
        *,
        not_cached: Iterable[str] = (),
        reply: str = "Hello there",
        model_cache_path: str = "/no-such-directory/foundry/cache/models",
        pid: int | None = None,
        accept_delay: float = 0.0,
        close_after: int | None = None,
        header_limit: int | None = HEADER_LIMIT,
        service: Service | None = None,
        port: int = 0,
    ) -> None:
        self._service: Service = service or HealthyService(
            DEMO if models is None else models,
            loaded,
            not_cached,
            reply,
            model_cache_path,
            os.getpid() if pid is None else pid,
        )
        self._accept_delay = accept_delay
        self._close_after = close_after
        self._header_limit = header_limit
        self._changed = threading.Condition()
        self._routes: list[_Route] = []
        self._otherwise = _Route("*", "*", (self.healthy,))
        self._requests: list[Request] = []
        self._connections = 0
        self._left = 0
        self._port = port
        self._listener: Listener | None = None
        self._ended: list[Listener] = []

    def __enter__(self) -> FaultServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Listen: the first time on a free port, after ``stop`` or ``die`` on the same one again.

        Raises:
            RuntimeError: The server runs already.
            OSError: Another program took the port meanwhile.
        """
        if self._listener is not None:
            raise RuntimeError("the fault server runs already")
        self._listener = Listener(self._port, self._serve, self._connect, self._accept_delay)
        self._port = self._listener.port

    def stop(self) -> None:
        """Refuse connections, cut the open ones, as a killed process does, and end every thread.

        Scripts, records and loaded models are kept for the next ``start``.
        """
        self._end()
        while self._ended:
            self._ended.pop().join()

    def close(self) -> None:
        """Stop the server; it holds nothing else."""
        self.stop()

    @property
    def url(self) -> str:
        """Return the base URL, the same through all restarts.

        Raises:
            RuntimeError: The server was never started.
        """
        if not self._port:
            raise RuntimeError("the fault server has no address before start()")
        return f"http://{HOST}:{self._port}"

    @property
    def requests(self) -> list[Request]:
        """Return every request so far, in the order in which they were complete."""
        with self._changed:
            return list(self._requests)

    @property
    def connections(self) -> int:
        """Return how many connections were accepted so far."""
        return self._connections

    @property
    def open_connections(self) -> int:
        """Return how many connections are open now."""
        listener = self._listener
        return listener.connections if listener else 0

    @property
    def left(self) -> int:
        """Return how many clients so far closed their connection while the answer was under way."""
        return self._left

    @property
    def loaded(self) -> tuple[str, ...]:
        """Return or set the models in memory: ids, in catalog order; the setter also takes aliases."""
        return self._service.loaded

    @loaded.setter
    def loaded(self, names: Iterable[str]) -> None:
        """Replace the models in memory, as a restart of the service does."""
        self._service.loaded = names

    def on(self, method: str, path: str, *scripts: Answer) -> FaultServer:
        """Answer the n-th matching request with the n-th script and all further ones with the last.

        Args:
            method: Verb, or ``"*"``.
            path: Path without query; ``*`` matches any text, as in ``"/models/load/*"``.
            scripts: A script, a tuple of scripts, or a function of the request that returns one.

        Returns:
            The server. Of several routes that match, the one given last counts; it replaces one with the
            same method and path.
        """
        route = _Route(method, path, scripts)
        with self._changed:
            self._routes = [route, *(old for old in self._routes if old.key != route.key)]
        return self

    def otherwise(self, *scripts: Answer) -> FaultServer:
        """Answer requests that no ``on`` matches with these scripts, in place of the healthy service."""
        route = _Route("*", "*", scripts)
        with self._changed:
            self._otherwise = route
        return self

    def healthy(self, request: Request) -> Scripted:
        """Answer as the healthy service; usable as a script: ``on("POST", path, cut(), server.healthy)``."""
        return self._service.answer(request, self.url)

    def asked(self, path: str, method: str = "*") -> list[Request]:
        """Return the requests so far for a path; ``*`` matches any text."""
        route = _Route(method, path, (Script(),))
        return [request for request in self.requests if route.matches(request)]

    def wait_requests(self, count: int = 1, timeout: float = 2.0) -> bool:
        """Wait until ``count`` requests came in total; return False when ``timeout`` seconds passed first."""
        return self._wait(lambda: len(self._requests) >= count, timeout)

    def wait_left(self, timeout: float = 2.0, count: int = 1) -> bool:
        """Wait until ``count`` clients left in total; return False when ``timeout`` seconds passed first.

        A client leaves when it closes, half-closes or resets while its script still plays. Use it to
        assert that giving up closes the socket, with a ``stall()`` where the client is to give up.
        """
        return self._wait(lambda: self._left >= count, timeout)

    def wait_closed(self, timeout: float = 2.0) -> bool:
        """Wait until no connection is open; return False when ``timeout`` seconds passed first."""
        return self._wait(lambda: self.open_connections == 0, timeout)

    def _wait(self, is_so: Callable[[], bool], timeout: float) -> bool:
        until = time.monotonic() + timeout
        with self._changed:
            # In slices, because a connection leaves the open list just after its last notification.
            while not is_so() and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, 0.01))
            return is_so()

    def _end(self) -> None:
        with self._changed:
            listener, self._listener = self._listener, None
            if listener is not None:
                self._ended.append(listener)
        if listener is not None:
            listener.end()

    def _connect(self, sock: socket.socket) -> Connection:
        with self._changed:
            self._connections += 1
            return Connection(sock, self._connections, self._end, self._header_limit)

    def _serve(self, connection: Connection) -> None:
        try:
            with contextlib.suppress(GoneError):
                for number in itertools.count(1):
                    request = connection.read(number)
                    connection.play(self._script_for(request))
                    if request.wants_close or number == self._close_after:
                        return
        finally:
            with self._changed:
                self._left += connection.left
                self._changed.notify_all()

    def _script_for(self, request: Request) -> Scripted:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            route = next((route for route in self._routes if route.matches(request)), self._otherwise)
            answer = route.next()
        # Outside the lock: the function may be slow, use the server, or stop it.
        return answer(request) if callable(answer) else answer
