"""ResponseStream: whole only when the response's last event came; what broke off keeps its text."""

from __future__ import annotations

import json

import pytest
from support.streams import CLOSED, DONE, FINISHED
from support.streams import Watched as WatchedChat

from foundry_rest.dialects.responses_parsing import parse_event
from foundry_rest.errors import (
    Cancelled,
    ContextLengthExceeded,
    InferenceFailed,
    InvalidReply,
    ServiceUnreachable,
    StreamInterrupted,
)
from foundry_rest.schema import Usage
from foundry_rest.stream import GRACE
from foundry_rest.stream.responses import ResponseStream
from foundry_rest.testing import FakeClock


def event(type, **more):
    """Return the data of one event."""
    return json.dumps({"type": f"response.{type}", **more}).encode()


def response(status="in_progress", output=(), **more):
    """Return a response object."""
    return {"id": "resp_1", "status": status, "output": list(output), "model": "demo:1", **more}


def text(delta):
    """Return the event that adds a text."""
    return event("output_text.delta", delta=delta)


def message(words):
    """Return a message item."""
    return {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": words}]}


def failed(words="Inference failed: out of memory", code="server_error"):
    """Return the event that tells a failure."""
    return event("failed", response=response("failed", error={"code": code, "message": words}))


class Watched(WatchedChat):
    """A stream of a response over scripted events, and what it told."""

    kind, parse, label = ResponseStream, staticmethod(parse_event), "responses.stream"


CREATED = event("created", response=response())
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"n":1}'}
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
COMPLETED = event("completed", response=response("completed", [message("one two")], usage=USAGE))
WHOLE = (CREATED, text("one"), text(" two"), COMPLETED, DONE)


def test_events_come_one_by_one_and_the_text_grows():
    """``text``, ``usage`` and ``response`` hold what has come so far; the end is told once."""
    it = Watched(*WHOLE)
    seen = [(each.content, it.stream.text, it.stream.response is None) for each in it.stream]

    assert seen == [("", "", True), ("one", "one", True), (" two", "one two", True), ("", "one two", False)]
    assert it.stream.usage == it.stream.response.usage == Usage(3, 2, 5)
    assert (it.ended, len(it.told), it.told[0].error, it.told[0].completion_tokens) == (FINISHED, 1, None, 2)


def test_gather_returns_the_whole_response():
    """The last event's response, with this call's times and headers; read on, it is the same."""
    with FakeClock(start=0.0).installed() as clock:
        it = Watched(
            CREATED, lambda: clock.advance(2), text("one"), lambda: clock.advance(3), COMPLETED, DONE
        )
        whole = it.stream.gather()

    assert (whole.output_text, whole.status, whole.model) == ("one two", "completed", "demo:1")
    assert (whole.elapsed, whole.first_token, whole.headers["content-type"]) == (
        5.0,
        2.0,
        "text/event-stream",
    )
    assert whole.raw["usage"] == USAGE
    assert it.stream.gather() is whole is it.stream.response


def test_a_response_without_a_word_has_the_time_of_its_first_event():
    """No text, no thinking, no call: the stream's opening is all there is to tell."""
    with FakeClock(start=0.0).installed():
        whole = Watched(CREATED, event("completed", response=response("completed")), DONE).stream.gather()

    assert (whole.first_token, whole.output_text) == (0.0, "")


def test_incomplete_is_an_end():
    """It is returned, with its reason."""
    cut = response("incomplete", [message("one")], incomplete_details={"reason": "max_output_tokens"})
    whole = Watched(text("one"), event("incomplete", response=cut), DONE).stream.gather()

    assert (whole.status, whole.incomplete_reason) == ("incomplete", "max_output_tokens")


def test_thinking_and_calls_are_kept_apart():
    """What is no answer is no text."""
    it = Watched(
        event("reasoning.delta", delta="hm"),
        event("function_call_arguments.delta", delta='{"n":1}'),
        event("output_item.done", item=CALL),
        event("completed", response=response("completed", [CALL])),
        DONE,
    )
    whole = it.stream.gather()

    assert (it.stream.text, it.stream.reasoning) == ("", "hm")
    assert whole.function_calls[0].parsed_arguments == {"n": 1}


