"""A breaker at work: what opens it, what closes it, what it says."""

from __future__ import annotations

import pytest

from foundry_rest.errors import CircuitOpen, ServiceUnreachable
from foundry_rest.resilience.breaker.breaker import BreakerPolicy, Outcome

POLICY = BreakerPolicy(failures=3, reset_after=10, reset_max=60)
ADDRESS = "http://127.0.0.1:5273"


def fail(breaker, times=1, error=None):
    """Let so many attempts fail."""
    for _ in range(times):
        breaker.report(breaker.admit(), Outcome.FAILURE, error or ServiceUnreachable("refused"))


def succeed(breaker):
    """Let one attempt succeed."""
    breaker.report(breaker.admit(), Outcome.SUCCESS)


def refused(breaker):
    """Return the seconds that a refused attempt is told to wait."""
    with pytest.raises(CircuitOpen) as caught:
        breaker.admit()
    return caught.value.retry_in


def told(events):
    """Return the changes of state as text."""
    return [f"{event.before}>{event.after}" for event in events]


def is_admitted(breaker):
    """Tell whether an attempt may go."""
    try:
        breaker.admit()
    except CircuitOpen:
        return False
    return True
