"""Services and schemas: some enforce them, some ignore them, some refuse them; what is learnt is kept."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from support.servers import CHAT, answer, bodies

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import BadRequest, ContextLengthExceeded, ServerError
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.testing import DEMO_MODEL, json_answer, json_error


class Person(msgspec.Struct):
    """A person."""

    name: str
    age: int = 0


GOOD = '{"name": "Ann", "age": 3}'
ANN = Person("Ann", 3)
MISFITS = ["Ann is three.", '{"name": 3}', "[]", '{"name": "Ann", "age": "three"}']
REFUSED = [400, 422, 500, 501]


def says(body):
    """Return whether a request says the schema in words, and whether by ``response_format``."""
    words = any("JSON schema" in str(message["content"]) for message in body["messages"])
    return words, "response_format" in body


@pytest.fixture
def client_of(server):
    """Make clients that retry without waiting."""
    made = []

    def make(generation):
        quick = RetryPolicy(retries=3, base=0.001, longest=0.001, floor=0.001)
        made.append(FoundryAPIClient(server.url, model=DEMO_MODEL, retries=quick, dialect=generation))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.mark.parametrize(
    ("generation", "said"),
    [("2.x", (False, True)), ("openai", (True, True)), ("1.x", (True, False)), ("0.x", (True, False))],
)
def test_before_anything_is_known(server, client_of, generation, said):
    """2.x enforces it, 1.x and 0.x ignore it; to a stranger it is said in both ways."""
    server.on("POST", CHAT, answer(GOOD))

    assert client_of(generation).complete("Who?", response_model=Person) == ANN
    assert [says(body) for body in bodies(server)] == [said]


@pytest.mark.parametrize(("generation", "misfit"), list(itertools.product(["2.x", "openai"], MISFITS)))
def test_a_service_that_ignores_it(server, client_of, generation, misfit):
    """The question after a misfit says it in words, and so does every later call."""
    server.on("POST", CHAT, answer(misfit), answer(GOOD), answer(GOOD))
    client = client_of(generation)

    assert client.complete("Who?", response_model=Person) == ANN
    assert client.complete("Who?", response_model=Person) == ANN
    assert [says(body) for body in bodies(server)][1:] == [(True, True)] * 2


@pytest.mark.parametrize(("generation", "status"), list(itertools.product(["2.x", "openai"], REFUSED)))
def test_a_service_that_refuses_it(server, client_of, generation, status):
    """It is asked in words instead, also from then on; a stranger's 500 is not repeated."""
    refusal = json_error(status, "response_format is not supported")
    server.on(
        "POST",
        CHAT,
        lambda request: refusal if "response_format" in request.json() else answer(GOOD)(request),
    )
    client = client_of(generation)

    assert client.complete("Who?", response_model=Person) == ANN
    asked = [says(body)[1] for body in bodies(server)]
    assert asked[-1] is False
    if generation == "openai":
        assert asked == [True, False]
    assert client.complete("Who?", response_model=Person) == ANN
    assert len(bodies(server)) == len(asked) + 1
    assert says(bodies(server)[-1]) == (True, False)


@pytest.mark.parametrize("generation", ["2.x", "openai"])
@pytest.mark.parametrize(("status", "kind"), [(400, BadRequest), (422, BadRequest), (500, ServerError)])
def test_a_refusal_of_something_else(server, client_of, generation, status, kind):
    """What is refused in words as well is that error, and nothing was learnt about the schema."""
    server.on("POST", CHAT, json_error(status, "no such thing"))
    client = client_of(generation)

    with pytest.raises(kind):
        client.complete("Who?", response_model=Person)
    server.on("POST", CHAT, answer(GOOD))
    assert client.complete("Who?", response_model=Person) == ANN
    assert says(bodies(server)[-1])[1]


@pytest.mark.parametrize("generation", ["2.x", "openai"])
def test_a_refusal_with_a_cause_of_its_own(server, client_of, generation):
    """Too long a context is not asked again."""
    body = {
        "error": {"message": "too long", "code": "context_length_exceeded", "type": "invalid_request_error"}
    }
    server.on("POST", CHAT, json_answer(body, 400))

    with pytest.raises(ContextLengthExceeded):
        client_of(generation).complete("Who?", response_model=Person)
    assert len(bodies(server)) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_passing_failure(server, client_of, status):
    """A stranger that is busy for a moment is not taken for one that refuses schemas."""
    server.on("POST", CHAT, json_error(status, "busy"), answer(GOOD))
    client = client_of("openai")

    assert client.complete("Who?", response_model=Person) == ANN
    assert client.complete("Who?", response_model=Person) == ANN
    assert says(bodies(server)[-1]) == (True, True)


def test_what_was_learnt_belongs_to_the_service(server, client_of):
    """Another client learns for itself."""
    server.on("POST", CHAT, answer("Ann"), answer(GOOD))
    assert client_of("2.x").complete("Who?", response_model=Person) == ANN
    assert client_of("2.x").complete("Who?", response_model=Person) == ANN

    assert says(bodies(server)[-1]) == (False, True)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_outage_of_a_service_that_enforces_it(server, client_of, status):
    """It is no refusal of the schema: the usual tries are made once, and not again in words."""
    server.on("POST", CHAT, json_error(status, "busy"))

    with pytest.raises(ServerError):
        client_of("2.x").complete("Who?", response_model=Person)
    assert [says(body) for body in bodies(server)] == [(False, True)] * len(bodies(server))
