"""ChatStream: one state machine owns the end of an answer; a stream that was left never looks whole."""

from __future__ import annotations

import threading

import pytest
from support.streams import CLOSED, FINISHED, WHOLE, Watched, chunk

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import Cancelled
from foundry_rest.schema import ChatChunk, Usage
from foundry_rest.stream import ChatStream
from foundry_rest.testing import DEMO_MODEL, FakeClock, FaultServer, chat_stream, stall


def test_chunks_come_one_by_one_and_the_text_grows():
    """``text``, ``usage`` and ``finish_reason`` hold what has come so far."""
    it = Watched(*WHOLE)
    seen = [(item.content, it.stream.text, it.stream.finish_reason) for item in it.stream]

    assert seen[:3] == [("", "", None), ("one", "one", None), (" two", "one two", None)]
    assert seen[3:] == [("", "one two", "stop"), ("", "one two", "stop")]
    assert it.stream.usage == Usage(3, 2, 5)
    assert it.ended == FINISHED


def test_gather_returns_the_whole_answer():
    """Text, reason, counts, ids, times and the events it was made of."""
    with FakeClock(start=0.0).installed() as clock:
        it = Watched(*WHOLE)
        clock.advance(2)
        reply = it.stream.gather()

    assert (reply.content, reply.finish_reason, reply.usage) == ("one two", "stop", Usage(3, 2, 5))
    assert (reply.id, reply.model, reply.created) == ("c1", "demo:1", 7)
    assert (reply.elapsed, reply.first_token) == (2.0, 0.0)
    assert reply.bodies == WHOLE[:-1]
    assert reply.headers == {"content-type": "text/event-stream"}


def test_gather_after_some_chunks_is_still_whole():
    """What was read before counts; a second gather returns the same."""
    it = Watched(*WHOLE)
    next(it.stream)
    next(it.stream)

    assert it.stream.gather().content == "one two"
    assert it.stream.gather().content == "one two"
    assert len(it.told) == 1


def test_a_closed_stream_is_not_whole():
    """Reading on after close() is Cancelled, with the text so far; closing twice is closing once."""
    it = Watched(*WHOLE)
    next(it.stream)
    next(it.stream)
    it.stream.close()
    it.stream.close()
    for read in (next, ChatStream.gather):
        with pytest.raises(Cancelled, match="closed before its end") as caught:
            read(it.stream)

        assert caught.value.text == "one"
    assert (it.ended, len(it.told), it.told[0].error) == (CLOSED, 1, None)


def test_a_stream_that_has_ended_stays_as_it_is():
    """Closing what is whole changes nothing; iterating over it again gives nothing."""
    it = Watched(*WHOLE)
    list(it.stream)
    it.stream.close()

    assert list(it.stream) == []
    assert (it.ended, len(it.told)) == (FINISHED, 1)


@pytest.mark.parametrize("leave", [KeyError, None])
def test_a_with_block_closes(leave):
    """However the block is left."""
    it = Watched(*WHOLE)

    def use():
        with it.stream as stream:
            next(stream)
            if leave:
                raise leave

    if leave:
        with pytest.raises(leave):
            use()
    else:
        use()

    assert (it.ended, len(it.told)) == (CLOSED, 1)


def test_a_dropped_stream_is_closed_at_once():
    """No cycle keeps it alive until the garbage collector comes by."""
    it = Watched(*WHOLE)
    next(it.stream)
    del it.stream

    assert (it.ended, len(it.told)) == (CLOSED, 1)


def test_a_stream_that_could_not_be_made_is_no_second_error():
    """Dropping half a stream is silent."""
    stream = ChatStream.__new__(ChatStream)
    del stream


def test_a_parse_of_ones_own_reads_the_events():
    """``parse=`` gets each event's data, [DONE] left out, and makes the chunk."""
    seen = []
    it = Watched(*WHOLE, parse=lambda data: seen.append(data) or ChatChunk(id="mine", usage=Usage(1, 1, 2)))
    chunks = list(it.stream)

    assert seen == list(WHOLE[:-1])
    assert {item.id for item in chunks} == {"mine"}
    assert it.stream.usage.total_tokens == 2


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_what_a_parse_of_ones_own_raises_comes_through(error):
    """It is the caller's: not wrapped, but the connection is given up and the end told."""

    def parse(data):
        raise error

    it = Watched(*WHOLE, parse=parse)
    with pytest.raises(error):
        it.stream.gather()

    assert (it.ended, len(it.told)) == (CLOSED, 1)


def test_finished_is_told_once_with_the_figures():
    """One CallFinished, at the end, with label, address, model, times and counts."""
    with FakeClock(start=0.0).installed() as clock:
        clock.advance(1)
        it = Watched(*WHOLE)
        clock.advance(1)
        it.stream.gather()
    (told,) = it.told

    assert (told.call, told.url, told.model) == ("chat.stream", it.opened.url, "demo")
    assert (told.elapsed, told.first_token, told.error) == (2.0, 1.0, None)
    assert (told.prompt_tokens, told.completion_tokens) == (3, 2)


def test_a_close_from_another_thread_is_told_once():
    """Closer and reader meet: one of them ends the stream, and the reader gets Cancelled."""
    waiting, closed = threading.Event(), threading.Event()

    def wait():
        waiting.set()
        closed.wait(2)
        raise Cancelled("the call was ended by close()")

    it = Watched(chunk("one"), wait)

    def close():
        waiting.wait(2)
        it.stream.close()
        closed.set()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(Cancelled) as caught:
        it.stream.gather()
    closer.join()

    assert (caught.value.text, it.ended, len(it.told), it.told[0].error) == ("one", CLOSED, 1, None)


def test_breaking_out_of_the_loop_leaves_the_service():
    """``break`` drops the stream: the service sees its client go and stops."""
    with FaultServer() as server, FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="2.x") as client:
        server.on("POST", "/v1/chat/completions", chat_stream("one two")[:3] + stall())
        for _ in client.chat.stream("hi"):
            break

        assert server.wait_left(0.5)
        assert client.stats().total.calls == 1
