"""The values that travel between client and service: requests and replies, and who sends them. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, TypeVar

import msgspec

from foundry_rest.errors.process import late_import
from foundry_rest.raw_json import read_raw
from foundry_rest.timeouts import Timeouts
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.json_codec import decode_json
from foundry_rest.values import Value

T = TypeVar("T")

#: Signs one request, as ``requests.auth.AuthBase`` does: gets and returns a PreparedRequest.
Auth = Callable[..., object]

#: The lanes in which calls wait for a slot: a batch's wait behind all others.
LANES = INTERACTIVE, BATCH = "interactive", "batch"

#: 2.x resets a connection whose request headers exceed 4,096 bytes, without a reply (measured on 2.2.1:
#: 4,000 passed, 5,000 not).
NATIVE_HEADER_LIMIT = 4000


class Replay(enum.Enum):
    """The condition under which a call may be sent again."""

    #: Always: repeating it is harmless.
    ALWAYS = "always"
    #: Only when the service cannot have begun the request.
    IF_UNSENT = "if_unsent"


#: Most bytes of one answer, whole or in events: far above any chat answer and the embeddings of 2,048 inputs.
MAX_ANSWER = 64 * 1024 * 1024


@cache
def declared_options() -> Mapping[str, object]:
    """Return the options that a call may have, by name; another one may be declared later."""
    with late_import():
        from foundry_rest.transport.call_options import CallOptions

    return CallOptions.__annotations__


class Options(msgspec.Struct, frozen=True):
    """The options of one call, checked and complete.

    Attributes:
        timeouts: Bounds of one attempt.
        until: Monotonic instant at which the whole call is over, or infinity.
        headers: Added to the client's own; these win.
        cancel: Ends the call from another thread.
        retries: Tries after the first, in place of the client's number.
        lane: Where the call waits for a slot; ``""`` for the interactive lane.
        more: Options of ``CallOptions`` without a field of their own here, by name.
        accepts: Tells of an answer's text whether a cache may keep it; ``None`` for any.
        may_load: Whether the client may load the model for it, if its settings allow that.
        whole: The logical call of which it is a part, where several services may answer; else ``None``.
    """

    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    until: float = float("inf")
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    cancel: CancelToken | None = None
    retries: int | None = None
    lane: str = ""
    more: Mapping[str, object] = msgspec.field(default_factory=dict)
    accepts: Callable[[str], bool] | None = None
    may_load: bool = True
    whole: Any = None

    def tokens(self, closing: CancelToken) -> tuple[CancelToken, ...]:
        """Return the tokens that end the call's waits: ``closing``, the client's, and its own."""
        return (closing,) if self.cancel is None else (closing, self.cancel)

    def loading(self, timeout: float | Timeouts | None) -> Options:
        """Return options in which a numeric ``timeout`` also bounds the silence of a load."""
        if timeout is None or isinstance(timeout, Timeouts):
            return self
        return msgspec.structs.replace(
            self, timeouts=msgspec.structs.replace(self.timeouts, load=self.timeouts.idle)
        )

    def part(self) -> Options:
        """Return the options of a request that prepares this one: a single try where others may answer."""
        return self if self.whole is None else msgspec.structs.replace(self, whole=None, retries=0)

    def patient(self) -> Options:
        """Return options that allow the silence of a slow disk or a large file (``Timeouts.load``)."""
        timeouts = self.timeouts.with_silence(self.timeouts.load)
        return msgspec.structs.replace(self, timeouts=timeouts)


class Call(msgspec.Struct, frozen=True):
    """One whole HTTP request, before any I/O.

    Attributes:
        method: HTTP verb in capitals.
        path: Path below the base URL, with its query; sent unchanged.
        body: JSON bytes, or ``None``.
        replay: When it may be sent again.
        options: The caller's options: time-outs, deadline, headers, cancel token, retries.
        label: Operation's name in logs, metrics and errors.
        model: Model name as the caller gave it, for errors and recoveries.
        header_limit: Most bytes of request headers that the service accepts.
        cacheable: Its answer depends on the request alone and changes nothing, so a cache may keep it.
        plain: Body of the same request without a stream; sent once to learn the cause when a stream breaks
            before its first event. ``None`` where the stream itself reports it.
        lines: The answer's stream has lines of text as its events, not server-sent events.
        id: Id of the logical call in logs and events, sent as ``X-Request-Id``; ``""`` for none.
        attempt: Number of the attempt that sends it, from 1; 0 outside a logical call.
        began: Monotonic instant at which the logical call began.
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
    id: str = ""
    attempt: int = 0
    began: float = 0.0

    @property
    def runs_on(self) -> str:
        """Return the model that the call runs; ``""`` for a call without inference."""
        return self.model if self.body is not None else ""

    @property
    def asked_as(self) -> str:
        """Return the name by which the call asks for the model."""
        return self.model

    def call_for(self, target: Any) -> Call:  # noqa: ANN401, ARG002 (the same for any target)
        """Return the call itself, which is the same for every target."""
        return self


class Reply(Value, msgspec.Struct, frozen=True):
    """One whole HTTP response.

    Attributes:
        status: HTTP status.
        headers: Case-insensitive mapping.
        body: Bytes as they came.
        url: Address that answered.
        elapsed: Seconds from sending to the last byte.
        cached: It came from a cache.
        stale_for: Seconds since it expired there; 0.0 for one that has not.
    """

    AS_IT_CAME: ClassVar[frozenset[str]] = frozenset()

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""
    elapsed: float = 0.0
    cached: bool = False
    stale_for: float = 0.0

    @property
    def raw(self) -> object:
        """Return the decoded JSON body; ``None`` for an empty one.

        Raises:
            InvalidReply: The body is not JSON.
        """
        if not self.body:
            return None
        try:
            return read_raw(self.body)
        except ValueError:
            return self.decode(object)

    def decode(self, kind: type[T]) -> T:
        """Decode the JSON body as ``kind``; ignore unknown fields.

        Raises:
            InvalidReply: The body is not JSON, or not of that shape; the error names the path.
        """
        return decode_json(self.body, kind, url=self.url)
