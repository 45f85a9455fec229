"""The retry policy as a table: numbers in, a wait or ``None`` out.

Only ``backoff.expo`` and ``backoff.full_jitter`` are used, in the shape that backoff 2.2.1 and the fork
python-backoff 3 share. By hand, against the fork (both install the same package):
``pip install --no-deps --target DIR python-backoff``, then run this file with DIR on PYTHONPATH.
"""

from __future__ import annotations

import ast
import inspect
import math

import backoff
import pytest

from foundry_rest import errors
from foundry_rest.errors import ConfigError, FoundryError
from foundry_rest.errors.bodies import service_error
from foundry_rest.resilience import retry
from foundry_rest.resilience.retry import RetryPolicy, full_jitter
from foundry_rest.transport.call import Replay

ALWAYS, IF_UNSENT = Replay.ALWAYS, Replay.IF_UNSENT
MANY = RetryPolicy(retries=50)


def most(jitter: float) -> float:
    """Draw the longest delay."""
    return jitter


def wait(error: FoundryError, *, replay=ALWAYS, failed=1, left=math.inf, policy=MANY, jitter=most):
    """Return the policy's decision."""
    return policy.wait_before_next(error, replay, failed, left, jitter)


def granted(error: FoundryError, replay: Replay) -> float:
    """Count the further tries that 50 retries leave to an error."""
    tries = (failed for failed in range(1, 60) if wait(error, replay=replay, failed=failed) is None)
    return next(tries) - 1


ALL = 50
#: error -> further tries when asking twice is harmless, and when only an unsent call may be repeated.
TABLE = [
    (errors.ConfigError(), 0, 0),
    (errors.UnknownArgument(), 0, 0),
    (errors.UnsupportedByService(), 0, 0),
    (errors.CircuitOpen(), 0, 0),
    (errors.DeadlineExceeded(), 0, 0),
    (errors.Cancelled(), 0, 0),
    (errors.InvalidReply(), 0, 0),
    (errors.InvalidMember(), 0, 0),
    (errors.ToolLoopExceeded(), 0, 0),
    (errors.TransportError(), 0, 0),
    (errors.TransportError(sent=False), 0, 0),
    (errors.ServiceNotFound(), 0, 0),
    (errors.ServiceUnreachable(sent=False), ALL, ALL),
    (errors.ServiceUnreachable(sent=True), 1, 0),
    (errors.ServiceTimeout(phase="connect", sent=False), ALL, ALL),
    (errors.ServiceTimeout(phase="headers"), 1, 0),
    (errors.StreamInterrupted(), 1, 0),
    (errors.StreamInterrupted(sent=False), 0, 0),
    (errors.ServiceError(status=302), 0, 0),
    (errors.BadRequest(status=400), 0, 0),
    (errors.AudioFileNotFound(status=400), 0, 0),
    (errors.ContextLengthExceeded(status=400), 0, 0),
    (errors.ModelNotLoaded(status=400), 0, 0),
    (errors.ModelNotCached(status=400), 0, 0),
    (errors.UnsupportedParameter(status=400), 0, 0),
    (errors.BadRequest(status=500), 0, 0),
    (errors.AuthenticationError(status=401), 0, 0),
    (errors.NotFound(status=404), 0, 0),
    (errors.ModelNotFound(status=404), 0, 0),
    (errors.ModelNotFound(status=503), ALL, ALL),
    (errors.ResponseNotFound(status=404), 0, 0),
    (errors.TooManyRequests(status=429), ALL, ALL),
    (errors.ServerError(status=503), ALL, ALL),
    (errors.ServerError(status=500), 2, 0),
    (errors.ServerError(status=501), 0, 0),
    (errors.ServerError(status=505), 0, 0),
    (errors.BadRequest(status=408), ALL, ALL),
    (errors.BadRequest(status=409), ALL, ALL),
    (errors.BadRequest(status=425), ALL, ALL),
    (errors.BadRequest(status=404), 0, 0),
    (errors.BadRequest(status=400, should_retry=True), ALL, ALL),
    (errors.ServerError(status=503, should_retry=False), 0, 0),
    (errors.ServerError(status=501, should_retry=True), ALL, ALL),
    (errors.TooManyRequests(status=429, should_retry=False), 0, 0),
    (errors.ServerError(status=502), 2, 0),
    (errors.InferenceFailed(status=500), 2, 0),
    (errors.ToolCallFailed(status=500), 2, 0),
    (errors.ToolCallFailed(status=503), ALL, ALL),
    (errors.CatalogUnavailable(status=500), 0, 0),
    (errors.LoadFailed(status=500), 0, 0),
    (errors.ModelInUse(status=500), ALL, 0),
    (errors.FoundryError(), 0, 0),
    (errors.WorkerLost(), 0, 0),
    (errors.ExecutorBroken(), 0, 0),
]


