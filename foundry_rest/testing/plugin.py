"""pytest fixtures: a service that fails as told, a client on it, and a clock that does not wait.

Installed with the package, so a test only asks for them by name. The client, and with it requests, is
imported when one of them is used.
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
    """Return a running ``FaultServer``: a healthy Foundry Local 2.x until it is told how to fail."""
    from foundry_rest.testing import FaultServer

    with FaultServer() as server:
        yield server


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    """Put a ``FakeClock`` in the place of all time in foundry_rest: back-off and slot waits take none.

    Sockets keep real time. Ask for it before what it is to steer.
    """
    from foundry_rest.testing import FakeClock

    with FakeClock().installed() as clock:
        yield clock


@pytest.fixture
def foundry_client(fault_server: FaultServer) -> Iterator[FoundryAPIClient]:
    """Return a client on ``fault_server`` whose default model is the one served there."""
    from foundry_rest.client import FoundryAPIClient
    from foundry_rest.config import Config

    # A configuration of its own: the environment of whoever runs the tests steers nothing.
    with FoundryAPIClient(fault_server.url, model="demo", config=Config()) as client:
        yield client
