"""The threads of a client's calls in asyncio programs, and the tokens that end those calls."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

from foundry_rest.errors import ConfigError
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.fork import renew_after_fork


class Linked:
    """A token that is cancelled with the caller's own one, within the block."""

    def __init__(self, token: CancelToken, given: CancelToken | None) -> None:
        self._token, self._given = token, given

    def __enter__(self) -> None:
        self._key = None if self._given is None else self._given.watch(self._token.cancel)

    def __exit__(self, *_: object) -> None:
        if self._given is not None and self._key is not None:
            self._given.unwatch(self._key)


class Threads:
    """At most ``size`` threads, each of which ends when no job waits; a job handles its own errors."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Begin with no threads and no jobs."""
        self._lock, self._running = threading.Lock(), 0
        self._waiting: deque[Callable[[], object]] = deque()

    def submit(self, job: Callable[[], object]) -> None:
        """Have a thread do the job, now or when one is free."""
        with self._lock:
            if self._running == self._size:
                self._waiting.append(job)
                return
            # A daemon: the end of a program does not wait for its call. Started before it counts, as it may
            # be one thread too many for the system.
            threading.Thread(target=self._work, args=(job,), name="foundry_rest.aio", daemon=True).start()
            self._running += 1

    def _work(self, job: Callable[[], object] | None) -> None:
        while job is not None:
            job()
            with self._lock:
                job = self._waiting.popleft() if self._waiting else None
                self._running -= job is None


#: The token that a client and its views share -> their threads.
_OF_CLIENT: WeakKeyDictionary[CancelToken, Threads] = WeakKeyDictionary()


def threads_of(owner: object) -> Threads:
    """Return the threads of a client, or of the client that an endpoint belongs to."""
    context = getattr(owner, "_context", None)
    if context is None:
        raise ConfigError("aio.call takes a method of a client or of its endpoints, such as client.complete")
    threads = _OF_CLIENT.get(context.closing)
    return threads or _OF_CLIENT.setdefault(context.closing, Threads(context.config.most_calls))
