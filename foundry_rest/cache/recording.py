"""Answers as they are kept, the recording of a stream, and its replay."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from zlib import crc32

import msgspec

from foundry_rest.cache.flights import End, Lead
from foundry_rest.errors import Attempt, Cancelled, DeadlineExceeded, FoundryError
from foundry_rest.raw_json import UNDECODABLE
from foundry_rest.transport.call import Reply
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.interfaces import OpenReply

#: First byte of an event that is kept as a JSON text.
_QUOTE = b'"'
#: Headers that are one caller's own.
_PRIVATE = frozenset(
    ("set-cookie", "set-cookie2", "www-authenticate", "authentication-info", "proxy-authenticate")
)


class Answer(msgspec.Struct, frozen=True):
    """One answer as it is kept: a whole body, or the data of each event of a stream.

    Attributes:
        headers: Its headers, in lower case.
        body: Its body.
        events: Its events, each as it came if it is JSON on one line, else as a JSON text.
        status: Its HTTP status.
    """

    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: str = ""
    events: list[bytes] = msgspec.field(default_factory=list)
    status: int = 200


class _Head(msgspec.Struct):
    """The second line of a kept answer; the first is a checksum, for sqlite has none, the rest are events."""

    status: int
    headers: dict[str, str]
    body: str


_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(_Head)


def answer_of(headers: Mapping[str, str], body: bytes = b"", events: tuple[bytes, ...] = ()) -> Answer | None:
    """Return an answer in the form in which it is kept; ``None`` for bytes that are not UTF-8."""
    kept = {name.lower(): str(value) for name, value in headers.items() if name.lower() not in _PRIVATE}
    try:
        return Answer(kept, body.decode(), [_as_line(event) for event in events])
    except UnicodeDecodeError:
        return None


def _as_line(event: bytes) -> bytes:
    """Return an event as JSON on one line: lines are read again in a fraction of the time that JSON takes."""
    if event[:1] == b"{" and event[-1:] == b"}" and b"\n" not in event:
        with suppress(*UNDECODABLE):
            msgspec.json.decode(event)
            return event
    return _ENCODER.encode(event.decode())


def events_of(answer: Answer) -> Iterator[bytes]:
    """Yield the data of each event of a kept stream."""
    return map(_as_event, answer.events)


def _as_event(line: bytes) -> bytes:
    if line[:1] != _QUOTE:
        return line
    text: str = msgspec.json.decode(line)
    return text.encode()


def encode(answer: Answer) -> bytes | None:
    """Return an answer as lines of JSON; ``None`` for one that cannot be JSON."""
    try:
        head = _ENCODER.encode(_Head(answer.status, answer.headers, answer.body))
    except UnicodeEncodeError:
        return None
    lines = b"\n".join((head, *answer.events))
    return b"%d\n%b" % (crc32(lines), lines)


def decode(data: bytes) -> Answer | None:
    """Return the answer in lines of JSON; ``None`` for what is none, as in a damaged file."""
    checksum, _, lines = data.partition(b"\n")
    if checksum != b"%d" % crc32(lines):
        return None
    first, *events = lines.split(b"\n")
    try:
        head = _DECODER.decode(first)
    except UNDECODABLE:
        return None
    return Answer(head.headers, head.body, events, head.status)


class Headers(Mapping[str, str]):
    """The headers of a kept answer, case-insensitive."""

    def __init__(self, lower: Mapping[str, str]) -> None:
        self._lower = lower

    def __getitem__(self, name: str) -> str:
        return self._lower[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lower)

    def __len__(self) -> int:
        return len(self._lower)

    def __repr__(self) -> str:
        return repr(dict(self._lower))


class ReplayedReply:
    """A kept answer as an open stream: the same events, one by one, without the service.

    Args:
        answer: The answer.
        url: Address of the service that gave it.
        stale_for: Seconds since it expired.
        tokens: Any of these ends the stream.

    Attributes:
        call_id: Id of the call in events.
        attempt: 0, because no attempt was made.
        failures: None.
        cached: True.
        stale_for: Seconds since it expired.
    """

    attempt = 0
    failures: tuple[Attempt, ...] = ()
    cached = True

    def __init__(self, answer: Answer, url: str, stale_for: float, tokens: tuple[CancelToken, ...]) -> None:
        self.headers: Mapping[str, str] = Headers(answer.headers)
        self.url, self.stale_for, self.call_id = url, stale_for, os.urandom(8).hex()
        self._events, self._tokens = answer.events, tokens

    def __iter__(self) -> Iterator[bytes]:
        tokens = self._tokens
        for line in self._events:
            for token in tokens:
                if token.cancelled:
                    raise Cancelled("the call was ended from elsewhere")
            yield line if line[:1] != _QUOTE else _as_event(line)

    def set_idle(self, seconds: float) -> None:
        """Ignore the bound: everything is there."""

    def fail(self, error: FoundryError) -> None:
        """Ignore the error, which is the reader's: the service had no part in it."""

    def finish(self) -> None:
        """Hold nothing, so release nothing."""

    def close(self) -> None:
        """Hold nothing, so close nothing."""


