"""The metrics in Prometheus' terms: one table, and what each is read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from foundry_rest.schema.distribution import Distribution
from foundry_rest.schema.stats import CallStats, Stats

#: Upper bounds of the histograms in seconds: those of OpenTelemetry's conventions for generative AI.
BOUNDS = tuple(0.01 * 2**power for power in range(14))

#: One series of a metric: the values of its labels, and its number or its distribution.
Sample = tuple[tuple[str, ...], "float | Distribution"]


class Metric(NamedTuple):
    """One metric of a client.

    Attributes:
        name: Its name, with its unit, and ``_total`` for a counter.
        kind: ``"counter"``, ``"gauge"`` or ``"histogram"``.
        help: What it is.
        labels: Names of its labels.
        read: Returns its series.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Stats], Iterable[Sample]]


def _by_call(read: Callable[[CallStats], float | Distribution]) -> Callable[[Stats], Iterator[Sample]]:
    """Return a function that yields one series for each operation."""
    return lambda stats: (((label,), read(figures)) for label, figures in stats.by_call.items())


def _outcomes(stats: Stats) -> Iterator[Sample]:
    for label, figures in stats.by_call.items():
        yield (label, "ok"), figures.ok
        yield (label, "error"), figures.errors
        yield (label, "abandoned"), figures.abandoned
        yield (label, "cached"), figures.cached


def _tokens(stats: Stats) -> Iterator[Sample]:
    for label, figures in stats.by_call.items():
        yield (label, "input"), figures.prompt_tokens
        yield (label, "output"), figures.completion_tokens


def _circuits(stats: Stats) -> Iterator[Sample]:
    for address, current in stats.circuits.items():
        for state in ("closed", "open", "half-open"):
            yield (address, state), float(state == current)


def _recoveries(stats: Stats) -> Iterator[Sample]:
    for label, figures in stats.by_call.items():
        for name, count in figures.recoveries.items():
            yield (label, name), count


def _openings(stats: Stats) -> Iterator[Sample]:
    return (((address,), count) for address, count in stats.openings.items())


def _of_client(read: Callable[[Stats], float]) -> Callable[[Stats], list[Sample]]:
    """Return a function that gives the one series of a metric without labels."""
    return lambda stats: [((), read(stats))]


def _lookups(stats: Stats) -> Iterator[Sample]:
    fresh = stats.cache.hits - stats.cache.stale
    for result, count in (("hit", fresh), ("stale", stats.cache.stale), ("miss", stats.cache.misses)):
        yield (result,), count


METRICS = (
    Metric(
        "foundry_rest_calls_total",
        "counter",
        "Calls that ended, by operation and outcome.",
        ("operation", "outcome"),
        _outcomes,
    ),
    Metric(
        "foundry_rest_attempts_total",
        "counter",
        "Attempts that the calls took.",
        ("operation",),
        _by_call(lambda figures: figures.attempts),
    ),
    Metric(
        "foundry_rest_attempts_failed_total",
        "counter",
        "Attempts that failed, including those that a recovery or a retry followed.",
        ("operation",),
        _by_call(lambda figures: figures.failed_attempts),
    ),
    Metric(
        "foundry_rest_retries_total",
        "counter",
        "Attempts that were made again after a wait.",
        ("operation",),
        _by_call(lambda figures: figures.retries),
    ),
    Metric(
        "foundry_rest_recoveries_total",
        "counter",
        "Recoveries from a failure that were begun, such as the load of a model.",
        ("operation", "recovery"),
        _recoveries,
    ),
    Metric(
        "foundry_rest_call_duration_seconds",
        "histogram",
        "Durations of the calls that went well.",
        ("operation",),
        _by_call(lambda figures: figures.latency),
    ),
    Metric(
        "foundry_rest_first_token_seconds",
        "histogram",
        "Times to the first event of the streams that went well.",
        ("operation",),
        _by_call(lambda figures: figures.first_token),
    ),
    Metric(
        "foundry_rest_tokens_total",
        "counter",
        "Tokens that the service reported.",
        ("operation", "type"),
        _tokens,
    ),
    Metric(
        "foundry_rest_circuit_state",
        "gauge",
        "1 for the state that the circuit of an address is in, 0 for the others.",
        ("address", "state"),
        _circuits,
    ),
    Metric(
        "foundry_rest_circuit_openings_total",
        "counter",
        "How often the circuit of an address opened.",
        ("address",),
        _openings,
    ),
    Metric(
        "foundry_rest_service_moves_total",
        "counter",
        "How often the service was found at another address.",
        (),
        _of_client(lambda stats: stats.moves),
    ),
    Metric(
        "foundry_rest_timeout_changes_total",
        "counter",
        "How often an adaptive time-out changed.",
        (),
        _of_client(lambda stats: stats.timeout_changes),
    ),
    Metric(
        "foundry_rest_slots_limit",
        "gauge",
        "Most calls and open streams at a time.",
        (),
        _of_client(lambda stats: stats.slots.limit),
    ),
    Metric(
        "foundry_rest_slots_in_use",
        "gauge",
        "Calls and open streams under way.",
        (),
        _of_client(lambda stats: stats.slots.in_use),
    ),
    Metric(
        "foundry_rest_slots_waiting",
        "gauge",
        "Calls that wait for a slot.",
        (),
        _of_client(lambda stats: stats.slots.waiting),
    ),
    Metric(
        "foundry_rest_slot_waits_total",
        "counter",
        "Calls that had to wait for a slot.",
        (),
        _of_client(lambda stats: stats.slots.waits),
    ),
    Metric(
        "foundry_rest_slot_wait_seconds_total",
        "counter",
        "How long calls waited for a slot, in sum.",
        (),
        _of_client(lambda stats: stats.slots.waited),
    ),
    Metric(
        "foundry_rest_connections_opened_total",
        "counter",
        "Connections that were made.",
        (),
        _of_client(lambda stats: stats.connections.opened),
    ),
    Metric(
        "foundry_rest_connections_idle",
        "gauge",
        "Connections that wait for the next request.",
        (),
        _of_client(lambda stats: stats.connections.idle),
    ),
    Metric(
        "foundry_rest_cache_lookups_total",
        "counter",
        "Calls that were looked up in the cache, by what was found.",
        ("result",),
        _lookups,
    ),
    Metric(
        "foundry_rest_cache_kept_total",
        "counter",
        "Answers that the cache took in.",
        (),
        _of_client(lambda stats: stats.cache.kept),
    ),
)
