"""client.responses: what goes over the wire, and what comes back, whole, in events, or broken."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    BadRequest,
    ConfigError,
    ContextLengthExceeded,
    InvalidReply,
    NotFound,
    ResponseNotFound,
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
from foundry_rest.testing import event as block

PATH = "/v1/responses"


def response(id="resp_1", text="Hello there", status="completed", **more):
    """Return a response object."""
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}] if text else []
    return {"id": id, "object": "response", "status": status, "output": output, "model": DEMO_MODEL, **more}


def event(type, **more):
    """Return one event's block."""
    return block(json.dumps({"type": f"response.{type}", **more}), name=f"response.{type}")


def streamed(whole=None):
    """Answer with a whole stream: head, created, two deltas, completed, [DONE], end."""
    whole = response() if whole is None else whole
    deltas = [event("output_text.delta", delta=delta) for delta in ("Hello", " there")]
    begun = {**whole, "status": "in_progress", "output": []}
    return sse([event("created", response=begun), *deltas, event(whole["status"], response=whole)])


def gone(id):
    """Answer that a response is not there."""
    return json_error(404, f"The response '{id}' does not exist.", code="response_not_found", param="id")


@pytest.fixture
def client(server):
    """Ask that server as a 2.x."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect="2.x") as made:
        yield made


@pytest.fixture
def core(server):
    """Ask that server as a 1.x."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect="1.x") as made:
        yield made


def body_of(server):
    """Return the body of the last request to the route."""
    return server.asked(PATH)[-1].json()


def test_a_whole_response(server, client):
    """On 2.x it is gathered from a stream, so that giving up stops the work."""
    server.on("POST", PATH, streamed())
    got = client.responses.create("Hi", instructions="Be brief.", temperature=0, store=False)

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
    assert client.stats().total.calls == 1


def test_a_whole_response_in_one_piece(server, core):
    """1.x stops a plain request when it is given up, so it is asked plainly."""
    server.on("POST", PATH, json_answer(response()))
    got = core.responses.create("Hi", headers={"X-Trace": "7"})

    assert (got.output_text, got.first_token) == ("Hello there", None)
    assert "stream" not in body_of(server)
    assert server.asked(PATH)[-1].headers.get("x-trace") == "7"


def test_a_stream(server, client):
    """Events come as they arrive; printing their content prints the answer."""
    server.on("POST", PATH, streamed())
    with client.responses.stream("Hi", model="demo") as stream:
        texts = [each.content for each in stream]

    assert "".join(texts) == stream.text == stream.response.output_text == "Hello there"


def test_a_store_of_its_own_default(server, client):
    """What is not given is not sent: the service stores nothing by default."""
    server.on("POST", PATH, streamed())
    client.responses.create("Hi")

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


def test_a_model_that_is_not_loaded(server, client):
    """It is loaded and asked again, as for a chat."""
    server.on("POST", PATH, model_not_loaded(), streamed())

    assert client.responses.create("Hi", model="demo", store=True).output_text == "Hello there"
    assert server.asked("/models/load/demo")


def test_an_alias(server, client):
    """A name that the route does not know is looked up first: the id alone is sent."""
    server.on("POST", PATH, streamed())
    client.responses.create("Hi", model="demo")

    assert [request.json()["model"] for request in server.asked(PATH)] == [DEMO_MODEL]


# ---------------------------------------------------------------- broken answers


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_stream_that_is_cut(server, client, at):
    """At every event: never a whole response, and the text so far is in the error."""
    server.on("POST", PATH, streamed()[:at] + cut())
    with pytest.raises((StreamInterrupted, ServiceUnreachable)) as caught:
        client.responses.create("Hi")

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
def test_streams_that_are_no_response(server, client, script, error, words):
    """None of them is a success: [DONE] alone, a failure under 200, a page, a plain body, nothing."""
    server.on("POST", PATH, script)
    for ask in (client.responses.create, lambda text: client.responses.stream(text).gather()):
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


def test_a_failure_after_text(server, client):
    """It keeps the text, and its cause is the typed error."""
    failed = event("failed", response=response(status="failed", error={"message": "Inference failed: x"}))
    server.on("POST", PATH, sse([event("output_text.delta", delta="Hel"), failed]))
    with pytest.raises(StreamInterrupted, match="Inference failed") as caught:
        client.responses.create("Hi")

    assert caught.value.text == "Hel"
    assert isinstance(caught.value.__cause__, ServerError)


@pytest.mark.parametrize(("store", "asked"), [(True, 1), (None, 2)])
def test_what_may_be_stored_is_asked_once(server, client, store, asked):
    """An answer that was lost may have been stored, and nobody would know its id."""
    server.on("POST", PATH, cut(), streamed())
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=1, dialect="2.x") as patient:
        if store:
            with pytest.raises(ServiceUnreachable):
                patient.responses.create("Hi", store=store)
        else:
            assert patient.responses.create("Hi", store=store).output_text == "Hello there"

    assert len(server.asked(PATH)) == asked


def test_leaving_a_stream_stops_the_service(server, client):
    """``break`` drops the stream: the service sees its client go."""
    server.on("POST", PATH, streamed()[:3] + stall())
    for each in client.responses.stream("Hi"):
        if each.content:
            break

    assert server.wait_left(0.5)


# ---------------------------------------------------------------- conversations


NO_PREVIOUS = json_error(
    404,
    "Previous response not found: Conversation history for 'resp_0' is no longer available; "
    "resend the full conversation in 'input'",
)


