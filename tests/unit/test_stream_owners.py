"""Whose a stream is: the process that opened it reads it, and dropping it releases everything in silence."""

from __future__ import annotations

import gc
import warnings

import pytest
from support.forks import forks, in_child
from support.servers import CHAT

from foundry_rest.errors import Cancelled
from foundry_rest.testing import chat_stream, paced, stall
from foundry_rest.transport.session.socket_handle import BoundedSocket


@forks
@pytest.mark.parametrize("how", ["whole", "paced"])
def test_a_forked_child_does_not_read_the_parents_stream(client, server, how):
    """Whatever is still to come is the parent's: the child is told so, and the parent reads all of it."""
    events = chat_stream("one two three")
    server.on("POST", CHAT, events if how == "whole" else paced(events, 0.02))
    stream = client.chat.stream("Hi")
    text = next(stream).content

    def work():
        with pytest.raises(Cancelled, match="parent process"):
            next(stream)
        stream.close()

    assert in_child(work) == 0
    assert text + "".join(chunk.content for chunk in stream) == "one two three"


@forks
def test_a_stream_that_has_ended_is_whole_in_a_child_too(client, server):
    """What was read before the fork stays what it is."""
    server.on("POST", CHAT, chat_stream("all of it"))
    stream = client.chat.stream("Hi")
    for _ in stream:
        pass

    def work():
        assert list(stream) == []
        assert stream.text == "all of it"

    assert in_child(work) == 0


def test_a_stream_dropped_in_a_cycle_warns_of_nothing(client, server):
    """The collector finds it in any order, and its connection is closed and not told as a leak."""
    server.on("POST", CHAT, chat_stream("one two three")[:2] + stall())

    class Holder:
        """An object that holds a stream and itself."""

    holder = Holder()
    holder.me, holder.stream = holder, client.chat.stream("Hi")
    next(holder.stream)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        del holder
        gc.collect()
    assert [str(each.message) for each in said] == []
    assert server.wait_left()


def test_a_connection_that_nobody_closed_is_told():
    """A socket that is dropped between two attempts is a leak like any other."""
    held = [BoundedSocket()]
    with pytest.warns(ResourceWarning, match="unclosed"):
        held.clear()
