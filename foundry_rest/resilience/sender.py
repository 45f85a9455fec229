"""ResilientSender: a call is sent until it succeeds, cannot succeed, or its time is over.

Nothing is repeated after a stream has opened: from there on the caller has seen tokens, and the break is
the stream's to report. The stream keeps its slot until it ends.
"""

from __future__ import annotations

from foundry_rest.resilience.execution import Execution, Terms
from foundry_rest.resilience.lease import LeasedReply
from foundry_rest.transport.call import OpenReply, Reply, Request, Transport


class ResilientSender:
    """A sender that tries again where that can help.

    Args:
        inner: Makes one attempt.
        terms: When and how it tries again.
    """

    def __init__(self, inner: Transport, terms: Terms) -> None:
        self._inner = inner
        self.terms = terms

    def send(self, request: Request) -> Reply:
        """Return the whole answer, or raise the last error with all attempts in it."""
        execution = Execution(self.terms, request)
        reply, lease = execution.run(self._inner.send)
        lease.succeed()
        lease.release()
        execution.finish(reply.url)
        return reply

    def open(self, request: Request) -> OpenReply:
        """Return an open stream whose first event has come, or raise as ``send`` does."""
        execution = Execution(self.terms, request)
        opened, lease = execution.run(self._inner.open)
        return LeasedReply(opened, lease, execution.call_id, execution.attempt)

    def close(self) -> None:
        """End every wait, and close the sender below."""
        self.terms.bounds.closing.cancel()
        self._inner.close()
