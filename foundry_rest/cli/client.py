"""The client for the arguments of a command."""

from __future__ import annotations

from argparse import Namespace

from foundry_rest.client import FoundryAPIClient


def client_for(arguments: Namespace) -> FoundryAPIClient:
    """Return a client for ``--url``, ``--timeout`` and ``--start``."""
    # Not given is not the same as no: FOUNDRY_... may say otherwise.
    return FoundryAPIClient(arguments.url, timeout=arguments.timeout, auto_start=arguments.start or None)
