"""Cancel tokens: any thread ends a call, wherever it waits."""

from __future__ import annotations

import threading

import pytest
from support.servers import CHAT

from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import Cancelled
from foundry_rest.testing import FaultServer, chat_stream, stall
from foundry_rest.transport.cancellation import CancelToken


def test_watchers_are_called_once():
    """Who watches is called when the token is cancelled, and not again."""
    token, calls = CancelToken(), []
    token.watch(lambda: calls.append(1))
    token.cancel()
    token.cancel()

    assert calls == [1]
    assert token.cancelled


def test_a_late_watcher_is_called_at_once():
    """A token that was cancelled before wakes who begins to watch now."""
    token, calls = CancelToken(), []
    token.cancel()
    with token.watched(lambda: calls.append(1)):
        pass

    assert calls == [1]


def test_an_ended_watch_is_forgotten():
    """After the block nothing is called, and nothing is kept."""
    token, calls = CancelToken(), []
    with token.watched(lambda: calls.append(1)):
        pass
    token.cancel()

    assert calls == []
    assert not token._watchers


def cancel_when_asked(server: FaultServer, token: CancelToken) -> threading.Thread:
    """Cancel from another thread as soon as the chat request is on the wire."""

    def run() -> None:
        server.wait_requests(2)
        token.cancel()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("script", [stall(), chat_stream("one two")[:1] + stall()])
def test_a_call_that_waits_is_ended(script):
    """A wait for the head or for the first event ends at once, and the service sees the client leave."""
    token = CancelToken()
    with FaultServer() as server, FoundryAPIClient(server.url, model="demo", retries=3) as client:
        server.on("POST", CHAT, script)
        canceller = cancel_when_asked(server, token)
        with pytest.raises(Cancelled):
            client.chat.complete("Hello", model="demo-generic-cpu:1", cancel=token)
        canceller.join()

        assert server.wait_left()
        assert len(server.asked(CHAT)) == 1


def test_a_stream_that_stalls_is_ended_with_its_text():
    """Cancelled within a stream holds the text so far."""
    token = CancelToken()
    with FaultServer() as server, FoundryAPIClient(server.url) as client:
        server.on("POST", CHAT, chat_stream(["one", " two"])[:4] + stall())
        stream = client.chat.stream("Hello", model="demo-generic-cpu:1", cancel=token)
        next(stream)
        next(stream)
        canceller = threading.Thread(target=token.cancel)
        canceller.start()
        with pytest.raises(Cancelled) as caught:
            stream.gather()
        canceller.join()

        assert caught.value.text.startswith("one")


def test_other_calls_go_on():
    """A token ends its own calls only, and a finished call leaves nothing in it."""
    token = CancelToken()
    with FaultServer() as server, FoundryAPIClient(server.url, model="demo-generic-cpu:1") as client:
        first = client.chat.complete("Hello", cancel=token).content
        left_over = dict(token._watchers)
        token.cancel()
        second = client.chat.complete("Hello").content

        assert first == second == "Hello there"
        assert not left_over


def test_a_cancelled_token_sends_nothing():
    """A call with a token that is cancelled already never reaches the wire."""
    token = CancelToken()
    token.cancel()
    with FaultServer() as server, FoundryAPIClient(server.url, dialect="2.x") as client:
        with pytest.raises(Cancelled):
            client.request("GET", "/status", cancel=token)

        assert server.requests == []