class RecordingReply:
    """An open stream that is recorded while it is read, and handed over when it ended well.

    Args:
        opened: The open stream.
        lead: The calls that wait for the answer.
        keep: Gets the events of a stream that was read to its end; lands the flight.
        largest: Most bytes that are recorded.

    Attributes:
        call_id: Id of the call in events.
        attempt: Number of the attempt that opened it.
        failures: The attempts that failed before it.
        headers: The answer's headers.
        url: The address that answers.
        cached: False.
        stale_for: 0.0.
    """

    cached = False
    stale_for = 0.0

    def __init__(
        self, opened: OpenReply, lead: Lead, keep: Callable[[tuple[bytes, ...]], object], largest: int
    ) -> None:
        self.call_id, self.attempt, self.failures = opened.call_id, opened.attempt, opened.failures
        self.headers, self.url = opened.headers, opened.url
        self._opened, self._lead, self._keep = opened, lead, keep
        self._events: list[bytes] = []
        self._room = largest
        self._has_ended_well = True
        lead.flight.pause()

    def __iter__(self) -> Iterator[bytes]:
        flight, events = self._lead.flight, iter(self._opened)
        while True:
            flight.resume()
            try:
                event = next(events, None)
            except BaseException:
                self._has_ended_well = False
                raise
            finally:
                flight.pause()
            if event is None:
                return
            self._record(event)
            yield event

    def set_idle(self, seconds: float) -> None:
        """Bound the time for the rest of the stream, in seconds."""
        self._opened.set_idle(seconds)

    def fail(self, error: FoundryError) -> None:
        """Pass on the error that ended the stream; nothing is kept."""
        self._has_ended_well = False
        is_own = isinstance(error, (Cancelled, DeadlineExceeded))
        self._lead.flight.land(End.GIVEN_UP if is_own else End.FAILED)
        self._opened.fail(error)

    def finish(self) -> None:
        """Release the connection after the last event, and hand over what was recorded."""
        self._opened.finish()
        if self._has_ended_well and self._room >= 0:
            self._keep(tuple(self._events))
        self._lead.flight.land(End.ALONE)

    def close(self) -> None:
        """Abandon the stream; from any thread."""
        self._lead.flight.land(End.GIVEN_UP)
        self._opened.close()

    def _record(self, event: bytes) -> None:
        if self._room < 0:
            return
        self._events.append(event)
        self._room -= len(event)
        if self._room < 0:  # nobody needs to wait for what will not be kept
            self._events.clear()
            self._lead.flight.land(End.ALONE)


def whole_reply(answer: Answer, url: str, stale_for: float, elapsed: float) -> Reply:
    """Return a kept answer as a whole reply."""
    return Reply(
        answer.status,
        Headers(answer.headers),
        answer.body.encode(),
        url,
        elapsed,
        cached=True,
        stale_for=stale_for,
    )
