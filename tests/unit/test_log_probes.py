"""Probes that fail on purpose: whoever waits for a service, or looks what it is, is not warned each time."""

from __future__ import annotations

import contextlib
import logging

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import FoundryError
from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address, json_error, reset, stall

#: What is asked; each may fail.
PROBES = {
    "is_alive": lambda client: client.health.is_alive(timeout=0.1),
    "health_check": lambda client: client.health_check(timeout=0.1),
    "wait_until_ready": lambda client: client.health.wait_until_ready(0.2),
    "detection": lambda client: client.models.loaded(timeout=0.1, retries=0),
}


@contextlib.contextmanager
def answering(script):
    """Serve every path with the same failure."""
    with FaultServer() as server:
        server.otherwise(script)
        yield server.url


PLACES = {
    "nobody": dead_address,
    "no route": lambda: answering(json_error(404, "no")),
    "errors": lambda: answering(json_error(500, "no")),
    "resets": lambda: answering(reset()),
    "silence": lambda: answering(stall()),
}


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_no_warning(place, probe, caplog):
    """Nothing from the level of a warning on is logged, neither here nor by the libraries below."""
    caplog.set_level(logging.INFO)
    with (
        place() as url,
        FoundryAPIClient(url, model=DEMO_MODEL) as client,
        contextlib.suppress(FoundryError),
    ):
        probe(client)
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []
