"""A process that can open no file more: every call ends with an error of ours, and then works again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.platforms import posix
from support.servers import CHAT

from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address, json_error

pytestmark = posix

#: For each number of descriptors that are left, a forked process takes all others, asks three times, gives
#: them back, and asks once more; what came is printed.
PROGRAM = """
import json, os, resource, sys, traceback
import foundry_rest.client
from foundry_rest import FoundryAPIClient, FoundryError

url, model, is_warm = sys.argv[1:]

def asked(ask):
    try:
        return ask("Hi").content
    except FoundryError as error:
        return type(error).__name__
    except Exception:
        return traceback.format_exc()

def child(left):
    client = FoundryAPIClient(url, model=model, retries=1, timeout=10)
    if is_warm:
        asked(client.complete)
        client.close()
        client = FoundryAPIClient(url, model=model, retries=1, timeout=10)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit[1]))
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for _ in range(left):
        os.close(held.pop())
    stream = lambda prompt: client.stream_complete(prompt).gather()
    came = [asked(ask) for ask in (client.complete, stream, client.complete)]
    for descriptor in held:
        os.close(descriptor)
    print(json.dumps([left, *came, asked(client.complete)]), flush=True)

for left in range(4):
    if pid := os.fork():
        os.waitpid(pid, 0)
    else:
        try:
            child(left)
        finally:
            os._exit(0)
"""
OURS = ["TransportError", "ServiceUnreachable", "ServerError", "CircuitOpen"]


def outcomes(url: str, state: str) -> list[list[object]]:
    """Return what the program prints."""
    command = [sys.executable, "-c", PROGRAM, url, DEMO_MODEL, "warm" if state == "warm" else ""]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_a_healthy_service(server, state):
    """What ends a call is no failure of the service: its circuit stays closed, the next call is answered."""
    found = outcomes(server.url, state)

    assert [left for left, *_ in found] == list(range(4))
    assert found[0][1:] == [*["TransportError"] * 3, "Hello there"]
    for left, *came, afterwards in found:
        assert set(came) <= {"Hello there", "TransportError"}, left
        assert afterwards == "Hello there"


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_a_service_that_is_gone(state):
    """The first failure of all is one without a file: what counts it cannot be imported."""
    with dead_address() as url:
        for left, *came, afterwards in outcomes(url, state):
            assert set(came) <= {"TransportError", "ServiceUnreachable", "CircuitOpen"}, left
            assert afterwards in ("ServiceUnreachable", "CircuitOpen")


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_a_service_that_fails(state):
    """So is an answer with an error, which arrives."""
    with FaultServer() as server:
        server.on("POST", CHAT, json_error(500, "boom"))
        for left, *came, afterwards in outcomes(server.url, state):
            assert set(came) <= set(OURS), left
            assert afterwards in ("ServerError", "CircuitOpen")