@pytest.mark.parametrize(
    ("error", "always", "if_unsent"), TABLE, ids=lambda value: type(value).__name__ if value else None
)
def test_how_often(error, always, if_unsent):
    """Each error deserves its own number of further tries, by whether asking twice is harmless."""
    assert (granted(error, ALWAYS), granted(error, IF_UNSENT)) == (always, if_unsent)


def test_every_error_is_in_the_table():
    """A new class of error cannot be forgotten here."""
    classes = {
        cls
        for name, cls in inspect.getmembers(errors)
        if inspect.isclass(cls) and issubclass(cls, FoundryError) and not name.startswith("_")
    }

    assert {type(error) for error, *_ in TABLE} == classes


def test_a_catalog_out_of_reach_is_not_asked_again():
    """1.x has tried every region by the time it says so."""
    body = b'{"error":{"message":"Failed to retrieve model list: Catalog request failed across 7 region(s)"}}'

    assert wait(service_error(500, {}, body), failed=1) is None


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_the_policys_number_is_the_bound(retries):
    """Attempts after the first are counted; 0 means that nothing is repeated."""
    policy = RetryPolicy(retries=retries)
    waits = [wait(errors.TooManyRequests(status=429), failed=n, policy=policy) for n in range(1, 6)]

    assert [value is not None for value in waits] == [n <= retries for n in range(1, 6)]


@pytest.mark.parametrize(
    ("failed", "longest"), [(1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, 4.0), (6, 8.0), (7, 8.0), (40, 8.0)]
)
def test_how_long(failed, longest):
    """The bound doubles up to the longest; jitter takes a share of it, never less than the floor."""
    error = errors.TooManyRequests(status=429)
    for share in (0.0, 0.1, 0.5, 1.0):
        drawn = wait(error, failed=failed, jitter=lambda bound, share=share: bound * share)

        assert drawn == max(0.02, longest * share)


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (RetryPolicy(retries=9, base=0), [0.02, 0.02]),
        (RetryPolicy(retries=9, longest=0, floor=0), [0, 0]),
        (RetryPolicy(retries=9, base=1, longest=1.5), [1, 1.5]),
        (RetryPolicy(retries=9, floor=3), [3, 3]),
    ],
)
def test_other_figures(policy, waits):
    """Base, longest and floor are the policy's own."""
    assert [wait(errors.ServerError(), failed=n, policy=policy) for n in (1, 2)] == waits


@pytest.mark.parametrize(
    ("left", "expected"), [(0.251, 0.25), (0.25, None), (0.1, None), (0, None), (-5, None)]
)
def test_a_wait_must_end_before_the_deadline(left, expected):
    """A wait that would use up the time is not begun."""
    assert wait(errors.ServerError(), left=left) == expected


