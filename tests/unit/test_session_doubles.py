"""Tools that step in below requests work, or say so: requests_mock, vcrpy, responses, adapters of tests."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import requests
import requests_mock
import responses
import vcr
from requests.adapters import BaseAdapter
from support.servers import CHAT
from urllib3.response import HTTPResponse
from vcr.errors import CannotOverwriteExistingCassetteException

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import BadRequest, ServerError, StreamInterrupted, TransportError
from foundry_rest.testing import DEMO_MODEL

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "test-doubles.md"
PROGRAMS = re.findall(
    r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
BASE = "http://127.0.0.1:9"
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
WHOLE = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
WAYS = {
    "whole": lambda client: client.complete("Hello").content,
    "stream": lambda client: client.stream_complete("Hello").gather().content,
}
WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
GIVEN = pytest.mark.parametrize("given", [False, True], ids=["own session", "given session"])
DIALECT = pytest.mark.parametrize("dialect", ["2.x", "1.x", "0.x", "openai"])


@pytest.fixture
def client_at():
    """Make clients that try once."""
    made = []

    def make(url, session=None, dialect="2.x", **more):
        made.append(
            FoundryAPIClient(
                url, model=DEMO_MODEL, retries=0, breaker=None, dialect=dialect, session=session, **more
            )
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


def session_if(given):
    """Return a session, or none."""
    return requests.Session() if given else None


@pytest.mark.parametrize("program", PROGRAMS, ids=["requests-mock", "vcrpy", "adapter"])
def test_programs_of_the_document(program, tmp_path):
    """Each is run as it stands, by an interpreter of its own: tools patch whatever was imported first."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def reply_to(request, context):
    """Answer a question as it was asked."""
    is_stream = request.json().get("stream")
    context.headers["Content-Type"] = "text/event-stream" if is_stream else "application/json"
    return STREAM if is_stream else WHOLE


@WAY
@GIVEN
@DIALECT
@pytest.mark.parametrize("first", ["client", "mock"])
def test_requests_mock(first, dialect, given, way, client_at):
    """Answers come from it, whichever was made first; the network is not asked, before or after."""
    client = client_at(BASE, session_if(given), dialect) if first == "client" else None
    with requests_mock.Mocker() as mock:
        mock.post(BASE + CHAT, content=reply_to)
        client = client or client_at(BASE, session_if(given), dialect)
        assert [way(client) for _ in range(3)] == ["hi"] * 3
        assert mock.call_count == 3
    with pytest.raises(TransportError):
        way(client)


@WAY
@GIVEN
@pytest.mark.parametrize("mounted", ["session", "adapter"])
def test_requests_mock_on_a_session(mounted, given, way, client_at):
    """It may patch one session, or be its adapter."""
    session = requests.Session()
    mock = requests_mock.Mocker(session=session) if mounted == "session" else requests_mock.Adapter()
    mock.register_uri("POST", BASE + CHAT, content=reply_to)
    if mounted == "adapter":
        session.mount("http://", mock)
        assert way(client_at(BASE, session)) == "hi"
    else:
        with mock:
            assert way(client_at(BASE, session)) == "hi"
    assert mock.call_count == 1


FAULTS = {
    "an error": ({"status_code": 400, "json": {"error": {"message": "no"}}}, BadRequest),
    "a failure": ({"status_code": 503, "text": "busy"}, ServerError),
    "no connection": ({"exc": requests.ConnectionError}, TransportError),
    "a time-out": ({"exc": requests.ReadTimeout}, TransportError),
}


@WAY
@GIVEN
@pytest.mark.parametrize(("answer", "cls"), FAULTS.values(), ids=FAULTS)
def test_faults_by_requests_mock(answer, cls, given, way, client_at):
    """What it plays is the error that the service's would be."""
    with requests_mock.Mocker() as mock:
        mock.get(requests_mock.ANY, status_code=404)
        mock.post(BASE + CHAT, **answer)
        with pytest.raises(cls):
            way(client_at(BASE, session_if(given)))


@WAY
@GIVEN
@pytest.mark.parametrize(
    ("tool", "cls"),
    [
        (requests_mock.Mocker, requests_mock.NoMockAddress),
        (responses.RequestsMock, TransportError),
        (
            partial(vcr.use_cassette, "none.yaml", record_mode="none"),
            CannotOverwriteExistingCassetteException,
        ),
    ],
    ids=["requests_mock", "responses", "vcrpy"],
)
def test_what_no_answer_is_registered_for(tool, cls, given, way, client_at, server):
    """The tool says so in its own way; the server that listens there is not asked."""
    with tool(), pytest.raises(cls):
        way(client_at(server.url, session_if(given)))

    assert server.connections == 0


