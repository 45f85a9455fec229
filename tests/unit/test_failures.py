"""What each failure tells the breaker."""

from __future__ import annotations

import pytest

from foundry_rest import errors
from foundry_rest.errors import FoundryError
from foundry_rest.resilience.breaker.breaker import Outcome
from foundry_rest.resilience.failures import is_answer, outcome_of

FAILURE, NEUTRAL = Outcome.FAILURE, Outcome.NEUTRAL
#: Every class that can reach the sender, and what it tells.
TABLE = {
    "ServiceUnreachable": FAILURE,
    "ServiceTimeout": FAILURE,
    "StreamInterrupted": FAILURE,
    "InvalidReply": FAILURE,
    "ServerError": FAILURE,
    "InferenceFailed": FAILURE,
    "LoadFailed": NEUTRAL,
    "ServiceNotFound": NEUTRAL,
    "TransportError": NEUTRAL,
    "FoundryError": NEUTRAL,
    "ConfigError": NEUTRAL,
    "UnsupportedByService": NEUTRAL,
    "ToolLoopExceeded": NEUTRAL,
    "CircuitOpen": NEUTRAL,
    "DeadlineExceeded": NEUTRAL,
    "Cancelled": NEUTRAL,
    "ServiceError": NEUTRAL,
    "BadRequest": NEUTRAL,
    "ContextLengthExceeded": NEUTRAL,
    "ModelNotLoaded": NEUTRAL,
    "ModelNotCached": NEUTRAL,
    "UnsupportedParameter": NEUTRAL,
    "AuthenticationError": NEUTRAL,
    "NotFound": NEUTRAL,
    "ModelNotFound": NEUTRAL,
    "TooManyRequests": NEUTRAL,
}


def family(cls: type[FoundryError]) -> set[str]:
    """Return the names of a class and of all that derive from it."""
    return {cls.__name__}.union(*(family(below) for below in cls.__subclasses__()))


@pytest.mark.parametrize(("name", "outcome"), TABLE.items())
def test_the_table(name, outcome):
    """The service is judged by its silence, its broken connections, its 5xx and its gibberish alone."""
    assert outcome_of(getattr(errors, name)("x")) is outcome


def test_no_class_is_missing():
    """A new error has to be judged here first."""
    ours = {name for name in family(FoundryError) if getattr(errors, name, None) is not None}

    assert {name for name in ours if not name.startswith("_")} == set(TABLE)


@pytest.mark.parametrize("cls", [errors.ServerError, errors.InferenceFailed])
def test_a_tool_call_gone_wrong_is_the_models_doing(cls):
    """The service answers 500 when its model wrote no sound tool call; that says nothing about it."""
    for said in (
        "Failed to parse Tool Call from the model",
        "tool 'f': instance '', keyword '/required': Required property 'x' not found.",
    ):
        assert outcome_of(cls(said, status=500)) is NEUTRAL


def test_a_catalog_out_of_reach_is_the_networks_doing():
    """1.x lists no models then and answers chats well: its circuit stays closed."""
    said = "Failed to retrieve model list: Catalog request failed across 7 region(s)"

    assert outcome_of(errors.ServerError(said, status=500)) is NEUTRAL


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.ServerError("x", status=500), True),
        (errors.InvalidReply("x"), True),
        (errors.ServiceUnreachable("x"), False),
        (errors.ServiceTimeout("x"), False),
        (errors.DeadlineExceeded("x"), False),
    ],
)
def test_answers(error, expected):
    """What came with a status counts once per call; a lost connection counts each time."""
    assert is_answer(error) is expected
