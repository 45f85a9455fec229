"""The former path of shared breaker state, kept for programs that import it."""

from foundry_rest.resilience.breaker.storage import RedisBreakers, RedisState, SqliteBreakers, SqliteState

__all__ = ["RedisBreakers", "RedisState", "SqliteBreakers", "SqliteState"]
