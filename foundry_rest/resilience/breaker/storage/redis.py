"""Breaker state on a Redis server that several machines share.

pybreaker's own ``CircuitRedisStorage`` reads and writes what is pybreaker's, under its own key names; a
further key, ``door``, holds epoch, trips and times. All of it is one transaction: what is read is watched,
what pybreaker and the breaker write is kept and sent as one MULTI, and when anybody else wrote meanwhile
the decision is taken again. So no report is lost, exactly one process gets the probe, and nothing is ever
half written, which commands sent one by one (traps 3.1 no. 13) cannot promise. Every key expires.

Times are the server's, so that machines with different clocks agree.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from foundry_rest.errors import ConfigError
from foundry_rest.resilience.breaker.record import CLOSED, STATES, UNKNOWN, Record
from foundry_rest.resilience.breaker.storage.outage import Outage, StoreFailed

if TYPE_CHECKING:
    import pybreaker
    import redis

T = TypeVar("T")

#: Seconds after the last report until a server forgets an address: ports change at each restart.
_FORGET_AFTER = 7 * 24 * 3600
#: pybreaker's keys, in the order in which they are read; ours follows.
_PYBREAKERS = ("state", "fail_counter", "success_counter", "opened_at")
#: What the record holds beyond pybreaker's keys.
_DOOR = ("epoch", "trips", "opened_until", "claimed_until", "probes")
_TIMES = ("opened_until", "claimed_until")


class _Kept:
    """Stand between pybreaker's storage and a transaction: what was read, and what is to be written."""

    def __init__(self, values: dict[str, bytes | None]) -> None:
        self._values = values
        self.written: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.written.get(key, self._values.get(key))

    def set(self, key: str, value: object) -> None:
        self.written[key] = str(value).encode()

    def setnx(self, key: str, value: object) -> None:
        if self.get(key) is None:
            self.set(key, value)

    def incr(self, key: str) -> None:
        self.set(key, int(self.get(key) or 0) + 1)


class _Damaged(Exception):
    """Report a value that no breaker can have written."""


class _RedisRecord(Record):
    """Hold a record within one transaction, and give pybreaker its own storage for it."""

    kept: _Kept = msgspec.field(default_factory=lambda: _Kept({}))
    namespace: str = ""

    def storage(self) -> pybreaker.CircuitBreakerStorage:
        """Return pybreaker's storage; its commands go into the transaction."""
        import pybreaker

        # cluster_mode: plain commands only; the transaction around them is ours.
        return pybreaker.CircuitRedisStorage(
            CLOSED, cast("redis.Redis", self.kept), namespace=self.namespace, cluster_mode=True
        )


class RedisState:
    """Keep one address's record on a Redis server.

    Nothing is sent before the first call, and a server that is down is no error, then or later: calls go
    on as if the circuit were closed, and the server is asked again after 5 s, or after nine times as long
    as it took to fail. Every wait for it is the client's: give the client ``socket_timeout`` and
    ``socket_connect_timeout`` of some tenths of a second, and few retries.

    Args:
        client: A ``redis.Redis`` without ``decode_responses``, which pybreaker cannot read.
        namespace: What the five keys begin with; text in braces keeps them together in a cluster.
        outage: Shared by states of one client: one that failed is not asked by any of them.

    Raises:
        ConfigError: The client decodes its answers.
    """

    def __init__(self, client: redis.Redis, namespace: str, outage: Outage | None = None) -> None:
        import redis

        if client.get_encoder().decode_responses:
            raise ConfigError(
                "breaker state needs a Redis client that answers in bytes",
                advice="Make the client without decode_responses=True.",
            )
        self._client = client
        self._namespace = namespace
        self._keys = [f"{namespace}:pybreaker:{name}" for name in _PYBREAKERS] + [f"{namespace}:door"]
        self._outage = outage or _outage()
        self._errors = (redis.RedisError, OSError, _Damaged)

    def read(self) -> Record:
        """Return the record as the server has it; ``UNKNOWN`` when the server is out of reach."""
        try:
            with self._outage.guard(*self._errors):
                return self._parse(self._client.mget(self._keys))
        except StoreFailed:
            return UNKNOWN

    def now(self) -> float:
        """Return the server's time; infinity, at which every wait is over, when it is out of reach."""
        try:
            with self._outage.guard(*self._errors):
                return _seconds(self._client.time())
        except StoreFailed:
            return math.inf

    def change(self, decide: Callable[[Record, float], T]) -> T | None:
        """Return what ``decide(record, now)`` returns, and write what it changed, in one transaction."""

        def attempt(pipe: redis.client.Pipeline) -> T:
            record = self._parse(pipe.mget(self._keys))
            before = msgspec.structs.replace(record)
            result = decide(record, _seconds(pipe.time()))
            pipe.multi()
            if record != before or record.kept.written:
                self._write(pipe, record)
            return result

        try:
            with self._outage.guard(*self._errors):
                # Begins again by itself when a watched key was written by somebody else.
                return cast("T", self._client.transaction(attempt, *self._keys, value_from_callable=True))
        except StoreFailed:
            return None

    def _parse(self, values: list[bytes | None]) -> _RedisRecord:
        state, failures, _, _, door = values
        try:
            record = _RedisRecord(
                state=CLOSED if state is None else state.decode(),
                failures=int(failures or 0),
                kept=_Kept(dict(zip(self._keys, values, strict=True))),
                namespace=self._namespace,
            )
            for name, value in json.loads(door or b"{}").items():
                setattr(record, name, float(value) if name in _TIMES else int(value))
        except (ValueError, TypeError, AttributeError) as error:
            raise _Damaged(f"{self._namespace} holds {values!r}") from error
        if record.state not in STATES:
            raise _Damaged(f"{self._namespace} holds the state {record.state!r}")
        return record

    def _write(self, pipe: redis.client.Pipeline, record: _RedisRecord) -> None:
        door = json.dumps({name: getattr(record, name) for name in _DOOR})
        written = {**record.kept.written, self._keys[-1]: door.encode()}
        for key in self._keys:
            if key in written:
                pipe.set(key, written[key], ex=_FORGET_AFTER)
            else:
                pipe.expire(key, _FORGET_AFTER)


def _outage() -> Outage:
    return Outage("Redis", "Look at the Redis server and at the client's address and password.")


def _seconds(time: tuple[int, int]) -> float:
    """Return Redis' (seconds, microseconds) as seconds."""
    return time[0] + time[1] / 1e6


class RedisBreakers:
    """Share breaker state between machines by a Redis server.

    Give it as ``FoundryAPIClient(breaker_state=...)``; ``RedisState`` says what a server that is down means.

    Args:
        client: A ``redis.Redis`` without ``decode_responses``, with short time-outs. It stays yours to close.
        prefix: What every key begins with.

    Raises:
        ConfigError: The client decodes its answers; raised for the first address.
    """

    def __init__(self, client: redis.Redis, prefix: str = "foundry_rest") -> None:
        self._client = client
        self._prefix = prefix
        self._outage = _outage()

    def __call__(self, address: str) -> RedisState:
        """Return the state of one address."""
        return RedisState(self._client, f"{self._prefix}:{{{address}}}", self._outage)
