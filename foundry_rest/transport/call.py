"""The values that travel: a call down, a reply or an open reply up. No I/O."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

import msgspec

from foundry_rest.config import Timeouts
from foundry_rest.errors import ConfigError, FoundryError, InvalidReply
from foundry_rest.errors.parsing import UNDECODABLE

T = TypeVar("T")

#: Signs one request, as ``requests.auth.AuthBase`` does: gets and returns a PreparedRequest.
Auth = Callable[..., object]

_NOT_IN_PATH = re.compile(r"[^!-~]|[#\\]")
#: 2.x resets a connection whose request headers exceed 4,096 bytes, without a reply (measured,
#: native-runtime-measured.md section 4: 4,000 passed, 5,000 not).
NATIVE_HEADER_LIMIT = 4000


class CancelToken:
    """End calls from another thread.

    Give it as ``cancel=`` to any number of calls: ``cancel()`` ends every wait of theirs at once, and
    ``Cancelled`` is raised there. A cancelled token stays cancelled.
    """

    def __init__(self) -> None:
        # No lock: each step on this dict is one piece. A lock would hang a signal handler that cancels,
        # the garbage collector that ends a dropped stream, and a child forked while it was held.
        self._watchers: dict[object, Callable[[], object]] = {}
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Tell whether ``cancel()`` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """End every call that holds this token; idempotent, from any thread."""
        self._cancelled = True
        while True:
            try:
                _, wake = self._watchers.popitem()
            except KeyError:
                return
            wake()

    @contextmanager
    def watched(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call ``wake`` when cancelled within the block; at once when it was cancelled before."""
        key = self.watch(wake)
        try:
            yield
        finally:
            self.unwatch(key)

    def watch(self, wake: Callable[[], object]) -> object:
        """Call ``wake`` when cancelled, now if that has happened; return what ``unwatch`` takes."""
        key = object()
        self._watchers[key] = wake
        if self._cancelled and self._watchers.pop(key, None) is not None:
            wake()
        return key

    def unwatch(self, key: object) -> None:
        """Forget a watcher."""
        self._watchers.pop(key, None)


class Replay(enum.Enum):
    """Say when a call may be sent again."""

    #: Asking twice is harmless.
    ALWAYS = "always"
    #: Only when the request cannot have begun.
    IF_UNSENT = "if_unsent"


class Call(msgspec.Struct, frozen=True):
    """Describe one request, whole, before any I/O.

    Attributes:
        method: HTTP verb in capitals.
        path: Path below the base URL, with its query; sent as it is.
        body: JSON bytes, or ``None``.
        replay: When it may be sent again.
        timeouts: Bounds of one attempt.
        until: Monotonic instant at which the whole call is over, or infinity.
        cacheable: The same bytes always mean the same answer.
        label: Operation's name in logs, metrics and errors.
        model: Model name as the caller gave it, for errors and cures.
        headers: Added to the client's own; these win.
        header_limit: Most bytes of request headers that the service bears.
        cancel: Ends the call from another thread.
        retries: Tries after the first, in place of the client's number.
        plain: Body that asks the same without a stream; sent once to learn the cause when a stream breaks
            before its first event. ``None`` where the stream itself tells it.
        lines: The answer's stream is lines of text, one an event, not server-sent events.
    """

    method: str
    path: str
    body: bytes | None = None
    replay: Replay = Replay.IF_UNSENT
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    until: float = float("inf")
    cacheable: bool = False
    label: str = "request"
    model: str = ""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    header_limit: int | None = None
    cancel: CancelToken | None = None
    retries: int | None = None
    plain: bytes | None = None
    lines: bool = False

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or _NOT_IN_PATH.search(self.path):
            raise ConfigError(
                f"path must start with / and hold printable ASCII without spaces, # or \\, not {self.path!r}",
                call=self.label,
            )


class Reply(msgspec.Struct, frozen=True):
    """Hold one whole answer.

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


class Options(msgspec.Struct, frozen=True):
    """Hold what one call may set for itself, ready to be put into its ``Call``.

    Attributes:
        timeouts: Bounds of one attempt.
        until: Monotonic instant at which the whole call is over, or infinity.
        headers: Added to the client's own.
        cancel: Ends the call from another thread.
        retries: Tries after the first, in place of the client's number.
    """

    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    until: float = float("inf")
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    cancel: CancelToken | None = None
    retries: int | None = None


class OpenReply(Protocol):
    """Stand for one open stream of events; each item is the ``data`` of one event."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the answer's headers, case-insensitive."""

    @property
    def url(self) -> str:
        """Return the address that answers."""

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
    """Send a call; the one seam that real, resilient, caching and fake senders share."""

    def send(self, call: Call) -> Reply:
        """Return the whole answer, or raise one of our errors."""

    def open(self, call: Call) -> OpenReply:
        """Return an open stream whose first event has come, or raise one of our errors."""

    def close(self) -> None:
        """Give back every connection and end every wait."""


def encode_json(value: object) -> bytes:
    """Return ``value`` as JSON bytes.

    Raises:
        ConfigError: It holds a lone surrogate or is not JSON.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        kind = "a lone surrogate" if isinstance(error, UnicodeError) else type(error).__name__
        raise ConfigError(f"the request cannot be written as JSON: {kind}") from None


def decode_json(body: bytes, kind: type[T], url: str = "") -> T:
    """Read JSON bytes as ``kind``.

    Raises:
        InvalidReply: The bytes are not JSON, or not of that shape; ``where`` is the path.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE as error:
        raise unreadable(error, body, url) from None


def unreadable(error: Exception, body: bytes, url: str = "") -> InvalidReply:
    """Build the error for a body that msgspec refused; the message never quotes the body."""
    text = str(error) if isinstance(error, msgspec.ValidationError) else "the body is not JSON"
    what, _, where = text.partition(" - at `")
    return InvalidReply(
        f"unreadable answer: {what}", where=where.rstrip("`") or "$", body=body[:2048], url=url
    )


def _plain(value: object) -> object:
    """Return what msgspec can write for a mapping, text or number of another class."""
    if isinstance(value, Mapping):
        return dict(value)
    for kind in (str, int, float):  # their subclasses, such as numpy.float64
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(type(value).__name__)


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
