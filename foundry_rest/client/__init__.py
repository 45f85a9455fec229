"""The client: its settings, what its views share, and the methods that users call."""

from foundry_rest.client.client import FoundryAPIClient

__all__ = ["FoundryAPIClient"]
