"""One open event stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from foundry_rest.errors import FoundryError, InvalidReply, StreamInterrupted
from foundry_rest.errors.parsing import STREAM_MARKS, error_payload, stream_error
from foundry_rest.transport.session.body import Body
from foundry_rest.transport.sse import ErrorEvent

if TYPE_CHECKING:
    from foundry_rest.transport.interfaces import Decoder


class EventStream:
    """One open event stream: the data of each event, as it arrives.

    A second iteration continues where the first one stopped.

    Args:
        body: The unread answer.
        idle: Seconds of silence allowed after the first event.
        decoder: Splits the body into events.

    Attributes:
        url: The address that answers.
    """

    def __init__(self, body: Body, idle: float, decoder: Decoder) -> None:
        self.url = body.site.url
        self._body = body
        self._idle = idle
        self._decoder = decoder
        self._waiting: deque[bytes] = deque()
        self._at_end, self._is_waiting = False, True

    #: Call ids and attempt numbers are given by the sender above.
    call_id = ""
    attempt = 1
    failures = ()
    #: It is the service's own answer.
    cached = False
    stale_for = 0.0

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the answer's headers, case-insensitive."""
        return self._body.headers

    def await_first(self) -> None:
        """Wait for the first event, with which the attempt has succeeded.

        Raises:
            ServiceError: The first event is an error.
            StreamInterrupted: The stream ended without an event.
        """
        while not self._waiting:
            if self._at_end:
                raise self._body.mark(StreamInterrupted("the stream ended before its first event"))
            self._read()
        first = self._waiting[0]
        error = stream_error(first) if any(map(first.lower().__contains__, STREAM_MARKS)) else None
        if error is not None:
            self.finish()
            raise self._body.mark(error)
        self._body.set_silence(self._idle, "idle")

    def __iter__(self) -> Iterator[bytes]:
        waiting = self._waiting
        while True:
            while waiting:
                yield waiting.popleft()
            if self._at_end:
                return
            self._read()

    def set_idle(self, seconds: float) -> None:
        """Bound the time for the rest of the stream, in seconds; comments do not extend it."""
        self._body.bound_rest(seconds)

    def fail(self, error: FoundryError) -> None:
        """Put stars in place of keys in what an event quotes; the sender above reports to the breaker."""
        self._body.mark(error)

    def finish(self) -> None:
        """Release the connection for reuse after the last event."""
        if not self._at_end:
            self._body.finish()

    def close(self) -> None:
        """Abandon the stream; from any thread."""
        self._body.close()

    def _read(self) -> None:
        piece = self._body.read()
        self._at_end = not piece
        try:
            events = self._decoder.feed(piece) if piece else self._decoder.end()
        except InvalidReply as error:
            self._body.close()
            raise self._body.mark(error) from None
        if self._decoder.has_error:
            events = [error_payload(each) if isinstance(each, ErrorEvent) else each for each in events]
        if bool(piece and not events) is not self._is_waiting:
            self._is_waiting = not self._is_waiting
            (self._body.bound_whole if self._is_waiting else self._body.unbound)()
        self._waiting += events
