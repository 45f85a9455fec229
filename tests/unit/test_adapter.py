"""A session of requests on top of a client: the same code, with discovery, retries, circuit and deadline."""

from __future__ import annotations

import io
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support.servers import CHAT
from support.waits import until
from urllib3 import Timeout

from foundry_rest import FoundryAPIClient, RetryPolicy, clock
from foundry_rest.adapter import FoundryAdapter
from foundry_rest.errors import (
    Cancelled,
    CircuitOpen,
    ConfigError,
    DeadlineExceeded,
    FoundryError,
    InvalidReply,
    StreamInterrupted,
    UnsupportedByService,
)
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    answer,
    chat_stream,
    close_delimited,
    cut,
    error_stream,
    event,
    html_page,
    json_answer,
    json_error,
    stall,
    unavailable,
)

URL = "foundry://local/v1/chat/completions"
BODY = {"model": DEMO_MODEL, "messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**BODY, "stream": True}
HALF = chat_stream("one two three")[:3]
NOW = RetryPolicy(retries=2, base=0, floor=0)
MOUNTS = {"scheme": "foundry://local", "cloud": "https://cloud.test", "address": "http://127.0.0.1:1"}


@pytest.fixture
def session(client):
    """A session of the client."""
    with client.session() as made:
        yield made


def session_of(client, prefix="foundry://"):
    """Return a session with the client mounted."""
    session = requests.Session()
    session.mount(prefix, FoundryAdapter(client))
    return session


def texts_of(response):
    """Return what a reader of lines gets."""
    return [line for line in response.iter_lines() if line]


def test_an_answer(session):
    """It is a real response, with all that code reads of one."""
    response = session.post(URL, json=BODY)

    assert isinstance(response, requests.Response)
    assert (response.status_code, response.reason, response.ok) == (200, "OK", True)
    assert response.json()["choices"][0]["message"]["content"] == "Hello there"
    assert response.headers["content-type"].startswith("application/json")
    assert (response.url, response.request.method, response.encoding) == (URL, "POST", "utf-8")
    assert response.elapsed.total_seconds() > 0
    assert response.text == response.content.decode()


@pytest.mark.parametrize("base", MOUNTS.values(), ids=MOUNTS)
def test_on_any_prefix(server, client, base):
    """Mounted on an address that the code has today, the service that is found answers for it."""
    session = session_of(client, base)
    assert session.post(f"{base}/v1/chat/completions", json=BODY).ok
    assert session.get(f"{base}/v1/models", params={"q": "ä b", "n": [1, 2]}).ok
    (asked,) = server.asked("/v1/models")
    assert asked.query == "q=%C3%A4+b&n=1&n=2"


def test_other_addresses_are_left_alone(session):
    """What is not mounted goes where it always did."""
    with FaultServer() as other:
        assert session.get(f"{other.url}/status").ok
        assert other.asked("/status")


def test_what_is_sent_is_what_was_given(server, session):
    """The body's bytes, the verb, the query and the headers arrive unchanged."""
    server.on("*", "/any", json_answer({}))
    for data in (b'{"a": 1 }', '{"a": 1 }', io.BytesIO(b'{"a": 1 }'), iter([b'{"a"', b": 1 }"])):
        session.put(
            "foundry://local/any?x=1", data=data, headers={"X-Trace": "7", "Content-Type": "text/odd"}
        )
    requests_seen = server.asked("/any")

    assert {request.body for request in requests_seen} == {b'{"a": 1 }'}
    assert {(each.method, each.query) for each in requests_seen} == {("PUT", "x=1")}
    assert {each.headers.get("x-trace") for each in requests_seen} == {"7"}
    assert {each.headers.get("content-type") for each in requests_seen} == {"text/odd"}


def test_a_form_with_files(server, session):
    """A form is sent with its own boundary."""
    server.on("POST", "/v1/audio/transcriptions", json_answer({"text": "x"}))
    session.post("foundry://local/v1/audio/transcriptions", files={"file": b"RIFF"}, data={"model": "w"})
    (asked,) = server.asked("/v1/audio/transcriptions")

    boundary = asked.headers.get("content-type").partition("boundary=")[2]
    assert asked.body.count(boundary.encode()) == 3


KEYS = {
    "Authorization": "Bearer cloud-key-12345",
    "Cookie": "id=cloud-key-12345",
    "api-key": "cloud-key-12345",
    "X-API-Key": "cloud-key-12345",
    "x-goog-api-key": "cloud-key-12345",
    "X-Auth-Token": "cloud-key-12345",
    "Proxy-Authorization": "cloud-key-12345",
    "OpenAI-Organization": "cloud-key-12345",
}


def test_keys_of_the_session_do_not_travel(server, session, tmp_path, monkeypatch):
    """Its own were meant for another address: in headers, cookies, auth= or .netrc; a client's travels."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine local login me password cloud-key-12345\n")
    monkeypatch.setenv("NETRC", str(netrc))
    session.headers.update(KEYS)
    session.cookies.set("id", "cloud-key-12345", domain="local")
    session.auth = ("me", "cloud-key-12345")
    session.post(URL, json=BODY)
    (asked,) = server.asked(CHAT)
    assert b"cloud-key" not in repr(list(asked.headers)).encode()
    with FoundryAPIClient(server.url, model=DEMO_MODEL, api_key="our-own-key-1") as ours:
        ours.session().post(URL, json=BODY, headers=KEYS)
    assert server.asked(CHAT)[-1].headers.get("authorization") == "Bearer our-own-key-1"


def test_proxies_of_the_environment_are_not_used(server, session, monkeypatch):
    """Neither the environment's nor the session's proxies see a request."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    session.proxies = {"all": "http://127.0.0.1:1"}
    assert session.post(URL, json=BODY).ok


def test_cookies_are_not_kept(server, session):
    """A cookie of the service reaches neither the session nor the next request."""
    server.on("GET", "/c", answer(body=b"{}", headers=[("Set-Cookie", "a=1")]))
    assert not session.get("foundry://local/c").cookies
    assert not session.cookies


def test_a_redirect_is_a_response(server, session):
    """It is not followed: a prompt is for the service alone."""
    with FaultServer() as other:
        server.on("GET", "/r", answer(307, headers=[("Location", f"{other.url}/status")]))
        response = session.get("foundry://local/r")
        assert (response.status_code, response.history) == (307, [])
        assert not other.asked("/status")


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500, 503])
def test_a_refusal_is_a_response(server, session, status):
    """Its status and body are the service's, and ``raise_for_status`` raises."""
    server.on("POST", CHAT, json_error(status, "no such thing"))
    response = session.post(URL, json=BODY)

    assert response.status_code == status
    assert "no such thing" in response.text
    with pytest.raises(requests.HTTPError) as caught:
        response.raise_for_status()
    assert caught.value.response is response


