"""The session made here: what it leaves out, and that pools are kept by address."""

from __future__ import annotations

import pytest
import requests
from requests.structures import CaseInsensitiveDict
from support.transports import BoundTransport

from foundry_rest.testing import FaultServer, json_answer
from foundry_rest.transport.call import Call
from foundry_rest.transport.session.connections import Adapter, build_session

GET = Call("GET", "/status")


def prepared(url: str) -> requests.PreparedRequest:
    """Return a request that is ready to be sent."""
    return requests.Request("GET", url).prepare()


@pytest.fixture
def adapter():
    """An adapter without connections."""
    made = Adapter(4)
    yield made
    made.close()


def pool_of(adapter, url, **more):
    """Return the pool that an adapter would use."""
    return adapter.get_connection_with_tls_context(prepared(url), verify=True, **more)


def test_one_pool_for_an_address(adapter):
    """Paths share it; another port, and another name of the same machine, have their own."""
    first = pool_of(adapter, "http://127.0.0.1:1/a?b")

    assert pool_of(adapter, "http://127.0.0.1:1/") is first
    assert pool_of(adapter, "http://127.0.0.1:2/") is not first
    assert pool_of(adapter, "http://localhost:1/") is not first
    assert (first.host, first.port) == ("127.0.0.1", 1)


def test_a_closed_pool_is_made_anew(adapter):
    """Of many addresses the least used is closed; asking it again opens a new one."""
    first = pool_of(adapter, "http://127.0.0.1:1/")
    for port in range(2, 12):
        pool_of(adapter, f"http://127.0.0.1:{port}/")
    assert first.pool is None

    again = pool_of(adapter, "http://127.0.0.1:1/")
    assert again is not first
    assert again.pool is not None


def test_tls_and_proxies_are_requests_own(adapter):
    """Both depend on more than the address."""
    assert pool_of(adapter, "https://127.0.0.1:1/").scheme == "https"
    behind = pool_of(adapter, "http://far.example/", proxies={"http": "http://127.0.0.1:9"})
    assert behind.proxy.port == 9
    assert adapter.request_url(prepared("http://far.example/a"), {"http": "http://127.0.0.1:9"}) == (
        "http://far.example/a"
    )
    assert adapter.request_url(prepared("http://far.example/a?b=c"), {}) == "/a?b=c"


def test_an_answer_is_a_response_of_requests():
    """Code written for requests finds what it expects on an error's response; no cookie is kept."""
    headers = (("Set-Cookie", "a=b"), ("X-A", "1"))
    with FaultServer() as server:
        server.on("GET", "/status", json_answer({"error": "no"}, 400, headers))
        transport = BoundTransport(lambda: server.url)
        with pytest.raises(requests.HTTPError) as caught:
            transport.send(GET)
        transport.close()

    response = caught.value.response
    assert (response.status_code, response.reason, response.url) == (
        400,
        "Bad Request",
        f"{server.url}/status",
    )
    assert isinstance(response.headers, CaseInsensitiveDict)
    assert (response.headers["x-a"], response.encoding, response.json()) == ("1", "utf-8", {"error": "no"})
    assert (len(response.cookies), response.history, response.request.method) == (0, [], "GET")


def test_a_session_keeps_nothing():
    """No header, no cookie, and a fresh adapter for both schemes."""
    session = build_session(3)

    assert (dict(session.headers), len(session.cookies)) == ({}, 0)
    assert session.get_adapter("http://a") is session.get_adapter("https://a")
    session.close()
