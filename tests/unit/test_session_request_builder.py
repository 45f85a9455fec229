"""The headers of one attempt: as few as possible, the caller's win, and what cannot be sent is refused."""

from __future__ import annotations

import base64

import pytest
import requests
from requests.auth import AuthBase
from support.transports import GET, BoundTransport, ask

from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import BadRequest, ConfigError
from foundry_rest.testing import FaultServer, answer, json_answer
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT, Call, Options

KEY = "sk-very-secret"


@pytest.fixture
def server(server):
    """Answer everything with an empty object."""
    return server.otherwise(json_answer({}))


def test_a_request_is_as_small_as_it_can_be(server):
    """A GET has no body and no length; nothing is compressed; we say who asks."""
    request = ask(server)

    assert request.body == b""
    assert request.headers.get("Content-Length") is None
    assert request.headers.get("Accept") == "application/json"
    assert request.headers.get("Accept-Encoding") == "identity"
    assert request.headers.get("User-Agent").startswith("foundry_rest")
    assert request.headers.get("Authorization") is None


def test_a_body_is_sent_as_it_is(server):
    """The bytes of the call are the bytes on the wire; the path is not re-quoted."""
    request = ask(server, Call("POST", "/v1/models/demo:1?a=b", b'{"a": 1}'))

    assert (request.method, request.path, request.query) == ("POST", "/v1/models/demo:1", "a=b")
    assert (request.body, request.headers.get("Content-Length")) == (b'{"a": 1}', "8")
    assert request.headers.get("Content-Type") == "application/json"


def test_no_message_shows_the_key(server):
    """Neither repr nor str of what can be printed holds it."""
    transport = BoundTransport(lambda: server.url, api_key=KEY)
    server.otherwise(answer(400, b"bad"))
    with pytest.raises(BadRequest) as caught:
        transport.send(GET)
    transport.close()

    assert KEY not in f"{transport!r} {vars(transport)!r} {vars(transport._builder)!r}"
    assert KEY not in f"{caught.value!r} {caught.value} {caught.value.response!r}"


class Signature(AuthBase):
    """Sign with what is known of the request."""

    def __call__(self, request):
        """Add two headers."""
        request.headers["X-Signature"] = f"{request.method} {len(request.body or b'')}"
        request.headers["Authorization"] = "Custom x"
        return request


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        (Signature(), "Custom x"),
        (Signature().__call__, "Custom x"),
        (("user", "pass"), "Basic " + base64.b64encode(b"user:pass").decode()),
    ],
)
def test_auth_signs_every_request(auth, header, server):
    """An AuthBase, a function or a pair will do, and each wins over the key."""
    request = ask(server, Call("POST", "/x", b"{}"), auth=auth, api_key=KEY)

    assert request.headers.get_all("Authorization") == [header]
    assert request.headers.get("Content-Length") == "2"
    assert ask(server, auth=auth).headers.get("Content-Length") is None


def test_the_headers_of_a_call_win(server):
    """Per call over client, client over ours; names count whatever their case."""
    call = Call(
        "POST",
        "/x",
        b"{}",
        options=Options(headers={"authorization": "Call", "X-A": "call", "accept": "a/b"}),
    )
    request = ask(server, call, headers={"x-a": "client", "X-B": "client"}, api_key=KEY)

    assert request.headers.get_all("Authorization") == ["Call"]
    assert (request.headers.get_all("X-A"), request.headers.get("X-B")) == (["call"], "client")
    assert request.headers.get("Accept") == "a/b"


SPOILT = (f"{KEY}\r\nX-Evil: 1", f"{KEY}\nX: y", f"{KEY}\u2028", f"{KEY}\x00")


@pytest.mark.parametrize("value", [*SPOILT, f" {KEY}", 5, None])
@pytest.mark.parametrize("where", ["client", "call"])
def test_a_header_that_cannot_be_sent_is_refused(where, value, server):
    """A line end would smuggle a header in; the message never shows the value."""
    bad = {"X-Key": value}
    with pytest.raises(ConfigError, match="headers= holds a name or value that cannot be sent") as caught:
        ask(server, Call("GET", "/status", options=Options(headers=bad))) if where == "call" else ask(
            server, headers=bad
        )

    assert KEY not in f"{caught.value!r} {caught.value}"
    assert (caught.value.__cause__, server.connections) == (None, 0)