def test_items_that_the_last_event_leaves_out():
    """A service that sends them one by one and an empty end has still sent them."""
    items = [event("output_item.done", item=each) for each in (message("one two"), CALL)]
    added = event("output_item.added", item=message(""))
    whole = Watched(added, text("one two"), *items, event("completed", response=response("completed")), DONE)

    assert [each.type for each in whole.stream.gather().output] == ["message", "function_call"]
    assert whole.stream.response.output_text == "one two"


def test_the_end_may_lack_its_mark():
    """OpenAI sends no [DONE]; the last event is the end, and little time is granted for what may follow."""
    it = Watched(*WHOLE[:-1])
    assert it.stream.gather().output_text == "one two"
    assert (it.opened.idle, it.ended) == ([GRACE], FINISHED)

    cut = Watched(*WHOLE[:-1], ServiceUnreachable("cut"), idle=0.5)
    assert cut.stream.gather().output_text == "one two"
    assert cut.opened.idle == [0.5]


@pytest.mark.parametrize(
    "events",
    [
        (),
        (DONE,),
        (CREATED,),
        (CREATED, DONE),
        (CREATED, text("one")),
        (CREATED, text("one"), DONE),
        (
            CREATED,
            text("one"),
            event("output_text.done", text="one"),
            event("in_progress", response=response()),
        ),
    ],
    ids=len,
)
def test_an_end_without_the_last_event_is_none(events):
    """A clean end, and [DONE] alone, are a break that keeps the text."""
    it = Watched(*events)
    with pytest.raises(StreamInterrupted, match=r"without response\.completed") as caught:
        it.stream.gather()

    assert caught.value.text == ("one" if len(events) > 2 else "" if text("one") not in events else "one")
    assert (caught.value.call, caught.value.model, it.ended) == ("responses.stream", "demo", CLOSED)


def test_a_failure_before_the_first_word():
    """It is the typed error; the connection is kept, for the service ends the stream in order."""
    it = Watched(
        CREATED,
        failed("request exceeds the model's maximum context length of 4096 tokens", "invalid_request_error"),
    )
    with pytest.raises(ContextLengthExceeded) as caught:
        it.stream.gather()

    assert (caught.value.status, caught.value.call, it.ended) == (400, "responses.stream", FINISHED)
    assert it.told[0].error is caught.value


@pytest.mark.parametrize(
    "before",
    [text("one"), event("reasoning.delta", delta="hm"), event("function_call_arguments.delta", delta="{")],
)
def test_a_failure_midway(before):
    """It is a break that holds the text; its cause is the typed error."""
    it = Watched(CREATED, before, failed())
    with pytest.raises(StreamInterrupted, match="out of memory") as caught:
        it.stream.gather()

    assert isinstance(caught.value.__cause__, InferenceFailed)
    assert caught.value.text == it.stream.text
    with pytest.raises(StreamInterrupted):
        next(it.stream)


def test_a_cut():
    """The connection's end keeps the text, too; the service is told of it."""
    it = Watched(CREATED, text("one"), ServiceUnreachable("cut"))
    with pytest.raises(StreamInterrupted) as caught:
        it.stream.gather()

    assert (caught.value.text, it.ended) == ("one", CLOSED)
    assert isinstance(it.opened.failed, ServiceUnreachable)


def test_an_event_that_cannot_be_read():
    """Before any text it is that error; it is never skipped."""
    with pytest.raises(InvalidReply):
        Watched(CREATED, b'{"type":"response.output_text.delta"}', *WHOLE).stream.gather()


def test_a_closed_stream_is_not_whole():
    """Reading on is Cancelled with the text so far; a response that had come stays there."""
    it = Watched(*WHOLE)
    next(it.stream)
    next(it.stream)
    it.stream.close()

    with pytest.raises(Cancelled) as caught:
        it.stream.gather()
    assert (caught.value.text, it.ended, it.stream.response) == ("one", CLOSED, None)
