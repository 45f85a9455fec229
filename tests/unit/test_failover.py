"""Several services: what one of them does wrong, another makes good, once it can; whole and streamed."""

from __future__ import annotations

import pytest
from support.servers import CHAT, answer, bodies

from foundry_rest import BreakerPolicy, FoundryAPIClient, ServiceSpec, Timeouts
from foundry_rest.errors import (
    BadRequest,
    CircuitOpen,
    FoundryError,
    ServerError,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
)
from foundry_rest.testing import (
    FaultServer,
    chat_stream,
    context_exceeded,
    cut,
    dead_address,
    deaf_address,
    dribble,
    error_stream,
    html_page,
    json_error,
    model_not_found,
    reset,
    stall,
    too_many,
    unavailable,
)
from foundry_rest.testing import (
    answer as http_answer,
)

#: Seconds of silence after which a service counts as silent.
SILENCE = 0.25
MODELS = {"demo": "demo-generic-cpu:1", "long": "long-generic-cpu:1"}
WORDS = chat_stream("one two three")

#: What the first service answers to a question, by the name of the fault.
ANSWERS = {
    "silence before the answer": stall(),
    "an answer that trickles": dribble(WORDS, 0.05),
    "silence in the answer": WORDS[:4] + stall(),
    "429 with Retry-After": too_many(30),
    "429 without Retry-After": too_many(None),
    "500": json_error(500, "out of memory"),
    "503 with Retry-After": unavailable(30),
    "cut before the answer": cut(),
    "reset before the answer": reset(),
    "cut before the first token": WORDS[:1] + cut(),
    "cut in the answer": WORDS[:4] + cut(),
    "error in the answer": error_stream("Inference failed", after=["one"]),
    "a page in place of an answer": html_page(),
    "an answer of nothing": http_answer(b""),
    "no such model": model_not_found("demo"),
    "no such route": json_error(404, "no route"),
}
#: Those that look like the end of a connection that was kept too long, after which a new one is tried.
LIKE_AN_OLD_CONNECTION = {"cut before the answer", "reset before the answer"}
#: Those that show only after the first token, which a stream has handed out by then.
BEGUN = {"silence in the answer", "cut in the answer", "error in the answer"}


@pytest.fixture
def two():
    """Serve a model twice: the second service says who it is."""
    with FaultServer(MODELS) as first, FaultServer(MODELS, reply="from the second") as second:
        yield first, second


def client_of(*services, **more) -> FoundryAPIClient:
    """Return a client that asks these services in this order, and calls one silent soon."""
    timeouts = Timeouts(connect=SILENCE, first_token=SILENCE, idle=SILENCE)
    return FoundryAPIClient(
        services=[each.url if isinstance(each, FaultServer) else each for each in services],
        prefer="first",
        **{"model": "demo", "timeout": timeouts, "deadline": 20.0, **more},
    )


@pytest.mark.parametrize("fault", ANSWERS)
def test_a_whole_answer(two, fault):
    """Whatever the first service does to a question, the second one's answer is whole."""
    first, second = two
    first.on("POST", CHAT, ANSWERS[fault])
    with client_of(first, second) as client:
        reply = client.complete("Hi")

        assert (reply.content, reply.url) == ("from the second", second.url)
        assert client.url == second.url
        assert len(second.asked(CHAT)) == 1
        assert len(first.asked(CHAT)) <= (2 if fault in LIKE_AN_OLD_CONNECTION else 1)


@pytest.mark.parametrize("fault", ANSWERS)
def test_a_streamed_answer(two, fault):
    """A stream begins elsewhere as long as no token was handed out; after one it tells that it broke off."""
    first, second = two
    first.on("POST", CHAT, ANSWERS[fault])
    with client_of(first, second) as client:
        stream = client.stream_complete("Hi")
        if fault not in BEGUN:
            assert stream.gather().content == "from the second"
            assert stream.url == second.url
            return
        with pytest.raises((StreamInterrupted, ServiceTimeout, ServerError)) as caught:
            stream.gather()
        assert getattr(caught.value, "text", "one").startswith("one")
        assert second.asked(CHAT) == []


@pytest.mark.parametrize("address", [dead_address, deaf_address])
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_nobody_there(address, way):
    """A machine that is off, or drops what is sent to it, costs the call nothing but its patience."""
    with (
        address() as gone,
        FaultServer(MODELS, reply="from the second") as second,
        client_of(gone, second) as client,
    ):
        reply = client.complete("Hi") if way == "whole" else client.stream_complete("Hi").gather()
        assert (reply.content, reply.url) == ("from the second", second.url)


