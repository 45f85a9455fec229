"""client.responses: what goes over the wire, and what comes back, whole, in events, or broken."""

from __future__ import annotations

import pytest
from support.responses import PATH, event, response, streamed

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    BadRequest,
    ConfigError,
    ContextLengthExceeded,
    InvalidReply,
    ServerError,
    ServiceUnreachable,
    StreamInterrupted,
    UnsupportedByService,
)
from foundry_rest.testing import (
    DEMO_MODEL,
    answer,
    context_exceeded,
    cut,
    error_event,
    html_page,
    json_answer,
    json_error,
    model_not_loaded,
    sse,
    stall,
)


def body_of(server):
    """Return the body of the last request to the route."""
    return server.asked(PATH)[-1].json()


def test_a_whole_response(server, native):
    """On 2.x it is gathered from a stream, so that giving up stops the work."""
    server.on("POST", PATH, streamed())
    got = native.responses.create("Hi", instructions="Be brief.", temperature=0, store=False)

    assert (got.output_text, got.id, got.status, got.model) == (
        "Hello there",
        "resp_1",
        "completed",
        DEMO_MODEL,
    )
    assert got.first_token <= got.elapsed < 5
    assert body_of(server) == {
        "model": DEMO_MODEL,
        "input": "Hi",
        "instructions": "Be brief.",
        "temperature": 0,
        "store": False,
        "max_output_tokens": 2048,
        "stream": True,
    }
    assert native.stats().total.calls == 1


def test_a_whole_response_in_one_piece(server, core):
    """1.x stops a plain request when it is given up, so it is asked plainly."""
    server.on("POST", PATH, json_answer(response()))
    got = core.responses.create("Hi", headers={"X-Trace": "7"})

    assert (got.output_text, got.first_token) == ("Hello there", None)
    assert body_of(server)["stream"] is False
    assert server.asked(PATH)[-1].headers.get("x-trace") == "7"


def test_a_stream(server, native):
    """Events come as they arrive; printing their content prints the answer."""
    server.on("POST", PATH, streamed())
    with native.responses.stream("Hi", model="demo") as stream:
        texts = [each.content for each in stream]

    assert "".join(texts) == stream.text == stream.response.output_text == "Hello there"


def test_a_store_of_its_own_default(server, native):
    """What is not given is not sent: the service stores nothing by default."""
    server.on("POST", PATH, streamed())
    native.responses.create("Hi")

    assert "store" not in body_of(server)


def test_bad_input_never_reaches_the_wire(server):
    """Neither a prompt, nor a model, nor an id that cannot be: not even the generation is asked for."""
    client = FoundryAPIClient(server.url, model=DEMO_MODEL)
    asks = [
        lambda: client.responses.create(""),
        lambda: client.responses.stream("Hi", store="yes"),
        lambda: client.responses.create("Hi", model=7),
        lambda: client.responses.create("Hi", retries=-1),
        lambda: client.responses.get("../status"),
        lambda: client.responses.delete("a?b"),
        lambda: client.responses.input_items("a/b"),
        lambda: client.responses.list(limit=0),
        lambda: client.responses.list(after="a&b"),
    ]
    for ask in asks:
        with pytest.raises(ConfigError):
            ask()
    client.close()

    assert server.requests == []


def test_a_model_that_is_not_loaded(server, native):
    """It is loaded and asked again, as for a chat."""
    server.on("POST", PATH, model_not_loaded(), streamed())

    assert native.responses.create("Hi", model="demo", store=True).output_text == "Hello there"
    assert server.asked("/models/load/demo")


def test_an_alias(server, native):
    """A name that the route does not know is looked up first: the id alone is sent."""
    server.on("POST", PATH, streamed())
    native.responses.create("Hi", model="demo")

    assert [request.json()["model"] for request in server.asked(PATH)] == [DEMO_MODEL]


