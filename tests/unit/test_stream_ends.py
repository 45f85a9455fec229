"""How a stream ends: whole after [DONE] or a finish_reason, else in an error that comes again and again."""

from __future__ import annotations

import pytest
from support.streams import CLOSED, DONE, FINISHED, USAGE_CHUNK, WHOLE, Watched, chunk

from foundry_rest.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceFailed,
    InvalidReply,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
)
from foundry_rest.schema import ChatChunk, Usage
from foundry_rest.stream import GRACE, ChatStream

HALF = WHOLE[:3]


def test_after_the_finish_reason_only_a_short_grace_is_left():
    """The rest is granted GRACE seconds at most, and once: the first reason stays."""
    for idle, granted in ((30.0, GRACE), (0.5, 0.5)):
        it = Watched(chunk("a", "length"), chunk("", "stop"), DONE, idle=idle)

        assert it.stream.gather().finish_reason == "length"
        assert it.opened.idle == [granted]


@pytest.mark.parametrize(
    "end",
    [
        (),
        (DONE,),
        (ServiceTimeout("silent", phase="idle"),),
        (ServiceUnreachable("cut"),),
        (DeadlineExceeded("late"),),
        (b"{rubbish",),
        (USAGE_CHUNK, ServiceUnreachable("cut")),
    ],
)
def test_whatever_follows_the_finish_reason_the_text_is_whole(end):
    """An answer that has said why it ended takes no harm from what comes after."""
    it = Watched(*WHOLE[:4], *end)

    assert it.stream.gather().content == "one two"
    assert (it.ended, it.told[0].error) == (FINISHED, None)


#: How a stream ends -> (last events, class raised, class of its cause).
ENDINGS = {
    "cut": ((ServiceUnreachable("cut", sent=True),), StreamInterrupted, ServiceUnreachable),
    "silence": ((ServiceTimeout("silent", phase="idle"),), StreamInterrupted, ServiceTimeout),
    "error event": (
        (b'{"error": {"message": "Inference failed", "type": "server_error"}}',),
        StreamInterrupted,
        InferenceFailed,
    ),
    "rubbish": ((b"{rubbish",), StreamInterrupted, InvalidReply),
    "no end": ((), StreamInterrupted, type(None)),
    "deadline": ((DeadlineExceeded("late"),), DeadlineExceeded, type(None)),
    "cancelled": ((Cancelled("stop"),), Cancelled, type(None)),
}


@pytest.mark.parametrize("row", ENDINGS)
@pytest.mark.parametrize("read", [list, ChatStream.gather])
def test_a_broken_stream_raises_for_ever(row, read):
    """The error holds the text, is told once, and comes again: a second look is no success."""
    events, cls, cause = ENDINGS[row]
    it = Watched(*HALF, *events)
    for _ in range(2):
        with pytest.raises(cls) as caught:
            read(it.stream)

        assert (caught.value.text, caught.value.chunks) == ("one two", 3)
        assert type(caught.value.__cause__) is cause
        assert (caught.value.call, caught.value.model, caught.value.url) == (
            "chat.stream",
            "demo",
            it.opened._url,
        )
    assert [told.error for told in it.told] == [caught.value]
    # The service ends its stream after an error event: that connection can be kept.
    assert it.ended == (FINISHED if row == "error event" else CLOSED)


def test_a_break_holds_the_usage_that_came():
    """1.x counts in every chunk: the error has the last count."""
    it = Watched(*HALF, USAGE_CHUNK)
    with pytest.raises(StreamInterrupted) as caught:
        it.stream.gather()

    assert caught.value.usage == Usage(3, 2, 5)
    assert (it.told[0].prompt_tokens, it.told[0].completion_tokens) == (3, 2)


@pytest.mark.parametrize("events", [(), (DONE,)])
def test_a_stream_without_a_chunk_is_no_answer(events):
    """Nothing at all is not an empty text, not even with [DONE]."""
    with pytest.raises(StreamInterrupted, match="before its first chunk"):
        Watched(*events).stream.gather()


def test_the_services_last_word_is_not_lost_on_a_parse_of_ones_own():
    """A parse that takes an error event for a chunk: the end tells what the service said."""
    last = b'{"error": {"message": "Inference failed: memory", "type": "server_error"}}'
    with pytest.raises(InferenceFailed, match="memory"):
        Watched(last, parse=lambda data: ChatChunk()).stream.gather()
