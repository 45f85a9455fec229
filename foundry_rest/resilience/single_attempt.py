"""SingleAttempt: a request is sent once, without retries, slots or breaker, as a health check needs."""

from __future__ import annotations

from collections.abc import Callable

from foundry_rest.transport.call import OpenReply, Options, Reply, Request, Target, Transport


class SingleAttempt:
    """A sender that makes one attempt.

    Args:
        inner: Makes the attempt.
        take: Returns the target of the attempt, within the call's bounds.
    """

    def __init__(self, inner: Transport, take: Callable[[Options], Target]) -> None:
        self._inner, self._take = inner, take

    def send(self, request: Request) -> Reply:
        """Return the whole answer, or raise one of our errors."""
        target = self._take(request.options)
        return self._inner.send(request.call_for(target), target)

    def open(self, request: Request) -> OpenReply:
        """Return an open stream whose first event has arrived, or raise one of our errors."""
        target = self._take(request.options)
        return self._inner.open(request.call_for(target), target)

    def close(self) -> None:
        """Close the transport."""
        self._inner.close()
