"""The client: its settings, the parts that its views share, and the methods that users call."""

from foundry_rest.client.client import FoundryAPIClient

__all__ = ["FoundryAPIClient"]
