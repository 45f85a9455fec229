"""Every error a caller can meet.

::

    FoundryError
    ├── ConfigError (ValueError)
    ├── UnsupportedByService
    ├── CircuitOpen
    ├── DeadlineExceeded (TimeoutError)
    ├── Cancelled
    ├── TransportError (requests.RequestException)
    │   ├── ServiceNotFound
    │   ├── ServiceUnreachable (requests.ConnectionError)
    │   ├── ServiceTimeout (requests.Timeout)
    │   └── StreamInterrupted
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
    └── ToolLoopExceeded

The classes are grouped by what a caller can do. The requests bases keep ``except
requests.ConnectionError`` alive in code that was written before this package. Facts are attributes;
``str(error)`` puts them into one sentence: what happened, in which call, where, with which model,
after how many attempts, and what to do next. Prompts, answers and keys are never part of it.
"""

from __future__ import annotations

import requests.exceptions as _requests

from foundry_rest.errors.base import FoundryError


class ConfigError(FoundryError, ValueError):
    """Report the caller's mistake, found before anything was sent."""


class UnsupportedByService(FoundryError):
    """Report that this generation of the service has no such feature."""

    feature: str = ""
    generation: str = ""


class CircuitOpen(FoundryError):
    """Report that the service failed too often lately and is left alone for ``retry_in`` seconds."""

    retry_in: float = 0.0


class _Partial(FoundryError):
    """Carry what had arrived when a stream ended early.

    Attributes:
        text: The answer so far.
        usage: Token counts, when the service had sent them.
        chunks: How many events had arrived.
    """

    text: str = ""
    usage: object = None
    chunks: int = 0


class DeadlineExceeded(_Partial, TimeoutError):
    """Report that the time for the whole call ran out; ``limit`` names the one that did."""

    limit: str = "deadline"
    advice = "Give a larger deadline= (FOUNDRY_DEADLINE), a smaller max_tokens, or a smaller model."


class Cancelled(_Partial):
    """Report that the call was ended from elsewhere: ``close()`` or a cancel token."""


class TransportError(FoundryError, _requests.RequestException):
    """Report that no whole answer came; ``sent`` is False when the request cannot have begun."""

    sent: bool = True


class ServiceNotFound(TransportError):
    """Report that no service was discovered: what was looked at and what to run."""

    sent = False


class ServiceUnreachable(TransportError, _requests.ConnectionError):
    """Report that the connection was refused, reset or lost before an answer came.

    Attributes:
        stale: It was a kept connection that died before one byte came: the service may be well.
        begun: It broke within the answer: its status had come.
    """

    stale: bool = False
    begun: bool = False
    advice = "Check that the service runs (foundry-rest health), or start one: foundry-rest serve."


class ServiceTimeout(TransportError, _requests.Timeout):
    """Report a long silence in a ``phase``: ``"connect"``, ``"headers"``, ``"first_token"``, ``"idle"``."""

    phase: str = "headers"
    advice = "If the service is only slow, give a larger timeout= (FOUNDRY_TIMEOUT)."


class StreamInterrupted(_Partial, TransportError):
    """Report a stream that broke before its end; the text so far is kept."""

    advice = "The text so far is in error.text; ask again for a whole answer."


class ServiceError(FoundryError, _requests.HTTPError):
    """Report that the service said no.

    Attributes:
        status: HTTP status; for an error inside a stream the one its type stands for.
        code: The service's own code, mostly ``None``.
        retry_after: Seconds the service asked to wait, or ``None``.
        body: The error body as it came (bytes).
    """

    status: int = 0
    code: str | None = None
    retry_after: float | None = None
    body: bytes = b""


class BadRequest(ServiceError):
    """Report a 4xx answer: the request itself is at fault; the same request fails again."""


class AudioFileNotFound(BadRequest):
    """An audio file that the service does not see on its machine."""


class ContextLengthExceeded(BadRequest):
    """Report that prompt and ``max_tokens`` together exceed the model's context."""

    advice = "Lower max_tokens (max_output_tokens) or shorten the messages."


class ModelNotLoaded(BadRequest):
    """Report a model that is on disk but not in memory."""

    advice = "Load it with client.models.load(name), or leave auto_load on."


class ModelNotCached(BadRequest):
    """Report a model that is in the catalog but not on this machine."""

    advice = "Download it first: client.models.download(name), or foundry model download NAME."


class UnsupportedParameter(BadRequest):
    """Report a parameter that this service refuses."""

    advice = "Leave the named parameter out."


class AuthenticationError(ServiceError):
    """Report a 401 or 403: a gateway in front of the service wants another key."""

    advice = "Give api_key= (FOUNDRY_API_KEY) or auth=."


class NotFound(ServiceError):
    """Report a 404: the service has no such route or object."""

    advice = "Check the path and the service's generation (foundry-rest health)."


class ModelNotFound(NotFound):
    """Report a model name that the service does not know; ``suggestions`` are near misses."""

    suggestions: tuple[str, ...] = ()
    advice = "List the names it knows with client.models.list() or foundry-rest models."


class ResponseNotFound(NotFound):
    """A stored response that the service does not keep, or no longer."""


class TooManyRequests(ServiceError):
    """Report a 429 from a gateway in front of the service."""

    advice = "Wait error.retry_after seconds or lower the number of parallel calls."


class ServerError(ServiceError):
    """Report a 5xx answer."""

    advice = "The service's own log tells more; foundry-rest health shows whether it still answers."


class CatalogUnavailable(ServerError):
    """A service that cannot list its models: Microsoft's catalog is out of its network's reach."""

    advice = (
        "The service cannot reach Microsoft's catalog: check network, proxy and SSL_CERT_FILE where it runs."
    )


class InferenceFailed(ServerError):
    """Report that generation itself failed inside the service."""


class ToolCallFailed(InferenceFailed):
    """A tool call that the model got wrong: not the service's doing, and another try may be sound."""


class LoadFailed(ServerError):
    """Report that a model could not be loaded or unloaded."""

    advice = "Check free memory and the model's files; a running answer keeps its model loaded."


class ModelInUse(LoadFailed):
    """A model that cannot be unloaded: an answer runs on it, or a stored response holds it."""


class InvalidReply(FoundryError):
    """Report an answer that cannot be read.

    Attributes:
        where: Path in the body, such as ``$.choices[0]``; in ``text`` where that is what does not fit.
        body: The start of what came, at most 2,048 bytes.
        text: What the model wrote, whole, when that does not fit the type asked for.
    """

    where: str = ""
    body: bytes = b""
    text: str = ""
    advice = "Check that the address is a Foundry Local service and not a proxy or another server."


class ToolLoopExceeded(FoundryError):
    """Report that the model still asked for tools after ``turns`` answers, its bound.

    ``messages`` is the conversation up to the last results: ``run_tools(error.messages, ...)`` goes on.
    """

    turns: int = 0
    messages: tuple[object, ...] = ()
    advice = "Give a larger max_turns, or go on from error.messages."
