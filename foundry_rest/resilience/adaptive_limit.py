"""ThroughputLimit: how many calls at a time a service is worth, learnt from what it delivers.

A local service never refuses a call; it only gets slower. What tells the right number of calls is therefore
the throughput: tokens per second of all of them together. Latency does not tell it, since answers differ in
length, and on one core it grows with every further call although nothing is gained or lost.

The throughput at N calls is N times the tokens of a number of calls divided by the seconds they took. That
is what counting tokens by the clock gives in the long run, but with far less noise: a call that happens to
end within the measurement brings its whole time with it. Only calls that began after the latest change of the
limit count, and only while all slots are taken. A measurement ends when its noise is small, or when the
difference is clear.

Upwards the number is doubled while throughput grows. Then the smallest number within a few percent of the
best is searched between what was too little and what is enough, and held. While it is held, a number above
and one below are tried again now and then, more rarely each time nothing new is found. If the throughput
itself changes for good, everything else is forgotten and the search begins anew.

No threads, no clock, no input or output: the caller says what time it is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from foundry_rest.checks import whole_number

#: Growth by which a larger number of calls is worth the longer wait of each.
_GROWTH = 1.04
#: Part of the best throughput that is enough. The aim is 95 %; trying other numbers costs the rest. One or
#: two calls are enough with less: a further one makes all of them last half as long again.
_ENOUGH, _ENOUGH_OF_FEW, _FEW = 0.96, 0.953, 2
#: Noise of a measurement that is small enough: its standard error, relative.
_FINE = 0.015
#: Standard errors between a measurement and a bound that make it clear on which side it is.
_CLEAR = 2.5
#: Noise, squared, that a measurement has at least, however alike its calls are.
_LEAST_NOISE = 0.005**2
#: Fewest calls of a measurement, and fewest for each slot, so that it is not of the short calls alone.
_FEWEST, _FEWEST_EACH = 6, 2
#: Calls of a measurement, and for each slot, from which on long and short ones are in it as they are in all.
_WHOLE, _WHOLE_EACH = 32, 4
#: Calls, calls for each slot, and seconds after all of which a noisy measurement is used as it is.
_MOST, _MOST_EACH, _LONGEST = 64, 12, 20.0
#: Shortest measurement in seconds: what the machine does besides is to be in all of them alike.
_SHORTEST = 0.1
#: Change of the throughput that is none of chance, and how often in a row it is seen before it is believed.
_CHANGE, _SIGHTINGS = 0.2, 2
#: Measurements at the number that is held between two tries of another: at first, and at last.
_PAUSE, _LONGEST_PAUSE = 6, 48


class Rate(NamedTuple):
    """One measured throughput.

    Attributes:
        value: Tokens per second.
        noise: Standard error, relative.
        doubt: Part by which it may be more than was measured: of few calls the first to end are the short
            ones, which spend more of their time on other things than tokens.
    """

    value: float
    noise: float
    doubt: float = 0.0

    @property
    def low(self) -> float:
        """Return the throughput less its noise."""
        return self.value * (1 - self.noise)

    @property
    def high(self) -> float:
        """Return the throughput and its noise."""
        return self.value * (1 + self.noise + self.doubt)


class _Window(msgspec.Struct):
    """The calls of one measurement, as sums."""

    since: float
    calls: int = 0
    tokens: float = 0.0
    seconds: float = 0.0
    squares: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def add(self, tokens: float, seconds: float) -> None:
        self.calls += 1
        self.tokens += tokens
        self.seconds += seconds
        one, both, other = self.squares
        self.squares = one + tokens * tokens, both + tokens * seconds, other + seconds * seconds

    def rate(self, slots: int) -> Rate:
        """Return the throughput of so many slots."""
        each = self.tokens / self.seconds
        one, both, other = self.squares
        error = math.sqrt(max(0.0, one - 2 * each * both + each * each * other))
        doubt = 1 / self.calls if self.calls < max(_WHOLE, _WHOLE_EACH * slots) else 0.0
        return Rate(slots * each, error / self.tokens, doubt)


class ThroughputLimit:
    """A limit on concurrent calls that follows the throughput.

    Args:
        most: Largest limit.
        start: First limit.

    Attributes:
        limit: Calls at a time that are to be allowed now.

    Raises:
        ConfigError: ``most`` or ``start`` is not a whole number above 0.
    """

    def __init__(self, most: int, start: int = 1) -> None:
        self._most = whole_number("most", most, 1)
        self.limit = self._home = min(whole_number("start", start, 1), most)
        self._rates: dict[int, Rate] = {}
        self._window = _Window(-math.inf)
        self._pause, self._held, self._is_up = _PAUSE, 0, True
        self._sightings = 0

    @property
    def settled(self) -> int:
        """Return the limit apart from a try of another one."""
        return self._home

    def completed(self, now: float, tokens: int, seconds: float, *, is_full: bool) -> int | None:
        """Take in a call that has ended well; return the new limit, or ``None`` while it stays.

        Args:
            now: Monotonic seconds.
            tokens: Tokens of its answer, or another measure of the work.
            seconds: Time for which it held its slot.
            is_full: Whether all slots are taken after its end: somebody was waiting for it.
        """
        before = self.limit
        if not is_full:
            # Nobody waits: what is measured is the callers, not the service. A try of another number ends.
            self._move(self._home, now)
        elif seconds > 0 and tokens > 0 and now - seconds >= self._window.since:
            if self._window.since == -math.inf:
                self._window.since = now - seconds
            self._window.add(tokens, seconds)
            if self._is_enough(now):
                self._note(self._window.rate(self.limit))
                self._move(self._next(), now)
        return self.limit if self.limit != before else None

    def _move(self, limit: int, now: float) -> None:
        self.limit = limit
        self._window = _Window(now)

    def _is_enough(self, now: float) -> bool:
        window, limit = self._window, self.limit
        lasted = now - window.since
        if window.calls < max(_FEWEST, _FEWEST_EACH * limit) or lasted < _SHORTEST:
            return False
        value, noise, doubt = window.rate(limit)
        if not doubt and (
            noise <= _FINE or (window.calls >= max(_MOST, _MOST_EACH * limit) and lasted >= _LONGEST)
        ):
            return True
        bound = self._bound()
        return bound is not None and abs(value - bound) > _CLEAR * (noise + doubt) * value

    def _bound(self) -> float | None:
        """Return the throughput that decides what comes next; ``None`` where there is no such bound."""
        if self.limit == self._home and self.limit in self._rates:
            return None
        if not self._rates:
            return 0.0 if self.limit < self._most else None
        top = max(self._rates)
        if self.limit > top:
            return self._rates[top].value * _GROWTH
        return self._least(self.limit)

    # ---------------------------------------------------------------- what was learnt

    def _note(self, found: Rate) -> None:
        """Note a measured throughput, and forget what it shows to be past."""
        limit, known = self.limit, self._rates.get(self.limit)
        if known is None:
            self._rates[limit] = found
            return
        is_other = abs(math.log(found.value / known.value)) > max(_CHANGE, _CLEAR * found.noise)
        if limit != self._home:
            if is_other:
                self._forget(limit, self._home)
            self._rates[limit] = found if is_other else _mean(known, found)
        elif is_other:
            self._sightings += 1
            if self._sightings >= _SIGHTINGS:
                self._forget()
                self._rates[limit] = found
        else:
            self._sightings = 0
            self._follow(known, found)

    def _forget(self, *kept: int) -> None:
        """Forget all throughputs but these; other numbers are tried soon."""
        self._rates = {limit: rate for limit, rate in self._rates.items() if limit in kept}
        self._pause, self._held, self._sightings = _PAUSE, 0, 0

    def _follow(self, known: Rate, found: Rate) -> None:
        """Make the throughput that is held more exact, or let all drift as it does.

        Requests get longer, a machine warmer: what is beyond the noise of both is not an error of the first.
        """
        self._held += 1
        if abs(found.value / known.value - 1) <= 3 * math.hypot(known.noise + known.doubt, found.noise):
            self._rates[self._home] = _mean(known, found)
            return
        drift = found.value / known.value
        self._rates = {limit: rate._replace(value=rate.value * drift) for limit, rate in self._rates.items()}
        self._rates[self._home] = found

    # ---------------------------------------------------------------- what comes next

    def _next(self) -> int:
        """Return the number of calls to measure next, and set the one that is held."""
        top = max(self._rates)
        if top < self._most and self._has_grown(top):
            self._home = min(2 * top, self._most)
            return self._home
        enough = min(limit for limit, rate in self._rates.items() if rate.high >= self._least(limit))
        below = max((limit for limit in self._rates if limit < enough), default=0)
        self._home = enough
        if enough - below > 1 and enough > 1.25 * below:
            return (enough + below) // 2
        return self._held_or_tried(below)

    def _least(self, limit: int) -> float:
        """Return the throughput that is enough for a number of calls to be held.

        The best one counts less its noise, since of several equal ones chance makes one the best.
        """
        best = max(rate.low for rate in self._rates.values())
        return best * (_ENOUGH_OF_FEW if limit <= _FEW else _ENOUGH)

    def _has_grown(self, top: int) -> bool:
        """Return whether the largest number measured has clearly more throughput than the one before."""
        before = max((limit for limit in self._rates if limit < top), default=0)
        if not before:
            return True
        one, other = self._rates[before], self._rates[top]
        return other.value / one.value >= max(_GROWTH, 1 + math.hypot(one.noise, other.noise))

    def _held_or_tried(self, below: int) -> int:
        """Return the number that is held, or now and then one above or below it."""
        home = self._home
        if self._held < self._pause:
            return home
        above = min((limit for limit in self._rates if limit > home), default=min(2 * home, self._most))
        tried = above if self._is_up else below
        self._is_up, self._held = not self._is_up, 0
        if self._is_up:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return tried or home


def _mean(one: Rate, other: Rate) -> Rate:
    """Return the mean of two measurements, the less noisy one counting for more."""
    weight, rest = (
        (other.noise + other.doubt) ** 2 + _LEAST_NOISE,
        (one.noise + one.doubt) ** 2 + _LEAST_NOISE,
    )
    value = (one.value * weight + other.value * rest) / (weight + rest)
    return Rate(value, math.sqrt(weight * rest / (weight + rest)))
