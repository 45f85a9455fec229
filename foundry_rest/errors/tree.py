"""Every error that a caller can get.

::

    FoundryError
    ├── ConfigError (ValueError)
    │   └── UnknownArgument (TypeError)
    ├── UnsupportedByService
    ├── CircuitOpen
    ├── DeadlineExceeded (TimeoutError)
    ├── Cancelled
    ├── TransportError (requests.RequestException)
    │   ├── ServiceNotFound
    │   ├── ServiceUnreachable (requests.ConnectionError)
    │   ├── ServiceTimeout (requests.Timeout)
    │   ├── StreamInterrupted
    │   ├── WorkerLost
    │   └── ExecutorBroken
    ├── ServiceError (requests.HTTPError)
    │   ├── BadRequest
    │   │   ├── AudioFileNotFound
    │   │   ├── ContextLengthExceeded
    │   │   ├── ModelNotLoaded
    │   │   ├── ModelNotCached
    │   │   └── UnsupportedParameter
    │   ├── AuthenticationError
    │   ├── NotFound
    │   │   ├── ModelNotFound
    │   │   └── ResponseNotFound
    │   ├── TooManyRequests
    │   └── ServerError
    │       ├── CatalogUnavailable
    │       ├── InferenceFailed
    │       │   └── ToolCallFailed
    │       └── LoadFailed
    │           └── ModelInUse
    ├── InvalidReply
    │   └── InvalidMember
    └── ToolLoopExceeded

The classes are grouped by what a caller can do. The bases from requests keep ``except
requests.ConnectionError`` working in code that was written before. Facts are attributes; ``str(error)`` is
one sentence of them, with what to do next. Prompts, answers and keys are never part of it. The kinds and what
every call may need are here; ``cases`` has the others.
"""

from __future__ import annotations

import requests.exceptions as _requests

import foundry_rest.errors.advice as _advice
from foundry_rest.errors.base import FoundryError


class ConfigError(FoundryError, ValueError):
    """A mistake of the caller, found before anything was sent."""


class UnknownArgument(ConfigError, TypeError):
    """An argument that a method does not have."""


class UnsupportedByService(FoundryError):
    """A feature that this generation of the service does not have."""

    feature: str = ""
    generation: str = ""


class CircuitOpen(FoundryError):
    """A call refused by the circuit breaker, which lets none pass for ``retry_in`` more seconds."""

    retry_in: float = 0.0


class _Partial(FoundryError):
    """An early end, with the part of a stream that had arrived.

    Attributes:
        text: The answer so far.
        usage: Token counts, when the service had sent them.
        chunks: How many events had arrived.
    """

    text: str = ""
    usage: object = None
    chunks: int = 0


class DeadlineExceeded(_Partial, TimeoutError):
    """The end of the time for a whole call; ``limit`` names which bound was reached."""

    limit: str = "deadline"
    advice = _advice.LARGER_DEADLINE


class Cancelled(_Partial):
    """The end of a call by ``close()`` or a cancel token."""


class TransportError(FoundryError, _requests.RequestException):
    """A call without a whole answer; ``sent`` is False when the service cannot have begun the request."""

    sent: bool = True


class ServiceNotFound(TransportError):
    """A failed discovery; the message names the places searched, and what to run."""

    sent = False


class ServiceUnreachable(TransportError, _requests.ConnectionError):
    """A connection that was refused, reset or lost before the whole answer came.

    Attributes:
        stale: A kept-alive connection was closed before the first byte came: the service may be healthy.
        begun: The connection broke within the answer, after its status.
    """

    stale: bool = False
    begun: bool = False
    advice = _advice.CHECK_SERVICE


class ServiceTimeout(TransportError, _requests.Timeout):
    """Too long a silence in one ``phase``: ``"connect"``, ``"headers"``, ``"first_token"``, ``"idle"``."""

    phase: str = "headers"
    advice = _advice.LARGER_TIMEOUT


class StreamInterrupted(_Partial, TransportError):
    """A stream that broke before its end; the text so far is kept."""

    advice = _advice.ASK_AGAIN


class ServiceError(FoundryError, _requests.HTTPError):
    """An error answer of the service.

    Attributes:
        status: HTTP status; for an error inside a stream the one that its type corresponds to.
        code: The service's own code, mostly ``None``.
        retry_after: Seconds that the service asks to wait, or ``None``.
        should_retry: Whether the server asks to try again (``x-should-retry``); ``None`` if it says nothing.
        body: The error body as it came (bytes).
    """

    status: int = 0
    code: str | None = None
    retry_after: float | None = None
    should_retry: bool | None = None
    body: bytes = b""


class BadRequest(ServiceError):
    """A 4xx answer: the request itself is wrong, and fails again when repeated."""


class ContextLengthExceeded(BadRequest):
    """A prompt that exceeds the model's context of ``limit`` tokens together with ``max_tokens``."""

    prompt_tokens: int | None = None
    limit: int | None = None
    advice = _advice.SHORTEN


class AuthenticationError(ServiceError):
    """A 401 or 403 answer: a gateway in front of the service requires another key."""

    advice = _advice.GIVE_KEY


class TooManyRequests(ServiceError):
    """A 429 answer of a gateway in front of the service."""

    advice = _advice.SLOW_DOWN


class ServerError(ServiceError):
    """A 5xx answer."""

    advice = _advice.SEE_LOG


class InvalidReply(FoundryError):
    """An answer that cannot be parsed.

    Attributes:
        where: Path in the body, such as ``$.choices[0]``, or in ``text`` if that does not fit the type.
        body: The start of the body, at most 2,048 bytes.
        text: All that the model wrote, when that does not fit the type asked for.
    """

    where: str = ""
    body: bytes = b""
    text: str = ""
    advice = "Check that the address is a Foundry Local service and not a proxy or another server."
