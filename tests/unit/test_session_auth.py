"""Any AuthBase works: its hooks run once and stay with their request; what cannot sign is refused first."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
import requests
from requests.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth
from support.digest import PASSWORD, USER, DigestGuard
from support.servers import CHAT
from support.transports import GET, BoundTransport, ask

from foundry_rest import FoundryAPIClient, clock
from foundry_rest.errors import AuthenticationError, ConfigError, DeadlineExceeded, NotFound, TransportError
from foundry_rest.testing import DEMO_MODEL, cut, json_answer, json_error, reset, stall
from foundry_rest.transport.call import Call, Options

GIVEN = pytest.mark.parametrize("given", [False, True], ids=["own session", "given session"])
WAYS = {
    "whole": lambda client: client.complete("Hello").content,
    "stream": lambda client: client.stream_complete("Hello").gather().content,
}
WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def client_of(server, *, given, dialect="2.x", **more):
    """Return a client that tries once."""
    session = requests.Session() if given else None
    return FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, session=session, dialect=dialect, **more)


@WAY
@GIVEN
@pytest.mark.parametrize("quality", ["auth", "auth,auth-int", None])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", None])
def test_digest(algorithm, quality, given, way, server):
    """The challenge is answered within the attempt, its nonce kept, and a stale one replaced."""
    guard = DigestGuard(server.healthy, algorithm, quality, uses=2)
    server.on("POST", CHAT, guard)
    with client_of(server, given=given, auth=HTTPDigestAuth(USER, PASSWORD)) as client:
        answers = [way(client) for _ in range(5)]

    assert answers == ["Hello there"] * 5
    assert (guard.refused, len(server.requests)) == (3, 8)
    assert (server.connections, server.left) == (1, 0)


@WAY
@GIVEN
@pytest.mark.parametrize("dialect", ["2.x", "1.x", "0.x", "openai", "auto"])
def test_digest_on_every_dialect(dialect, given, way, server):
    """Probes, loads and questions are all signed, whoever answers."""
    guard = DigestGuard(server.healthy)
    server.otherwise(guard)
    with client_of(server, given=given, dialect=dialect, auth=HTTPDigestAuth(USER, PASSWORD)) as client:
        assert way(client) == "Hello there"

    assert guard.refused == 1


@WAY
@GIVEN
def test_a_wrong_password(given, way, server):
    """The second refusal is the answer; what the error keeps of both requests shows no digest."""
    server.on("POST", CHAT, DigestGuard(server.healthy))
    with (
        client_of(server, given=given, auth=HTTPDigestAuth(USER, "wrong")) as client,
        pytest.raises(AuthenticationError, match="who are you") as caught,
    ):
        way(client)

    response = caught.value.response
    shown = [one.request.headers for one in (response, *response.history)]
    assert len(server.requests) == 2
    assert [headers.get("Authorization", "***") for headers in shown] == ["***", "***"]
    assert "Digest" not in f"{shown} {pickle.loads(pickle.dumps(caught.value)).response.request.headers}"


@WAY
@GIVEN
@pytest.mark.parametrize("script", [cut(), reset(), stall()], ids=["cut", "reset", "silence"])
def test_a_failure_after_a_challenge(script, given, way, server):
    """What the library's own error refers to shows no digest either."""
    challenge = [("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')]
    server.on("POST", CHAT, json_error(401, "who?", headers=challenge), script)
    client = client_of(server, given=given, auth=HTTPDigestAuth(USER, PASSWORD), timeout=0.1)
    with client, pytest.raises(TransportError) as caught:
        way(client)

    assert server.requests[-1].headers.get("Authorization").startswith("Digest")
    assert caught.value.__cause__.request.headers["Authorization"] == "***"


@GIVEN
def test_digest_in_many_threads(given, server):
    """Each thread has a nonce and a count of its own."""
    server.on("POST", CHAT, DigestGuard(server.healthy, "SHA-256"))
    client = client_of(server, given=given, auth=HTTPDigestAuth(USER, PASSWORD))
    with client, ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(client.complete, ["Hello"] * 48))

    assert [reply.content for reply in replies] == ["Hello there"] * 48


@GIVEN
def test_the_deadline_bounds_a_challenge(given, server):
    """The time for the second request is what the first one left."""
    refusal = json_error(
        401, "who?", headers=[("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')]
    )
    server.otherwise(refusal, stall())
    until_soon = Call("GET", "/status", options=Options(until=clock.monotonic() + 0.3))
    with pytest.raises(DeadlineExceeded):
        ask(
            server,
            until_soon,
            auth=HTTPDigestAuth(USER, PASSWORD),
            session=requests.Session() if given else None,
        )


class Hooked(AuthBase):
    """A signer that adds a hook to each request, in one of the ways in which signers do."""

    def __init__(self, way):
        self.way, self.runs = way, 0

    def __call__(self, request):
        """Sign."""
        request.headers["Authorization"] = f"Signed {self.runs}"
        if self.way == "assign":
            request.hooks["response"] = self.look
        elif self.way == "copy":
            request = request.copy()
            request.hooks = {"response": [self.look]}
        else:
            request.register_hook("response", self.look)
        return request

    def look(self, response, **settings):
        """Count the answers."""
        self.runs += 1
        return response if self.way == "return" else None


@pytest.mark.parametrize(
    ("given", "where"), [(False, "client"), (True, "client"), (True, "session")], ids=str
)
@pytest.mark.parametrize("way", ["register", "return", "assign", "copy"])
@pytest.mark.parametrize("status", [200, 404])
def test_hooks_of_a_signer_stay_with_their_request(status, way, where, given, server):
    """After a hundred calls the hook has run a hundred times, and the session has none of them."""
    server.otherwise(json_answer({}) if status == 200 else json_error(404, "no"))
    auth, own = Hooked(way), []
    session = requests.Session() if given else None
    if session is not None:
        session.hooks["response"].append(lambda response, **_: own.append(auth.runs))
        session.auth = auth if where == "session" else None
    transport = BoundTransport(lambda: server.url, session=session, auth=auth if where == "client" else None)
    for number in range(100):
        with nullcontext() if status == 200 else pytest.raises(NotFound):
            transport.send(GET)
        assert auth.runs == number + 1
    transport.close()

    assert own == (list(range(1, 101)) if given else [])  # after the signer's, as in requests
    if session is not None:
        assert len(session.hooks["response"]) == 1
    assert server.requests[-1].headers.get("Authorization") == "Signed 99"


@pytest.mark.parametrize("hooks", [list, tuple, lambda hooks: hooks[0]], ids=["list", "tuple", "one"])
def test_the_hooks_of_a_session_in_any_form(hooks, server):
    """A session may hold one function or many."""
    seen = []
    session = requests.Session()
    session.hooks["response"] = hooks([lambda response, **_: seen.append(response.status_code)])
    server.otherwise(json_answer({}))
    ask(server, session=session)

    assert seen == [200]


UNUSABLE = {
    "text": "user:pass",
    "one part": ("user",),
    "three parts": ("user", "pass", "more"),
    "a list": ["user", "pass"],
    "not text": ("user", 5),
    "nothing in it": ("user", None),
    "a number": 5,
    "an object": object(),
    "returns nothing": lambda request: None,
    "returns text": lambda request: "Bearer x",
    "returns headers": lambda request: request.headers,
    "returns another kind": lambda request: requests.Request("GET", "http://127.0.0.1"),
    "user beyond Latin-1": ("żółw", "pass"),
    "password beyond Latin-1": ("user", "пароль"),
    "an emoji": ("user", "🔑"),
    "a Basic beyond Latin-1": HTTPBasicAuth("用户", "pass"),
    "a number as header": lambda request: request.headers.update({"X-Key": 5}) or request,
    "None as header": lambda request: request.headers.update({"X-Key": None}) or request,
    "a line end in a header": lambda request: request.headers.update({"X-Key": "a\r\nX: b"}) or request,
    "beyond Latin-1 in a header": lambda request: request.headers.update({"X-Key": "ключ"}) or request,
    "a space in a header's name": lambda request: request.headers.update({"X Key": "a"}) or request,
}


@GIVEN
@pytest.mark.parametrize("auth", UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_sign_is_refused(auth, given, server):
    """It is a ConfigError that names auth= and quotes nothing, before anything is sent."""
    session = requests.Session()
    session.auth = auth
    with pytest.raises(ConfigError, match="auth") as caught:
        ask(server, **({"session": session} if given else {"auth": auth}))

    assert not [word for word in ("pass", "żółw", "пароль", "🔑", "ключ") if f"'{word}" in str(caught.value)]
    assert server.connections == 0


@GIVEN
def test_a_digest_beyond_latin_1_is_refused(given, server):
    """The challenge comes first; then the name cannot be sent."""
    server.otherwise(DigestGuard(json_answer({})))
    with pytest.raises(ConfigError, match="cannot be sent"):
        ask(server, auth=HTTPDigestAuth("żółw", "x"), session=requests.Session() if given else None)


@GIVEN
def test_cookies_of_a_challenge_are_dropped(given, server):
    """What comes with a 401 is not sent back with the digest."""
    cookie = [
        ("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"'),
        ("Set-Cookie", "spy=1; Path=/"),
    ]
    server.otherwise(json_error(401, "who?", headers=cookie), json_answer({}))
    request = ask(server, auth=HTTPDigestAuth(USER, PASSWORD), session=requests.Session() if given else None)

    assert request.headers.get("Authorization").startswith("Digest ")
    assert request.headers.get("Cookie") is None
