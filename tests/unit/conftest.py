"""What many unit tests start from: a server and its client, a time of their own, a breaker and its file."""

from __future__ import annotations

import pytest
from support.breakers import ADDRESS, POLICY
from support.transports import BoundTransport

from foundry_rest import FoundryAPIClient
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.resilience.breaker.record import MemoryState
from foundry_rest.resilience.breaker.storage import SqliteState
from foundry_rest.resilience.breaker.storage.file import SqliteFile
from foundry_rest.testing import DEMO_MODEL, FaultServer, LegacyService
from foundry_rest.testing.fakes import FakeClock


@pytest.fixture
def server():
    """Serve a healthy 2.x with one loaded model."""
    with FaultServer() as running:
        yield running


@pytest.fixture
def client(server):
    """Ask that server for its model by id; try once."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0) as made:
        yield made


@pytest.fixture
def native(server):
    """Ask that server as a 2.x, without a look at it first."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect="2.x") as made:
        yield made


@pytest.fixture
def core(server):
    """Ask that server as a 1.x."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect="1.x") as made:
        yield made


@pytest.fixture
def transport(server):
    """Give a transport to that server, without settings."""
    transport = BoundTransport(lambda: server.url)
    yield transport
    transport.close()


@pytest.fixture
def legacy():
    """A 0.8 with one model on its disk and none in memory."""
    return LegacyService(cached=["Phi-4-mini-instruct-generic-cpu:5"])


@pytest.fixture
def legacy_server(legacy):
    """The same, on a socket."""
    with FaultServer(service=legacy) as there:
        yield there


@pytest.fixture
def legacy_models(legacy_server):
    """The models endpoint of a client of it that tries once."""
    with FoundryAPIClient(legacy_server.url, retries=0, model="phi-4-mini") as client:
        yield client.models


@pytest.fixture
def time():
    """Time that passes when told."""
    with FakeClock().installed() as fake:
        yield fake


@pytest.fixture
def events():
    """Every change of state that was told."""
    return []


@pytest.fixture
def state():
    """Where the breaker's record lives."""
    return MemoryState()


@pytest.fixture
def breaker(time, events, state):
    """A breaker that opens at the third failure."""
    return Breaker(POLICY, state, ADDRESS, events.append)


@pytest.fixture
def path(tmp_path):
    """A file that is not there yet, in a folder that is not either."""
    return tmp_path / "state" / "circuits.sqlite"


@pytest.fixture
def open_state(path):
    """Open states of the file as other processes would: each with a connection of its own."""
    opened = []

    def make(address="a", patience=0.02):
        opened.append(SqliteState(SqliteFile(path, patience), address))
        return opened[-1]

    yield make
    for state in opened:
        state.close()
