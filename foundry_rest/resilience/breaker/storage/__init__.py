"""Breaker state that processes share: a file for one machine, a Redis server for several.

A cron job runs for two seconds; without shared state each run learns only by its own time-outs that the
service is down. With ::

    client = FoundryAPIClient(breaker_state=SqliteBreakers("~/.cache/mine/circuits.sqlite"))

the next job is refused at once because of the last one's failures, and a single process sends the probe.

No failure of the file or the server makes a call fail: the circuit counts as closed until the state can be
read again, and the logger ``foundry_rest`` gets one warning.
"""

from foundry_rest.resilience.breaker.storage.redis import RedisBreakers, RedisState
from foundry_rest.resilience.breaker.storage.sqlite import SqliteBreakers, SqliteState

__all__ = ["RedisBreakers", "RedisState", "SqliteBreakers", "SqliteState"]
