"""Why a stream broke that does not say it.

1.x checks a streamed request after it has sent the headers: whatever is wrong with it (model not loaded,
context exceeded) cuts the connection, and the cause is told to nobody (docs/service.md, section 8).
The same request without streaming is refused with the cause in words, before any work is done.

The cause is then cured and judged as any other refusal. It asks only
after an answer had begun: a connection that died before may be that of a service which this very request
killed, and asking again would kill the next one, too.
"""

from __future__ import annotations

from collections.abc import Callable

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
from foundry_rest.transport.call import Call, Target, Transport

#: Seconds of silence borne for the cause. 1.2.4 refuses within 10 ms; a service that works for longer has
#: nothing to refuse, and stops when the connection is closed.
PATIENCE = 5.0


def diagnose(inner: Transport) -> Callable[[Call, Target, FoundryError], FoundryError]:
    """Return what tells why a stream broke before its first event.

    Args:
        inner: Makes one attempt.
    """

    def explain(call: Call, target: Target, error: FoundryError) -> FoundryError:
        """Return what the service says about the plain request, if it refuses that; else the break itself."""
        if call.plain is None or not _had_begun(error):
            return error
        try:
            inner.send(_plainly(call), target)
        except ServiceError as why:
            why.__cause__ = error
            return why.with_traceback(None)  # which would lead by its frames back to the error: a cycle
        except (TransportError, InvalidReply, DeadlineExceeded):
            pass
        return error

    return explain


def _plainly(call: Call) -> Call:
    """Return the same call without a stream, with less patience."""
    given = call.options.timeouts
    brief = replace(given, first_token=min(PATIENCE, given.first_token))
    return replace(call, body=call.plain, plain=None, options=replace(call.options, timeouts=brief))


def _had_begun(error: FoundryError) -> bool:
    return isinstance(error, StreamInterrupted) or (isinstance(error, ServiceUnreachable) and error.begun)
