"""The values that travel: a request down, a reply or an open reply up. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypedDict, TypeVar

import msgspec

from foundry_rest.config import Timeouts
from foundry_rest.errors import FoundryError
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.json_codec import decode_json

T = TypeVar("T")

#: Signs one request, as ``requests.auth.AuthBase`` does: gets and returns a PreparedRequest.
Auth = Callable[..., object]

#: 2.x resets a connection whose request headers exceed 4,096 bytes, without a reply (measured on 2.2.1:
#: 4,000 passed, 5,000 not).
NATIVE_HEADER_LIMIT = 4000


class OtherCallOptions(TypedDict, total=False):
    """The options of one call but for ``timeout``."""

    #: Seconds for the whole call, retries and waits included; infinity for no bound.
    deadline: float | None
    #: Tries after the first, in place of the client's number.
    retries: int | None
    #: Added to the client's own headers; these win.
    headers: Mapping[str, str] | None
    #: Ends the call from another thread.
    cancel: CancelToken | None


class CallOptions(OtherCallOptions, total=False):
    """The options of one call, the same for every method that sends a request.

    This is their one declaration: a further option is a further line here or above, and the place that reads
    it from ``call.options``.
    """

    #: Seconds of silence borne in one attempt, or a whole set of bounds; the client's when not given.
    timeout: float | Timeouts | None


class Replay(enum.Enum):
    """When a call may be sent again."""

    #: Asking twice is harmless.
    ALWAYS = "always"
    #: Only when the request cannot have begun.
    IF_UNSENT = "if_unsent"


class Options(msgspec.Struct, frozen=True):
    """The options of one call, checked and complete.

    Attributes:
        timeouts: Bounds of one attempt.
        until: Monotonic instant at which the whole call is over, or infinity.
        headers: Added to the client's own; these win.
        cancel: Ends the call from another thread.
        retries: Tries after the first, in place of the client's number.
        more: Options that ``CallOptions`` declares and that have no field of their own here, by name.
    """

    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    until: float = float("inf")
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    cancel: CancelToken | None = None
    retries: int | None = None
    more: Mapping[str, object] = msgspec.field(default_factory=dict)

    def loading(self, timeout: float | Timeouts | None) -> Options:
        """Return options whose ``timeout=`` bounds the silence of a load, too, when it is a number."""
        if timeout is None or isinstance(timeout, Timeouts):
            return self
        return msgspec.structs.replace(
            self, timeouts=msgspec.structs.replace(self.timeouts, load=self.timeouts.idle)
        )

    def patient(self) -> Options:
        """Return options that bear the silence of a slow disk or a large file (``Timeouts.load``)."""
        load = self.timeouts.load
        return msgspec.structs.replace(
            self, timeouts=msgspec.structs.replace(self.timeouts, first_token=load, idle=load)
        )


class Target(Protocol):
    """One address that may answer a call."""

    @property
    def url(self) -> str:
        """Return the base URL."""


class Call(msgspec.Struct, frozen=True):
    """One HTTP request, whole, before any I/O.

    Attributes:
        method: HTTP verb in capitals.
        path: Path below the base URL, with its query; sent as it is.
        body: JSON bytes, or ``None``.
        replay: When it may be sent again.
        options: What the caller set for it: time-outs, deadline, headers, cancel token, retries.
        label: Operation's name in logs, metrics and errors.
        model: Model name as the caller gave it, for errors and recoveries.
        header_limit: Most bytes of request headers that the service bears.
        cacheable: The same bytes always mean the same answer.
        plain: Body that asks the same without a stream; sent once to learn the cause when a stream breaks
            before its first event. ``None`` where the stream itself tells it.
        lines: The answer's stream is lines of text, one an event, not server-sent events.
    """

    method: str
    path: str
    body: bytes | None = None
    replay: Replay = Replay.IF_UNSENT
    options: Options = msgspec.field(default_factory=Options)
    label: str = "request"
    model: str = ""
    header_limit: int | None = None
    cacheable: bool = False
    plain: bytes | None = None
    lines: bool = False

    @property
    def runs_on(self) -> str:
        """Return the model that the call makes work; ``""`` for a call that only asks or manages."""
        return self.model if self.body is not None else ""

    @property
    def asked_as(self) -> str:
        """Return the name by which the model was asked for."""
        return self.model

    def call_for(self, target: Any) -> Call:  # noqa: ANN401, ARG002 (any target will do)
        """Return itself: a finished call is the same for every target."""
        return self


class Request(Protocol):
    """What a sender is asked to send: a finished call, or one that is built for each attempt's target."""

    @property
    def options(self) -> Options:
        """Return the call's options."""

    @property
    def runs_on(self) -> str:
        """Return the model that the request makes work, as the caller named it; ``""`` for none."""

    @property
    def asked_as(self) -> str:
        """Return the id by which the model was asked for last; its name while no id was known."""

    def call_for(self, target: Any) -> Call:  # noqa: ANN401 (the target's class is the sender's affair)
        """Return the call for one target."""


class Reply(msgspec.Struct, frozen=True):
    """One whole HTTP response.

    Attributes:
        status: HTTP status.
        headers: Case-insensitive mapping.
        body: Bytes as they came.
        url: Address that answered.
        elapsed: Seconds from sending to the last byte.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""
    elapsed: float = 0.0

    @property
    def raw(self) -> object:
        """Return the decoded JSON body; ``None`` for an empty one.

        Raises:
            InvalidReply: The body is not JSON.
        """
        return self.decode(object) if self.body else None

    def decode(self, kind: type[T]) -> T:
        """Read the JSON body as ``kind``; unknown fields are ignored, a wrong type names its path.

        Raises:
            InvalidReply: The body is not JSON, or not of that shape.
        """
        return decode_json(self.body, kind, url=self.url)


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
        """Return the id of the call in events; ``""`` where nobody gave one."""

    @property
    def attempt(self) -> int:
        """Return the number of the attempt that opened the stream, from 1."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield each event's data; raise a TransportError where the connection breaks."""

    def set_idle(self, seconds: float) -> None:
        """Bound the time for all that may still come, in seconds."""

    def fail(self, error: FoundryError) -> None:
        """Note what ended the stream early, on the wire or in what was read; an end follows."""

    def finish(self) -> None:
        """Release the connection for reuse after the last event."""

    def close(self) -> None:
        """Abandon the stream at once; from any thread."""


class Sender(Protocol):
    """The one seam that resilient, caching and fake senders share."""

    def send(self, request: Request, /) -> Reply:
        """Return the whole answer, or raise one of our errors."""

    def open(self, request: Request, /) -> OpenReply:
        """Return an open stream whose first event has come, or raise one of our errors."""

    def close(self) -> None:
        """Give back every connection and end every wait."""


class Transport(Protocol):
    """One attempt of one call at one target."""

    def send(self, call: Call, target: Target, /) -> Reply:
        """Return the whole answer of one attempt."""

    def open(self, call: Call, target: Target, /) -> OpenReply:
        """Return the open stream of one attempt; its first event has come."""

    def close(self) -> None:
        """Give back every connection and end every wait."""
