"""Whose process holds the port of a service that was found: a stranger is refused, an unknown gets no key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from support.discovery import register
from support.servers import CHAT

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import AuthenticationError, ServiceNotFound
from foundry_rest.services.discovery.port_holder import look_up
from foundry_rest.testing import DEMO_MODEL, json_answer

KEY = "sk-of-the-environment"
URL = "http://127.0.0.1:5273"
#: A service in a process of its own, with the id that it is told to report.
SERVICE = """
import sys
from foundry_rest.testing import FaultServer
with FaultServer(pid=int(sys.argv[1])) as server:
    print(server.url, flush=True)
    sys.stdin.readline()
"""


class Address(NamedTuple):
    """Where a socket listens, as psutil says it."""

    ip: str
    port: int


class Connection(NamedTuple):
    """A socket, as psutil says it."""

    status: str
    laddr: Address
    pid: int | None


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    """Make the service's model that of every client."""
    monkeypatch.setenv("FOUNDRY_MODEL", DEMO_MODEL)


@pytest.fixture
def listeners(monkeypatch):
    """Return a function that sets who listens where, as the system would say it."""

    def listen(*found):
        connections = [Connection("LISTEN", Address(ip, port), pid) for ip, port, pid in found]
        monkeypatch.setattr(psutil, "net_connections", lambda kind: connections)

    return listen


@pytest.fixture
def service():
    """Return the address of a service in another process of this user, which reports this process's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    yield process.stdout.readline().strip()
    process.communicate("\n")


def test_a_process_of_this_user(server):
    """It is known, whether or not its id was expected."""
    for pid in (None, os.getpid()):
        found = look_up(server.url, pid)
        assert (found.is_known, found.refusal) == (True, "")


def test_another_process_than_the_file_says(service):
    """A stranger that answers with the id of the entry is found out by who listens."""
    found = look_up(service, os.getpid())

    assert not found.is_known
    assert "another process" in found.refusal
    assert f"not pid {os.getpid()}" in found.refusal


def test_a_stranger_on_the_port_gets_no_prompt(service):
    """The entry's process is another one: the address is not used, and the error says why."""
    register(service)
    with pytest.raises(ServiceNotFound, match="is not used: another process") as caught:
        FoundryAPIClient().complete("Hi")
    assert service in str(caught.value)


@pytest.mark.parametrize("where", ["registry", "daemon file"])
def test_another_users_process_is_refused(server, monkeypatch, where):
    """Whoever it is: it may be a trap on the port of a service that has ended."""
    if where == "registry":
        register(server.url)
    else:
        folder = Path(os.environ["HOME"], ".foundry")
        folder.mkdir()
        (folder / "daemon.json").write_text(f'{{"web_urls": ["{server.url}"], "pid": {os.getpid()}}}')
    monkeypatch.setattr("foundry_rest.services.discovery.port_holder._is_this_users", lambda process: False)
    with pytest.raises(ServiceNotFound, match="a process of another user listens there"):
        FoundryAPIClient().complete("Hi")
    assert not server.asked(CHAT)


@pytest.mark.parametrize(
    ("pid", "is_used"), [(os.getpid(), True), (1, False)], ids=["its own", "another process"]
)
def test_the_daemon_files_pid_is_compared(server, pid, is_used):
    """The process that the daemon's file names must hold the port."""
    folder = Path(os.environ["HOME"], ".foundry")
    folder.mkdir()
    (folder / "daemon.json").write_text(f'{{"web_urls": ["{server.url}"], "pid": {pid}}}')
    client = FoundryAPIClient()
    if is_used:
        assert client.complete("Hi").content
    else:
        with pytest.raises(ServiceNotFound, match="another process"):
            client.complete("Hi")


@pytest.mark.parametrize(
    "unknown",
    [
        [],
        [("127.0.0.1", 5273, None)],
        [("127.0.0.1", 5273, 0)],
        [("127.0.0.1", 9, 1)],
        [("::", 5273, None)],
        psutil.AccessDenied(),
        OSError(),
        RuntimeError("GetExtendedTcpTable failed"),
    ],
    ids=[
        "nothing seen",
        "no pid",
        "pid 0",
        "another port",
        "a wildcard",
        "no rights",
        "an error",
        "a table that changed",
    ],
)
def test_what_the_system_does_not_reveal(listeners, monkeypatch, unknown):
    """A service of the system or in a container may be used, but is not known."""
    if isinstance(unknown, list):
        listeners(*unknown)
    else:

        def refuse(kind):
            raise unknown

        monkeypatch.setattr(psutil, "net_connections", refuse)
    for pid in (None, 1234):
        found = look_up(URL, pid)
        assert (found.is_known, found.refusal) == (False, "")


@pytest.mark.parametrize(
    ("found", "is_refused"),
    [
        ([("0.0.0.0", 5273, 1), ("127.0.0.1", 5273, os.getpid())], False),
        ([("127.0.0.1", 5273, 1), ("0.0.0.0", 5273, os.getpid())], True),
        ([("192.168.0.9", 5273, 1), ("::", 5273, os.getpid())], False),
        ([("127.0.0.1", 5273, 1), ("127.0.0.1", 5273, os.getpid())], False),
    ],
    ids=[
        "the special one is ours",
        "the special one is not",
        "another interface",
        "one socket, two processes",
    ],
)
def test_the_most_special_listener_counts(listeners, found, is_refused):
    """That is who gets what is sent to the address."""
    listeners(*found)
    assert bool(look_up(URL, os.getpid()).refusal) is is_refused


@pytest.mark.parametrize(
    ("how", "is_sent"),
    [("found", False), ("argument", True), ("environment", True), ("key as an argument", True)],
)
def test_the_environments_key_goes_where_it_is_known_to_belong(server, monkeypatch, listeners, how, is_sent):
    """A service whose process is not revealed gets it only if it was named, or the key is the program's."""
    listeners()
    monkeypatch.setenv("FOUNDRY_API_KEY", KEY)
    arguments = {}
    if how == "argument":
        arguments = {"base_url": server.url}
    elif how == "environment":
        monkeypatch.setenv("FOUNDRY_ENDPOINT", server.url)
    else:
        register(server.url)
        arguments = {"api_key": KEY} if how == "key as an argument" else {}
    FoundryAPIClient(**arguments).complete("Hi")

    keys = {request.headers.get("Authorization") for request in server.asked(CHAT)}
    assert keys == {f"Bearer {KEY}" if is_sent else None}


def test_a_known_service_that_is_found_gets_the_key(server, monkeypatch):
    """It is this user's own process: nothing is kept from it."""
    monkeypatch.setenv("FOUNDRY_API_KEY", KEY)
    register(server.url)
    FoundryAPIClient().complete("Hi")

    assert server.asked(CHAT)[0].headers.get("Authorization") == f"Bearer {KEY}"


def test_a_key_that_was_kept_is_told(server, monkeypatch, listeners):
    """Who requires it is refused with the way to have it sent."""
    listeners()
    monkeypatch.setenv("FOUNDRY_API_KEY", KEY)
    register(server.url)
    server.on("POST", CHAT, json_answer({"error": "who are you"}, status=401))
    with pytest.raises(AuthenticationError, match=r"FOUNDRY_API_KEY was not sent.*FOUNDRY_ENDPOINT"):
        FoundryAPIClient(retries=0).complete("Hi")
