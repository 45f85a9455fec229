"""DiagnosingTransport: why a stream broke that does not say it.

1.x checks a streamed request after it has sent the headers: whatever is wrong with it (model not loaded,
context exceeded) cuts the connection, and the cause is told to nobody (docs/service.md, section 8).
The same request without streaming is refused with the cause in words, before any work is done.

This stands beneath the retries, so that the cause is cured and judged as any other refusal. It asks only
after an answer had begun: a connection that died before may be that of a service which this very request
killed, and asking again would kill the next one, too.
"""

from __future__ import annotations

from msgspec.structs import replace

from foundry_rest.errors import (
    DeadlineExceeded,
    InvalidReply,
    ServiceError,
    ServiceUnreachable,
    StreamInterrupted,
    TransportError,
)
from foundry_rest.transport.call import Call, OpenReply, Reply, Target, Transport

#: Seconds of silence borne for the cause. 1.2.4 refuses within 10 ms; a service that works for longer has
#: nothing to refuse, and stops when the connection is closed.
PATIENCE = 5.0


class DiagnosingTransport:
    """A transport that asks once more without streaming when a stream breaks before its first event.

    Args:
        inner: Makes one attempt.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    def send(self, call: Call, target: Target) -> Reply:
        """Return the whole answer, as the sender below does."""
        return self._inner.send(call, target)

    def open(self, call: Call, target: Target) -> OpenReply:
        """Return an open stream whose first event has come.

        Raises:
            ServiceError: Why it broke, as the service told the plain request; its cause is the break.
            TransportError: No event came, and the service did not tell why.
        """
        try:
            return self._inner.open(call, target)
        except (StreamInterrupted, ServiceUnreachable) as error:
            if call.plain is not None and _had_begun(error):
                self._ask_why(replace(call, body=call.plain, plain=None), target, error)
            raise

    def close(self) -> None:
        """Close the sender below."""
        self._inner.close()

    def _ask_why(self, call: Call, target: Target, broken: TransportError) -> None:
        """Raise what the service says about the plain request, if it refuses that."""
        given = call.options.timeouts
        brief = replace(given, first_token=min(PATIENCE, given.first_token))
        call = replace(call, options=replace(call.options, timeouts=brief))
        try:
            self._inner.send(call, target)
        except ServiceError as why:
            raise why from broken
        except (TransportError, InvalidReply, DeadlineExceeded):
            return


def _had_begun(error: StreamInterrupted | ServiceUnreachable) -> bool:
    return isinstance(error, StreamInterrupted) or error.begun
