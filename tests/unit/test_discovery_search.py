"""Where is the service: in order, probed before it is believed, and never asked for too early."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from support.discovery import register

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError, ServiceNotFound, ServiceUnreachable
from foundry_rest.services.discovery.registry_file import Entry, registry_path, write
from foundry_rest.services.discovery.search import answers, discover
from foundry_rest.testing import FaultServer, dead_address, html_page, json_answer, model_list
from foundry_rest.transport.call import Reply

STATUS = Reply(200, {}, json.dumps({"modelCachePath": "", "pid": 1}).encode())


def never(url, pid):
    """Fail: nothing is to be probed."""
    pytest.fail(f"{url} was probed")


def test_a_named_address_is_taken_at_its_word():
    """Falling back to another service would answer with another model."""
    register("http://127.0.0.1:1")

    assert discover(" http://0.0.0.0:5/ ", never) == "http://127.0.0.1:5"


def test_the_registry_is_probed(tmp_path):
    """An entry is believed when the service of that process answers."""
    asked: list[object] = []
    path = tmp_path / "run" / "service.json"
    write(Entry("http://127.0.0.1:7", 42, 1.0), path)

    assert discover(None, lambda *found: asked.append(found) or True, path) == "http://127.0.0.1:7"
    assert asked == [("http://127.0.0.1:7", 42)]


def test_nothing_was_found():
    """The error lists what was looked at and what to run."""
    with pytest.raises(ServiceNotFound) as caught:
        discover(None, never)

    assert str(caught.value) == (
        "no Foundry Local service was found; looked at base_url (not given), FOUNDRY_ENDPOINT (not set), "
        f"registry file {registry_path()} (none), daemon file {Path('~/.foundry/daemon.json')} (none), "
        "foundry command (not on PATH) (discover). Start one with: foundry-rest serve --model-dir DIR; or "
        "give base_url= (FOUNDRY_ENDPOINT), or let FoundryAPIClient.embedded(model_dirs=[...]) start one."
    )
    assert caught.value.sent is False


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"url":7,"pid":1,"started":1}',
        b'{"url":"ftp://h","pid":1,"started":1}',
        b'{"url":"http://me:pw@h","pid":1,"started":1}',
        b"\xff",
        b"[" * 10_000,
    ],
)
def test_a_garbled_registry(tmp_path, content):
    """A file that cannot be read is no entry."""
    path = tmp_path / "service.json"
    path.write_bytes(content)
    with pytest.raises(ServiceNotFound, match=r"service.json \(none\)"):
        discover(None, never, path)


def test_no_place_for_a_registry(monkeypatch):
    """A machine without a directory for it has no entry; the reason is told."""
    monkeypatch.setattr(
        "foundry_rest.services.discovery.registry_file.registry_path", Path("/none/such").stat
    )
    with pytest.raises(ServiceNotFound, match=r"registry file \(\[(Errno 2\] No such file|WinError 3\])"):
        discover(None, never)


def test_a_stale_entry():
    """A dead port is named with the process that should answer there."""
    with dead_address() as url:
        register(url, 42)
        with pytest.raises(ServiceNotFound, match=f"stale: nothing of pid 42 answers at {url}"):
            discover(None, answers)


def test_an_entry_of_another_process(server):
    """The port was taken over by another service: its pid gives it away."""
    register(server.url, os.getpid() + 1)
    with pytest.raises(ServiceNotFound, match="stale"):
        discover(None, answers)


def test_answers(server):
    """The right process, or any, or none of ours."""
    for pid in (os.getpid(), None):
        assert answers(server.url, pid).generation == "2.x"
    assert answers(server.url, 1) is None
    for script in (html_page(), json_answer({})):
        server.otherwise(script)
        assert answers(server.url, None) is None
    server.otherwise(model_list([]))
    assert answers(server.url, None).generation == "openai"
    assert answers(server.url, 1) is None
    assert server.wait_closed()


def test_a_client_finds_the_registered_service(server):
    """Nothing given, nothing in the environment: the registry leads to it, once for all calls."""
    register(server.url)
    with FoundryAPIClient(model="demo-generic-cpu:1") as client:
        assert client.complete("Hi").content == "Hello there"
        count = len(server.asked("/status"))
        client.complete("Hi")

    assert len(server.asked("/status")) == count


def test_the_order(server, monkeypatch):
    """Given before environment before registry."""
    with FaultServer(reply="environment") as named, FaultServer(reply="registry") as registered:
        register(registered.url)
        monkeypatch.setenv("FOUNDRY_ENDPOINT", named.url)
        monkeypatch.setenv("FOUNDRY_MODEL", "demo-generic-cpu:1")
        clients = [FoundryAPIClient(server.url), FoundryAPIClient()]
        monkeypatch.delenv("FOUNDRY_ENDPOINT")
        clients.append(FoundryAPIClient())
        texts = [client.complete("Hi").content for client in clients]
        for client in clients:
            client.close()

    assert texts == ["Hello there", "environment", "registry"]


def test_a_named_address_that_is_dead_is_the_error(server):
    """The registered service is not asked in its place."""
    register(server.url)
    with dead_address() as url, pytest.raises(ServiceUnreachable):
        FoundryAPIClient(url, retries=0).complete("Hi")

    assert server.requests == []


def test_a_client_finds_nothing():
    """The call tells what the discovery looked at; it is not retried."""
    with FoundryAPIClient() as client, pytest.raises(ServiceNotFound, match="looked at base_url") as caught:
        client.complete("Hi")

    assert (caught.value.call, caught.value.attempts) == ("discover", ())


def test_no_network_in_the_constructor(monkeypatch):
    """Neither finding nor recognising the service happens before the first call."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    register("http://127.0.0.1:7")
    FoundryAPIClient().close()
    FoundryAPIClient("http://127.0.0.1:9").close()
    with pytest.raises(ConfigError):
        FoundryAPIClient("nonsense")


def test_a_dialect_is_recognised_once(server):
    """The first call asks for it, within its bounds; no later one does."""
    with FoundryAPIClient(server.url, retries=0) as client:
        client.complete("Hi", model="demo-generic-cpu:1")
        client.complete("Hi", model="demo-generic-cpu:1")

    assert len(server.asked("/status")) == 1


def test_a_given_dialect_is_not_asked_for(server):
    """No request is spent on what is known."""
    with FoundryAPIClient(server.url, dialect="2.x", retries=0) as client:
        client.complete("Hi", model="demo-generic-cpu:1")

    assert server.asked("/status") == []