@pytest.mark.parametrize("value", SPOILT)
def test_a_key_that_cannot_be_sent_is_refused(value, server):
    """It is found when the client is made, and not shown."""
    with pytest.raises(ConfigError, match="api_key= holds") as caught:
        BoundTransport(lambda: server.url, api_key=value)

    assert KEY not in f"{caught.value!r} {caught.value}"


def test_a_header_that_auth_spoils_is_refused(server):
    """What a signature adds is checked by http.client, whose message would quote it."""

    def spoil(request):
        request.headers["Authorization"] = f"{KEY}\nX-Evil: 1"
        return request

    with pytest.raises(ConfigError, match="cannot be sent") as caught:
        ask(server, auth=spoil)

    assert KEY not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)


def test_large_headers_are_refused_where_the_service_resets(server):
    """2.x resets a connection above 4 KB without a word: refused before sending, and named."""
    native = {"header_limit": NATIVE_HEADER_LIMIT}
    with pytest.raises(ConfigError, match="resets the connection above 4,000") as caught:
        ask(server, Call("GET", "/status", label="raw", **native, options=Options(headers={"X": "x" * 4000})))

    assert (caught.value.call, server.connections) == ("raw", 0)
    largest = next(
        size
        for size in range(4000, 3000, -1)
        if passes(server, Call("GET", "/status", **native, options=Options(headers={"X": "x" * size})))
    )
    assert largest > 3500


def passes(server, call):
    """Tell whether a call is sent and answered."""
    try:
        ask(server, call)
    except ConfigError:
        return False
    return True


def test_large_headers_pass_where_no_limit_is_known():
    """A stranger's service gets what it is sent."""
    with FaultServer(header_limit=None) as server:
        request = ask(server, Call("GET", "/status", options=Options(headers={"X": "x" * 9000})))

    assert len(request.headers.get("X")) == 9000


def test_the_headers_and_auth_of_a_given_session_are_kept(server):
    """A session that a program has set up goes on saying what it says, and may change its mind."""
    session = requests.Session()
    session.headers.update({"X-Team": "a", "X-Bytes": b"raw", "Accept-Language": None})
    session.auth = ("user", "pass")
    transport = BoundTransport(lambda: server.url, session=session, headers={"X-Ours": "b"})
    transport.send(GET)
    first = server.requests[-1].headers
    session.headers["X-Team"] = "changed"
    session.auth = None
    transport.send(GET)
    second = server.requests[-1].headers

    assert (first.get("X-Team"), first.get("X-Ours"), first.get("X-Bytes")) == ("a", "b", "raw")
    assert first.get("Authorization").startswith("Basic ")
    assert first.get("Accept-Language") is None
    assert (second.get("X-Team"), second.get("Authorization")) == ("changed", None)


def test_a_key_wins_over_the_auth_of_a_given_session(server):
    """What is given to the client counts more than what the session has."""
    session = requests.Session()
    session.auth = ("user", "pass")

    assert ask(server, session=session, api_key=KEY).headers.get("Authorization") == f"Bearer {KEY}"
    session.close()


def test_hooks_and_adapters_of_a_given_session_are_kept(server):
    """Its response hooks are called, its adapters send, and closing the client leaves it open."""
    seen = []

    class Adapter(requests.adapters.HTTPAdapter):
        def send(self, request, **settings):
            seen.append("adapter")
            return super().send(request, **settings)

    with requests.Session() as session:
        session.mount("http://", Adapter())
        session.hooks["response"].append(lambda response, **_: seen.append(response.status_code))
        ask(server, session=session)

        assert seen == ["adapter", 200]
        assert session.get(server.url).status_code == 200


def test_an_error_holds_the_response_that_older_code_expects(server):
    """``error.response`` is requests' own, with the body read, for ``except requests.HTTPError``."""
    server.otherwise(answer(400, b'{"error": {"message": "no"}}', headers={"X-A": "1"}))
    with pytest.raises(requests.HTTPError) as caught:
        ask(server)

    response = caught.value.response
    assert (response.status_code, response.headers["X-A"]) == (400, "1")
    assert response.json() == {"error": {"message": "no"}}


def test_headers_too_long_for_an_unknown_service():
    """While it is unknown who answers, headers that 2.x would answer by a reset are not sent at all."""
    with FaultServer() as server, FoundryAPIClient(server.url, headers={"X-Long": "x" * 5000}) as client:
        with pytest.raises(ConfigError, match=r"above 4,000.*dialect='openai'"):
            client.complete("Hello")

        assert server.requests == []
