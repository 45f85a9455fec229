"""CachingSender: answers from the cache, and one call for many equal ones.

A call is looked up by a key that is built for the service that would be asked, and its answer is kept under
the key of the service that was: a name may be resolved, or the service move, in between. What is not known
for certain (who answers, whether an answer is whole) makes the call go on as if there were no cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from foundry_rest import clock
from foundry_rest.cache.answers import is_accepted, model_of_events, model_of_reply
from foundry_rest.cache.calls import Asked, Fetched, Found, Identities, Watched
from foundry_rest.cache.flights import MOST_LEADERS, End, Flights, Lead
from foundry_rest.cache.key import Question
from foundry_rest.cache.recording import (
    Answer,
    RecordingReply,
    ReplayedReply,
    answer_of,
    decode,
    encode,
    events_of,
    whole_reply,
)
from foundry_rest.cache.response_cache import ResponseCache
from foundry_rest.errors import Cancelled, CircuitOpen, DeadlineExceeded, FoundryError
from foundry_rest.events import CACHED, CallFinished, Event
from foundry_rest.transport.call import Options, Reply
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.interfaces import OpenReply, Request, Sender

R = TypeVar("R")

#: Seconds by which a clock may have been ahead when an answer was kept; more makes its age unknown.
_STEP = 60.0


class CachingSender:
    """A sender that answers from a cache what it can.

    Args:
        inner: Asks the service.
        cache: The cache.
        flights: The calls under way, shared by all that use the cache through one client.
        identities: Who answers, and who asks.
        emit: Gets an event for each whole answer from the cache.
        closing: Ends every wait.
        note: Gets the name of the count of ``CacheUse`` that grows.
    """

    def __init__(
        self,
        inner: Sender,
        cache: ResponseCache,
        flights: Flights,
        identities: Identities,
        emit: Callable[[Event], None],
        closing: CancelToken,
        *,
        note: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._inner, self._cache, self._flights, self._note = inner, cache, flights, note
        self._identities, self._emit, self._closing = identities, emit, closing

    def send(self, request: Request) -> Reply:
        """Return the whole answer, from the cache or the service."""
        asked = self._asked(request)
        if asked is None:
            return self._inner.send(request)
        got = self._get(asked, request, self._inner.send)
        if isinstance(got, Found):
            return self._reply(asked, got)
        try:
            self._keep_reply(asked, got)
        finally:
            got.lead.flight.land(End.ALONE)
        return got.value

    def open(self, request: Request) -> OpenReply:
        """Return an open stream, of recorded events or from the service."""
        asked = self._asked(request)
        if asked is None:
            return self._inner.open(request)
        got = self._get(asked, request, self._inner.open)
        if isinstance(got, Found):
            tokens = asked.options.tokens(self._closing)
            return ReplayedReply(got.answer, asked.target.url, got.stale_for, tokens)
        keep = partial(self._keep_events, asked, got.watched, got.lead, got.value.headers)
        return RecordingReply(got.value, got.lead, keep, self._cache.largest)

    def close(self) -> None:
        """Close the sender below."""
        self._inner.close()

    # ---------------------------------------------------------------- what is asked

    def _asked(self, request: Request) -> Asked | None:
        """Return the call as the cache sees it; ``None`` for one that is no business of the cache."""
        options = request.options
        mark = options.more.get("cache")
        if mark is False or not request.runs_on or self._has_ended(options):
            return None
        started = clock.monotonic()
        identities = self._identities
        try:
            target = identities.target_for(request)
            question = _question(request, target)
            if question is None or (mark is None and not question.is_deterministic):
                return None
            if not identities.learn(target, request):
                return None
            if request.call_for(target) is not question.call:  # a name was found to mean another id
                question = _question(request, target)
        except FoundryError:  # the service is asked, and the error is that of the call
            return None
        origin = identities.of_target(target)
        if not origin or question is None:
            return None
        longest = self._cache.max_age
        age = min(float(mark), longest) if isinstance(mark, (int, float)) and mark is not True else longest
        return Asked(question.key(origin), question, target, age, started)

    def _has_ended(self, options: Options) -> bool:
        """Return whether the call is over before it began: the service's sender says how."""
        is_cancelled = self._closing.cancelled or (options.cancel is not None and options.cancel.cancelled)
        return is_cancelled or options.until <= clock.monotonic()

    # ---------------------------------------------------------------- where the answer comes from

    def _get(self, asked: Asked, request: Request, ask: Callable[[Request], R]) -> Found | Fetched[R]:
        """Return a kept answer, that of an equal call under way, or what the service gives."""
        turn = self._turn(asked)
        if isinstance(turn, Found):
            return self._noted(turn)
        self._note("misses")
        watched = Watched(request)
        try:
            return Fetched(ask(watched), watched, turn)
        except BaseException as error:
            is_own = isinstance(error, (Cancelled, DeadlineExceeded)) or not isinstance(error, FoundryError)
            turn.flight.land(End.GIVEN_UP if is_own else End.FAILED)
            # The circuit may have opened in the course of this very call.
            found = self._find(asked) if isinstance(error, CircuitOpen) else None
            if found is None:
                raise
            return self._noted(found)

    def _noted(self, found: Found) -> Found:
        self._note("hits")
        if found.stale_for:
            self._note("stale")
        return found

    def _turn(self, asked: Asked) -> Found | Lead:
        """Return an answer, or the lead of this call; wait for an equal call under way."""
        failed = 0
        while failed < MOST_LEADERS:
            found = self._find(asked)
            if found is not None:
                return found
            flight = self._flights.enter(asked.key)
            if isinstance(flight, Lead):
                # An equal call may have ended between the look and now.
                return self._find(asked) or flight
            end = flight.wait(asked.options, self._closing)
            if isinstance(end, Answer) and _is_accepted(asked, end):
                return Found(end)
            if end is not End.FAILED and end is not End.GIVEN_UP:
                break
            failed += end is End.FAILED
        return Lead()

    def _find(self, asked: Asked) -> Found | None:
        """Return a kept answer that is fresh, or that may be given while the circuit is open."""
        kept = self._cache.find(asked.key)
        if kept is None:
            return None
        age = clock.now() - kept.created
        expired = age - min(kept.lifetime, asked.age)
        if age < -_STEP or (expired > 0 and not self._may_be_stale(asked, expired)):
            return None
        answer = decode(kept.answer)
        if answer is None or not _is_accepted(asked, answer):
            return None
        self._cache.note(asked.key)
        return Found(answer, max(0.0, expired))

    def _may_be_stale(self, asked: Asked, expired: float) -> bool:
        breaker = asked.target.breaker
        return expired <= self._cache.serve_stale and breaker is not None and breaker.refuses

    def _reply(self, asked: Asked, found: Found) -> Reply:
        call, url = asked.question.call, asked.target.url
        elapsed = clock.monotonic() - asked.started
        self._emit(CallFinished(url, os.urandom(8).hex(), call.label, call.model, 0, CACHED, elapsed))
        return whole_reply(found.answer, url, found.stale_for, elapsed)

    # ---------------------------------------------------------------- what is kept

    def _keep_reply(self, asked: Asked, got: Fetched[Reply]) -> None:
        reply, operation = got.value, got.watched.operation
        model = model_of_reply(reply, asked.question, operation.check or operation.parse)
        if model is not None:
            answer = answer_of(reply.headers, reply.body)
            self._keep(asked, got.watched, got.lead, answer, model)

    def _keep_events(
        self,
        asked: Asked,
        watched: Watched,
        lead: Lead,
        headers: Mapping[str, str],
        events: tuple[bytes, ...],
    ) -> None:
        try:
            model = model_of_events(events, asked.question, watched.operation.parse)
        except FoundryError:
            return
        if model is not None:
            self._keep(asked, watched, lead, answer_of(headers, events=events), model)

    def _keep(self, asked: Asked, watched: Watched, lead: Lead, answer: Answer | None, model: str) -> None:
        """Give an answer to the calls that wait for it, and keep it, under the key of who gave it."""
        data = None if answer is None else encode(answer)
        origin = self._identities.of_target(watched.target)
        if answer is None or data is None or len(data) > self._cache.largest or not origin:
            return
        question = None if watched.call is None else Question.of(watched.call)
        if question is None:
            return
        key = question.key(origin)
        if key == asked.key:
            lead.flight.land(answer)
        try:
            self._cache.keep(key, model, data, asked.age)
            self._note("kept")
        finally:
            lead.flight.leave()


def _is_accepted(asked: Asked, answer: Answer) -> bool:
    return is_accepted(events_of(answer), answer.body.encode(), asked.question)


def _question(request: Request, target: object) -> Question | None:
    """Return the question that a request asks a target; ``None`` for one that is no business of the cache."""
    call = request.call_for(target)
    return Question.of(call) if call.cacheable else None
