"""The events of an answer, passed on as they came, with a watch over its end."""

from __future__ import annotations

import io
from collections.abc import Iterator

import msgspec

from foundry_rest.client.adapter.errors import errors_for_requests
from foundry_rest.errors.parsing import stream_error
from foundry_rest.raw_json import UNDECODABLE
from foundry_rest.stream.answer import AnswerStream
from foundry_rest.transport.sse import DONE

#: Types of the last event of a response of OpenAI's Responses API.
_LAST = frozenset(("response.completed", "response.incomplete", "response.failed", "response.cancelled"))


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Event(msgspec.Struct):
    """What the watch needs of an event."""

    type: str | None = None
    choices: list[_Choice] | None = None
    delta: object = None


_UNREADABLE = _Event()
_DECODER = msgspec.json.Decoder(_Event)


def read_event(event: bytes) -> bytes:
    """Return an event as it came.

    Raises:
        ServiceError: It reports that the answer failed.
    """
    error = stream_error(event)
    if error is not None:
        raise error
    return event


class PassedStream(AnswerStream[bytes]):
    """The events of one answer as they came; an end that is none raises, as in every stream."""

    def _initialise(self) -> None:
        self.is_chat = False

    def _add(self, item: bytes) -> bool:
        try:
            event = _DECODER.decode(item)
        except UNDECODABLE:
            event = _UNREADABLE
        choices = event.choices or ()
        self.is_chat = self.is_chat or bool(choices)
        for choice in choices[:1]:
            self._texts.append((choice.delta.content if choice.delta else choice.text) or "")
        if isinstance(event.delta, str):
            self._texts.append(event.delta)
        return event.type in _LAST or any(choice.finish_reason for choice in choices)


class EventFile(io.RawIOBase):
    """The events of a stream as a file of server-sent events, for ``requests.Response.raw``."""

    def __init__(self, events: PassedStream) -> None:
        self._events = events
        self._rest = b""
        self._is_over = False

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with what has arrived, and return the number of bytes; wait if nothing has."""
        if not self._rest:
            self._rest = self._next()
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def stream(self, amt: int | None = None, **decoding: object) -> Iterator[bytes]:
        """Yield what has arrived, at most ``amt`` bytes at a time; nothing is left to decode."""
        del decoding
        while piece := self.read(amt or io.DEFAULT_BUFFER_SIZE):
            yield piece

    def release_conn(self) -> None:
        """Leave the connection to the stream, which has returned it at its end."""

    def close(self) -> None:
        """Close the stream, which ends the service's work."""
        if hasattr(self, "_events"):
            self._events.close()
        super().close()

    def _next(self) -> bytes:
        if self._is_over:
            return b""
        with errors_for_requests():
            event = next(self._events, None)
        if event is None:
            self._is_over = True
            return framed(DONE) if self._events.is_chat else b""
        return framed(event)


def framed(event: bytes) -> bytes:
    """Return an event as it travels, with the name that OpenAI gives those of its responses."""
    try:
        kind = _DECODER.decode(event).type
    except UNDECODABLE:
        kind = None
    name = f"event: {kind}\n".encode() if kind and kind.startswith("response.") else b""
    return name + b"".join(b"data: " + line + b"\n" for line in event.split(b"\n")) + b"\n"
