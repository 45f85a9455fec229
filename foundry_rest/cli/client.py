"""The client that a command uses, made from its arguments."""

from __future__ import annotations

from argparse import Namespace

from foundry_rest.client import FoundryAPIClient


def client_for(arguments: Namespace) -> FoundryAPIClient:
    """Return a client for ``--url``, ``--timeout`` and ``--start``."""
    # None, not False, when the option is not given: a FOUNDRY_ variable may set it.
    return FoundryAPIClient(arguments.url, timeout=arguments.timeout, auto_start=arguments.start or None)