def test_a_conversation(server, client):
    """2.x is asked at once: it refuses what it does not remember."""
    server.on("POST", PATH, streamed(response(previous_response_id="resp_0")))
    got = client.responses.create("Hi", previous_response_id="resp_0")

    assert got.previous_response_id == "resp_0"
    assert [request.method for request in server.requests] == ["POST"]


def test_a_conversation_that_2x_forgot(server, client):
    """A NotFound of its own, with the way on; never taken for an unknown model."""
    server.on("POST", PATH, NO_PREVIOUS)
    for ask in (client.responses.create, client.responses.stream):
        with pytest.raises(NotFound, match="whole conversation as input") as caught:
            ask("Hi", previous_response_id="resp_0")
        assert type(caught.value) is ResponseNotFound


def test_a_conversation_on_1x(server, core):
    """1.x is asked for the response before, and then to go on."""
    server.on("GET", f"{PATH}/resp_1", json_answer(response("resp_1")))
    server.on("POST", PATH, json_answer(response(previous_response_id="resp_1")))
    got = core.responses.create("Hi", previous_response_id="resp_1")

    assert got.output_text == "Hello there"
    assert [request.path for request in server.requests] == [f"{PATH}/resp_1", PATH]


@pytest.mark.parametrize(
    ("before", "error"),
    [
        (gone("resp_2"), NotFound),
        (json_answer(response("resp_2", previous_response_id="resp_1")), UnsupportedByService),
    ],
    ids=["forgotten", "third turn"],
)
@pytest.mark.parametrize("how", ["create", "stream"])
def test_a_conversation_that_1x_would_lose(server, core, how, before, error):
    """1.x would answer without a word of what it forgot or never reads: it is not asked then."""
    server.on("GET", f"{PATH}/resp_2", before)
    with pytest.raises(error, match="whole conversation as input"):
        getattr(core.responses, how)("Hi", previous_response_id="resp_2")

    assert [request.method for request in server.requests] == ["GET"]


def test_a_service_that_does_not_go_on(server, client):
    """An answer that does not name the previous response is none, whole or streamed."""
    server.on("POST", PATH, streamed())
    for ask in (client.responses.create, lambda text, **more: client.responses.stream(text, **more).gather()):
        with pytest.raises(InvalidReply, match="did not go on"):
            ask("Hi", previous_response_id="resp_0")


# ---------------------------------------------------------------- what is stored


def test_get_and_input_items(server, client):
    """A stored response, and what it was asked."""
    server.on("GET", f"{PATH}/resp_1", json_answer(response()))
    server.on("GET", f"{PATH}/resp_1/input_items", json_answer({"data": [{"role": "user", "content": "Hi"}]}))

    assert client.responses.get("resp_1").output_text == "Hello there"
    assert [item.text for item in client.responses.input_items("resp_1")] == ["Hi"]


@pytest.mark.parametrize("how", ["get", "delete", "input_items"])
def test_what_is_not_kept(server, client, how):
    """NotFound says what may have happened to it."""
    server.on("*", "*", gone("resp_1"))
    with pytest.raises(NotFound, match="without store=True") as caught:
        getattr(client.responses, how)("resp_1")

    assert (caught.value.code, len(caught.value.attempts)) == ("response_not_found", 1)


def test_a_service_without_the_route(server, client):
    """Its 404 is no word about a response: the advice is another one."""
    with pytest.raises(NotFound) as caught:
        client.responses.get("resp_1")

    assert "store=True" not in str(caught.value)


def test_delete(server, client):
    """The service says that it did; a word that says otherwise is an error."""
    server.on(
        "DELETE",
        f"{PATH}/resp_1",
        json_answer({"id": "resp_1", "deleted": True}),
        json_answer({"deleted": False}),
    )

    assert client.responses.delete("resp_1") is None
    with pytest.raises(InvalidReply, match="did not delete"):
        client.responses.delete("resp_1")


def test_delete_whose_answer_was_lost(server):
    """The second try finds nothing: the first one did it."""
    server.on("DELETE", f"{PATH}/resp_1", cut(), gone("resp_1"))
    with FoundryAPIClient(server.url, retries=1, dialect="2.x") as patient:
        assert patient.responses.delete("resp_1") is None

    assert len(server.asked(f"{PATH}/resp_1")) == 2


def pages(server, *contents):
    """Serve pages of responses, one after the other; the last is marked as last."""
    scripts = [
        json_answer(
            {"data": [response(id) for id in ids], "has_more": more, "last_id": ids[-1] if ids else None}
        )
        for ids, more in contents
    ]
    server.on("GET", PATH, *scripts)


def test_list(server, client):
    """One page: whose model each response holds is there."""
    pages(server, (["resp_2", "resp_1"], True))
    page = client.responses.list(limit=2, after="resp_3")

    assert [(each.id, each.model) for each in page] == [("resp_2", DEMO_MODEL), ("resp_1", DEMO_MODEL)]
    assert (page.has_more, page.last_id) == (True, "resp_1")
    assert server.requests[-1].query == "limit=2&after=resp_3"


@pytest.mark.parametrize(
    "contents",
    [
        [(["a", "b"], True), (["c"], False)],
        [(["a", "b"], True), (["b", "c"], True), (["a", "b", "c"], True)],
        [(["a", "b", "c"], True), ([], True)],
        [(["a", "b", "c"], True), ([], False)],
    ],
    ids=["two pages", "begins anew", "empty page", "empty last page"],
)
def test_iterate(server, client, contents):
    """Every response once, however the pages overlap: 2.x begins anew after an id that it has forgotten."""
    pages(server, *contents)

    assert [each.id for each in client.responses.iterate()] == ["a", "b", "c"]
    asked = [request.query for request in server.requests]
    assert len(asked) == len(contents)
    assert all(before != after for before, after in pairwise(asked))


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
