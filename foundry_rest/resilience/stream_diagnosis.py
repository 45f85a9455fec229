"""The diagnosis of a stream that broke without reporting a cause.

1.x checks a streamed request after it has sent the headers: any fault in it (model not loaded, context
exceeded) cuts the connection, and the cause is not reported (docs/reference/service.md, section 8).
The same request without streaming is refused with a message, before any work is done.

The cause is then handled like any other refusal. The plain request is sent only if the answer had begun: a
connection that broke earlier may belong to a service that this very request killed, and sending it again
would kill the next one, too.
"""

from __future__ import annotations

from msgspec.structs import replace

from foundry_rest.errors import (
    DeadlineExceeded,
    FoundryError,
    InvalidReply,
    ServiceError,
    ServiceUnreachable,
    StreamInterrupted,
    TransportError,
)
from foundry_rest.transport.call import Call
from foundry_rest.transport.interfaces import Target, Transport

#: Seconds of silence allowed while asking for the cause. 1.2.4 refuses within 10 ms; a service that works
#: for longer has nothing to refuse, and stops when the connection is closed.
PATIENCE = 5.0


def diagnose(inner: Transport, call: Call, target: Target, error: FoundryError) -> FoundryError:
    """Return the service's refusal of the plain request, or the given error if it does not refuse.

    Args:
        inner: Makes one attempt.
        call: The call whose stream broke before its first event.
        target: The address that it was sent to.
        error: What ended it.
    """
    if call.plain is None or not _had_begun(error):
        return error
    try:
        inner.send(_without_stream(call), target)
    except ServiceError as refusal:
        refusal.__cause__ = error
        return refusal.with_traceback(None)  # its frames refer to the error, which would be a cycle
    except (TransportError, InvalidReply, DeadlineExceeded):
        pass
    return error


def _without_stream(call: Call) -> Call:
    """Return the same call without a stream, with a shorter time-out."""
    timeouts = call.options.timeouts
    short = replace(timeouts, first_token=min(PATIENCE, timeouts.first_token))
    return replace(call, body=call.plain, plain=None, options=replace(call.options, timeouts=short))


def _had_begun(error: FoundryError) -> bool:
    return isinstance(error, StreamInterrupted) or (isinstance(error, ServiceUnreachable) and error.begun)