# ---------------------------------------------------------------- broken answers


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_stream_that_is_cut(server, native, at):
    """At every event: never a whole response, and the text so far is in the error."""
    server.on("POST", PATH, streamed()[:at] + cut())
    with pytest.raises((StreamInterrupted, ServiceUnreachable)) as caught:
        native.responses.create("Hi")

    assert getattr(caught.value, "text", "") == "Hello there"[: {3: 5, 4: 11}.get(at, 0)]


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (
            sse([event("created", response=response(status="in_progress"))]),
            StreamInterrupted,
            "without response",
        ),
        (sse([]), StreamInterrupted, "without response|before its first"),
        (sse([], done=False), StreamInterrupted, "before its first event"),
        (sse([event("created", response=response()), error_event("no memory")]), ServerError, "no memory"),
        (sse([event("failed", response=response(status="failed"))]), ServerError, "does not say why"),
        (json_answer(response(status="failed", error={"code": "x", "message": "boom"})), ServerError, "boom"),
        (json_answer(response()), InvalidReply, "expected an event stream"),
        (html_page(), InvalidReply, "expected an event stream"),
        (context_exceeded(), ContextLengthExceeded, "2048 output"),
        (
            json_answer(response(status="failed", error={"code": "x", "message": "boom"}), 500),
            ServerError,
            "boom",
        ),
    ],
)
def test_streams_that_are_no_response(server, native, script, error, words):
    """None of them is a success: [DONE] alone, a failure under 200, a page, a plain body, nothing."""
    server.on("POST", PATH, script)
    for ask in (native.responses.create, lambda text: native.responses.stream(text).gather()):
        with pytest.raises(error, match=words) as caught:
            ask("Hi")
        assert caught.value.call in ("responses.create", "responses.stream")
        assert caught.value.url == server.url


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (
            json_answer(response(status="failed", error={"code": "internal_error", "message": "boom"})),
            ServerError,
            "boom",
        ),
        (json_answer(response(status="failed", error=None)), ServerError, "does not say why"),
        (json_answer({"id": "r", "status": "completed"}), InvalidReply, "output"),
        (json_answer({}), InvalidReply, "id"),
        (answer(200, ""), InvalidReply, "not JSON"),
        (html_page(), InvalidReply, "not JSON"),
        (json_error(400, "Invalid input item"), BadRequest, "Invalid input item"),
    ],
)
def test_plain_answers_that_are_no_response(server, core, script, error, words):
    """1.x reports a failure under 200: the status inside the body decides."""
    server.on("POST", PATH, script)
    with pytest.raises(error, match=words) as caught:
        core.responses.create("Hi")

    assert (caught.value.call, caught.value.model) == ("responses.create", DEMO_MODEL)


def test_a_failure_after_text(server, native):
    """It keeps the text, and its cause is the typed error."""
    failed = event("failed", response=response(status="failed", error={"message": "Inference failed: x"}))
    server.on("POST", PATH, sse([event("output_text.delta", delta="Hel"), failed]))
    with pytest.raises(StreamInterrupted, match="Inference failed") as caught:
        native.responses.create("Hi")

    assert caught.value.text == "Hel"
    assert isinstance(caught.value.__cause__, ServerError)


@pytest.mark.parametrize(("store", "asked"), [(True, 1), (None, 2)])
def test_what_may_be_stored_is_asked_once(server, native, store, asked):
    """An answer that was lost may have been stored, and nobody would know its id."""
    server.on("POST", PATH, cut(), streamed())
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=1, dialect="2.x") as patient:
        if store:
            with pytest.raises(ServiceUnreachable):
                patient.responses.create("Hi", store=store)
        else:
            assert patient.responses.create("Hi", store=store).output_text == "Hello there"

    assert len(server.asked(PATH)) == asked


def test_leaving_a_stream_stops_the_service(server, native):
    """``break`` drops the stream: the service sees its native go."""
    server.on("POST", PATH, streamed()[:3] + stall())
    for each in native.responses.stream("Hi"):
        if each.content:
            break

    assert server.wait_left(0.5)


def test_a_generation_without_it(server):
    """0.x has no such API: nothing is sent."""
    with FoundryAPIClient(server.url, dialect="0.x") as client:
        for ask in (
            lambda: client.responses.create("Hi"),
            lambda: client.responses.stream("Hi"),
            lambda: client.responses.get("resp_1"),
            lambda: client.responses.delete("resp_1"),
            client.responses.list,
        ):
            with pytest.raises(UnsupportedByService):
                ask()

    assert server.requests == []
