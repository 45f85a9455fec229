"""Breaker state on a Redis server that several machines share.

pybreaker's part is stored under the keys and in the form of its own ``CircuitRedisStorage``, which may read
them; one more key, named ``door``, holds what admission adds: epoch, trips and times. Each change is one
transaction: the keys read are watched, the changes are sent as one MULTI, and when another client wrote
meanwhile the decision is made again. So no report is lost, exactly one process gets the probe, and no record
is ever half written, which the single commands of ``CircuitRedisStorage`` cannot guarantee. Every key
expires.

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

#: Seconds after the last report until a server deletes an address: ports change at each restart.
_FORGET_AFTER = 7 * 24 * 3600
#: pybreaker's keys, in the order in which they are read; ours follows.
_PYBREAKERS = ("state", "fail_counter", "success_counter", "opened_at")
#: The record's fields that pybreaker's keys do not hold.
_ADMISSION = ("epoch", "trips", "opened_until", "claimed_until", "probes")
_TIMES = ("opened_until", "claimed_until")


class _Damaged(Exception):
    """An error for a stored value that no breaker can have written."""


class RedisState:
    """One address's record on a Redis server.

    Nothing is sent before the first call, and a server that is down is never an error: calls go on as if the
    circuit were closed, and the server is tried again after 5 s, or after nine times as long as the failure
    took. The Redis client bounds every wait: give it ``socket_timeout`` and ``socket_connect_timeout`` of
    some tenths of a second, and few retries.

    Args:
        client: A ``redis.Redis`` without ``decode_responses``, which pybreaker cannot read.
        namespace: Prefix of the five keys; text in braces keeps them together in a cluster.
        outage: Shared by the states of one client, so that after a failure none of them uses it.

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
        """Return the record on the server; ``UNKNOWN`` when the server is out of reach."""
        try:
            with self._outage.guard(*self._errors):
                return self._parse(self._client.mget(self._keys))
        except StoreFailed:
            return UNKNOWN

    def now(self) -> float:
        """Return the server's time; infinity, which ends every wait, when it is out of reach."""
        try:
            with self._outage.guard(*self._errors):
                return _seconds(self._client.time())
        except StoreFailed:
            return math.inf

    def change(self, decide: Callable[[Record, float], T]) -> T | None:
        """Return the result of ``decide(record, now)``, and store its changes, in one transaction."""

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
                # It repeats itself when another client wrote a watched key.
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
    """Breaker state on a Redis server, which machines share.

    Give it as ``FoundryAPIClient(breaker_state=...)``; see ``RedisState`` for a server that is down.

    Args:
        client: A ``redis.Redis`` without ``decode_responses``, with short time-outs. The caller closes it.
        prefix: Prefix of every key.

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
