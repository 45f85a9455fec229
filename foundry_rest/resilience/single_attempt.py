"""SingleAttempt: a request sent once, past retries, slots and breaker, as a health check must be."""

from __future__ import annotations

from collections.abc import Callable

from foundry_rest.transport.call import OpenReply, Options, Reply, Request, Target, Transport


class SingleAttempt:
    """A sender that makes one attempt.

    Args:
        inner: Makes it.
        take: Returns the target to ask, within the call's bounds.
    """

    def __init__(self, inner: Transport, take: Callable[[Options], Target]) -> None:
        self._inner, self._take = inner, take

    def send(self, request: Request) -> Reply:
        """Return the whole answer, or raise one of our errors."""
        target = self._take(request.options)
        return self._inner.send(request.call_for(target), target)

    def open(self, request: Request) -> OpenReply:
        """Return an open stream whose first event has come, or raise one of our errors."""
        target = self._take(request.options)
        return self._inner.open(request.call_for(target), target)

    def close(self) -> None:
        """Close the transport."""
        self._inner.close()
