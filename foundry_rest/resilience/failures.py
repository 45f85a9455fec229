"""The meaning of failures: a table with one row for each error class; no I/O.

The breaker judges the service, not the prompt. An error that the caller can correct (a 4xx, a model that is
not loaded, the caller's own deadline) says nothing about the service; silence, a lost connection, a 5xx or
an unreadable answer does. Two kinds of 500 do not count either: an invalid tool call is the model's fault,
and a catalog that 1.x cannot reach is the network's.

A request whose connection broke before the first byte may be the one that kills the service, and one that
timed out may still be running: both are repeated once. A 500 often comes again, so it is repeated twice.
"""

from __future__ import annotations

from typing import NamedTuple

from foundry_rest.errors import (
    AudioFileNotFound,
    AuthenticationError,
    BadRequest,
    Cancelled,
    CatalogUnavailable,
    CircuitOpen,
    ConfigError,
    ContextLengthExceeded,
    DeadlineExceeded,
    FoundryError,
    InferenceFailed,
    InvalidReply,
    LoadFailed,
    ModelInUse,
    ModelNotCached,
    ModelNotFound,
    ModelNotLoaded,
    NotFound,
    ResponseNotFound,
    ServerError,
    ServiceError,
    ServiceNotFound,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
    ToolCallFailed,
    ToolLoopExceeded,
    TooManyRequests,
    TransportError,
    UnsupportedByService,
    UnsupportedParameter,
)
from foundry_rest.resilience.breaker.policy import Outcome
from foundry_rest.transport.call import Replay


class Failure(NamedTuple):
    """The consequences of one error class.

    Attributes:
        outcome: How it counts for the breaker.
        retries: Most retries of a request that may have begun; infinity for as many as the policy allows.
        elsewhere: Whether another service may answer the same request.
        unsent: Most retries of a request that cannot have begun.
    """

    outcome: Outcome
    retries: float
    elsewhere: bool
    unsent: float = 0


_FAILURE, _NEUTRAL = Outcome.FAILURE, Outcome.NEUTRAL
_ALL = float("inf")
#: A class that is not listed (a user's own) has the row of its nearest base class.
TABLE: dict[type[FoundryError], Failure] = {
    FoundryError: Failure(_NEUTRAL, 0, elsewhere=False),
    ConfigError: Failure(_NEUTRAL, 0, elsewhere=False),
    UnsupportedByService: Failure(_NEUTRAL, 0, elsewhere=True),
    CircuitOpen: Failure(_NEUTRAL, 0, elsewhere=True),
    DeadlineExceeded: Failure(_NEUTRAL, 0, elsewhere=False),
    Cancelled: Failure(_NEUTRAL, 0, elsewhere=False),
    TransportError: Failure(_NEUTRAL, 0, elsewhere=True),
    ServiceNotFound: Failure(_NEUTRAL, 0, elsewhere=True),
    ServiceUnreachable: Failure(_FAILURE, 1, elsewhere=True, unsent=_ALL),
    ServiceTimeout: Failure(_FAILURE, 1, elsewhere=True, unsent=_ALL),
    StreamInterrupted: Failure(_FAILURE, 1, elsewhere=True),
    ServiceError: Failure(_NEUTRAL, 0, elsewhere=True),  # a redirect: no service is at the address
    BadRequest: Failure(_NEUTRAL, 0, elsewhere=False),
    AudioFileNotFound: Failure(_NEUTRAL, 0, elsewhere=True),
    ContextLengthExceeded: Failure(_NEUTRAL, 0, elsewhere=False),
    ModelNotLoaded: Failure(_NEUTRAL, 0, elsewhere=True),
    ModelNotCached: Failure(_NEUTRAL, 0, elsewhere=True),
    UnsupportedParameter: Failure(_NEUTRAL, 0, elsewhere=True),
    AuthenticationError: Failure(_NEUTRAL, 0, elsewhere=False),  # all services get the same key
    NotFound: Failure(_NEUTRAL, 0, elsewhere=True),
    ModelNotFound: Failure(_NEUTRAL, 0, elsewhere=True),
    ResponseNotFound: Failure(_NEUTRAL, 0, elsewhere=True),
    TooManyRequests: Failure(_NEUTRAL, _ALL, elsewhere=True),
    ServerError: Failure(_FAILURE, 2, elsewhere=True),
    CatalogUnavailable: Failure(_NEUTRAL, 0, elsewhere=True),  # the service has tried all regions by then
    InferenceFailed: Failure(_FAILURE, 2, elsewhere=True),
    ToolCallFailed: Failure(_NEUTRAL, 2, elsewhere=False),  # the same model would fail there, too
    LoadFailed: Failure(_NEUTRAL, 0, elsewhere=True),
    # The session of an answer that was just read exists for some 5 ms more.
    ModelInUse: Failure(_NEUTRAL, _ALL, elsewhere=False),
    InvalidReply: Failure(_FAILURE, 0, elsewhere=True),
    ToolLoopExceeded: Failure(_NEUTRAL, 0, elsewhere=False),
}
#: Statuses that mean "try later", whatever the class: the request has not begun.
_LATER = (429, 503)


def row_of(error: FoundryError) -> Failure:
    """Return the row of an error's class, or of its nearest base class."""
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


def outcome_of(error: FoundryError) -> Outcome:
    """Return how a failed attempt counts for the breaker."""
    return row_of(error).outcome


def most_retries(error: FoundryError, replay: Replay) -> float:
    """Return the most retries after a failure; infinity for as many as the policy allows."""
    if isinstance(error, ServiceError) and error.status in _LATER:
        return _ALL
    row = row_of(error)
    if isinstance(error, TransportError) and not error.sent:
        return row.unsent
    return 0 if replay is Replay.IF_UNSENT else row.retries


def is_answer(error: FoundryError) -> bool:
    """Return whether the service answered with a status."""
    return isinstance(error, (ServiceError, InvalidReply))