@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_a_context_that_is_too_long(two, way):
    """Only a service that is asked for another model is worth a question that is too long for this one."""
    first, second = two
    first.on("POST", CHAT, context_exceeded(), context_exceeded(stream=True))
    with client_of(first, second) as client, pytest.raises(FoundryError):
        client.complete("Hi")
    assert second.asked(CHAT) == []

    with client_of(first, ServiceSpec(second.url, model="long")) as client:
        reply = client.complete("Hi") if way == "whole" else client.stream_complete("Hi").gather()
        assert reply.content == "from the second"
        assert [body["model"] for body in bodies(second)] == ["long-generic-cpu:1"]


def test_a_wrong_key(two):
    """Another service is worth a refused key where it has a key of its own."""
    first, second = two
    first.on("POST", CHAT, json_error(401, "wrong key"))
    with client_of(first, second, api_key="k1") as client, pytest.raises(FoundryError):
        client.complete("Hi")
    assert second.asked(CHAT) == []

    with client_of(first, ServiceSpec(second.url, api_key="k2"), api_key="k1") as client:
        assert client.complete("Hi").content == "from the second"
    (asked,) = second.asked(CHAT)
    assert asked.headers.get("Authorization") == "Bearer k2"
    assert first.asked(CHAT)[-1].headers.get("Authorization") == "Bearer k1"


def test_a_prompt_that_is_refused(two):
    """What is wrong with the request is wrong everywhere."""
    first, second = two
    first.on("POST", CHAT, json_error(400, "bad request"))
    with client_of(first, second) as client, pytest.raises(BadRequest):
        client.complete("Hi")
    assert second.asked(CHAT) == []


@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_a_prompt_that_ends_services(way):
    """A request after which two services were gone without an answer is not sent to a third."""
    with FaultServer(MODELS) as one, FaultServer(MODELS) as two, FaultServer(MODELS) as three:
        for each in (one, two, three):
            each.on("POST", CHAT, cut())
        with client_of(one, two, three, retries=9) as client, pytest.raises(ServiceUnreachable):
            _ = client.complete("Hi") if way == "whole" else client.stream_complete("Hi")
        assert three.asked(CHAT) == []


def test_a_service_that_flaps(two):
    """A service that fails every other time costs no call."""
    first, second = two
    first.on("POST", CHAT, *[unavailable(), answer("from the first")] * 10)
    with client_of(first, second) as client:
        assert {client.complete("Hi").content for _ in range(12)} == {"from the first", "from the second"}


def test_a_service_that_recovers(two):
    """It is left alone while its circuit is open, gets one probe, and is used again once that is answered."""
    first, second = two
    policy = BreakerPolicy(failures=2, reset_after=0.05)
    with client_of(first, second, breaker=policy) as client:
        client.complete("Hi")
        first.stop()
        assert {client.complete("Hi").content for _ in range(6)} == {"from the second"}
        assert [service.circuit for service in client.targets()] == ["open", "closed"]
        first.start()
        before = len(first.asked(CHAT))
        while client.complete("Hi").content == "from the second":
            assert len(second.asked(CHAT)) < 2_000
        assert len(first.asked(CHAT)) == before + 1
        assert client.url == first.url


def test_all_are_down():
    """One error tells what each of them did, after as many tries as the caller allows, and no more."""
    with dead_address() as one, dead_address() as two, client_of(one, two, retries=3) as client:
        with pytest.raises(FoundryError) as caught:
            client.complete("Hi")

        assert [attempt.number for attempt in caught.value.attempts] == [1, 2, 3, 4]
        assert {attempt.url for attempt in caught.value.attempts} == {one, two}
        assert [attempt.url for attempt in caught.value.attempts[:2]] == [one, two]


@pytest.mark.parametrize("deadline", [20.0, float("inf")])
def test_a_silent_service_beside_an_open_circuit(two, deadline):
    """The silent one is all there is: it is asked as often as a single service, and its silence is told."""
    first, second = two
    first.on("POST", CHAT, stall())
    with client_of(first, second, deadline=deadline) as client:
        client._context.group.members[1].breaker.force_open()
        with pytest.raises(ServiceTimeout) as caught:
            client.complete("Hi")

        assert [attempt.url for attempt in caught.value.attempts] == [first.url] * 2
        assert second.asked(CHAT) == []


def test_all_circuits_are_open():
    """Without a deadline the call fails and says why each is left alone; with one it waits for the first."""
    policy = BreakerPolicy(failures=1, reset_after=0.3)
    with (
        FaultServer(MODELS) as first,
        dead_address() as gone,
        client_of(first, gone, breaker=policy, retries=1, deadline=float("inf")) as client,
    ):
        first.on("POST", CHAT, json_error(500, "broken"), answer("well again"))
        with pytest.raises(FoundryError):
            client.complete("Hi")
        with pytest.raises(CircuitOpen) as caught:
            client.complete("Hi")
        assert 0 < caught.value.retry_in <= 0.3
        assert all(url in str(caught.value) for url in (first.url, gone))
        assert client.complete("Hi", deadline=5).content == "well again"
