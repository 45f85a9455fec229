"""The meaning of failures: a table with one row for each error class; no I/O.

The breaker judges the service, not the prompt. An error that the caller can correct (a 4xx, a model that is
not loaded, the caller's own deadline) says nothing about the service; silence, a lost connection, a 5xx or
an unreadable answer does. Two kinds of 500 do not count either: an invalid tool call is the model's fault,
and a catalog that 1.x cannot reach is the network's.

A request whose connection broke before the first byte may be the one that kills the service, and one that
timed out may still be running: both are repeated once. A 500 often comes again, so it is repeated twice.

Another model of the same service is worth a request where the model is the reason: it is not there, cannot be
loaded, is too slow or too small, breaks off, or writes what cannot be read. It does not help where nobody
answers, where the request is refused as such, or where the call is over.
"""

from __future__ import annotations

import msgspec

from foundry_rest import errors
from foundry_rest.resilience.breaker.policy import Outcome
from foundry_rest.transport.call import Replay


class Failure(msgspec.Struct, frozen=True):
    """The consequences of one error class.

    Attributes:
        outcome: How it counts for the breaker.
        retries: Most retries of a request that may have begun; infinity for as many as the policy allows.
        elsewhere: Whether another service may answer the same request.
        unsent: Most retries of a request that cannot have begun.
        other_model: Whether another model of the same service may answer it.
    """

    outcome: Outcome
    retries: float
    elsewhere: bool
    unsent: float = 0
    other_model: bool = False


_FAILURE, _NEUTRAL = Outcome.FAILURE, Outcome.NEUTRAL
_ALL = float("inf")
#: A class that is not listed (a user's own) has the row of its nearest base class.
TABLE: dict[type[errors.FoundryError], Failure] = {
    errors.FoundryError: Failure(_NEUTRAL, 0, elsewhere=False),
    errors.ConfigError: Failure(_NEUTRAL, 0, elsewhere=False),
    errors.UnknownArgument: Failure(_NEUTRAL, 0, elsewhere=False),
    errors.UnsupportedByService: Failure(_NEUTRAL, 0, elsewhere=True),
    errors.CircuitOpen: Failure(_NEUTRAL, 0, elsewhere=True),
    errors.DeadlineExceeded: Failure(_NEUTRAL, 0, elsewhere=False),
    errors.Cancelled: Failure(_NEUTRAL, 0, elsewhere=False),
    errors.TransportError: Failure(_NEUTRAL, 0, elsewhere=True),
    errors.ServiceNotFound: Failure(_NEUTRAL, 0, elsewhere=True),
    errors.ServiceUnreachable: Failure(_FAILURE, 1, elsewhere=True, unsent=_ALL),
    errors.ServiceTimeout: Failure(_FAILURE, 1, elsewhere=True, unsent=_ALL, other_model=True),
    errors.StreamInterrupted: Failure(_FAILURE, 1, elsewhere=True, other_model=True),
    # No attempt ends so: an executor's workers make whole calls.
    errors.WorkerLost: Failure(_NEUTRAL, 0, elsewhere=False),
    errors.ExecutorBroken: Failure(_NEUTRAL, 0, elsewhere=False),
    errors.ServiceError: Failure(_NEUTRAL, 0, elsewhere=True),  # a redirect: no service is at the address
    errors.BadRequest: Failure(_NEUTRAL, 0, elsewhere=False),
    errors.AudioFileNotFound: Failure(_NEUTRAL, 0, elsewhere=True),
    errors.ContextLengthExceeded: Failure(_NEUTRAL, 0, elsewhere=False, other_model=True),
    errors.ModelNotLoaded: Failure(_NEUTRAL, 0, elsewhere=True, other_model=True),
    errors.ModelNotCached: Failure(_NEUTRAL, 0, elsewhere=True, other_model=True),
    errors.UnsupportedParameter: Failure(_NEUTRAL, 0, elsewhere=True),
    errors.AuthenticationError: Failure(_NEUTRAL, 0, elsewhere=False),  # all services get the same key
    errors.NotFound: Failure(_NEUTRAL, 0, elsewhere=True),
    errors.ModelNotFound: Failure(_NEUTRAL, 0, elsewhere=True, other_model=True),
    errors.ResponseNotFound: Failure(_NEUTRAL, 0, elsewhere=True),
    errors.TooManyRequests: Failure(_NEUTRAL, _ALL, elsewhere=True, other_model=True),
    errors.ServerError: Failure(_FAILURE, 2, elsewhere=True, other_model=True),
    # The service has tried all regions by then.
    errors.CatalogUnavailable: Failure(_NEUTRAL, 0, elsewhere=True, other_model=True),
    errors.InferenceFailed: Failure(_FAILURE, 2, elsewhere=True, other_model=True),
    # The same model would fail there, too.
    errors.ToolCallFailed: Failure(_NEUTRAL, 2, elsewhere=False, other_model=True),
    errors.LoadFailed: Failure(_NEUTRAL, 0, elsewhere=True, other_model=True),
    # The session of an answer that was just read exists for some 5 ms more.
    errors.ModelInUse: Failure(_NEUTRAL, _ALL, elsewhere=False),
    errors.InvalidReply: Failure(_FAILURE, 0, elsewhere=True, other_model=True),
    errors.InvalidMember: Failure(
        _NEUTRAL, 0, elsewhere=True, other_model=True
    ),  # its other answers can be read
    errors.ToolLoopExceeded: Failure(_NEUTRAL, 0, elsewhere=False),
}
#: Statuses that mean "try later", whatever the class: the request has not begun, or gave way to another.
_LATER = (408, 409, 425, 429, 503)
#: Statuses that the same request gets each time.
_NEVER = (501, 505)


