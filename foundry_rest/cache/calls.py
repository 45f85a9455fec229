"""What the cache knows of one call: what is asked, of whom, and what came of it."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from foundry_rest.cache.flights import Lead
from foundry_rest.cache.key import Question
from foundry_rest.cache.recording import Answer
from foundry_rest.transport.call import Call, Options
from foundry_rest.transport.interfaces import Request

R = TypeVar("R")


class Refusing(Protocol):
    """A circuit breaker, as far as a cache needs it."""

    @property
    def refuses(self) -> bool:
        """Return whether a call would be refused now."""


class Answering(Protocol):
    """One address that may answer a call."""

    @property
    def url(self) -> str:
        """Return the base URL."""

    @property
    def breaker(self) -> Refusing | None:
        """Return the breaker of the address, or ``None``."""


class Identities(Protocol):
    """The knowledge of who answers, and who asks."""

    def target_for(self, request: Request) -> Answering:
        """Return the target that a request would go to."""

    def learn(self, target: Any, request: Request) -> bool:  # noqa: ANN401 (of the class that the sender uses)
        """Learn who answers at a target, and which model is meant; return whether that is known."""

    def of_target(self, target: Any) -> bytes:  # noqa: ANN401 (as above)
        """Return who answers at a target, and who asks; ``b""`` if that is not known."""


class Asked(NamedTuple):
    """One call that the cache may answer.

    Attributes:
        key: The answer's key.
        question: The question.
        target: Who would be asked.
        age: Greatest age in seconds that the call accepts, and for which its answer is kept.
        started: When it began.
    """

    key: bytes
    question: Question
    target: Answering
    age: float
    started: float

    @property
    def options(self) -> Options:
        """Return the call's options."""
        return self.question.call.options


class Found(NamedTuple):
    """An answer that was found.

    Attributes:
        answer: The answer.
        stale_for: Seconds since it expired.
    """

    answer: Answer
    stale_for: float = 0.0


class Watched:
    """A request that remembers for whom its call was built last.

    Args:
        request: The request.

    Attributes:
        options: The request's options.
        runs_on: The model that it runs.
        target: For whom the call was built last.
        call: That call.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.options, self.runs_on = request.options, request.runs_on
        self.target: object = None
        self.call: Call | None = None

    @property
    def asked_as(self) -> str:
        """Return the id by which the model was asked for last."""
        return self._request.asked_as

    @property
    def operation(self) -> Any:  # noqa: ANN401 (of a request that was built for a target)
        """Return the operation that was built last."""
        return self._request.operation  # type: ignore[attr-defined]

    def call_for(self, target: object) -> Call:
        """Return the call for one target, and remember both."""
        call = self._request.call_for(target)
        self.target, self.call = target, call
        return call


class Fetched(msgspec.Struct, Generic[R], frozen=True):
    """What the service gave.

    Attributes:
        value: A whole reply, or an open stream.
        watched: The request.
        lead: The calls that wait for the answer.
    """

    value: R
    watched: Watched
    lead: Lead