def test_an_error_under_a_200(server, session):
    """What looks like an answer and is an error raises: it would be taken for an answer."""
    server.on("POST", CHAT, json_answer({"error": {"message": "it broke"}}))
    with pytest.raises(requests.HTTPError, match="it broke"):
        session.post(URL, json=BODY)


def test_a_stream(session, server):
    """Lines arrive as they are made, with the end that readers wait for."""
    server.on("POST", CHAT, chat_stream("one two three"))
    with session.post(URL, json=STREAM, stream=True) as response:
        lines = texts_of(response)
    assert all(line.startswith(b"data: ") for line in lines)
    assert lines[-1] == b"data: [DONE]"
    assert b"two" in b"".join(lines)


@pytest.mark.parametrize("size", [1, 7, 512, None])
def test_pieces_of_any_size(session, server, size):
    """``iter_content`` gives the same bytes whatever the size, none longer than asked for."""
    server.on("POST", CHAT, chat_stream("one two three"))
    whole = session.post(URL, json=STREAM).content
    server.on("POST", CHAT, chat_stream("one two three"))
    with session.post(URL, json=STREAM, stream=True) as response:
        pieces = list(response.iter_content(size))
    assert b"".join(pieces) == whole
    assert size is None or max(map(len, pieces)) <= size