def row_of(error: errors.FoundryError) -> Failure:
    """Return the row of an error's class, or of its nearest base class."""
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


def outcome_of(error: errors.FoundryError) -> Outcome:
    """Return how a failed attempt counts for the breaker; what a service lacks is no failure of it."""
    if isinstance(error, errors.ServiceError) and error.status in _NEVER:
        return _NEUTRAL
    return row_of(error).outcome


def most_retries(error: errors.FoundryError, replay: Replay) -> float:
    """Return the most retries after a failure; infinity for as many as the policy allows."""
    if isinstance(error, errors.ServiceError):
        if error.should_retry is not None:
            return _ALL if error.should_retry else 0
        if error.status in _LATER:
            return _ALL
        if error.status in _NEVER:
            return 0
    row = row_of(error)
    if isinstance(error, errors.TransportError) and not error.sent:
        return row.unsent
    return 0 if replay is Replay.IF_UNSENT else row.retries


def is_worth_another_model(error: errors.FoundryError) -> bool:
    """Return whether another model of the same service may answer what this one did not."""
    if isinstance(error, errors.ServiceError) and error.status in _NEVER:
        return False
    if isinstance(error, errors.TransportError) and not error.sent:
        return False  # nobody was reached, whatever the model
    return row_of(error).other_model


def is_outage(error: errors.FoundryError) -> bool:
    """Return whether an error says that no service was there, so that the request cannot have begun."""
    if isinstance(error, (errors.CircuitOpen, errors.ServiceNotFound)):
        return True
    return isinstance(error, errors.TransportError) and not error.sent


def may_have_begun(error: errors.FoundryError) -> bool:
    """Return whether the service may have begun the request that failed so."""
    is_refused = isinstance(error, errors.ServiceError) and error.status in _LATER
    return not is_refused and not is_outage(error)


def is_answer(error: errors.FoundryError) -> bool:
    """Return whether the service answered with a status."""
    return isinstance(error, (errors.ServiceError, errors.InvalidReply))


def is_loss(error: errors.FoundryError, *, is_embedded: bool = False) -> bool:
    """Return whether the service may be gone: it broke a connection that was not only kept too long.

    Args:
        error: The error of an attempt.
        is_embedded: The service is this process's child; whether it is alive is quickly seen, so that any
            broken connection is worth a look.
    """
    if isinstance(error, errors.ServiceUnreachable):
        return is_embedded or not error.stale
    return isinstance(error, errors.StreamInterrupted)
