"""Headers that follow from a request are not given by hand; those that hold keys are not shown after it."""

from __future__ import annotations

import copy
import pickle
import traceback
from itertools import chain

import pytest
import requests
from requests.auth import HTTPBasicAuth
from support.cases import each_case
from support.servers import CHAT
from support.transports import ask

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError, FoundryError, ServiceError
from foundry_rest.testing import (
    DEMO_MODEL,
    answer,
    chat_events,
    cut,
    error_stream,
    event,
    html_page,
    inference_failed,
    json_answer,
    json_error,
    reset,
    sse,
    stall,
    too_many,
)
from foundry_rest.transport.call import Call, Options

KEY, PROMPT = "SENTINEL-KEY", "SENTINEL-PROMPT"
WAYS = {
    "whole": lambda client: client.complete(PROMPT),
    "stream": lambda client: client.stream_complete(PROMPT).gather(),
}
WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
GIVEN = pytest.mark.parametrize("given", [False, True], ids=["own session", "given session"])
FRAMING = ("Content-Length", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect")


@pytest.mark.parametrize("where", ["client", "call"])
@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.swapcase])
@pytest.mark.parametrize("name", ["Host", *FRAMING])
def test_headers_that_follow_from_the_request(name, spell, where, server):
    """They are refused by name, in any case, before anything is sent."""
    bad = {"X-Good": "1", spell(name): "5"}
    of_call, of_client = ({}, bad) if where == "client" else (bad, {})
    with pytest.raises(ConfigError, match=rf"headers= must not hold {name}"):
        ask(server, Call("POST", "/x", b"{}", options=Options(headers=of_call)), headers=of_client)

    assert server.connections == 0


@pytest.mark.parametrize("name", FRAMING)
def test_framing_in_a_sessions_headers(name, server):
    """A session that would spoil every request is refused, and said to be the place."""
    session = requests.Session()
    session.headers[name] = "5"
    with pytest.raises(ConfigError, match=rf"session\.headers must not hold {name}"):
        ask(server, session=session)


@pytest.mark.parametrize("method", ["complete", "stream_complete", "request", "health_check"])
def test_every_method_refuses_them(method, client, server):
    """The rule is that of the transport, so no door goes around it."""
    first = ("GET", "/status") if method == "request" else () if method == "health_check" else ("Hi",)
    with pytest.raises(ConfigError, match="must not hold Host"):
        getattr(client, method)(*first, headers={"host": "evil.example"})

    assert not server.asked(CHAT)


CREDENTIALS = {
    "api_key=": {"api_key": KEY},
    "auth= pair": {"auth": ("user", KEY)},
    "auth= Basic": {"auth": HTTPBasicAuth(KEY, "x")},
    "auth= function": {"auth": lambda request: request.headers.update({"X-Sign": KEY}) or request},
    "headers= Authorization": {"headers": {"Authorization": f"Bearer {KEY}"}},
    "headers= api-key": {"headers": {"api-key": KEY}},
    "headers= X-Api-Key": {"headers": {"X-API-KEY": KEY}},
    "headers= Cookie": {"headers": {"Cookie": f"session={KEY}"}},
    "headers= of a gateway": {"headers": {"Ocp-Apim-Subscription-Key": KEY}},
    "headers= of anybody": {"headers": {"X-Whatever": KEY}},
}
FAILURES = {
    "400": json_error(400, "no"),
    "401": json_error(401, "who?"),
    "429": too_many(0),
    "500": inference_failed(),
    "a page": html_page(502),
    "in the stream": error_stream(after=["a"]),
    "reset": reset(),
    "cut": cut(),
    "silence": stall(),
}


def requests_of(error):
    """Yield every request that can be reached from an error by attributes that people look at."""
    seen = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, requests.PreparedRequest):
            yield one
        names = ("request", "response", "__cause__", "__context__")
        waiting += [getattr(one, name, None) for name in names] + list(getattr(one, "history", ()))


