"""The path under which shared breaker state was first published; it goes on working."""

from foundry_rest.resilience.breaker.storage import RedisBreakers, RedisState, SqliteBreakers, SqliteState

__all__ = ["RedisBreakers", "RedisState", "SqliteBreakers", "SqliteState"]