def test_the_first_piece_comes_at_once(session, server):
    """A piece is handed on when it is there, not when a buffer is full."""
    server.on("POST", CHAT, HALF + stall())
    with session.post(URL, json=STREAM, stream=True) as response:
        assert next(response.iter_lines(chunk_size=8192)).startswith(b"data: ")


@pytest.mark.parametrize("end", [cut(), error_stream("it broke")], ids=["cut", "reported"])
@pytest.mark.parametrize(
    "read", [texts_of, lambda response: response.content, lambda r: list(r.iter_content())]
)
def test_a_cut_stream_raises(session, server, end, read):
    """It never ends tidily, however it is read; the error holds the text so far."""
    server.on("POST", CHAT, HALF + end)
    response = session.post(URL, json=STREAM, stream=True)
    with pytest.raises(requests.RequestException) as caught:
        read(response)
    assert isinstance(caught.value, StreamInterrupted)
    assert caught.value.text


def test_an_end_without_a_reason_raises(session, server):
    """A connection that closes tidily in the middle of an answer is a cut."""
    server.on("POST", CHAT, close_delimited([event("one")]))
    with pytest.raises(requests.RequestException, match="without"):
        session.post(URL, json=STREAM)


def test_leaving_a_stream_ends_it(session, server, client):
    """``close`` of the response gives the slot back and ends the service's work."""
    server.on("POST", CHAT, HALF + stall())
    with session.post(URL, json=STREAM, stream=True) as response:
        next(response.iter_lines())
        assert client.stats().slots.in_use == 1
    assert client.stats().slots.in_use == 0
    until(lambda: server.left == 1)


def test_a_model_is_loaded_on_demand(server, session):
    """A model that was dropped from memory is loaded again, once, as in every call."""
    session.post(URL, json={**BODY, "model": "demo"})
    server.loaded = []
    assert session.post(URL, json={**BODY, "model": "demo"}).ok
    assert len(server.asked(CHAT)) == 3


def test_an_alias_becomes_the_id(server, session):
    """The name in the body is the one that the service takes; the rest of the body is what was given."""
    session.post(URL, json={**BODY, "model": "demo", "odd": [1]})
    asked = server.asked(CHAT)[-1]
    assert (asked.json()["model"], asked.json()["odd"]) == (DEMO_MODEL, [1])


def test_failures_are_tried_again(server, client):
    """A passing failure is not seen by the code."""
    server.on("POST", CHAT, unavailable(), json_answer({"choices": []}))
    assert session_of(client.with_options(retries=NOW)).post(URL, json=BODY).ok


def test_a_request_that_may_act_is_sent_once(server, client):
    """Of a route that is not known nothing is repeated once it may have begun."""
    server.on("POST", "/act", cut(), json_answer({}))
    with pytest.raises(requests.ConnectionError):
        session_of(client.with_options(retries=NOW)).post("foundry://local/act", json={})
    assert len(server.asked("/act")) == 1


@pytest.mark.parametrize(
    "timeout", [0.03, (1, 0.03), Timeout(connect=1, read=0.03)], ids=["one", "two", "urllib3"]
)
def test_a_timeout_bounds_the_silence(server, session, timeout):
    """``timeout=`` means what it means in requests."""
    server.on("POST", CHAT, stall())
    with pytest.raises(requests.Timeout):
        session.post(URL, json=BODY, timeout=timeout)


@pytest.mark.parametrize("timeout", [(1, 2, 3), "1", 0, -1, (1, "x")])
def test_a_wrong_timeout(session, timeout):
    """It is refused before anything is sent."""
    with pytest.raises(requests.RequestException) as caught:
        session.post(URL, json=BODY, timeout=timeout)
    assert isinstance(caught.value, ConfigError)


