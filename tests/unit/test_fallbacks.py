"""Fallback models: the next one is asked where the model is the reason, and only then."""

from __future__ import annotations

import msgspec
import pytest
from support.servers import CHAT, bodies

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    AuthenticationError,
    BadRequest,
    Cancelled,
    CircuitOpen,
    ConfigError,
    DeadlineExceeded,
    InferenceFailed,
    InvalidReply,
    ModelNotFound,
    ServiceUnreachable,
    UnknownArgument,
)
from foundry_rest.testing import (
    FaultServer,
    chat_completion,
    chat_stream,
    context_exceeded,
    cut,
    inference_failed,
    json_error,
    model_not_found,
    stall,
    too_many,
)
from foundry_rest.transport.cancellation import CancelToken

MODELS = {name: f"{name}-generic-cpu:1" for name in ("a", "b", "c")}
BROKEN = chat_stream("one two three")[:4] + cut()


@pytest.fixture
def server():
    """Serve three models, all in memory."""
    with FaultServer(MODELS) as running:
        yield running


@pytest.fixture
def client(server):
    """Ask it by ids, once each, and judge nothing by a breaker."""
    with FoundryAPIClient(server.url, model=MODELS["a"], retries=0, dialect="2.x", breaker=None) as made:
        yield made


FALLBACKS = (MODELS["b"], MODELS["c"])


def asked(server) -> list[str]:
    """Return the models that were asked, by their first letters."""
    return [body["model"][0] for body in bodies(server)]


@pytest.mark.parametrize(
    "failure",
    [
        model_not_found("a"),
        context_exceeded(limit=10),
        inference_failed(),
        json_error(500, "Failed to load model"),
        too_many(0),
        BROKEN,
    ],
    ids=["not there", "too long", "failed", "load failed", "too many", "broken off"],
)
def test_the_next_one_answers(server, client, failure):
    """Its reply tells who did; the one behind it is not asked."""
    server.on("POST", CHAT, failure, chat_stream("Hello", model=MODELS["b"]))
    reply = client.complete("Hi", fallback_models=FALLBACKS)

    assert (reply.content, reply.model) == ("Hello", MODELS["b"])
    assert asked(server) == ["a", "b"]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (json_error(400, "The prompt was filtered", code="content_filter"), BadRequest),
        (json_error(401, "no"), AuthenticationError),
        (cut(), ServiceUnreachable),
    ],
)
def test_what_no_other_model_changes(server, client, failure, error):
    """It is raised at once, as it would be without fallbacks."""
    server.on("POST", CHAT, failure)
    with pytest.raises(error) as caught:
        client.complete("Hi", fallback_models=FALLBACKS)

    assert asked(server) == ["a"]
    assert all(attempt.model == "" for attempt in caught.value.attempts)


def test_an_open_circuit(server, client):
    """It is that of the address: no model is asked."""
    with FoundryAPIClient(server.url, model=MODELS["a"], dialect="2.x") as guarded:
        guarded.breaker.force_open()
        with pytest.raises(CircuitOpen):
            guarded.complete("Hi", fallback_models=FALLBACKS)

    assert not asked(server)


def test_all_fail(server, client):
    """The last error is raised, with the tries of all models in order, each with its model."""
    server.on("POST", CHAT, inference_failed(), BROKEN, model_not_found("c"), model_not_found("c"))
    with pytest.raises(ModelNotFound, match="after 3 attempts") as caught:
        client.with_options(retries=0).complete("Hi", fallback_models=FALLBACKS)

    tried = caught.value.attempts
    assert [(each.model[0], each.error) for each in tried] == [
        ("a", "InferenceFailed"),
        ("b", "StreamInterrupted"),
        ("c", "ModelNotFound"),
    ]
    assert [each.at for each in tried] == sorted(each.at for each in tried)
    assert caught.value.model == MODELS["c"]


def test_the_tries_of_each_count(server, client):
    """Each model has the retries of the call; the sum is told."""
    server.on("POST", CHAT, *[inference_failed()] * 6)
    with pytest.raises(InferenceFailed) as caught:
        client.complete("Hi", fallback_models=FALLBACKS, retries=1)

    assert [each.model[0] for each in caught.value.attempts] == ["a", "a", "b", "b", "c", "c"]


def test_one_deadline(server, client):
    """It is over for all models at the same instant, and then none is asked."""
    server.on("POST", CHAT, inference_failed(), stall(), stall())
    with pytest.raises(DeadlineExceeded) as caught:
        client.complete("Hi", fallback_models=FALLBACKS, deadline=0.2)

    assert asked(server) == ["a", "b"]
    assert caught.value.attempts[0].model == MODELS["a"]


