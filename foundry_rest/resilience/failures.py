"""What a failure tells: one row per error class, no I/O.

The breaker judges the service, not the prompt. What the caller can mend (4xx, a model that is not loaded,
a deadline of his own) tells nothing; silence, a lost connection, a 5xx or an answer that cannot be read
do. A tool call that the model got wrong is a 500 of the service and the model's doing, a catalog that 1.x
cannot reach is one and the network's.

A request whose connection died without a byte may be the one that kills the service, and one that timed
out may still be running: both are repeated once. A 500 is often the same again.
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
    """One row: what an error class tells.

    Attributes:
        outcome: What it counts for the breaker.
        retries: Most further tries of a request that may have begun; infinite: as many as the policy grants.
        elsewhere: Whether another service may answer the same request.
        unsent: Most further tries of a request that cannot have begun.
    """

    outcome: Outcome
    retries: float
    elsewhere: bool
    unsent: float = 0


_COUNTS, _TELLS_NOTHING = Outcome.FAILURE, Outcome.NEUTRAL
_ALL = float("inf")
#: A class that is not listed (a user's own) takes the row of the nearest one above it.
TABLE: dict[type[FoundryError], Failure] = {
    FoundryError: Failure(_TELLS_NOTHING, 0, elsewhere=False),
    ConfigError: Failure(_TELLS_NOTHING, 0, elsewhere=False),
    UnsupportedByService: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    CircuitOpen: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    DeadlineExceeded: Failure(_TELLS_NOTHING, 0, elsewhere=False),
    Cancelled: Failure(_TELLS_NOTHING, 0, elsewhere=False),
    TransportError: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    ServiceNotFound: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    ServiceUnreachable: Failure(_COUNTS, 1, elsewhere=True, unsent=_ALL),
    ServiceTimeout: Failure(_COUNTS, 1, elsewhere=True, unsent=_ALL),
    StreamInterrupted: Failure(_COUNTS, 1, elsewhere=True),
    ServiceError: Failure(_TELLS_NOTHING, 0, elsewhere=True),  # a redirect: the address is no service's
    BadRequest: Failure(_TELLS_NOTHING, 0, elsewhere=False),
    AudioFileNotFound: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    ContextLengthExceeded: Failure(_TELLS_NOTHING, 0, elsewhere=False),
    ModelNotLoaded: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    ModelNotCached: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    UnsupportedParameter: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    AuthenticationError: Failure(_TELLS_NOTHING, 0, elsewhere=False),  # all get the same key
    NotFound: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    ModelNotFound: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    ResponseNotFound: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    TooManyRequests: Failure(_TELLS_NOTHING, _ALL, elsewhere=True),
    ServerError: Failure(_COUNTS, 2, elsewhere=True),
    CatalogUnavailable: Failure(_TELLS_NOTHING, 0, elsewhere=True),  # it has tried all regions by then
    InferenceFailed: Failure(_COUNTS, 2, elsewhere=True),
    ToolCallFailed: Failure(_TELLS_NOTHING, 2, elsewhere=False),  # the same model errs there, too
    LoadFailed: Failure(_TELLS_NOTHING, 0, elsewhere=True),
    # The session of an answer that was just read lives some 5 ms longer.
    ModelInUse: Failure(_TELLS_NOTHING, _ALL, elsewhere=False),
    InvalidReply: Failure(_COUNTS, 0, elsewhere=True),
    ToolLoopExceeded: Failure(_TELLS_NOTHING, 0, elsewhere=False),
}
#: Statuses that say "later", whatever the class: the request has not begun.
_LATER = (429, 503)


def row_of(error: FoundryError) -> Failure:
    """Return the row of an error's class, or of the nearest class above it."""
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


def outcome_of(error: FoundryError) -> Outcome:
    """Return what a failed attempt tells about the service."""
    return row_of(error).outcome


def most_retries(error: FoundryError, replay: Replay) -> float:
    """Return the most further tries that a failure deserves; infinite for as many as the policy grants."""
    if isinstance(error, ServiceError) and error.status in _LATER:
        return _ALL
    row = row_of(error)
    if isinstance(error, TransportError) and not error.sent:
        return row.unsent
    return 0 if replay is Replay.IF_UNSENT else row.retries


def is_answer(error: FoundryError) -> bool:
    """Tell whether the service answered with a status."""
    return isinstance(error, (ServiceError, InvalidReply))
