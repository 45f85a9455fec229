"""The interfaces of what sends, answers and decodes.

Protocols take long to make, so what every program imports names them for type checkers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from foundry_rest.errors import Attempt, FoundryError
from foundry_rest.transport.call import Call, Options, Reply


class Target(Protocol):
    """One address that may answer a call."""

    @property
    def url(self) -> str:
        """Return the base URL."""

    @property
    def is_known(self) -> bool:
        """Return whether the address was named, or its process is this user's."""


class Request(Protocol):
    """A finished call, or one that is built for the target of each attempt."""

    @property
    def options(self) -> Options:
        """Return the call's options."""

    @property
    def runs_on(self) -> str:
        """Return the model that the request runs, as the caller named it; ``""`` for none."""

    @property
    def asked_as(self) -> str:
        """Return the id by which the model was asked for last, or its name before an id was known."""

    def call_for(self, target: Any) -> Call:  # noqa: ANN401 (only the sender knows the target's class)
        """Return the call for one target."""


class OpenReply(Protocol):
    """One open stream of events; each item is the ``data`` of one event."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the answer's headers, case-insensitive."""

    @property
    def url(self) -> str:
        """Return the address that answers."""

    @property
    def call_id(self) -> str:
        """Return the id of the call in events; ``""`` below the sender that gives it."""

    @property
    def attempt(self) -> int:
        """Return the number of the attempt that opened the stream, from 1."""

    @property
    def failures(self) -> tuple[Attempt, ...]:
        """Return the attempts that failed before it."""

    @property
    def cached(self) -> bool:
        """Return whether it comes from a cache."""

    @property
    def stale_for(self) -> float:
        """Return the seconds since it expired there; 0.0 for one that has not."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield each event's data; raise a TransportError where the connection breaks."""

    def set_idle(self, seconds: float) -> None:
        """Bound the time for the rest of the stream, in seconds."""

    def fail(self, error: FoundryError) -> None:
        """Record the error that ended the stream early, on the wire or in its content."""

    def finish(self) -> None:
        """Release the connection for reuse after the last event."""

    def close(self) -> None:
        """Abandon the stream at once; from any thread."""


class Sender(Protocol):
    """The interface that resilient, caching and fake senders share."""

    def send(self, request: Request, /) -> Reply:
        """Return the whole answer, or raise one of our errors."""

    def open(self, request: Request, /) -> OpenReply:
        """Return an open stream whose first event has arrived, or raise one of our errors."""

    def close(self) -> None:
        """Close every connection and end every wait."""


class Transport(Protocol):
    """The means to make one attempt of one call at one target."""

    def send(self, call: Call, target: Target, /) -> Reply:
        """Return the whole answer of one attempt."""

    def open(self, call: Call, target: Target, /) -> OpenReply:
        """Return the open stream of one attempt; its first event has arrived."""

    def close(self) -> None:
        """Close every connection and end every wait."""


class Decoder(Protocol):
    """A decoder of the pieces of a body into events."""

    @property
    def has_error(self) -> bool:
        """Return whether one of the events so far was an ``ErrorEvent``."""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return every event that ``piece`` completes; raise InvalidReply for one that is too large."""

    def end(self) -> list[bytes]:
        """Return every event that the end of the body completes."""


class Renewable(Protocol):
    """An object that starts afresh in a forked child."""

    def renew(self) -> None:
        """Replace what belongs to the parent; the child has only the calling thread."""


class Suspendable(Protocol):
    """An object that is put out of use while the process forks."""

    def suspend(self) -> None:
        """Wait until no other thread uses the object, and keep it unused."""

    def resume(self) -> None:
        """Allow its use again; called in the parent and in the child, by the thread that forked."""
