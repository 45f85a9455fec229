"""The id of a call: in its events, in the log, and on the wire."""

from __future__ import annotations

import pytest
import requests
from support.servers import CHAT

from foundry_rest import RetryPolicy
from foundry_rest.client import FoundryAPIClient
from foundry_rest.events import AttemptFailed, CallFinished
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_stream, unavailable

SOON = RetryPolicy(retries=2, base=0, floor=0)


@pytest.fixture
def server():
    """Return a service."""
    with FaultServer() as started:
        yield started


def ids(server, path=CHAT) -> list[str | None]:
    """Return the ids that came with the requests."""
    return [request.headers.get("X-Request-Id") for request in server.asked(path)]


def test_each_call_has_its_own(server, told):
    """All attempts of a call are sent with the id that its events name; another call has another one."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=SOON, observers=[told.append]) as client:
        server.on("POST", CHAT, unavailable(0), chat_stream("a"), chat_stream("b"))
        client.complete("Hi")
        client.complete("Hi")
        finished = [event.call_id for event in told if isinstance(event, CallFinished)]
        failed = [event.call_id for event in told if isinstance(event, AttemptFailed)]

    assert ids(server)[-3:] == [failed[-1], finished[-2], finished[-1]]
    assert failed[-1] == finished[-2] != finished[-1]


def test_streams_and_other_routes(server, told):
    """Every request that is one of a call has it."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, observers=[told.append]) as client:
        list(client.stream_complete("Hi"))
        client.request("GET", "/status")
        finished = [event.call_id for event in told if isinstance(event, CallFinished)]

    assert ids(server)[-1] == finished[-2]
    assert ids(server, "/status")[-1] == finished[-1]


@pytest.mark.parametrize("given", ["call", "client", "session"])
def test_the_callers_own(server, given):
    """An id that the program gives by a header is sent in its place."""
    header = {"x-request-id": "mine"}
    session = requests.Session()
    session.headers.update(header if given == "session" else {})
    with FoundryAPIClient(
        server.url, model=DEMO_MODEL, headers=header if given == "client" else None, session=session
    ) as client:
        client.complete("Hi", headers=header if given == "call" else None)

    assert ids(server)[-1] == "mine"


def test_no_call(server):
    """A health check sends what it needs, and belongs to no call."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL) as client:
        assert client.health.is_alive()

    assert set(ids(server, "/status")) == {None}
