"""How a session's connections are used, from what urllib3 counts in its pools."""

from __future__ import annotations

from collections.abc import Iterator

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool

from foundry_rest.schema.use import ConnectionUse


def use_of(session: requests.Session) -> ConnectionUse:
    """Return the use of a session's connections so far, in the pools that it has now."""
    pools = list(_pools(session))
    return ConnectionUse(
        opened=sum(pool.num_connections for pool in pools),
        requests=sum(pool.num_requests for pool in pools),
        idle=sum(map(_idle, pools)),
    )


def _pools(session: requests.Session) -> Iterator[HTTPConnectionPool]:
    for adapter in set(getattr(session, "adapters", {}).values()):
        if isinstance(adapter, HTTPAdapter):
            for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
                for key in manager.pools.keys():  # noqa: SIM118 (it cannot be iterated)
                    pool = manager.pools.get(key)
                    if isinstance(pool, HTTPConnectionPool):
                        yield pool


def _idle(pool: HTTPConnectionPool) -> int:
    """Return how many connected connections wait in a pool; it fills the free places with ``None``."""
    waiting = list(pool.pool.queue) if pool.pool is not None else []
    return sum(getattr(each, "sock", None) is not None for each in waiting)
