"""What one attempt must not do: ask the environment, keep cookies, follow redirects, outlive close()."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import requests
import responses
from support.transports import GET, BoundTransport, ask

from foundry_rest.errors import BadRequest, Cancelled, ConfigError, DeadlineExceeded, ServiceError
from foundry_rest.testing import answer, chunked, dead_address, json_answer, json_error, stall
from foundry_rest.transport.call import Call, Options

KEY = "sk-very-secret"


@pytest.fixture
def server(server):
    """Answer everything with an empty object."""
    return server.otherwise(json_answer({}))


@pytest.mark.parametrize("given", [False, True])
def test_loopback_never_goes_through_a_proxy(given, server, monkeypatch):
    """Proxies of the environment are for other machines, whatever no_proxy says; so are a session's."""
    with dead_address() as dead:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, dead)
        session = requests.Session() if given else None
        if session is not None:
            session.proxies = {"http": dead, "all": dead}

        assert ask(server, session=session).path == "/status"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows looks up fewer spellings")
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::ffff:127.0.0.1]", "127.0.0.1", "LOCALHOST"],
)
def test_this_machine_is_reached_in_any_spelling(host, given, server, monkeypatch):
    """The connection goes there, and to no proxy."""
    port = server.url.rpartition(":")[2]
    with dead_address() as dead:
        for name in ("http_proxy", "all_proxy"):
            monkeypatch.setenv(name, dead)
        transport = BoundTransport(
            lambda: f"http://{host}:{port}", session=requests.Session() if given else None
        )
        transport.send(GET)
        transport.close()

    assert server.requests[-1].path == "/status"


@pytest.mark.parametrize("source", ["environment", "environment, given session", "session"])
def test_other_machines_go_through_the_proxy(source, server, monkeypatch):
    """A host that is not this machine is reached as the environment or the session says."""
    session = None if source == "environment" else requests.Session()
    if source == "session":
        session.proxies = {"http": server.url}
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1" if source == "session" else server.url)
    transport = BoundTransport(lambda: "http://foundry.example:5273", session=session)
    transport.send(GET)
    transport.send(GET)
    transport.close()

    assert server.requests[-1].headers.get("Host") == "foundry.example:5273"
    assert server.connections == 1


@pytest.mark.parametrize("given", [False, True])
def test_netrc_never_replaces_the_key(given, server):
    """A default entry in ~/.netrc is not looked at, not even without a key."""
    netrc = Path.home() / ".netrc"
    netrc.write_text("default login eve password stolen\n")
    netrc.chmod(0o600)
    session = requests.Session() if given else None

    assert ask(server, api_key=KEY, session=session).headers.get("Authorization") == f"Bearer {KEY}"
    assert ask(server, session=session).headers.get("Authorization") is None


def test_no_cookie_is_kept(server, transport):
    """What a server sets is neither stored nor sent back."""
    server.otherwise(json_answer({}, headers={"Set-Cookie": "spy=1; Path=/"}))
    transport.send(GET)
    transport.send(GET)

    assert server.requests[-1].headers.get("Cookie") is None


@pytest.mark.parametrize(
    "location", ["/elsewhere", "http://[bad", "//evil.example/x", "http://user:pass@127.0.0.1:1/"]
)
def test_a_redirect_is_an_error_that_says_so(location, server, transport):
    """A POST would become a GET: the answer is a ServiceError, and a broken Location is no other one."""
    server.otherwise(answer(302, b"moved", headers={"Location": location}))
    with pytest.raises(ServiceError, match="redirects are not followed") as caught:
        transport.send(Call("POST", "/v1/chat/completions", b"{}", label="chat.complete"))

    assert (caught.value.status, len(server.requests)) == (302, 1)
    assert location in str(caught.value)


def test_the_body_of_a_redirect_is_not_read_whole(server, transport):
    """The library would read it to its end, however long."""
    server.otherwise(chunked([b"x" * 50_000] * 8, status=302, headers={"Location": "/x"})[:-1] + stall())
    with pytest.raises(ServiceError, match="redirects"):
        transport.send(GET)

    assert server.wait_left()


def test_a_passed_deadline_sends_nothing(server, transport):
    """A call whose time is over is not begun."""
    with pytest.raises(DeadlineExceeded, match="before the request was sent"):
        transport.send(Call("GET", "/status", options=Options(until=0.0)))

    assert server.connections == 0


def test_an_address_that_cannot_be_used_is_a_config_error():
    """The transport takes what it is told, and says so when that cannot be an address."""
    with pytest.raises(ConfigError, match="address cannot be used"):
        BoundTransport(lambda: "http://[::bad").send(GET)


def test_many_addresses_do_not_fill_the_memory(server, transport):
    """Prepared addresses are kept, but not without end."""
    for number in range(300):
        transport._builder._url(f"{server.url}/{number}")

    assert len(transport._builder._urls) <= 256


def test_close_is_idempotent_and_final(server, transport):
    """Closing twice is closing once; a call on a closed client is Cancelled."""
    transport.send(GET)
    transport.close()
    transport.close()
    with pytest.raises(Cancelled, match="the client is closed") as caught:
        transport.send(GET)

    assert (caught.value.call, caught.value.model) == ("health.check", "demo")
    assert server.wait_closed()
    with pytest.raises(Cancelled):
        transport.open(GET)


@responses.activate
def test_the_responses_library_works():
    """Code tested with ``responses`` goes on being testable: plain, error and stream."""
    responses.get("http://127.0.0.1:9/status", json={"a": 1})
    responses.get("http://127.0.0.1:9/bad", json={"error": {"message": "no"}}, status=400)
    responses.post(
        "http://127.0.0.1:9/sse", b'data: {"a":1}\n\ndata: [DONE]\n\n', content_type="text/event-stream"
    )
    for session in (None, requests.Session()):
        transport = BoundTransport(lambda: "http://127.0.0.1:9", session=session)

        assert transport.send(GET).raw == {"a": 1}
        with pytest.raises(BadRequest, match="no"):
            transport.send(Call("GET", "/bad"))
        opened = transport.open(Call("POST", "/sse", b"{}"))
        assert list(opened) == [b'{"a":1}', b"[DONE]"]
        opened.close()
        transport.close()


def test_an_error_that_is_kept_holds_no_connection(server, transport):
    """close() closes the idle connections too, though an error's traceback still holds their pool."""
    server.on("GET", "/status", json_error(500, "no"), json_answer({}))
    with pytest.raises(ServiceError) as kept:
        transport.send(GET)
    transport.send(GET)
    assert server.open_connections == 1
    transport.close()

    assert server.wait_closed()
    assert kept.value.__traceback__ is not None