def test_the_deadline_of_the_client(server, client):
    """It bounds the whole call, and is a ``requests.Timeout``, too."""
    server.on("POST", CHAT, stall())
    with pytest.raises(requests.Timeout) as caught:
        session_of(client.with_options(deadline=0.05)).post(URL, json=BODY)
    assert isinstance(caught.value, DeadlineExceeded)


def test_an_open_circuit(client, session):
    """It is a ``requests.ConnectionError``, too."""
    client.breaker.force_open()
    with pytest.raises(requests.ConnectionError) as caught:
        session.post(URL, json=BODY)
    assert isinstance(caught.value, CircuitOpen)


def test_a_closed_client(client, session):
    """A call that ``close`` ends is a ``requests.RequestException``, too."""
    client.close()
    with pytest.raises(requests.RequestException) as caught:
        session.post(URL, json=BODY)
    assert isinstance(caught.value, Cancelled)


def test_an_answer_that_is_no_stream(server, session):
    """A page in place of a stream is a ``requests.RequestException``, too."""
    server.on("POST", CHAT, html_page())
    with pytest.raises(requests.RequestException) as caught:
        session.post(URL, json=STREAM)
    assert isinstance(caught.value, InvalidReply)


def test_an_odd_path(server, session):
    """It is sent in the spelling of HTTP."""
    server.on("GET", "/a%20b", json_answer({"a": 1}))
    assert session.get("foundry://local/a b").json() == {"a": 1}


@pytest.mark.parametrize(
    "kind", [ConfigError, UnsupportedByService, CircuitOpen, DeadlineExceeded, Cancelled, InvalidReply]
)
def test_every_error_is_both(kind, monkeypatch, client, session):
    """Whatever class is raised, code that catches requests' errors catches it; pickles keep the facts."""

    def fail(*_, **__):
        raise kind("it broke", call="x", advice="Do this.")

    monkeypatch.setattr(type(client._context), "ask", fail)
    with pytest.raises(requests.RequestException) as caught:
        session.post(URL, json=BODY)
    same = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(same, kind)
    assert isinstance(same, FoundryError)
    assert str(same) == str(caught.value) == "it broke (x). Do this."


def test_hooks_are_called(session):
    """The session's hooks see the response."""
    seen = []
    session.hooks["response"].append(lambda response, **_: seen.append(response.status_code))
    session.post(URL, json=BODY)
    assert seen == [200]


def test_a_session_is_picklable(client):
    """A copy in another process makes its own client from the same settings."""
    session = pickle.loads(pickle.dumps(session_of(client)))
    assert session.post(URL, json=BODY).ok
    session.close()


def test_an_adapter_of_its_own(server, monkeypatch):
    """Without a client it makes one of the environment's settings, which the session closes."""
    monkeypatch.setenv("FOUNDRY_ENDPOINT", server.url)
    session = requests.Session()
    session.mount("foundry://", FoundryAdapter())
    assert session.post(URL, json=BODY).ok
    session.close()
    with pytest.raises(requests.RequestException):
        session.post(URL, json=BODY)


def test_a_session_leaves_its_client_open(client):
    """Closing a session closes a client of the caller's as little as a connection that others use."""
    client.session().close()
    assert client.complete("Hi").content


def test_a_prepared_request(client):
    """A request that is prepared by hand has its parameters, too."""
    session = session_of(client)
    prepared = requests.Request("GET", "foundry://local/v1/models", params={"a": "1"}).prepare()
    assert prepared.url == "foundry://local/v1/models?a=1"
    assert session.send(prepared).ok


def test_many_threads(session):
    """One session serves many threads."""
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: session.post(URL, json=BODY).ok, range(16)))


def test_the_wait_for_a_silent_stream_ends(server, session):
    """A stream that falls silent raises after the silence that was asked for."""
    server.on("POST", CHAT, HALF + stall())
    began = clock.monotonic()
    with pytest.raises(requests.RequestException):
        session.post(URL, json=STREAM, timeout=0.05)
    assert clock.monotonic() - began < 1
