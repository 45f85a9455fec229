"""SingleAttempt: a request is sent once, without retries, slots or breaker, as a health check needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from foundry_rest.errors import FoundryError
from foundry_rest.transport.call import Call, Options, Reply

if TYPE_CHECKING:
    from foundry_rest.transport.interfaces import OpenReply, Request, Target, Transport


class SingleAttempt:
    """A sender that makes one attempt.

    Args:
        inner: Makes the attempt.
        take: Returns the target of the attempt, within the call's bounds.
        explain: Returns the cause of a stream's failure, where the service does not report it.
    """

    def __init__(
        self,
        inner: Transport,
        take: Callable[[Options], Target],
        explain: Callable[[Call, Target, FoundryError], FoundryError],
    ) -> None:
        self._inner, self._take, self._explain = inner, take, explain

    def send(self, request: Request) -> Reply:
        """Return the whole answer, or raise one of our errors."""
        target = self._take(request.options)
        return self._inner.send(request.call_for(target), target)

    def open(self, request: Request) -> OpenReply:
        """Return an open stream whose first event has arrived, or raise one of our errors."""
        target = self._take(request.options)
        call = request.call_for(target)
        try:
            return self._inner.open(call, target)
        except FoundryError as error:
            cause = self._explain(call, target, error)
            if cause is error:
                raise
            raise cause from error

    def close(self) -> None:
        """Close the transport."""
        self._inner.close()
