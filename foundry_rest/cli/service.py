"""The client that the arguments of a command ask for."""

from __future__ import annotations

from argparse import Namespace

import msgspec

from foundry_rest.client import FoundryAPIClient


def client_for(arguments: Namespace) -> FoundryAPIClient:
    """Return a client for ``--url``, ``--timeout`` and ``--start``."""
    # Not given is not the same as no: FOUNDRY_... may say otherwise.
    return FoundryAPIClient(arguments.url, timeout=arguments.timeout, auto_start=arguments.start or None)


def facts_of(value: msgspec.Struct, *without: str) -> dict[str, object]:
    """Return a value's fields for JSON."""
    return {name: fact for name, fact in msgspec.structs.asdict(value).items() if name not in without}