@WAY
@GIVEN
@DIALECT
@pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
@pytest.mark.filterwarnings(
    "ignore:unclosed <(socket|foundry_rest):ResourceWarning"
)  # vcrpy 8 drops the kept one, still open
def test_vcrpy(kept, dialect, given, way, server, tmp_path):
    """It records and plays, also where a connection was open before, and the network is not asked again."""
    cassette = str(tmp_path / "cassette.yaml")
    client, other = (
        FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, session=session_if(given), dialect=dialect)
        for _ in range(2)
    )
    if kept:
        assert way(client) == "Hello there"
    with vcr.use_cassette(cassette) as recorded:
        assert way(client) == "Hello there"
    before = len(server.requests)
    for player in (client, other):
        with vcr.use_cassette(cassette, record_mode="none") as played:
            assert way(player) == "Hello there"
        assert played.play_count == len(recorded)
    assert len(server.requests) == before
    assert way(client) == "Hello there"
    assert len(server.requests) > before
    client.close()
    other.close()


def test_imported_while_vcrpy_records(server, tmp_path):
    """A client that is imported inside a cassette still has connections of its own after it."""
    program = (
        "import vcr\n"
        f"with vcr.use_cassette({str(tmp_path / 'c.yaml')!r}):\n"
        "    from foundry_rest import FoundryAPIClient\n"
        f"    client = FoundryAPIClient({server.url!r}, model={DEMO_MODEL!r}, retries=0)\n"
        "    client.complete('a')\n"
        "client.complete('b')\n"
        "from foundry_rest.transport.session.connections import _Connection\n"
        "assert not [cls for cls in _Connection.__mro__ if 'vcr' in cls.__module__]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert len(server.asked(CHAT)) == 2


class Plain:
    """A file that can be read and closed, and no more."""

    def __init__(self, content):
        file = io.BytesIO(content)
        self.read, self.close = file.read, file.close


BODIES = {
    "content": lambda response, body: vars(response).update(_content=body),
    "content, consumed": lambda response, body: vars(response).update(_content=body, _content_consumed=True),
    "a file": lambda response, body: vars(response).update(raw=io.BytesIO(body)),
    "a buffered file": lambda response, body: vars(response).update(raw=io.BufferedReader(io.BytesIO(body))),
    "urllib3's": lambda response, body: vars(response).update(
        raw=HTTPResponse(io.BytesIO(body), preload_content=False)
    ),
    "only read": lambda response, body: vars(response).update(raw=Plain(body)),
}


class Answers(BaseAdapter):
    """An adapter that answers by itself, as tests write them."""

    def __init__(self, fill):
        super().__init__()
        self._fill = fill

    def send(self, request, **settings):
        """Answer as asked."""
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        is_stream = b'"stream":true' in request.body
        response.headers["Content-Type"] = "text/event-stream" if is_stream else "application/json"
        self._fill(response, STREAM if is_stream else WHOLE)
        return response

    def close(self):
        """Close nothing."""


@WAY
@DIALECT
@pytest.mark.parametrize("fill", BODIES.values(), ids=BODIES)
def test_adapters_of_tests(fill, dialect, way, client_at):
    """However a test puts the body into a response, it is read."""
    session = requests.Session()
    session.mount("http://", Answers(fill))

    assert way(client_at(BASE, session, dialect)) == "hi"


@pytest.mark.parametrize("cut", [-40, -60, 62])
@pytest.mark.parametrize("fill", BODIES.values(), ids=BODIES)
def test_half_an_answer_of_a_test(fill, cut, client_at):
    """It never looks like a whole one."""
    session = requests.Session()
    session.mount("http://", Answers(lambda response, body: fill(response, body[:cut])))
    with pytest.raises(StreamInterrupted):
        client_at(BASE, session).stream_complete("Hello").gather()


def test_an_answer_of_a_test_without_a_body(client_at):
    """It is no answer."""
    session = requests.Session()
    session.mount("http://", Answers(lambda response, body: None))
    with pytest.raises(TransportError):
        client_at(BASE, session).stream_complete("Hello").gather()


class Duck:
    """An object that has of a session just what a program's own double has."""

    def __init__(self, adapter):
        self.headers, self.hooks, self.auth = {}, {}, None
        self.verify, self.cert, self.proxies = True, None, {}
        self._adapter = adapter

    def send(self, request, **settings):
        """Return the answer."""
        return self._adapter.send(request)


@WAY
def test_a_session_that_is_none(way, client_at):
    """An object with the attributes of a session is used as it is."""
    assert way(client_at(BASE, Duck(Answers(BODIES["content"])))) == "hi"
