"""Full control: headers, signatures and sessions of the user's own, and the client that owns a runtime."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import psutil
import pytest
import requests

from foundry_rest import (
    DeadlineExceeded,
    FoundryAPIClient,
    LocalRuntime,
    ServiceUnreachable,
    StreamInterrupted,
    TransportError,
    clock,
)
from foundry_rest.runtime import demo_model_dir

pytestmark = pytest.mark.runtime
ALIAS, ID = "demo-chat", "demo-chat-generic-cpu:1"
#: Makes the model write until `max_tokens`, about 3,000 tokens a second.
ENDLESS = {"type": "lark_grammar", "lark_grammar": "start: /[a-z ]{60000}/"}


def endless(client):
    """Return a stream that would go on for a second or more."""
    return client.chat.stream("Hello", response_format=ENDLESS, max_tokens=4000)


@pytest.fixture
def sent():
    """Return a session of the user's own and the requests that went over it."""
    requests_sent: list[requests.PreparedRequest] = []
    with requests.Session() as session:
        session.hooks["response"].append(lambda response, **_: requests_sent.append(response.request))
        yield session, requests_sent


def test_headers_and_key(runtime, sent):
    """Headers of the client and of the call are sent, the call's win, and the key goes as Bearer token."""
    session, requests_sent = sent
    session.headers["X-Session"] = "mine"
    with FoundryAPIClient(
        runtime.url, model=ID, session=session, api_key="secret", headers={"X-A": "1", "X-B": "2"}
    ) as client:
        client.chat.complete("Say OK", headers={"x-b": "3"})
    headers = requests_sent[-1].headers

    assert [headers[name] for name in ("X-Session", "X-A", "X-B")] == ["mine", "1", "3"]
    assert headers["Authorization"] == "Bearer secret"


def test_auth(runtime, sent):
    """`auth=` signs every request: a callable, or a pair for Basic; it wins over the key."""
    session, requests_sent = sent

    def sign(request):
        request.headers["X-Signed"] = str(len(request.body or b""))
        return request

    with FoundryAPIClient(runtime.url, model=ID, session=session, auth=sign, api_key="no") as client:
        client.complete("Say OK")
    assert int(requests_sent[-1].headers["X-Signed"]) > 50
    assert "Authorization" not in requests_sent[-1].headers
    with FoundryAPIClient(runtime.url, session=session, auth=("user", "word")) as client:
        client.request("GET", "/status")
    assert requests_sent[-1].headers["Authorization"].startswith("Basic ")


def test_own_session_stays_open(runtime, sent):
    """A session of the user's own is used and not closed."""
    session, _ = sent
    with FoundryAPIClient(runtime.url, model=ID, session=session) as client:
        client.complete("Say OK")
    assert session.get(f"{runtime.url}/status", timeout=5).status_code == 200


def test_proxy_and_netrc_are_not_asked(runtime, monkeypatch, tmp_path, sent):
    """A dead proxy and a .netrc in the environment change nothing for a service on this machine."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password thief\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    session, requests_sent = sent
    for given in (None, session):
        with FoundryAPIClient(runtime.url, model=ID, session=given) as client:
            assert client.complete("Say OK", temperature=0).content == "OK"
    assert "Authorization" not in requests_sent[-1].headers


def test_embedded_owns_the_runtime(within, is_gone):
    """`embedded` starts a child, chats with its first model by itself, and leaves nothing when closed."""
    here = psutil.Process()
    before = (len(here.children(recursive=True)), threading.active_count(), here.num_fds())
    client = FoundryAPIClient.embedded([demo_model_dir()])
    with client:
        assert client.complete("Say OK", temperature=0).content == "OK"
        pid = client.health_check().pid
        assert pid in [child.pid for child in here.children()]
        (directory,) = [path for path in psutil.Process(pid).cmdline() if "foundry_rest-" in path]
    client.close()

    assert is_gone(pid)
    assert not Path(directory).exists()
    assert within(
        1, lambda: (len(here.children(recursive=True)), threading.active_count(), here.num_fds()) == before
    )


def test_embedded_with_a_bad_setting_leaves_no_child():
    """A client that cannot be made does not leave the runtime it has started."""
    before = psutil.Process().children()
    with pytest.raises(ValueError, match="deadline"):
        FoundryAPIClient.embedded([demo_model_dir()], deadline=-1)
    assert psutil.Process().children() == before


def test_killed_in_the_middle_of_a_stream(own_runtime, own_client, within):
    """A runtime that is killed ends the stream within a second, with the text so far; we live on."""
    stream = endless(own_client)
    seen = [next(stream).content for _ in range(10)]
    os.kill(own_runtime.pid, signal.SIGKILL)
    before = clock.monotonic()
    with pytest.raises(StreamInterrupted) as caught:
        seen.extend(chunk.content for chunk in stream)

    assert clock.monotonic() - before < 1
    assert caught.value.text == "".join(seen) != ""
    assert caught.value.chunks >= 10
    assert "ask again" in str(caught.value)
    assert within(1, lambda: not own_runtime.is_alive())


def test_killed_in_the_middle_of_a_completion(own_runtime, own_client):
    """A completion on a runtime that is killed fails within a second, as a TransportError with the text."""
    own_client.models.load(ALIAS)
    threading.Timer(0.3, os.kill, (own_runtime.pid, signal.SIGKILL)).start()
    before = clock.monotonic()
    with pytest.raises(TransportError) as caught:
        own_client.chat.complete("Hello", response_format=ENDLESS, max_tokens=4000)

    assert clock.monotonic() - before < 1.3
    assert isinstance(caught.value, StreamInterrupted)
    assert caught.value.text


def test_killed_under_a_plain_request(own_runtime, own_client):
    """A plain request on a runtime that is killed fails at once, as a TransportError that was sent."""
    own_client.models.load(ALIAS)
    threading.Timer(0.3, os.kill, (own_runtime.pid, signal.SIGKILL)).start()
    before = clock.monotonic()
    with pytest.raises(TransportError) as caught:
        own_client.with_options(retries=0).chat.complete(
            "Hello", response_format=ENDLESS, max_tokens=4000, parse=lambda reply: reply.raw
        )

    assert clock.monotonic() - before < 1.3
    assert isinstance(caught.value, ServiceUnreachable)
    assert caught.value.sent


def test_wait_until_ready():
    """Waiting ends when the service is up, and at its limit when it does not come."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    runtime = LocalRuntime(demo_model_dir(), port=port)
    with FoundryAPIClient(f"http://127.0.0.1:{port}", model=ALIAS) as client:
        before = clock.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"not ready within 0\.3 s: connection refused"):
            client.health.wait_until_ready(0.3)
        assert clock.monotonic() - before < 0.6
        starting = threading.Thread(target=runtime.start)
        starting.start()
        with runtime:
            assert client.health.wait_until_ready(20).pid == runtime.pid
            starting.join()


def test_killed_and_called(own_runtime, own_client):
    """A call to a runtime that is dead is refused, with what to do; after a restart the model is loaded."""
    own_client.models.load(ALIAS)
    port = int(own_runtime.url.rpartition(":")[2])
    os.kill(own_runtime.pid, signal.SIGKILL)
    with pytest.raises(ServiceUnreachable, match="foundry-rest serve") as caught:
        own_client.with_options(retries=0).complete("Hello")
    assert caught.value.url == own_runtime.url
    own_runtime.close()
    with LocalRuntime(demo_model_dir(), port=port):
        assert own_client.complete("Say OK", temperature=0).content == "OK"
