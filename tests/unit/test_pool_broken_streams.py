"""A stream that breaks is the first sign of a service that has moved: the next call looks for it."""

from __future__ import annotations

import pytest
from support.discovery import moved, register
from support.servers import CHAT

from foundry_rest import RetryPolicy
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import CircuitOpen, StreamInterrupted
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_stream, cut

SOON = RetryPolicy(retries=3, base=0.01, floor=0.001)


@pytest.mark.parametrize("broken", [chat_stream()[:4] + cut(), chat_stream(finish=None, done=False)])
def test_a_broken_stream_starts_a_search(told, broken):
    """It may open the circuit of an address that the service has left: the next call follows it."""
    with FaultServer() as old, FaultServer(reply="second") as new:
        register(old.url)
        old.on("POST", CHAT, broken)
        policy = BreakerPolicy(failures=1)
        with FoundryAPIClient(
            model=DEMO_MODEL, retries=SOON, breaker=policy, observers=[told.append]
        ) as client:
            with pytest.raises(StreamInterrupted):
                list(client.stream_complete("Hi"))
            old.stop()
            register(new.url)

            assert client.complete("Hi").content == "second"
    assert moved(told) == [(old.url, new.url)]


def test_a_service_that_breaks_streams_and_stays(told):
    """It is found at its address again, with its names and its open circuit."""
    with FaultServer() as server:
        register(server.url)
        server.on("POST", CHAT, chat_stream()[:4] + cut())
        with FoundryAPIClient(
            model="demo", retries=SOON, breaker=BreakerPolicy(failures=1), observers=[told.append]
        ) as client:
            with pytest.raises(StreamInterrupted):
                list(client.stream_complete("Hi"))
            with pytest.raises(CircuitOpen):
                client.complete("Hi")

            assert client._context.names.get("demo") is not None
    assert moved(told) == []
