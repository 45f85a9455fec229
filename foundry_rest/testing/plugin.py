"""pytest fixtures: a service that fails as scripted, a client of it, and a clock that does not wait.

They are installed with the package, so a test only names them. The client, and with it requests, is
imported when a fixture that needs it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from foundry_rest.client import FoundryAPIClient
    from foundry_rest.testing import FakeClock, FaultServer


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """Return a running ``FaultServer``: a healthy Foundry Local 2.x until the test scripts a failure."""
    from foundry_rest.testing import FaultServer

    with FaultServer() as server:
        yield server


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    """Replace the clock of foundry_rest by a ``FakeClock``: back-off and waits for slots take no time.

    Sockets keep real time. Request it before the fixtures that are to use it.
    """
    from foundry_rest.testing import FakeClock

    with FakeClock().installed() as clock:
        yield clock


@pytest.fixture
def foundry_client(fault_server: FaultServer) -> Iterator[FoundryAPIClient]:
    """Return a client of ``fault_server`` whose default model is the one served there."""
    from foundry_rest.client import FoundryAPIClient
    from foundry_rest.config import Config

    # A configuration of its own, so that the environment of the test run changes nothing.
    with FoundryAPIClient(fault_server.url, model="demo", config=Config()) as client:
        yield client
