"""The error tree: its shape, its facts, its sentence, and its way through pickle."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import requests

from foundry_rest import FoundryAPIClient, errors
from foundry_rest.errors import Attempt, FoundryError
from foundry_rest.errors import tree as tree_module
from foundry_rest.testing import FaultServer, model_not_found

CLASSES = [
    cls
    for name, cls in inspect.getmembers(errors)
    if inspect.isclass(cls) and issubclass(cls, FoundryError) and not name.startswith("_")
]
#: Class -> its base outside the tree: what callers of requests and of Python catch already.
FOREIGN = {
    "ConfigError": ValueError,
    "UnknownArgument": TypeError,
    "DeadlineExceeded": TimeoutError,
    "TransportError": requests.RequestException,
    "ServiceUnreachable": requests.ConnectionError,
    "ServiceTimeout": requests.Timeout,
    "ServiceError": requests.HTTPError,
}


def drawn() -> dict[str, tuple[str | None, str]]:
    """Return {class: (parent, foreign base)} as the docstring draws it."""
    tree: dict[str, tuple[str | None, str]] = {}
    path: list[str] = []
    for line in (tree_module.__doc__ or "").splitlines():
        match = re.fullmatch(r"    ((?:[│ ]   )*)(?:[├└]── )?(\w+)(?: \(([\w.]+)\))?", line)
        if match is None:
            continue
        branch = "──" in line
        depth = len(match[1]) // 4 + branch
        path[depth:] = [match[2]]
        tree[match[2]] = (path[depth - 1] if depth else None, match[3] or "")
    return tree


def parent_of(cls: type) -> str | None:
    """Return the nearest public class of the tree above one."""
    return next((base.__name__ for base in cls.__mro__[1:] if base in CLASSES), None)


def filled(cls: type[FoundryError]) -> FoundryError:
    """Return an error in which every fact of its class differs from the default."""
    facts: dict[str, object] = {}
    for base in cls.__mro__:
        if issubclass(base, FoundryError):
            facts |= {name: f"{name} value" for name in base.__annotations__}
    facts |= {"attempts": (Attempt(1, 0.0, 0.5, "ServerError", "busy", "load", 0.25),)}
    return cls("what happened", **facts)


def test_the_drawing_is_the_tree():
    """Every class stands in the docstring under its parent, with its foreign base, and no other does."""
    expected = {}
    for cls in CLASSES:
        foreign = FOREIGN.get(cls.__name__)
        place = foreign and ("requests." if foreign.__module__.startswith("requests") else "")
        expected[cls.__name__] = (parent_of(cls), place + foreign.__name__ if foreign else "")

    assert drawn() == expected


@pytest.mark.parametrize(("name", "base"), FOREIGN.items())
def test_old_except_clauses_go_on_working(name, base):
    """``except requests.ConnectionError`` and its like catch ours."""
    with pytest.raises(base) as caught:
        raise getattr(errors, name)("x")

    assert isinstance(caught.value, FoundryError)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_pickle_keeps_every_fact(cls):
    """A round trip gives an equal error: class, message, facts, sentence."""
    error = filled(cls)
    back = pickle.loads(pickle.dumps(error))

    assert type(back) is cls
    assert (back.message, str(back), vars(back)) == (error.message, str(error), vars(error))


def test_errors_cross_processes():
    """A pool of processes hands errors over, as results and as exceptions."""
    given = [filled(cls) for cls in CLASSES]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        back = list(pool.map(copy.copy, given))

    assert [(type(error), vars(error)) for error in back] == [(type(error), vars(error)) for error in given]


def test_an_error_with_a_response_is_picklable():
    """Users of HTTPError find the response; hooks of its request, which no pickle can hold, are left out."""
    with requests.Session() as session, FaultServer() as server:
        session.hooks["response"] = lambda response, **_: response
        server.on("POST", "/v1/chat/completions", model_not_found("x"))
        client = FoundryAPIClient(server.url, session=session, auto_load=False, retries=0, dialect="openai")
        with pytest.raises(requests.HTTPError) as caught:
            client.request("POST", "/v1/chat/completions", json={})
    back = pickle.loads(pickle.dumps(caught.value))

    assert caught.value.response.status_code == back.response.status_code == 404
    assert back.response.json()["error"]["message"].startswith("Model not found")
    assert back.response.request.url.endswith("/v1/chat/completions")
    assert caught.value.response.request.hooks["response"]


@pytest.mark.parametrize("name", ["colour", "message", "errno", "__class__"])
def test_an_unknown_fact_is_a_mistake(name):
    """Only facts that a class declares can be given."""
    with pytest.raises(TypeError, match=f"no fact '{name}'"):
        errors.ServiceError("x", **{name: 1})


TRIES = (Attempt(1, 0, 0, "", ""),) * 3


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "it broke"),
        ({"call": "chat.complete"}, "it broke (chat.complete)"),
        ({"url": "http://h"}, "it broke (http://h)"),
        ({"call": "a.b", "url": "http://h", "model": "m"}, "it broke (a.b at http://h, model 'm')"),
        ({"attempts": TRIES[:1]}, "it broke"),
        ({"attempts": TRIES}, "it broke (after 3 attempts)"),
        ({"advice": "Do this."}, "it broke. Do this."),
        ({"model": "m", "advice": "Do this."}, "it broke (model 'm'). Do this."),
    ],
)
def test_the_sentence(facts, text):
    """What happened, in which call, where, with which model, after how many attempts, what to do next."""
    assert str(FoundryError("it broke", **facts)) == text


def test_a_message_that_ends_in_a_stop_gets_no_second_one():
    """The service's own full stop is not doubled before the advice."""
    assert str(FoundryError("It broke.", advice="Wait.")) == "It broke. Wait."
    assert str(FoundryError()) == ""


def test_facts_have_defaults():
    """Facts can be asked of every error of a class, whether or not they were given."""
    error = errors.TooManyRequests("x")

    assert (error.status, error.code, error.retry_after, error.body, error.attempts) == (
        0,
        None,
        None,
        b"",
        (),
    )
    assert errors.ServiceNotFound("x").sent is False
    assert errors.StreamInterrupted("x").text == errors.Cancelled("x").text == ""


def test_no_response_is_none():
    """An error that never had an HTTP answer says so, as in requests."""
    assert errors.ServiceUnreachable("x").response is None
