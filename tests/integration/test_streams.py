"""Streams of the real runtime: token by token, stopped when left, on few connections, from many threads."""

from __future__ import annotations

import statistics
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psutil
import pytest

from foundry_rest import BadRequest, Cancelled, DeadlineExceeded, FoundryAPIClient, clock

pytestmark = pytest.mark.runtime
ID = "demo-chat-generic-cpu:1"
STORY = "Write a story about AI"
#: Makes the model write until `max_tokens`, about 3,000 tokens a second.
ENDLESS = {"type": "lark_grammar", "lark_grammar": "start: /[a-z ]{60000}/"}


def endless(client):
    """Return a stream that goes on for a second or more."""
    return client.chat.stream("Hello", response_format=ENDLESS, max_tokens=4000)


def halfway(client):
    """Return the time, in seconds, at which this machine is in the middle of writing the endless text."""
    started = clock.monotonic()
    arrivals = [clock.monotonic() - started for chunk in endless(client) if chunk.content]
    return (arrivals[0] + arrivals[-1]) / 2


def connections(url):
    """Return the local ports of this process's connections to the service."""
    port = urlsplit(url).port
    return {
        held.laddr.port
        for held in psutil.Process().net_connections("tcp4")
        if held.raddr and held.raddr.port == port and held.status == psutil.CONN_ESTABLISHED
    }


def burnt(pid):
    """Return the CPU seconds that the process took so far."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def idles_soon(pid, within):
    """Tell whether the process stops working within 2 seconds: 0.1 s at less than a third of one core."""

    def idle():
        before = burnt(pid)
        clock.sleep(0.1)
        return burnt(pid) - before < 0.03

    return within(2, idle)


def test_tokens_arrive_one_by_one(client):
    """The first token is there long before the last, and every chunk as it is made."""
    started = clock.monotonic()
    arrivals = [clock.monotonic() - started for chunk in endless(client) if chunk.content]

    assert len(arrivals) > 1000
    assert arrivals[0] < arrivals[-1] / 4
    assert len(set(arrivals)) > 500


def leave_by_break(stream):
    """Leave the loop and forget the stream."""
    for _ in stream:
        break


def leave_by_close(stream):
    """Close in the middle."""
    next(stream)
    stream.close()


def leave_by_with(stream):
    """Leave the block in the middle."""
    with stream:
        next(stream)


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_close, leave_by_with])
def test_leaving_stops_the_service(runtime, client, within, leave):
    """Leaving a stream, in whatever way, stops the service's work; the next answer comes at once."""
    leave(endless(client))
    assert idles_soon(runtime.pid, within)
    before = clock.monotonic()
    assert client.complete("Say OK", temperature=0).content == "OK"
    assert clock.monotonic() - before < 0.5


def test_completion_that_is_given_up_stops_the_service(runtime, client, within):
    """A plain completion that runs out of time stops too: it keeps what it has, and the service idles."""
    deadline = halfway(client)
    before = clock.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        client.chat.complete("Hello", response_format=ENDLESS, max_tokens=4000, deadline=deadline)

    assert deadline - 0.05 < clock.monotonic() - before < deadline + 0.2
    assert caught.value.text
    assert idles_soon(runtime.pid, within)


def test_close_from_another_thread(client):
    """`close` from another thread ends a reader at once, as Cancelled with the text so far."""
    stream = endless(client)
    next(stream)
    closed: list[float] = []

    def close():
        clock.sleep(0.1)
        closed.append(clock.monotonic())
        stream.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(Cancelled) as caught:
        for _ in stream:
            pass
    late = clock.monotonic() - closed[0]
    thread.join()

    assert late < 0.2
    assert caught.value.text == stream.text != ""


def test_three_streams_on_one_connection(runtime, client, answers):
    """A connection is kept after a stream that was read to its end, and used by the next one."""
    used, before = [], connections(runtime.url)
    for question in ("Say OK", "Say yes", "Who wrote Hamlet?"):
        with client.stream_complete(question, temperature=0) as stream:
            assert "".join(chunk.content for chunk in stream) == answers[question]
        used.append(connections(runtime.url) - before)

    assert len(used[0]) == 1
    assert used[0] == used[1] == used[2]


def test_connection_is_kept_after_a_refusal(runtime, client):
    """An error, plain or inside a stream, leaves the connection usable."""
    others = connections(runtime.url)
    client.complete("Say OK")
    before = connections(runtime.url)
    for params in ({"max_tokens": 5000}, {"presence_penalty": 1}):
        with pytest.raises(BadRequest):
            client.complete("Say OK", **params)

    assert connections(runtime.url) == before
    assert len(before - others) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_QUICKACK is Linux's")
def test_reused_connection_is_not_delayed(runtime):
    """A completion on a reused connection does not wait 40 ms for a delayed acknowledgement."""
    with FoundryAPIClient(runtime.url, model=ID) as client:
        client.complete("Say OK")
        elapsed = [client.complete("Say OK", temperature=0).elapsed for _ in range(20)]

    assert statistics.median(elapsed) < 0.03


def test_many_threads(runtime, pairs):
    """Eight threads with one client get five answers each, and each its own."""
    asked = [pair["question"] for pair in pairs if len(pair["answer"]) < 120][:40]
    right = {pair["question"]: pair["answer"] for pair in pairs}
    before = connections(runtime.url)
    with FoundryAPIClient(runtime.url, model="demo-chat") as client, ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda question: client.complete(question, temperature=0).content, asked))
        assert len(connections(runtime.url) - before) <= 8

    assert len(asked) == 40
    assert got == [right[question] for question in asked]


def test_streams_side_by_side(client, answers):
    """Streams that are read in turn do not mix."""
    questions = ["Who wrote Hamlet?", "Tell me a joke", "What is the capital of Japan?"]
    streams = {question: client.stream_complete(question, temperature=0) for question in questions}
    open_ones = dict(streams)
    while open_ones:
        for question, stream in list(open_ones.items()):
            if next(stream, None) is None:
                del open_ones[question]

    assert {question: stream.text for question, stream in streams.items()} == {
        question: answers[question] for question in questions
    }


def test_cold_start_from_many_threads(own_runtime):
    """Eight threads that ask for a model that is not in memory all get their answer; it is loaded once."""
    with FoundryAPIClient(own_runtime.url, model="demo-chat") as client, ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: client.complete("Say OK", temperature=0).content, range(8)))

    assert got == ["OK"] * 8
