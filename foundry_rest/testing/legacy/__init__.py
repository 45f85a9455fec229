"""A 0.x service on real sockets, for tests."""

from foundry_rest.testing.legacy.catalog import LEGACY_CACHED, LEGACY_CATALOG
from foundry_rest.testing.legacy.service import LegacyService, legacy_model

__all__ = ["LEGACY_CACHED", "LEGACY_CATALOG", "LegacyService", "legacy_model"]