@WAY
@GIVEN
@each_case("script", FAILURES.values())
@pytest.mark.parametrize("credentials", CREDENTIALS.values(), ids=CREDENTIALS)
def test_no_error_shows_a_key(credentials, script, given, way, server):
    """Neither in the headers of the requests it leads to, nor in copies and pickles of it."""
    server.on("POST", CHAT, script)
    session = requests.Session() if given else None
    settings = {"model": DEMO_MODEL, "retries": 0, "dialect": "2.x", "timeout": 0.03, "session": session}
    client = FoundryAPIClient(server.url, **settings, **credentials)
    with client, pytest.raises(FoundryError) as caught:
        way(client)
    error = caught.value
    copies = [pickle.loads(pickle.dumps(error)), copy.copy(error)]
    shown = [dict(request.headers) for one in chain([error], copies) for request in requests_of(one)]

    basic = requests.auth._basic_auth_str(KEY, "x")[6:-4]
    assert not [headers for headers in shown if KEY in str(headers) or basic in str(headers)]
    assert KEY.encode() not in pickle.dumps(error)
    assert PROMPT.encode() not in pickle.dumps(error)
    assert KEY not in "".join(traceback.format_exception(error))


def test_what_an_error_still_shows(server):
    """Verb, address and the headers that hold no key; names are kept, values are stars."""
    server.otherwise(json_error(400, "no"))
    with pytest.raises(ServiceError) as caught:
        ask(server, Call("POST", "/x", b"{}"), headers={"X-Team": "a"}, api_key=KEY)
    request = pickle.loads(pickle.dumps(caught.value)).response.request

    assert (request.method, request.url) == ("POST", f"{server.url}/x")
    assert request.headers["authorization"] == request.headers["X-Team"] == "***"
    assert (request.headers["Content-Type"], request.headers["Content-Length"]) == ("application/json", "2")
    assert request.headers["User-Agent"].startswith("foundry_rest")


@GIVEN
def test_the_next_attempt_has_its_key(given, server):
    """Hiding belongs to a request that is over: the next one is signed as ever."""
    server.otherwise(json_error(503, "busy"), json_answer({}))
    session = requests.Session() if given else None
    with FoundryAPIClient(server.url, api_key=KEY, session=session, dialect="2.x") as client:
        client.request("GET", "/status")

    assert [request.headers.get("Authorization") for request in server.requests] == [f"Bearer {KEY}"] * 2


def page(status, text):
    """Answer with a page of HTML."""
    return answer(status, text.encode(), content_type="text/html")


#: Where a gateway repeats what it got -> the script that does.
REPEATS = {
    "an error's message": lambda said: json_error(401, f"bad key {said}"),
    "an error page": lambda said: page(502, f"<html><title>{said}</title></html>"),
    "a page in place of an answer": lambda said: page(200, f"<p>{said}</p>"),
    "a redirect": lambda said: answer(
        302, b"", headers=[("Location", f"http://127.0.0.1:1/login?key={said}")]
    ),
    "the first event": lambda said: sse([event(f'{{"error": {{"message": "no {said}"}}}}')]),
    "a later event": lambda said: sse([*chat_events("a", None), event(f'{{"error": "no {said}"}}')]),
    "a named event": lambda said: sse([*chat_events("a", None), event(f"no {said}", name="error")]),
    "a text": lambda said: answer(400, f"who is {said}?".encode(), content_type="text/plain"),
    "a header's name": lambda said: answer(403, b"{}", headers=[("X-Seen", said)]),
}


@WAY
@GIVEN
@each_case("name", REPEATS)
@pytest.mark.parametrize("credentials", CREDENTIALS.values(), ids=CREDENTIALS)
def test_a_key_that_is_repeated(credentials, name, given, way, server, caplog):
    """Stars stand in its place wherever it could be kept."""
    server.on("POST", CHAT, REPEATS[name](KEY))
    session = requests.Session() if given else None
    settings = {"model": DEMO_MODEL, "retries": 0, "dialect": "2.x", "session": session, "auto_load": False}
    with (
        caplog.at_level("DEBUG", "foundry_rest"),
        FoundryAPIClient(server.url, **settings, **credentials) as client,
        pytest.raises(FoundryError) as caught,
    ):
        way(client)
    error = caught.value
    response = getattr(error, "response", None)

    assert KEY not in str(error) + repr(error) + repr(error.attempts) + caplog.text
    assert KEY.encode() not in pickle.dumps(error) + getattr(error, "body", b"")
    assert response is None or KEY not in response.text + str(response.headers)
    assert "***" in str(error) + str(getattr(error, "body", b"")) + str(getattr(response, "headers", ""))
