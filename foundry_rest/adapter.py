"""The adapter that puts this package below an existing ``requests.Session``."""

from foundry_rest.client.adapter import FoundryAdapter

__all__ = ["FoundryAdapter"]