@pytest.mark.parametrize(
    ("asked", "left", "expected"),
    [
        (5.0, math.inf, 5.0),
        (0.0, math.inf, 0.25),
        (0.01, math.inf, 0.25),
        (60.0, math.inf, 60.0),
        (60.1, math.inf, None),
        (5.0, 4.0, None),
        (None, math.inf, 0.25),
    ],
)
@pytest.mark.parametrize("error", [errors.TooManyRequests, errors.ServerError])
def test_retry_after(error, asked, left, expected):
    """What the service asks for is kept exactly, without jitter; too long a wait ends the call."""
    assert wait(error(status=503, retry_after=asked), left=left) == expected


def test_retry_after_grants_no_further_try():
    """It says when, not whether: a refusal stays one."""
    assert wait(errors.BadRequest(status=400, retry_after=1.0)) is None


@pytest.mark.parametrize("name", ["base", "longest", "floor", "longest_retry_after"])
def test_figures_are_checked(name):
    """A policy with impossible seconds cannot be made."""
    for value in (-1, math.nan, math.inf, "1", None):
        with pytest.raises(ConfigError, match=f"RetryPolicy.{name} must be seconds, 0 or more"):
            RetryPolicy(**{name: value})


@pytest.mark.parametrize("value", [-1, 1.5, "3", True, None])
def test_retries_are_checked(value):
    """So is the number of tries."""
    with pytest.raises(ConfigError, match="retries must be a whole number, 0 or more"):
        RetryPolicy.of(value)


def test_of():
    """A number means that many retries; a policy is taken as it is."""
    policy = RetryPolicy(retries=2)

    assert RetryPolicy.of(2) == policy
    assert RetryPolicy.of(policy) is policy


@pytest.mark.parametrize(
    ("error", "least"),
    [
        (errors.ServiceUnreachable(sent=False), 0.5),
        (errors.ServiceTimeout(phase="connect", sent=False), 0.5),
        (errors.ServiceUnreachable(sent=True), 0.0),
        (errors.ServerError(status=500), 0.0),
        (errors.TooManyRequests(status=429), 0.0),
    ],
)
def test_where_no_service_is_the_tries_last(error, least):
    """There is nobody to spare, and a restart takes a second: at least half of each delay is waited."""
    policy = RetryPolicy(retries=9, base=1.0, floor=0.0)
    waits = [
        wait(error, policy=policy, jitter=lambda bound, share=share: bound * share) for share in (0, 0.5, 1)
    ]

    assert waits == [least, (1 + least) / 2, 1.0]


def test_full_jitter_stays_in_its_bounds():
    """The real draw lies between nothing and the bound."""
    drawn = [full_jitter(2.0) for _ in range(200)]

    assert all(0 <= value <= 2 for value in drawn)
    assert len(set(drawn)) > 100


def test_only_what_both_backoffs_share_is_used():
    """``expo`` and ``full_jitter`` are all that is imported: no decorator, no private name."""
    tree = ast.parse(inspect.getsource(retry))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "backoff"
        for alias in node.names
    }

    assert imported == {"expo", "full_jitter"}


@pytest.mark.parametrize("priming", [None, 0], ids=["backoff 2.2.1", "python-backoff 3.0.0"])
def test_the_value_that_primes_expo_is_no_delay(monkeypatch, priming):
    """Each ``expo`` yields one value for its first ``send``: the delays begin behind it."""
    monkeypatch.setattr(backoff, "expo", lambda factor, max_value: iter([priming, 1.0, 2.0]))

    assert [wait(errors.ServerError(), failed=n) for n in (1, 2)] == [1.0, 2.0]


def test_a_model_that_is_just_released_is_unloaded_later():
    """A refusal because an answer still runs on the model is temporary; other refusals are not."""
    busy = service_error(500, {}, b"Unload failed: 1 session(s) still using it")
    other = service_error(500, {}, b"Load failed: no memory")

    assert wait(busy) is not None
    assert wait(other) is None


def test_no_wait_without_a_file():
    """Where the system opens no file, backoff cannot be imported: the call is given up with its own error."""

    def jitter(bound: float) -> float:
        raise OSError(24, "Too many open files")

    assert wait(errors.ServiceUnreachable(sent=False), jitter=jitter) is None