def test_cancelled(server, client):
    """A call that its caller has ended asks nobody else."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        client.complete("Hi", fallback_models=FALLBACKS, cancel=token)

    assert not asked(server)


@pytest.mark.parametrize(("load", "answers"), [(False, "c"), (True, "b")])
def test_nothing_is_loaded_unless_asked(server, load, answers):
    """A fallback that is not in memory is passed over, by alias or id; the model itself is loaded as ever."""
    server.loaded = ["c"]
    server.on("POST", CHAT, inference_failed(), server.healthy)
    events = []
    with FoundryAPIClient(server.url, model="a", retries=0, breaker=None, observers=[events.append]) as made:
        reply = made.complete("Hi", fallback_models=["b", MODELS["b"], MODELS["c"]], load_fallbacks=load)

    assert reply.model == MODELS[answers]
    assert set(server.loaded) == {MODELS[name] for name in ("a", "c", answers)}
    assert not [event for event in events if getattr(event, "cure", "") == "load"]


def test_a_type_and_a_check(server, client):
    """A model whose answers fit at no time gives way, too; of the next one a value is read."""
    server.on("POST", CHAT, chat_stream(["no"]), chat_stream(["-1"]), chat_stream(["5"], model=MODELS["c"]))
    value, reply = client.complete(
        "How many?",
        response_model=int,
        validate=positive,
        max_reasks=0,
        with_reply=True,
        fallback_models=FALLBACKS,
    )

    assert (value, reply.model, asked(server)) == (5, MODELS["c"], ["a", "b", "c"])


def positive(number: int) -> None:
    """Refuse a negative number."""
    if number < 0:
        raise ValueError("it must not be negative")


def test_no_answer_fits(server, client):
    """A misfit has no tries of its own, so its error stands for it."""
    server.on("POST", CHAT, chat_stream(["no"]), chat_stream(["-1"]))
    with pytest.raises(InvalidReply) as caught:
        client.complete(
            "How many?", response_model=int, validate=positive, max_reasks=0, fallback_models=FALLBACKS[:1]
        )

    tried = caught.value.attempts
    assert [(each.model[0], each.error) for each in tried] == [("a", "InvalidReply"), ("b", "InvalidReply")]
    assert "must not be negative" in tried[1].message


@pytest.mark.parametrize("wrong", [InferenceFailed("mine", status=500), KeyError("x")])
def test_an_exception_of_the_check(server, client, wrong):
    """It is the caller's: no other model is asked, whatever its class."""

    def check(_: object) -> None:
        raise wrong

    server.on("POST", CHAT, chat_stream("Hello"))
    with pytest.raises(type(wrong)) as caught:
        client.complete("Hi", validate=check, fallback_models=FALLBACKS)

    assert caught.value is wrong
    assert asked(server) == ["a"]


def test_the_callers_own_parse(server, client):
    """It reads the answer of whichever model gave one."""
    server.on("POST", CHAT, inference_failed(), chat_completion("Hello"))
    body = client.chat.complete("Hi", parse=lambda reply: reply.body, fallback_models=FALLBACKS)

    assert msgspec.json.decode(body)["choices"][0]["message"]["content"] == "Hello"


def test_each_model_once(server, client):
    """A name that comes again is not asked again."""
    server.on("POST", CHAT, *[inference_failed()] * 3)
    with pytest.raises(InferenceFailed):
        client.complete("Hi", fallback_models=[MODELS["a"], MODELS["b"], MODELS["b"]])

    assert asked(server) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"fallback_models": "b"}, "must be a list of names, not str"),
        ({"fallback_models": 5}, "must be a list of names, not int"),
        ({"fallback_models": ["a b"]}, "is no alias or id"),
        ({"fallback_models": [""]}, "must be an alias or id"),
        ({"load_fallbacks": True}, "load_fallbacks goes with fallback_models"),
    ],
)
def test_names_that_are_none(server, client, arguments, said):
    """They are told before the first model is asked."""
    with pytest.raises(ConfigError, match=said):
        client.complete("Hi", **arguments)

    assert not asked(server)


@pytest.mark.parametrize("name", ["fallback_models", "load_fallbacks", "validate", "with_reply"])
def test_where_they_mean_nothing(client, name):
    """A stream and a run of tools tell it in words of their own."""
    with pytest.raises(ConfigError, match="complete"):
        client.stream_complete("Hi", **{name: ["b"]})
    with pytest.raises(ConfigError, match="complete"):
        client.chat.run_tools("Hi", functions=[positive], **{name: ["b"]})
    with pytest.raises(UnknownArgument):
        client.responses.create("Hi", **{name: ["b"]})
