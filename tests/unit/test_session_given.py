"""A caller's own session: its adapters and hooks are kept, and change no error, no cure and no bound."""

from __future__ import annotations

import json
import threading
import time
from functools import partial

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from support.servers import CHAT
from urllib3.util.retry import Retry

from foundry_rest import CancelToken, FoundryAPIClient, RetryPolicy
from foundry_rest.errors import (
    BadRequest,
    Cancelled,
    DeadlineExceeded,
    FoundryError,
    InferenceFailed,
    ModelNotLoaded,
    ServiceError,
    ServiceUnreachable,
    TooManyRequests,
)
from foundry_rest.testing import (
    DEMO_MODEL,
    answer,
    chat_stream,
    chunked,
    cut,
    dribble,
    inference_failed,
    json_error,
    model_not_loaded,
    reset,
    stall,
    too_many,
    unavailable,
)

WAYS = {
    "whole": lambda client: client.complete("Hello").content,
    "stream": lambda client: client.stream_complete("Hello").gather().content,
}
WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
DIALECT = pytest.mark.parametrize("dialect", ["2.x", "1.x", "0.x", "openai"])


def raise_for_status(response, **settings):
    """Do what many programs register."""
    response.raise_for_status()


def read_content(response, **settings):
    """Read the answer before anybody else, as hooks that log do."""
    assert isinstance(response.content, bytes)


def read_text(response, **settings):
    """Read it as text and go over it again."""
    assert response.text is not None
    assert list(response.iter_lines()) is not None


def read_then_raise(response, **settings):
    """Put what was read into an error of requests."""
    if response.status_code >= 400:
        raise requests.HTTPError(response.text, response=response)


class Logged(requests.Response):
    """An answer that a hook has put in place of the first one."""


def replace(response, **settings):
    """Give back another object with the same content."""
    other = Logged()
    vars(other).update(vars(response))
    return other


HOOKS = {
    "raises": (raise_for_status,),
    "reads": (read_content,),
    "reads text": (read_text,),
    "reads and raises": (read_then_raise,),
    "replaces": (replace,),
    "reads, then raises": (read_content, raise_for_status),
    "replaces, then raises": (replace, raise_for_status),
}
HOOK = pytest.mark.parametrize("hooks", HOOKS.values(), ids=HOOKS)


def retrying(**settings):
    """Return a session whose adapter repeats everything on its own."""
    session = requests.Session()
    retry = Retry(total=5, allowed_methods=None, backoff_factor=0.01, **settings)
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


def hooked(*hooks):
    """Return a session with response hooks."""
    session = requests.Session()
    session.hooks["response"] = list(hooks)
    return session


@pytest.fixture
def asked_by(server):
    """Make clients of the server that try once, with a session."""
    made = []

    def client(session, dialect="2.x", **more):
        settings = {"model": DEMO_MODEL, "retries": 0, "breaker": None, "dialect": dialect, **more}
        made.append(FoundryAPIClient(server.url, session=session, **settings))
        return made[-1]

    yield client
    for one in made:
        one.close()


LOCATIONS = (
    "/elsewhere",
    "http://[bad",
    "//evil.example/x",
    "http://user:pass@127.0.0.1:1/",
    "",
    "ftp://x/",
    "http://",
    "http://a:99999/",
    "\xff\xfe",
    "http://*.example/",
    "javascript:alert(1)",
    "http://xn--a/",
)


@WAY
@pytest.mark.parametrize("location", LOCATIONS, ids=ascii)
@pytest.mark.parametrize("session", [requests.Session, retrying, partial(hooked, raise_for_status)])
def test_no_redirect_is_followed(session, location, way, server, asked_by):
    """The answer is a ServiceError with its status, whatever the Location, and one request was made."""
    server.on("POST", CHAT, answer(307, b"moved", headers={"Location": location}))
    with pytest.raises(ServiceError) as caught:
        way(asked_by(session()))

    assert (caught.value.status, len(server.requests)) == (307, 1)
    assert caught.value.body == b"moved"


@WAY
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_body_of_a_redirect_is_bounded(status, way, server, asked_by):
    """What comes slowly or without end is left at the deadline; requests would read it whole."""
    endless = chunked([b"x" * 50_000] * 8, status=status, headers={"Location": "/x"})[:-1] + stall()
    server.on("POST", CHAT, endless)
    client = asked_by(requests.Session(), deadline=0.4)
    started = time.monotonic()
    with pytest.raises((ServiceError, DeadlineExceeded)):
        way(client)

    assert time.monotonic() - started < 1
    assert server.wait_left()


