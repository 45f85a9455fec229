"""The cache of answers: off by default, on with ``FoundryAPIClient(cache=...)``."""

from foundry_rest.cache.response_cache import CacheStats, ResponseCache

__all__ = ["CacheStats", "ResponseCache"]
