"""The client: its settings, the parts that its views share, and the methods that users call."""

# First, as it imports requests: CPython takes memory for a thread's frames in pieces, and an import as large
# as that one, begun below many frames, takes and returns the last piece at every other step.
import foundry_rest.errors  # noqa: F401
from foundry_rest.client.client import FoundryAPIClient

__all__ = ["FoundryAPIClient"]
