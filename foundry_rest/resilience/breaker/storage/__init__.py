"""Breaker state that processes share: a file for one machine, a Redis server for several.

A cron job lives two seconds; alone it finds out anew each time, by its own time-outs, that the service
is down. With ::

    client = FoundryAPIClient(breaker_state=SqliteBreakers("~/.cache/mine/circuits.sqlite"))

the next job is refused at once by what the last one learnt, and one process of all sends the probe.

Whatever happens to file or server while calls are made, no call fails by it: the circuit counts as closed
until the state can be read again, and the logger ``foundry_rest`` gets one warning.
"""

from foundry_rest.resilience.breaker.storage.redis import RedisBreakers, RedisState
from foundry_rest.resilience.breaker.storage.sqlite import SqliteBreakers, SqliteState

__all__ = ["RedisBreakers", "RedisState", "SqliteBreakers", "SqliteState"]
