"""The one loop: how often it tries, what it sleeps, what it cures, what it tells."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace
from support.senders import OneTarget

from foundry_rest.errors import (
    BadRequest,
    ModelNotFound,
    ModelNotLoaded,
    NotFound,
    ServerError,
    ServiceUnreachable,
    TooManyRequests,
)
from foundry_rest.events import AttemptFailed, CallFinished, CureStarted
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.resilience.sender import ResilientSender
from foundry_rest.resilience.terms import Terms
from foundry_rest.testing import FakeClock, FakeOpenReply, FakeSender
from foundry_rest.transport.call import Call, Options, Replay, Reply

URL = "http://h"
OK = Reply(200, {}, b"{}", URL)
CALL = Call("POST", "/x", b'{"model":"m"}', Replay.ALWAYS, label="chat.complete", model="m")
LOADED = Call("POST", "/x", b'{"model":"m:1"}', Replay.ALWAYS, label="chat.complete", model="m")


class Learning:
    """A request that is built anew when its model's id was learnt."""

    options, runs_on, asked_as, call = CALL.options, "m", "m", CALL

    def learn(self, request, error):
        """Remember the id."""
        assert request is self
        self.call = LOADED
        return True

    def call_for(self, target):
        """Return the call."""
        return self.call


@pytest.fixture
def clock():
    """Replace all time by a fake that moves only when slept."""
    with FakeClock().installed() as fake:
        yield fake


def sender(script, *, retries=3, recoveries=None, seen=None):
    """Return a sender over a script, and that script; jitter always draws its bound."""
    inner = FakeSender(script)
    policy = RetryPolicy(retries=retries)
    emit = (lambda event: None) if seen is None else seen.append
    terms = Terms(
        policy,
        OneTarget(),
        recoveries=lambda may_load: recoveries or {},
        emit=emit,
        jitter=lambda bound: bound,
    )
    return ResilientSender(inner, terms), inner


def later(clock, seconds, item):
    """Return a script item that takes its time."""

    def act(_call):
        clock.advance(seconds)
        return item

    return act


def plain(calls) -> list[Call]:
    """Return calls without the ids that they were sent with, which differ each time."""
    assert all(call.id for call in calls)
    return [replace(call, id="", attempt=0, began=0.0) for call in calls]


def told(events) -> list[object]:
    """Shorten events to what happened."""
    return [
        (event.attempt, type(event.error).__name__, event.wait, event.cure)
        if isinstance(event, AttemptFailed)
        else ("end", type(event.error).__name__ if event.error else "ok", event.elapsed)
        for event in events
        if not isinstance(event, CureStarted)
    ]


def test_success_at_once(clock):
    """One attempt, no sleep, one event."""
    seen: list[object] = []
    resilient, inner = sender([OK], seen=seen)

    assert resilient.send(CALL) is OK
    assert (plain(inner.calls), clock.slept, told(seen)) == ([CALL], [], [("end", "ok", 0.0)])
    assert (seen[0].call, seen[0].url, seen[0].model) == ("chat.complete", URL, "m")


def test_success_after_failures(clock):
    """Waits double; every failed attempt is told, then the end with all time in it."""
    seen: list[object] = []
    resilient, inner = sender(
        [later(clock, 1.0, TooManyRequests("busy", status=429, url=URL)), ServerError("x", url=URL), OK],
        seen=seen,
    )

    assert resilient.send(CALL) is OK
    assert clock.slept == [0.25, 0.5]
    assert told(seen) == [
        (1, "TooManyRequests", 0.25, ""),
        (2, "ServerError", 0.5, ""),
        ("end", "ok", 1.75),
    ]
    assert seen[0].elapsed == 1.0
    assert plain(inner.calls) == [CALL] * 3
    assert len({(call.id, call.began) for call in inner.calls}) == 1
    assert [call.attempt for call in inner.calls] == list(range(1, len(inner.calls) + 1))


