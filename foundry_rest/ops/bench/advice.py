"""What a client is to be set to, by the figures of a bench."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from foundry_rest.ops.bench.figures import BenchLevel
from foundry_rest.values import Value

#: A number of requests at a time is worth it if throughput grows by so much.
GROWTH = 1.05
#: Times the 99th percentile: what an answer may take before it is given up.
MARGIN = 3
#: Seconds below which a time-out would fail healthy calls while the machine is busy with something else.
LEAST = 1.0


class Advice(Value, msgspec.Struct, frozen=True, kw_only=True):
    """What a client is to be set to.

    Attributes:
        concurrency: Calls at a time: the smallest number that nearly reaches the best throughput.
        timeout: Seconds of silence: three times the 99th percentile of E2E, at least 1. A plain answer comes
            in one piece, so the silence before it is as long as the answer takes.
        deadline: Seconds for a whole call: two time-outs, which leaves time for a second try, and three times
            the load where one was measured.
    """

    concurrency: int
    timeout: float
    deadline: float

    def line(self, model: str, url: str | None = None) -> str:
        """Return the Python expression that makes such a client."""
        address = "" if url is None else f"{url!r}, "
        return (
            f"FoundryAPIClient({address}model={model!r}, max_concurrency={self.concurrency}, "
            f"timeout={self.timeout:g}, deadline={self.deadline:g})"
        )


def grows(before: BenchLevel, after: BenchLevel) -> bool:
    """Return whether more requests at a time gave at least 5 % more tokens per second."""
    return after.throughput > 0 and after.throughput >= before.throughput * GROWTH


def best_of(levels: Sequence[BenchLevel]) -> BenchLevel | None:
    """Return the level with the fewest requests at a time than which no other is more than 5 % better.

    The better one has the higher goodput where bounds were given, else the higher throughput. Levels with
    errors count only if all have some. ``None`` where nothing was answered.
    """
    answered = [level for level in levels if level.figures["completed"]]
    candidates = [level for level in answered if not level.errors] or answered
    worth = [_worth(level) for level in candidates]
    most = max(worth, default=0.0)
    return next((level for level, each in zip(candidates, worth, strict=True) if each * GROWTH >= most), None)


def advice_on(best: BenchLevel, load: float | None) -> Advice:
    """Return the advice by the figures of the best level.

    Args:
        best: A level with an answer.
        load: Seconds that the model took to load; ``None`` if it was in memory.
    """
    slowest = (best.figures["p99_e2el_ms"] or 0.0) / 1000
    timeout = _rounded_up(max(LEAST, MARGIN * slowest))
    return Advice(
        concurrency=best.concurrency,
        timeout=timeout,
        deadline=_rounded_up(2 * timeout + MARGIN * (load or 0.0)),
    )


def _worth(level: BenchLevel) -> float:
    """Return the goodput, or the throughput where no bounds were given."""
    goodput = level.figures["request_goodput"]
    return level.throughput if goodput is None else goodput


def _rounded_up(seconds: float) -> float:
    """Return seconds with two digits; more would look as if they were known."""
    step = 10.0 ** (math.floor(math.log10(seconds)) - 1)
    return float(f"{math.ceil(seconds / step - 1e-9) * step:.6g}")
