"""What a failure tells about the service: a table, no I/O.

The breaker judges the service, not the prompt. What the caller can mend (4xx, a model that is not loaded,
a deadline of his own) tells nothing; silence, a lost connection, a 5xx or an answer that cannot be read
do. A tool call that the model got wrong is a 500 of the service and the model's doing, a catalog that 1.x
cannot reach is one and the network's.
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
from foundry_rest.resilience.breaker.policy import Outcome

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
#: In the message of a 500 that is not the service's doing: the model's (foundry-local-rest.md section 3.2),
#: or the network's, on which 1.x has to list its models while it answers chats well.
_NOT_ITS_DOING = ("tool call", "': instance '", "failed to retrieve model list")


def outcome_of(error: FoundryError) -> Outcome:
    """Return what a failed attempt tells about the service."""
    said = error.message.lower() if isinstance(error, ServerError) else ""
    if any(words in said for words in _NOT_ITS_DOING):
        return Outcome.NEUTRAL
    return next((outcome for cls, outcome in _OUTCOMES if isinstance(error, cls)), Outcome.NEUTRAL)


def is_answer(error: FoundryError) -> bool:
    """Tell whether the service answered with a status."""
    return isinstance(error, (ServiceError, InvalidReply))
