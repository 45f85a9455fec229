"""What a failure tells about the service: a table, no I/O.

The breaker judges the service, not the prompt. What the caller can mend (4xx, a model that is not loaded,
a deadline of his own) tells nothing; silence, a lost connection, a 5xx or an answer that cannot be read
do. A tool call that the model got wrong is a 500 of the service and the model's doing.
"""

from __future__ import annotations

from foundry_rest.errors import (
    FoundryError,
    InvalidReply,
    LoadFailed,
    ServerError,
    ServiceError,
    ServiceNotFound,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
)
from foundry_rest.resilience.breaker import Outcome

_N, _F = Outcome.NEUTRAL, Outcome.FAILURE
#: First match wins; what is not listed tells nothing.
_OUTCOMES: tuple[tuple[type[FoundryError], Outcome], ...] = (
    (ServiceNotFound, _N),
    (ServiceUnreachable, _F),
    (ServiceTimeout, _F),
    (StreamInterrupted, _F),
    (InvalidReply, _F),
    (LoadFailed, _N),
    (ServerError, _F),
)
#: In the message of a 500 that is the model's doing (foundry-local-rest.md section 3.2).
_MODELS_DOING = "tool call"


def outcome_of(error: FoundryError) -> Outcome:
    """Return what a failed attempt tells about the service."""
    if isinstance(error, ServerError) and _MODELS_DOING in error.message.lower():
        return Outcome.NEUTRAL
    return next((outcome for cls, outcome in _OUTCOMES if isinstance(error, cls)), Outcome.NEUTRAL)


def is_answer(error: FoundryError) -> bool:
    """Tell whether the service answered with a status."""
    return isinstance(error, (ServiceError, InvalidReply))
