"""What many unit tests start from: a time of their own, a breaker, a file for its state."""

from __future__ import annotations

import pytest
from support.breakers import ADDRESS, POLICY

from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.resilience.breaker.record import MemoryState
from foundry_rest.resilience.breaker.storage import SqliteState
from foundry_rest.resilience.breaker.storage.file import SqliteFile
from foundry_rest.testing.fakes import FakeClock


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