FAILURES = {
    "400": (json_error(400, "no"), BadRequest),
    "405": (json_error(405, "no"), BadRequest),
    "429": (too_many(0), TooManyRequests),
    "500": (inference_failed(), InferenceFailed),
    "503": (unavailable(), ServiceError),
    "reset": (reset(), ServiceUnreachable),
    "cut": (cut(), ServiceUnreachable),
}


@WAY
@pytest.mark.parametrize(("script", "cls"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("settings", [{}, {"raise_on_status": False}, {"respect_retry_after_header": True}])
def test_an_adapters_own_retries(settings, script, cls, way, server, asked_by):
    """One owner repeats: the adapter's Retry is left out, and the error is that of the answer."""
    server.on("POST", CHAT, script)
    session = retrying(status_forcelist=[400, 405, 429, 500, 503], **settings)
    client = asked_by(session, retries=RetryPolicy(retries=1, base=0, floor=0), auto_load=False)
    with pytest.raises(cls) as caught:
        way(client)

    assert len(server.requests) == max(len(caught.value.attempts), 1)
    assert session.get_adapter("http://").max_retries.total == 5


def test_an_adapter_that_retries_behind_another(server, asked_by):
    """Where a session hides its adapter, the status that urllib3 gave up at still makes the class."""

    class Outer(BaseAdapter):
        inner = HTTPAdapter(max_retries=Retry(total=1, status_forcelist=[503], allowed_methods=None))

        def send(self, request, **settings):
            return self.inner.send(request, **settings)

        def close(self):
            self.inner.close()

    server.on("POST", CHAT, unavailable())
    session = requests.Session()
    session.mount("http://", Outer())
    with pytest.raises(ServiceError) as caught:
        asked_by(session).complete("Hello")

    assert (caught.value.status, len(server.requests)) == (503, 2)
    session.close()


@WAY
@HOOK
@pytest.mark.parametrize(("script", "cls"), list(FAILURES.values())[:5], ids=list(FAILURES)[:5])
def test_hooks_change_no_error(script, cls, hooks, way, server, asked_by):
    """Whatever a hook does with the answer, class, status, body and wording are the service's."""
    server.on("POST", CHAT, script)
    errors = []
    for session in (None, hooked(*hooks)):
        with pytest.raises(cls) as caught:
            way(asked_by(session, auto_load=False))
        errors.append((str(caught.value), caught.value.status, caught.value.body, type(caught.value)))

    assert errors[0] == errors[1]


@WAY
@HOOK
@DIALECT
def test_hooks_change_no_answer(dialect, hooks, way, server, asked_by):
    """An answer that a hook has read is read once more."""
    assert way(asked_by(hooked(*hooks), dialect)) == "Hello there"


@WAY
@HOOK
@pytest.mark.parametrize("dialect", ["2.x", "auto"])
def test_the_cures_work(dialect, hooks, way, server, asked_by):
    """A model that is not loaded is loaded, though a hook raises at the 400 that says so."""
    server.on("POST", CHAT, model_not_loaded(), server.healthy)

    assert way(asked_by(hooked(*hooks), dialect, model="demo")) == "Hello there"
    assert len(server.asked(CHAT)) == 2


@WAY
@HOOK
def test_without_a_cure(hooks, way, server, asked_by):
    """The class says what is to be done."""
    server.on("POST", CHAT, model_not_loaded())
    with pytest.raises(ModelNotLoaded):
        way(asked_by(hooked(*hooks), auto_load=False))


class OwnError(Exception):
    """An error that a program has made for itself."""


OWN_ERRORS = [
    OwnError("no"),
    KeyError("no"),
    AttributeError("no"),
    ValueError("no"),
    json.JSONDecodeError("no", "{", 0),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
    OSError(28, "the disk of the log is full"),
    PermissionError(13, "no"),
    FileNotFoundError(2, "no"),
    TimeoutError("the metrics were slow"),
    ConnectionResetError("the metrics broke off"),
    ConnectionRefusedError("nobody takes the metrics"),
    BrokenPipeError("no"),
]


@WAY
@pytest.mark.parametrize("where", ["session", "signer"])
@pytest.mark.parametrize("error", OWN_ERRORS, ids=lambda error: type(error).__name__)
def test_a_hooks_own_error(error, where, way, server, asked_by):
    """It reaches the caller as it is: it says nothing about the service, and nothing is tried again."""

    def fail(response, **settings):
        raise error

    def sign(request):
        request.register_hook("response", fail)
        return request

    session, auth = (hooked(fail), None) if where == "session" else (None, sign)
    client = asked_by(session, auth=auth, retries=2, max_concurrency=1)
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            way(client)
        assert caught.value is error

    assert len(server.requests) == 2


SESSIONS = {
    "own": lambda: None,
    "given": requests.Session,
    "a hook reads": lambda: hooked(read_content),
    "a hook raises": lambda: hooked(raise_for_status),
    "an adapter retries": retrying,
}
SLOW = {
    "silent": stall(),
    "silent in the body": chat_stream(["a"] * 5)[:1] + stall(),
    "a body without end": chat_stream(["a"] * 5)[:3] + stall(),
    "an error without end": chunked([b"x"] * 3, status=500)[:-1] + stall(),
    "drop by drop": dribble(chat_stream(["a"] * 500), 0.005),
}


@WAY
@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
def test_the_deadline_holds(session, slow, way, server, asked_by):
    """Also while a hook reads: the call is over in time, whoever waits."""
    server.on("POST", CHAT, slow)
    client = asked_by(session(), deadline=0.1, timeout=5)
    started = time.monotonic()
    with pytest.raises(FoundryError) as caught:
        way(client)

    assert time.monotonic() - started < 0.7
    assert isinstance(caught.value, (DeadlineExceeded, ServiceError))


SILENT = {
    "before the head": stall(),
    "in the head": chat_stream("a")[:1] + stall(),
    "in the body": chat_stream("a")[:2] + stall(),
}


@pytest.mark.parametrize("ask", ["complete", "stream_complete"])
@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
@pytest.mark.parametrize("silent", SILENT.values(), ids=SILENT)
def test_a_cancelled_call(silent, session, ask, server, asked_by):
    """A token ends the call at once, wherever in the answer it waits, and whoever waits."""
    token = CancelToken()
    server.on("POST", CHAT, silent)
    client = asked_by(session())
    timer = threading.Timer(0.04, token.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        list(getattr(client, ask)("Hello", cancel=token))

    assert time.monotonic() - started < 0.4
    timer.join()


class Counted(requests.Session):
    """A session that counts in an attribute of its own."""

    sent = 0

    def send(self, request, **settings):
        """Count and send."""
        self.sent += 1
        self.latest = request.method
        return super().send(request, **settings)


def test_a_sessions_own_attributes(server, asked_by):
    """What its methods note is noted in the caller's object, whose class and adapters stay as they are."""
    session = Counted()
    adapter = session.get_adapter("http://")
    asked_by(session).complete("Hello")

    assert (session.sent, session.latest) == (1, "POST")
    assert (type(session), session.get_adapter("http://")) == (Counted, adapter)
    session.headers = {"X-Later": "1"}
    session.mount("http://", HTTPAdapter())
    asked_by(session).complete("Hello")
    assert (session.sent, server.requests[-1].headers.get("X-Later")) == (2, "1")
    session.close()


@WAY
@DIALECT
@pytest.mark.parametrize("given", [False, True, "subclass"])
def test_a_patched_send_sees_each_attempt_once(given, dialect, way, server, asked_by, monkeypatch):
    """Tools that trace requests put a function around Session.send: it sees every attempt, whole and open."""
    seen = []
    original = requests.Session.send

    def traced(self, request, **settings):
        request.headers["traceparent"] = f"00-{len(seen)}"
        seen.append((request.method, request.path_url))
        return original(self, request, **settings)

    session = {False: lambda: None, True: requests.Session, "subclass": Counted}[given]()
    server.on("POST", CHAT, inference_failed(), unavailable(), server.healthy)
    client = asked_by(session, dialect, retries=RetryPolicy(retries=3, base=0, floor=0))
    monkeypatch.setattr(requests.Session, "send", traced)
    assert way(client) == "Hello there"
    monkeypatch.undo()
    assert way(client) == "Hello there"

    count = len(seen)
    assert seen == [(request.method, request.path) for request in server.requests[:count]]
    assert [request.headers.get("traceparent") for request in server.requests[:count]] == [
        f"00-{number}" for number in range(count)
    ]
    assert server.requests[-1].headers.get("traceparent") is None


@WAY
@pytest.mark.parametrize("location", LOCATIONS, ids=ascii)
def test_a_patched_send_follows_no_redirect(location, way, server, asked_by, monkeypatch):
    """The whole way of requests, which a patched send takes, ends at the first answer, too."""
    original = requests.Session.send

    def traced(self, request, **settings):
        return original(self, request, **settings)

    monkeypatch.setattr(requests.Session, "send", traced)
    server.on("POST", CHAT, answer(302, b"moved", headers={"Location": location}))
    with pytest.raises(ServiceError) as caught:
        way(asked_by(None))

    assert (caught.value.status, len(server.requests)) == (302, 1)


def test_a_patch_of_one_session(server, asked_by):
    """A function put into the session itself is used, too."""
    session, seen = requests.Session(), []
    session.send = lambda request, send=session.send, **settings: (
        seen.append(request.url) or send(request, **settings)
    )
    asked_by(session).complete("Hello")

    assert len(seen) == len(server.requests) == 1
