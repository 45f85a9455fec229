"""Breaker state on a Redis server that several machines share.

What is pybreaker's lies under the keys and in the form of its own ``CircuitRedisStorage``, which may read
them; a further key, ``door``, holds what admission adds: epoch, trips and times. All of it is one
transaction: what is read is watched, what is decided is sent as one MULTI, and when anybody else wrote
meanwhile the decision is taken again. So no report is lost, exactly one process gets the probe, and
nothing is ever half written, which the commands that ``CircuitRedisStorage`` sends one by one cannot
promise. Every key expires.

Times are the server's, so that machines with different clocks agree.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from foundry_rest.errors import ConfigError
from foundry_rest.resilience.breaker.record import CLOSED, STATES, UNKNOWN, Record
from foundry_rest.resilience.breaker.storage.outage import Outage, StoreFailed

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

#: Seconds after the last report until a server forgets an address: ports change at each restart.
_FORGET_AFTER = 7 * 24 * 3600
#: pybreaker's keys, in the order in which they are read; ours follows.
_PYBREAKERS = ("state", "fail_counter", "success_counter", "opened_at")
#: What the record holds beyond pybreaker's keys.
_ADMISSION = ("epoch", "trips", "opened_until", "claimed_until", "probes")
_TIMES = ("opened_until", "claimed_until")


class _Damaged(Exception):
    """A value that no breaker can have written."""


class RedisState:
    """One address's record on a Redis server.

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
            if record != before:
                self._write(pipe, record)
            return result

        try:
            with self._outage.guard(*self._errors):
                # Begins again by itself when a watched key was written by somebody else.
                return cast("T", self._client.transaction(attempt, *self._keys, value_from_callable=True))
        except StoreFailed:
            return None

    def _parse(self, values: list[bytes | None]) -> Record:
        state, failures, successes, opened_at, admission = values
        try:
            record = Record(
                CLOSED if state is None else state.decode(),
                int(failures or 0),
                int(successes or 0),
                None if opened_at is None else datetime.fromtimestamp(int(opened_at), timezone.utc),
            )
            for name, value in json.loads(admission or b"{}").items():
                setattr(record, name, float(value) if name in _TIMES else int(value))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise _Damaged(f"{self._namespace} holds {values!r}") from error
        if record.state not in STATES:
            raise _Damaged(f"{self._namespace} holds the state {record.state!r}")
        return record

    def _write(self, pipe: redis.client.Pipeline, record: Record) -> None:
        opened_at = None if record.opened_at is None else int(record.opened_at.timestamp())
        admission = json.dumps({name: getattr(record, name) for name in _ADMISSION})
        values = (record.state, record.failures, record.successes, opened_at, admission)
        for key, value in zip(self._keys, values, strict=True):
            if value is not None:
                pipe.set(key, value, ex=_FORGET_AFTER)


def _outage() -> Outage:
    return Outage("Redis", "Look at the Redis server and at the client's address and password.")


def _seconds(time: tuple[int, int]) -> float:
    """Return Redis' (seconds, microseconds) as seconds."""
    return time[0] + time[1] / 1e6


class RedisBreakers:
    """The Redis server by which machines share breaker state.

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