def test_the_error_tells_every_attempt(clock):
    """The last error leaves, with when, how long, what, and how long was waited after."""
    script = [later(clock, 0.5, ServiceUnreachable(f"refused {n}", sent=False, url=URL)) for n in range(3)]
    resilient, inner = sender(script, retries=2)
    with pytest.raises(
        ServiceUnreachable, match=r"refused 2.*chat.complete at http://h, model 'm', after 3"
    ) as caught:
        resilient.send(CALL)

    assert inner.remaining == 0
    assert [(a.number, a.at, a.elapsed, a.error, a.message, a.wait) for a in caught.value.attempts] == [
        (1, 0.0, 0.5, "ServiceUnreachable", "refused 0", 0.25),
        (2, 0.75, 0.5, "ServiceUnreachable", "refused 1", 0.5),
        (3, 1.75, 0.5, "ServiceUnreachable", "refused 2", 0.0),
    ]


@pytest.mark.parametrize("error", [BadRequest("no", status=400), NotFound("no", status=404)])
def test_what_is_hopeless_is_not_repeated(clock, error):
    """A refusal leaves at once, and is told as given up."""
    seen: list[object] = []
    resilient, _ = sender([error], seen=seen)
    with pytest.raises(type(error)):
        resilient.send(CALL)

    assert clock.slept == []
    assert told(seen) == [(1, type(error).__name__, None, ""), ("end", type(error).__name__, 0.0)]


def test_no_retries(clock):
    """With 0 retries the first failure is the last."""
    resilient, inner = sender([TooManyRequests(status=429)], retries=0)
    with pytest.raises(TooManyRequests):
        resilient.send(CALL)

    assert (len(inner.calls), clock.slept) == (1, [])


def test_what_may_have_begun_is_not_repeated(clock):
    """A call that must not run twice is repeated only when it cannot have begun."""
    once = Call("GET", "/models/load/m", replay=Replay.IF_UNSENT)
    resilient, inner = sender([ServiceUnreachable(sent=False), ServiceUnreachable(sent=True)])
    with pytest.raises(ServiceUnreachable):
        resilient.send(once)

    assert len(inner.calls) == 2


@pytest.mark.parametrize(
    ("limit", "slept"), [(0.2, []), (0.7, [0.25]), (1.0, [0.25, 0.5]), (math.inf, [0.25, 0.5, 1.0])]
)
def test_no_sleep_exceeds_the_deadline(clock, limit, slept):
    """A wait that would end after the deadline is not begun: the last real error leaves early."""
    call = Call("GET", "/x", replay=Replay.ALWAYS, options=Options(until=clock.monotonic() + limit))
    resilient, _ = sender([TooManyRequests("busy", status=429)] * 4)
    with pytest.raises(TooManyRequests):
        resilient.send(call)

    assert clock.slept == slept
    assert sum(slept) < limit


def test_retry_after_is_slept(clock):
    """What the service asks for is waited, not a drawn number."""
    resilient, _ = sender([TooManyRequests(status=429, retry_after=7.0), OK])
    resilient.send(CALL)

    assert clock.slept == [7.0]


@pytest.mark.parametrize("error", [TypeError("bug"), KeyboardInterrupt(), ValueError("bug"), OSError("bug")])
def test_bugs_are_not_caught(clock, error):
    """Only our own errors are repeated; the programmer's mistakes pass through untouched and untold."""
    seen: list[object] = []
    resilient, inner = sender([error, OK], seen=seen)
    with pytest.raises(type(error)):
        resilient.send(CALL)

    assert (inner.remaining, seen) == (1, [])


def test_a_cure_is_free(clock):
    """The cured call is sent at once, changed, and costs no retry."""
    seen: list[object] = []
    request = Learning()
    cures = {ModelNotLoaded: ("load", request.learn)}
    resilient, inner = sender([ModelNotLoaded("no", status=400), OK], retries=0, recoveries=cures, seen=seen)

    assert resilient.send(request) is OK
    assert (plain(inner.calls), clock.slept) == ([CALL, LOADED], [])
    assert told(seen) == [(1, "ModelNotLoaded", 0.0, "load"), ("end", "ok", 0.0)]


