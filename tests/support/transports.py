"""A transport that is bound to one address, for tests of what happens in one attempt."""

from __future__ import annotations

from foundry_rest.services.target import Target
from foundry_rest.transport.call import Call
from foundry_rest.transport.session.transport import SessionTransport

GET = Call("GET", "/status", label="health.check", model="demo")


class BoundTransport:
    """A ``SessionTransport`` whose calls all go to the address that ``locate`` returns."""

    def __init__(self, locate, **settings):
        self.transport = SessionTransport(**settings)
        self._locate = locate

    def __getattr__(self, name):
        return getattr(self.transport, name)

    def send(self, call):
        """Return the whole answer."""
        return self.transport.send(call, Target(self._locate()))

    def open(self, call):
        """Return the open stream."""
        return self.transport.open(call, Target(self._locate()))


def ask(server, call=GET, **settings):
    """Send one call over a transport of its own; return the request as it came."""
    transport = BoundTransport(lambda: server.url, **settings)
    try:
        transport.send(call)
    finally:
        transport.close()
    return server.requests[-1]
