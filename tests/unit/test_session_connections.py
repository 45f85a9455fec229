"""The session made here: what it leaves out, and that pools are kept by address."""

from __future__ import annotations

import errno
import gc
import socket

import pytest
import requests
from requests.structures import CaseInsensitiveDict
from support.transports import BoundTransport

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ServiceTimeout, ServiceUnreachable
from foundry_rest.testing import FaultServer, json_answer
from foundry_rest.transport.call import Call
from foundry_rest.transport.session.connections import Adapter, build_session
from foundry_rest.transport.session.socket_handle import BoundedSocket

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


def of_names(addresses):
    """Return a ``getaddrinfo`` that knows these addresses, in this order."""

    def look_up(host, port, **_):
        families = {4: socket.AF_INET, 16: socket.AF_INET6}
        return [
            (families[16 if ":" in address else 4], socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    return look_up


def tried(monkeypatch, addresses, failures):
    """Return the addresses that are connected to, in their order, where each fails in its way."""
    seen = []

    def connect(sock, address):
        seen.append(address[0])
        raise failures[address[0]]

    monkeypatch.setattr(socket, "getaddrinfo", of_names(addresses))
    monkeypatch.setattr(BoundedSocket, "connect", connect)
    return seen


@pytest.mark.parametrize("order", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
def test_localhost_is_first_an_address_of_ipv4(monkeypatch, order):
    """The services listen there; a refused connection to the other one takes 2 s on Windows."""
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    seen = tried(monkeypatch, order, dict.fromkeys(order, refused))
    with FoundryAPIClient("http://localhost:9", retries=0) as client, pytest.raises(ServiceUnreachable):
        client.request("GET", "/status")

    assert seen == ["127.0.0.1", "::1"]


def test_other_names_keep_the_order_of_the_resolver(monkeypatch):
    """Only for ``localhost`` is the family known to be right."""
    order = ("2001:db8::1", "127.0.0.1")
    seen = tried(monkeypatch, order, dict.fromkeys(order, TimeoutError()))
    with FoundryAPIClient("http://far.example:9", retries=0) as client, pytest.raises(ServiceTimeout):
        client.request("GET", "/status")

    assert seen == list(order)


@pytest.mark.parametrize("order", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
def test_refused_by_one_address_is_refused(monkeypatch, order):
    """An address that is silent says less than one that refuses, in whichever order they are tried."""
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens")
    tried(monkeypatch, order, {"::1": TimeoutError("silent"), "127.0.0.1": refused})
    client = FoundryAPIClient("http://localhost:9", retries=0)
    with client, pytest.raises(ServiceUnreachable, match=r"refused|nobody listens"):
        client.request("GET", "/status")


def test_a_family_that_the_kernel_lacks_is_passed_over(monkeypatch, server):
    """A name may have an address of IPv6 on a machine without it: the next address is tried."""
    port = int(server.url.rpartition(":")[2])
    monkeypatch.setattr(socket, "getaddrinfo", of_names(("2001:db8::1", "127.0.0.1")))
    made = BoundedSocket.__init__

    def init(sock, family=-1, *rest):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no such family")
        made(sock, family, *rest)

    monkeypatch.setattr(BoundedSocket, "__init__", init)
    with FoundryAPIClient(f"http://far.example:{port}", retries=0, dialect="2.x") as client:
        assert client.request("GET", "/status").status == 200
    gc.collect()  # a socket that was never made has nothing to close, and says nothing