def test_each_cure_is_tried_once(clock):
    """Two causes may be cured in one call; the same one twice is not."""
    request = Learning()
    cures = {
        ModelNotFound: ("resolve", request.learn),
        ModelNotLoaded: ("load", lambda request, error: True),
    }
    resilient, inner = sender(
        [ModelNotFound("a"), ModelNotLoaded("b"), ModelNotLoaded("c")], recoveries=cures
    )
    with pytest.raises(ModelNotLoaded) as caught:
        resilient.send(request)

    assert plain(inner.calls) == [CALL, LOADED, LOADED]
    assert [(a.error, a.cure) for a in caught.value.attempts] == [
        ("ModelNotFound", "resolve"),
        ("ModelNotLoaded", "load"),
        ("ModelNotLoaded", ""),
    ]


def test_cures_do_not_use_up_retries(clock):
    """After a cure the policy still has all its tries, and begins with its first delay."""
    cures = {ModelNotLoaded: ("load", lambda request, error: True)}
    busy = TooManyRequests(status=429)
    resilient, _ = sender([ModelNotLoaded(), busy, busy, OK], retries=2, recoveries=cures)

    assert resilient.send(CALL) is OK
    assert clock.slept == [0.25, 0.5]


def test_a_cure_that_cannot_help(clock):
    """``False`` means: nothing was done; the failure is then the policy's to judge."""
    cures = {ModelNotLoaded: ("load", lambda request, error: False)}
    resilient, inner = sender([ModelNotLoaded("no", status=400)], recoveries=cures)
    with pytest.raises(ModelNotLoaded) as caught:
        resilient.send(CALL)

    assert len(inner.calls) == 1
    assert caught.value.attempts[0].cure == ""


def test_a_cure_is_for_exactly_its_class(clock):
    """What helps a missing model does not help a missing route."""
    cures = {NotFound: ("resolve", lambda request, error: True)}
    resilient, inner = sender([ModelNotFound()], recoveries=cures)
    with pytest.raises(ModelNotFound):
        resilient.send(CALL)

    assert len(inner.calls) == 1


def test_a_cure_that_fails(clock):
    """Its own error leaves, with the attempts and the first failure as cause; both are told."""
    seen: list[object] = []

    def load(_call, _error):
        raise ServerError("no memory", status=500, model="m:1", url=URL)

    first = ModelNotLoaded("not in memory", status=400)
    resilient, _ = sender([first], recoveries={ModelNotLoaded: ("load", load)}, seen=seen)
    with pytest.raises(ServerError, match="no memory") as caught:
        resilient.send(CALL)

    assert caught.value.__cause__ is first
    assert [a.message for a in caught.value.attempts] == ["not in memory"]
    assert (caught.value.call, caught.value.model) == ("chat.complete", "m:1")
    assert told(seen) == [(1, "ModelNotLoaded", None, ""), ("end", "ServerError", 0.0)]


def test_a_bug_in_a_cure_is_not_caught(clock):
    """A cure's TypeError is a bug, not a failure."""
    cures = {ModelNotLoaded: ("load", lambda: None)}
    resilient, _ = sender([ModelNotLoaded()], recoveries=cures)
    with pytest.raises(TypeError):
        resilient.send(CALL)


def test_a_stream_is_opened_with_the_same_patience(clock):
    """Opening is retried as sending is; the end of an opened stream is the stream's to tell."""
    seen: list[object] = []
    resilient, inner = sender([ServerError("x"), FakeOpenReply([b"one", b"two"])], seen=seen)

    assert list(resilient.open(CALL)) == [b"one", b"two"]
    assert plain(inner.opened) == [CALL, CALL]
    assert told(seen) == [(1, "ServerError", 0.25, "")]


def test_a_stream_that_cannot_be_opened(clock):
    """Its end is told here, since no stream will tell it."""
    seen: list[object] = []
    resilient, _ = sender([BadRequest("no", status=400)], seen=seen)
    with pytest.raises(BadRequest):
        resilient.open(CALL)

    assert isinstance(seen[-1], CallFinished)
    assert seen[-1].first_token is None


def test_close_closes_what_is_below(clock):
    """The sender owns nothing itself."""
    resilient, inner = sender([])
    resilient.close()

    assert inner.closed
