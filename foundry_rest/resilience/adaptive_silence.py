"""How long a silence is normal: the decision behind adaptive time-outs, as pure functions.

What was observed is the longest silence of each of the last calls. Those whose prompts were most like the new
one are looked at; each tells what to expect, and the largest expectation times a margin is the estimate. A
longer prompt or a higher load never leads to the conclusion that others take less: what takes long may have
another cause.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, log2
from typing import NamedTuple

#: Calls that are remembered, of each operation of a model at an address.
WINDOW = 100
#: How many of them tell about the next one, and how many must be known before anything is concluded.
NEIGHBOURS = 20
#: How many times longer than the largest expectation a call may take. In the simulation of the tests,
#: with times that scatter log-normally and no floor, no call of 164,000 met a false time-out with sigma 0.5,
#: one in 18,000 with 0.7, one in 1,400 with 1.0; with a margin of 3 one in 3,400 with 0.7, in 800 with 1.0.
MARGIN = 4.0
#: A prompt of twice the length takes at most four times as long: attention is quadratic, the rest is linear.
GROWTH = 2.0
#: Seconds after which an observation is forgotten: what else the machine did then tells nothing about now.
MEMORY = 3600.0
#: Seconds without a call after which all is forgotten: 0.x drops a model that was not used for 600 s, and
#: loads it in the next call (docs/reference/service.md, section 6).
PAUSE = 300.0
#: A time-out is raised when the estimate is so many times larger, and lowered when it is so many times
#: smaller, so that not every call changes it.
RAISED, LOWERED = 1.25, 2.0
#: Classes of lengths for a factor of two.
_CLASSES = 2


class Observation(NamedTuple):
    """The longest silence of one call.

    Attributes:
        seconds: The silence, or how long it was waited for in vain.
        length: Length of the prompt in powers of two, see ``length_of``.
        load: Calls of this client under way when it began, itself included.
        at: Monotonic instant at which it was observed.
        timed_out: Nothing came after it.
    """

    seconds: float
    length: float
    load: int
    at: float
    timed_out: bool = False


class Estimate(NamedTuple):
    """The longest silence that a call may have.

    Attributes:
        seconds: The silence.
        by: The observation that it follows.
    """

    seconds: float
    by: Observation


def length_of(size: int) -> float:
    """Return a number of bytes in powers of two."""
    return log2(max(size, 1))


def length_class(length: float) -> float:
    """Return the upper end of the class of a length; all prompts of a class have the same time-out.

    >>> length_class(length_of(1000)), length_class(length_of(1024)), length_class(length_of(1025))
    (10.0, 10.0, 10.5)
    """
    return ceil(length * _CLASSES) / _CLASSES


def load_class(load: int) -> int:
    """Return the next power of two of a number of calls.

    >>> [load_class(each) for each in (1, 2, 3, 8, 9)]
    [1, 2, 4, 8, 16]
    """
    return 1 << max(0, load - 1).bit_length()


def estimate(seen: Iterable[Observation], length: float, load: int, now: float) -> Estimate | None:
    """Return the longest silence that a call may have; ``None`` while too little is known.

    Args:
        seen: What was observed, oldest first.
        length: Length of the call's prompt in powers of two.
        load: Calls under way, itself included.
        now: Monotonic instant.
    """
    fresh = [each for each in seen if now - each.at <= MEMORY]
    if len(fresh) < NEIGHBOURS:
        return None
    fresh.reverse()  # of two that are equally near the newer one counts
    fresh.sort(key=lambda each: abs(each.length - length))
    by = max(fresh[:NEIGHBOURS], key=lambda each: _expected(each, length, load))
    return Estimate(_expected(by, length, load) * MARGIN, by)


def follow(before: float, wanted: float) -> float:
    """Return the next time-out, given the one before and the one that is wanted now.

    >>> follow(10.0, 12.0), follow(10.0, 13.0), follow(10.0, 6.0), follow(10.0, 4.0)
    (10.0, 13.0, 10.0, 4.0)
    """
    return wanted if wanted > before * RAISED or wanted * LOWERED < before else before


def _expected(seen: Observation, length: float, load: int) -> float:
    """Return how long a call may take, given another one."""
    growth = 2 ** (GROWTH * (length - seen.length)) if length > seen.length else 1.0
    return seen.seconds * growth * max(1.0, load / seen.load)
