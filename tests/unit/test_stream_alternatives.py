"""What servers put into finish_reason and choices besides what the rule says."""

from __future__ import annotations

import json

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.dialects.openai import parse_chunk, parse_completion
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import ServiceTimeout, StreamInterrupted
from foundry_rest.stream import ChatStream
from foundry_rest.testing import DEMO_MODEL, FakeOpenReply, FaultServer, cut, sse
from foundry_rest.transport.call import Call, Reply

CHAT = "/v1/chat/completions"


def chunk(*choices, **more) -> bytes:
    """Return the data of one event with these choices, each (index, text, reason)."""
    listed = [
        {"index": index, "delta": {"content": text}, "finish_reason": reason}
        for index, text, reason in choices
    ]
    return json.dumps({"id": "c", "model": "m", "choices": listed, **more}).encode()


def block(data: bytes) -> bytes:
    """Return an event as it stands on the wire."""
    return b"data: " + data + b"\n\n"


def stream(*events) -> tuple[ChatStream, FakeOpenReply]:
    """Return a stream over scripted events, and what is beneath it."""
    opened = FakeOpenReply(events)
    return ChatStream(opened, Operation(Call("POST", CHAT), parse_chunk), 0.0), opened


@pytest.mark.parametrize("placeholder", ["", "null", None])
def test_a_placeholder_is_no_reason(placeholder):
    """Text goes on after it, and nothing bounds the wait for it."""
    it, opened = stream(
        chunk((0, "one", placeholder)), chunk((0, " two", placeholder)), chunk((0, "", "stop")), b"[DONE]"
    )
    seen = [(piece.content, piece.finish_reason) for piece in it]

    assert (it.text, it.finish_reason) == ("one two", "stop")
    assert seen == [("one", None), (" two", None), ("", "stop")]
    assert len(opened.idle) == 1


@pytest.mark.parametrize("placeholder", ["", "null"])
@pytest.mark.parametrize("end", [[], [ServiceTimeout("silent")]])
def test_a_stream_that_breaks_after_placeholders(placeholder, end):
    """A cut or a silence is no end, whatever stood in finish_reason."""
    it, _ = stream(chunk((0, "one", placeholder)), *end)
    with pytest.raises(StreamInterrupted) as caught:
        it.gather()

    assert caught.value.text == "one"


def test_text_after_a_reason():
    """What comes after a reason shows that the answer went on: the wait for its end begins anew."""
    it, opened = stream(chunk((0, "one", "stop")), chunk((0, " two", None)), chunk((0, " three", "length")))

    assert it.gather().content == "one two three"
    assert it.finish_reason == "length"
    assert len(opened.idle) == 3


@pytest.mark.parametrize("placeholder", ["", "null"])
@pytest.mark.parametrize("dialect", ["2.x", "1.x", "0.x", "openai"])
def test_on_the_wire(placeholder, dialect):
    """A stream with placeholders is whole when it ends, and an error with its text when it is cut."""
    texts = [block(chunk((0, text, placeholder))) for text in ("one", " two")]
    whole, broken = sse([*texts, block(chunk((0, "", "stop")))]), sse(texts, done=False)[:3] + cut()
    with FaultServer() as server, FoundryAPIClient(server.url, dialect=dialect, retries=0) as client:
        server.on("POST", CHAT, whole, broken)
        assert client.stream_complete("Hi", model=DEMO_MODEL).gather().content == "one two"
        opened = client.stream_complete("Hi", model=DEMO_MODEL)
        with pytest.raises(StreamInterrupted) as caught:
            opened.gather()

    assert caught.value.text == "one two"


@pytest.mark.parametrize("first", [0, 1])
def test_alternatives_do_not_mix(first):
    """With ``n=2`` the stream is that of one alternative; the other stands in ``raw``."""
    order = (first, 1 - first)
    texts = {0: "ab", 1: "xy"}
    events = [chunk((index, texts[index][at], None)) for at in range(2) for index in order]
    events += [chunk(*((index, "", "stop") for index in order)), b"[DONE]"]
    it, _ = stream(*events)
    pieces = [piece.content for piece in it]

    assert "".join(pieces) == it.text == texts[first]


def test_a_plain_answer_in_reverse():
    """The first alternative is the one with the lowest index."""
    choices = [
        {"index": index, "message": {"content": text}, "finish_reason": "stop"}
        for index, text in ((1, "second"), (0, "first"))
    ]
    reply = Reply(200, {}, json.dumps({"id": "c", "choices": choices}).encode())

    assert parse_completion(reply).content == "first"


def test_a_lone_alternative_of_another_number():
    """An answer that is numbered 1 alone is not lost."""
    it, _ = stream(chunk((1, "one", None)), chunk((1, " two", "stop")))

    assert it.gather().content == "one two"
