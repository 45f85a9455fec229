"""What each failure tells the breaker, and whether to ask another service."""

from __future__ import annotations

import pytest

from foundry_rest import errors
from foundry_rest.errors import FoundryError
from foundry_rest.errors.bodies import service_error
from foundry_rest.resilience import failures
from foundry_rest.resilience.breaker.policy import Outcome
from foundry_rest.resilience.failures import is_answer, is_loss, is_worth_another_model, outcome_of, row_of

FAILURE, NEUTRAL = Outcome.FAILURE, Outcome.NEUTRAL
#: Every class, what it tells the breaker, and whether another service may answer the same request.
TABLE = {
    "ServiceUnreachable": (FAILURE, True),
    "ServiceTimeout": (FAILURE, True),
    "StreamInterrupted": (FAILURE, True),
    "WorkerLost": (NEUTRAL, False),
    "ExecutorBroken": (NEUTRAL, False),
    "InvalidReply": (FAILURE, True),
    "InvalidMember": (NEUTRAL, True),
    "ServerError": (FAILURE, True),
    "InferenceFailed": (FAILURE, True),
    "ToolCallFailed": (NEUTRAL, False),
    "CatalogUnavailable": (NEUTRAL, True),
    "LoadFailed": (NEUTRAL, True),
    "ModelInUse": (NEUTRAL, False),
    "ServiceNotFound": (NEUTRAL, True),
    "TransportError": (NEUTRAL, True),
    "FoundryError": (NEUTRAL, False),
    "ConfigError": (NEUTRAL, False),
    "UnknownArgument": (NEUTRAL, False),
    "UnsupportedByService": (NEUTRAL, True),
    "ToolLoopExceeded": (NEUTRAL, False),
    "CircuitOpen": (NEUTRAL, True),
    "DeadlineExceeded": (NEUTRAL, False),
    "Cancelled": (NEUTRAL, False),
    "ServiceError": (NEUTRAL, True),
    "BadRequest": (NEUTRAL, False),
    "AudioFileNotFound": (NEUTRAL, True),
    "ContextLengthExceeded": (NEUTRAL, False),
    "ModelNotLoaded": (NEUTRAL, True),
    "ModelNotCached": (NEUTRAL, True),
    "UnsupportedParameter": (NEUTRAL, True),
    "AuthenticationError": (NEUTRAL, False),
    "NotFound": (NEUTRAL, True),
    "ModelNotFound": (NEUTRAL, True),
    "ResponseNotFound": (NEUTRAL, True),
    "TooManyRequests": (NEUTRAL, True),
}
#: Those after which another model of the same service may answer.
OTHER_MODEL = {
    "ServiceTimeout",
    "StreamInterrupted",
    "ContextLengthExceeded",
    "ModelNotLoaded",
    "ModelNotCached",
    "TooManyRequests",
    "ModelNotFound",
    "ServerError",
    "CatalogUnavailable",
    "InferenceFailed",
    "ToolCallFailed",
    "LoadFailed",
    "InvalidReply",
    "InvalidMember",
}


def family(cls: type[FoundryError]) -> set[str]:
    """Return the names of a class and of all that derive from it."""
    return {cls.__name__}.union(*(family(below) for below in cls.__subclasses__()))


@pytest.mark.parametrize("name", TABLE)
def test_what_is_worth_another_model(name):
    """Where the model is the reason; not where nobody answers, the request is wrong or the call is over."""
    assert is_worth_another_model(getattr(errors, name)("x")) is (name in OTHER_MODEL)


@pytest.mark.parametrize(
    "error",
    [
        errors.ServiceTimeout("x", phase="connect", sent=False),
        errors.ServerError("x", status=501),
        errors.ServerError("x", status=505),
    ],
)
def test_what_no_model_changes(error):
    """A service that was not reached, or that lacks the method, lacks it for every model."""
    assert not is_worth_another_model(error)


@pytest.mark.parametrize(("name", "told"), TABLE.items())
def test_the_table(name, told):
    """The service is judged by its silence, its broken connections, its 5xx and its gibberish alone."""
    error = getattr(errors, name)("x")

    assert (outcome_of(error), row_of(error).elsewhere) == told


def test_each_class_has_one_row():
    """A new error has to be judged first: no class of the tree lives on the row of one above it."""
    ours = {name for name in family(FoundryError) if getattr(errors, name, None) is not None}

    assert {name for name in ours if not name.startswith("_")} == set(TABLE)
    assert {cls.__name__ for cls in failures.TABLE} == set(TABLE)


def test_an_error_of_the_users_own():
    """It is judged as the nearest class above it."""

    class OutOfMemory(errors.InferenceFailed):
        pass

    assert row_of(OutOfMemory("x")) is failures.TABLE[errors.InferenceFailed]


def told_by(said: str) -> Outcome:
    """Return what a 500 with this message tells."""
    return outcome_of(service_error(500, {}, said.encode()))


@pytest.mark.parametrize(
    "said",
    [
        "Failed to parse Tool Call from the model",
        "Model emitted an invalid tool call: it was interrupted",
        "Inference failed: no Tool Call could be read",
        "tool 'f': instance '', keyword '/required': Required property 'x' not found.",
    ],
)
def test_a_tool_call_gone_wrong_is_the_models_doing(said):
    """The service answers 500 when its model wrote no sound tool call; that says nothing about it."""
    assert told_by(said) is NEUTRAL


def test_a_catalog_out_of_reach_is_the_networks_doing():
    """1.x lists no models then and answers chats well: its circuit stays closed."""
    assert told_by("Failed to retrieve model list: Catalog request failed across 7 region(s)") is NEUTRAL


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


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (errors.ServiceUnreachable(sent=True), True),
        (errors.ServiceUnreachable(sent=False), True),
        (errors.ServiceUnreachable(sent=True, stale=True), False),
        (errors.StreamInterrupted(), True),
        (errors.ServiceTimeout(phase="idle"), False),
        (errors.ServerError(status=500), False),
        (errors.InvalidReply(), False),
        (errors.Cancelled(), False),
        (errors.DeadlineExceeded(), False),
    ],
)
def test_signs_that_a_service_has_gone(error, lost):
    """A broken connection is one, silence and bad answers are none; nor is a connection kept too long."""
    assert is_loss(error) is lost


def test_a_broken_connection_to_a_child():
    """Whether it lives is quickly seen, so that one kept too long is worth the look, too."""
    assert is_loss(errors.ServiceUnreachable(sent=True, stale=True), is_embedded=True)
    assert not is_loss(errors.ServiceTimeout(phase="idle"), is_embedded=True)
