"""A stream that breaks without a word: the plain request tells the cause, once, where that is safe."""

from __future__ import annotations

import gc
from contextlib import suppress
from functools import partial

import pytest
from support.senders import AnyTarget, OneTarget

from foundry_rest import FoundryAPIClient
from foundry_rest.config import Timeouts
from foundry_rest.errors import (
    Cancelled,
    ContextLengthExceeded,
    DeadlineExceeded,
    FoundryError,
    InvalidReply,
    ModelNotLoaded,
    ServerError,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
)
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.resilience.sender import ResilientSender
from foundry_rest.resilience.stream_diagnosis import PATIENCE, diagnose
from foundry_rest.resilience.terms import Terms
from foundry_rest.testing import (
    FakeSender,
    FaultServer,
    chat_completion,
    chat_stream,
    context_exceeded,
    cut,
    reset,
)
from foundry_rest.transport.call import Call, Options, Reply

CALL = Call(
    "POST",
    "/v1/chat/completions",
    b'{"stream":true}',
    label="chat.stream",
    plain=b"{}",
    options=Options(until=99.0),
)
WELL = Reply(200, {}, b"{}")


def broken() -> ServiceUnreachable:
    """Return the break of a stream whose headers had come."""
    return ServiceUnreachable("broke", begun=True)


class Explained:
    """What came of asking why a call broke, and what was asked."""

    def __init__(self, broken: object, *script: object, call: Call = CALL) -> None:
        """Ask a scripted service."""
        inner = FakeSender(script)
        try:
            self.error = diagnose(inner, call, AnyTarget(), broken)
        except FoundryError as ended:
            self.error = ended
        self.asked, self.remaining = inner.calls, inner.remaining


@pytest.mark.parametrize("stream_error", [broken(), StreamInterrupted("no event")])
@pytest.mark.parametrize("why", [ModelNotLoaded("x"), ContextLengthExceeded("x"), ServerError("x")])
def test_the_refusal_of_the_plain_request_is_the_error(stream_error, why):
    """What the service says about the same request without a stream leaves, caused by the break."""
    assert Explained(stream_error, why).error is why
    assert why.__cause__ is stream_error


def test_the_plain_request():
    """It is the same call without streaming: same bounds, same label, asked once, with less patience."""
    asked = Explained(broken(), ModelNotLoaded("x")).asked[0]

    assert (asked.body, asked.plain) == (CALL.plain, None)
    assert (asked.label, asked.options.until, asked.path) == (CALL.label, CALL.options.until, CALL.path)
    assert asked.options.timeouts == Timeouts(first_token=PATIENCE)


def test_no_more_patience_than_the_call_has():
    """A caller's own shorter bound holds here, too."""
    call = Call("POST", "/", b"{}", plain=b"{}", options=Options(timeouts=Timeouts(first_token=0.5)))

    assert Explained(broken(), ModelNotLoaded("x"), call=call).asked[0].options.timeouts.first_token == 0.5


@pytest.mark.parametrize(
    "outcome",
    [
        WELL,
        ServiceUnreachable("refused", sent=False),
        ServiceTimeout("silent"),
        InvalidReply("html"),
        DeadlineExceeded("over"),
    ],
)
def test_a_service_that_does_not_tell(outcome):
    """When the plain request succeeds, or fails in another way, the break itself is the error."""
    stream_error = broken()
    explained = Explained(stream_error, outcome)

    assert explained.error is stream_error
    assert explained.remaining == 0


def test_cancelled_meanwhile():
    """The end of the call from elsewhere is not held back by the break."""
    assert isinstance(Explained(broken(), Cancelled("ended")).error, Cancelled)


@pytest.mark.parametrize(
    ("error", "plain"),
    [
        (broken(), None),
        (ServiceUnreachable("refused", sent=False), b"{}"),
        (ServiceUnreachable("died without an answer"), b"{}"),
        (ServiceTimeout("silent"), b"{}"),
        (ModelNotLoaded("said at once"), b"{}"),
        (Cancelled("ended"), b"{}"),
    ],
)
def test_nothing_more_is_asked(error, plain):
    """A death before the answer may be this request's doing; other failures tell their cause themselves."""
    explained = Explained(error, call=Call("POST", "/", b"{}", plain=plain))

    assert explained.error is error
    assert explained.asked == []


HEAD_ONLY = chat_stream("one two")[:1]


def streams(server: FaultServer) -> list[bool]:
    """Tell of each chat request whether it asked for a stream."""
    chats = [each for each in server.requests if each.path == "/v1/chat/completions"]
    return [b'"stream":true' in request.body for request in chats]


@pytest.mark.parametrize("end", [cut(), reset()])
def test_on_the_wire(end):
    """A connection that ends after the headers is asked about; the refusal is neither retried nor counted."""
    with FaultServer() as server, FoundryAPIClient(server.url, model="m", dialect="1.x") as client:
        server.on("POST", "/v1/chat/completions", HEAD_ONLY + end, context_exceeded())
        with pytest.raises(ContextLengthExceeded) as caught:
            client.stream_complete("Hi", max_tokens=2048)

        assert streams(server) == [True, False]
        assert isinstance(caught.value.__cause__, ServiceUnreachable)


def test_a_well_service_is_asked_for_the_stream_again():
    """When the plain request succeeds the break was an accident, and the stream is tried once more."""
    with FaultServer() as server, FoundryAPIClient(server.url, model="m", dialect="1.x") as client:
        scripts = (HEAD_ONLY + cut(), chat_completion("whole"), chat_stream("one two"))
        server.on("POST", "/v1/chat/completions", *scripts)

        assert client.stream_complete("Hi").gather().content == "one two"
        assert streams(server) == [True, False, True]


def test_a_death_before_the_answer_on_the_wire():
    """Whatever killed the service is sent twice at most, and never to learn the cause."""
    with FaultServer() as server, FoundryAPIClient(server.url, model="m", dialect="1.x") as client:
        server.on("POST", "/v1/chat/completions", cut())
        with pytest.raises(ServiceUnreachable):
            client.stream_complete("Hi")

        assert streams(server) == [True, True]


def test_the_error_keeps_itself_out_of_cycles():
    """A caught error is freed at once: a cycle would keep its socket until the collector came by."""
    gc.collect()
    gc.disable()
    try:
        inner = FakeSender([_raise_break, _raise_refusal])
        terms = Terms(RetryPolicy(retries=0), OneTarget(), explain=partial(diagnose, inner))
        with suppress(ModelNotLoaded):
            ResilientSender(inner, terms).open(CALL)

        assert gc.collect() == 0
    finally:
        gc.enable()


def _raise_break(call: Call):
    raise broken()


def _raise_refusal(call: Call):
    raise ModelNotLoaded("x")
