"""WrappedStream: an open stream that passes everything on, as the base of those that watch one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from foundry_rest.errors import Attempt, FoundryError
from foundry_rest.transport.interfaces import OpenReply


class WrappedStream:
    """An open stream around another one.

    Args:
        inner: The open stream.
    """

    def __init__(self, inner: OpenReply) -> None:
        self.inner = inner

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the answer's headers, case-insensitive."""
        return self.inner.headers

    @property
    def url(self) -> str:
        """Return the address that answers."""
        return self.inner.url

    @property
    def call_id(self) -> str:
        """Return the id of the call in events."""
        return self.inner.call_id

    @property
    def attempt(self) -> int:
        """Return the number of the attempt that opened the stream, from 1."""
        return self.inner.attempt

    @property
    def failures(self) -> tuple[Attempt, ...]:
        """Return the attempts that failed before it."""
        return self.inner.failures

    @property
    def cached(self) -> bool:
        """Return whether it comes from a cache."""
        return self.inner.cached

    @property
    def stale_for(self) -> float:
        """Return the seconds since it expired there."""
        return self.inner.stale_for

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.inner)

    def set_idle(self, seconds: float) -> None:
        """Bound the time for the rest of the stream, in seconds."""
        self.inner.set_idle(seconds)

    def fail(self, error: FoundryError) -> None:
        """Record the error that ended the stream early."""
        self.inner.fail(error)

    def finish(self) -> None:
        """Release the connection for reuse after the last event."""
        self.inner.finish()

    def close(self) -> None:
        """Abandon the stream at once; from any thread."""
        self.inner.close()
