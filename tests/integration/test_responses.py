"""The Responses API of the real runtimes, 2.2.1 and 1.2.4: the same answers, the same errors."""

from __future__ import annotations

import threading

import pytest

from foundry_rest import (
    BadRequest,
    Cancelled,
    ContextLengthExceeded,
    FoundryAPIClient,
    ModelInUse,
    ModelNotFound,
    NotFound,
    ResponseNotFound,
    UnsupportedByService,
)
from foundry_rest.stream.responses import ResponseStream
from foundry_rest.transport.cancellation import CancelToken

pytestmark = pytest.mark.runtime
ALIAS = "demo-chat"
#: Makes 2.x write until ``max_output_tokens``, about 3,000 tokens a second.
ENDLESS = {"format": {"type": "lark_grammar", "grammar": "start: /[a-z ]{60000}/"}}
HELLO = "Hello! How can I help you today?"


def forget(client):
    """Delete what is stored: it would hold the model in memory, and other tests unload it."""
    for response in client.responses.iterate():
        client.responses.delete(response.id)


@pytest.fixture
def client(client):
    """Return a client on the shared 2.2.1, and leave nothing stored there."""
    forget(client)
    yield client
    forget(client)


@pytest.fixture(params=["2.x", "1.x"])
def either(request):
    """Return a client on each generation; nothing is stored before and after."""
    fixture = {"2.x": "runtime", "1.x": "core_runtime"}[request.param]
    with FoundryAPIClient(request.getfixturevalue(fixture).url, model=ALIAS) as made:
        forget(made)
        yield made
        forget(made)


def turn(client, text, previous=None, **params):
    """Return a stored response that goes on from another one."""
    before = {} if previous is None else {"previous_response_id": previous.id}
    return client.responses.create(text, temperature=0, store=True, **before, **params)


def whole(got):
    """Return the whole response, of a stream too."""
    return got.gather() if isinstance(got, ResponseStream) else got


def test_a_response(either, answers):
    """The exact answer, its counts, and no reason for an end before its time."""
    got = either.responses.create("What is the capital of France?", temperature=0)

    assert got.output_text == answers["What is the capital of France?"]
    assert (got.status, got.incomplete_reason, got.error) == ("completed", None, None)
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens > 20
    assert got.raw["object"] == "response"
    assert len(either.responses.list()) == 0


def test_instructions_and_parts(either):
    """A conversation in items, with and without their type, in text and in parts."""
    items = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "output_text", "text": HELLO}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Thank you"}]},
    ]
    got = either.responses.create(items, instructions="Be kind.", temperature=0)

    assert got.output_text == "You are welcome!"


def test_a_stream(either):
    """Text comes piece by piece; the last event holds the whole response."""
    with either.responses.stream("Hello", temperature=0) as stream:
        events = list(stream)

    assert "".join(each.content for each in events) == stream.text == stream.response.output_text == HELLO
    assert sum(bool(each.content) for each in events) > 5
    assert [each.sequence_number for each in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert stream.usage == stream.response.usage
    assert stream.usage.completion_tokens == 14


def test_a_long_story_survives_the_slices(either, answers):
    """1.x flushes 1,024 bytes at a time, whatever an event's length: nothing is lost."""
    stream = either.responses.stream("Write a story about AI", temperature=0)

    assert stream.gather().output_text == stream.text == answers["Write a story about AI"]


@pytest.mark.parametrize("how", ["create", "stream"])
def test_an_answer_that_is_cut(either, how):
    """The reason is there, whole and streamed; 1.x itself calls it completed."""
    got = whole(getattr(either.responses, how)("Hello", temperature=0, max_output_tokens=3))

    assert (got.output_text, got.incomplete_reason) == ("Hello", "max_output_tokens")
    assert (got.status == "incomplete") == (either.health.check().generation == "2.x")


def test_an_empty_answer(client):
    """A model that has nothing to say is answered so: completed, without an item."""
    nothing = {"format": {"type": "lark_grammar", "grammar": 'start: ""'}}
    got = client.responses.create("Hello", text=nothing)

    assert (got.status, got.output, got.output_text, got.usage.completion_tokens) == ("completed", (), "", 0)


def test_a_schema(client):
    """2.x enforces OpenAI's form of it on this route."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form = {"format": {"type": "json_schema", "name": "a", "schema": schema}}

    assert client.responses.create("Hello", text=form, temperature=0).output_text.startswith('{"a"')


# ---------------------------------------------------------------- what is stored


def test_a_conversation(either):
    """A turn reads the one before it; the service names what it went on from."""
    first = turn(either, "Hello")
    second = turn(either, "Thank you", first)

    assert (second.output_text, second.previous_response_id) == ("You are welcome!", first.id)
    assert second.usage.prompt_tokens > first.usage.total_tokens


def test_a_long_conversation(client):
    """2.x reads every turn, and every turn costs its tokens again."""
    turns = [turn(client, "Hello")]
    for text in ("Thank you", "Goodbye"):
        turns.append(turn(client, text, turns[-1]))

    assert turns[2].usage.prompt_tokens > turns[1].usage.total_tokens > turns[0].usage.total_tokens


def test_a_long_conversation_on_1x(core_runtime):
    """1.x never reads more than one turn back, so a third one is refused; as one input it is answered."""
    with FoundryAPIClient(core_runtime.url, model=ALIAS) as client:
        first = turn(client, "Hello")
        second = turn(client, "Thank you", first)
        with pytest.raises(UnsupportedByService, match="Send the whole conversation as input"):
            turn(client, "Goodbye", second)
        body = {"model": second.model, "input": "Goodbye", "previous_response_id": second.id}
        silent = client.request("POST", "/v1/responses", json=body).raw
        forget(client)

    assert silent["status"] == "completed"
    assert silent["usage"]["input_tokens"] < second.usage.total_tokens


def test_what_is_stored_can_be_read(either):
    """By its id, in the list, and what it was asked: this turn's items only."""
    first = turn(either, "Hello")
    second = turn(either, [{"role": "user", "content": "Thank you"}], first)

    again = either.responses.get(second.id)
    assert (again.output_text, again.usage, again.raw) == (second.output_text, second.usage, second.raw)
    assert {each.id: each.model for each in either.responses.list()} == {
        first.id: first.model,
        second.id: second.model,
    }
    assert [(item.type, item.role, item.text) for item in either.responses.input_items(second.id)] == [
        ("message", "user", "Thank you")
    ]


def test_pages(either):
    """A page tells whether there are more; iterating gives each response once, though they are deleted."""
    ids = {turn(either, "Hello", max_output_tokens=1).id for _ in range(5)}
    page = either.responses.list(limit=2)
    rest = either.responses.list(limit=3, after=page.last_id)

    assert (len(page), page.has_more, len(rest)) == (2, True, 3)
    assert {each.id for each in (*page, *rest)} == ids
    assert {each.id for each in either.responses.iterate()} == ids
    for each in either.responses.iterate():
        either.responses.delete(each.id)
    assert len(either.responses.list()) == 0


def test_a_deleted_response_is_gone(either):
    """Every way to it is ResponseNotFound that says why, and nothing is asked twice."""
    stored = turn(either, "Hello", max_output_tokens=1)
    either.responses.delete(stored.id)

    for ask in (either.responses.get, either.responses.delete, either.responses.input_items):
        with pytest.raises(ResponseNotFound, match="made without store=True, deleted") as caught:
            ask(stored.id)
        assert (caught.value.code, len(caught.value.attempts)) == ("response_not_found", 1)


@pytest.mark.parametrize("how", ["create", "stream"])
def test_a_conversation_that_is_forgotten(either, how):
    """Deleted or never stored: NotFound with the way on; 1.x itself answers 200, without a word of it."""
    first = turn(either, "Hello")
    either.responses.delete(first.id)

    for id in (first.id, "resp_nope"):
        with pytest.raises(NotFound, match="Send the whole conversation as input") as caught:
            getattr(either.responses, how)("Goodbye", previous_response_id=id)
        assert not isinstance(caught.value, ModelNotFound)


def test_a_conversation_whose_beginning_is_deleted(client):
    """2.x refuses to go on from what went on from it."""
    first = turn(client, "Hello")
    second = turn(client, "Thank you", first)
    client.responses.delete(first.id)

    with pytest.raises(NotFound, match="Send the whole conversation as input"):
        turn(client, "Goodbye", second)


def test_1x_itself_forgets_in_silence(core_runtime):
    """The fact behind the extra question: 200, the id echoed, and not a token of the conversation."""
    with FoundryAPIClient(core_runtime.url, model=ALIAS) as client:
        alone = client.responses.create("Thank you", temperature=0)
        body = {"model": alone.model, "input": "Thank you", "previous_response_id": "resp_nope"}
        reply = client.request("POST", "/v1/responses", json=body).raw

    assert (reply["status"], reply["previous_response_id"]) == ("completed", "resp_nope")
    assert reply["usage"]["input_tokens"] == alone.usage.prompt_tokens


def test_a_stored_response_holds_its_model(own_client):
    """2.x refuses to unload it until the response is deleted; the list tells whose it is."""
    stored = turn(own_client, "Hello", max_output_tokens=1)
    with pytest.raises(ModelInUse, match=r"session\(s\) still using it"):
        own_client.with_options(retries=0).models.unload(ALIAS)

    assert [each.model for each in own_client.responses.list()] == [stored.model]
    own_client.responses.delete(stored.id)
    own_client.models.unload(ALIAS)


def test_20_are_kept(client):
    """The oldest give way, as the documentation says."""
    first = turn(client, "Hello", max_output_tokens=1)
    for _ in range(20):
        turn(client, "Hello", max_output_tokens=1)

    assert len(list(client.responses.iterate())) == 20
    with pytest.raises(NotFound):
        client.responses.get(first.id)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("how", ["create", "stream"])
def test_a_prompt_that_is_too_long(either, how):
    """2.x tells it in an event, 1.x under HTTP 200 as well: one error class."""
    with pytest.raises(ContextLengthExceeded, match="4096 tokens") as caught:
        whole(getattr(either.responses, how)("Hello", max_output_tokens=9000))

    assert caught.value.call == f"responses.{how}"
    assert caught.value.url
    assert len(caught.value.attempts) <= 1


def test_an_unknown_model(either):
    """The same as for a chat."""
    for ask in (either.responses.create, either.responses.stream):
        with pytest.raises(ModelNotFound):
            ask("Hello", model="demo-chta")


def test_a_grammar_that_cannot_be(client):
    """2.x answers 500 each time; it is the request's fault, and asked once."""
    form = {"format": {"type": "lark_grammar", "grammar": "start: ("}}
    with pytest.raises(BadRequest, match="rror creating grammar"):
        client.responses.create("Hello", text=form)


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return {"Paris": "18 degrees and sunny"}[city]


@pytest.mark.parametrize("remembers", [True, False], ids=["previous_response_id", "whole input"])
def test_a_tool(client, remembers):
    """The model calls a function; its result goes back, and the answer is made of it."""
    question = [{"role": "user", "content": "What is the weather in Paris?"}]
    asked = client.responses.create(question, tools=[get_weather], temperature=0, store=remembers)
    (call,) = asked.function_calls
    result = get_weather(**call.parsed_arguments)

    back = [{"type": "function_call_output", "call_id": call.call_id, "output": result}]
    before = {"previous_response_id": asked.id} if remembers else {}
    items = back if remembers else [*question, *asked.output, *back]
    told = client.responses.create(items, tools=[get_weather], temperature=0, **before)

    assert (asked.output_text, call.name, call.parsed_arguments) == ("", "get_weather", {"city": "Paris"})
    assert "18 degrees and sunny" in told.output_text


def test_a_streamed_call(client):
    """The arguments are no text of the answer."""
    stream = client.responses.stream("What is the weather in Paris?", tools=[get_weather], temperature=0)
    events = list(stream)

    assert stream.text == ""
    assert [each.delta for each in events if each.type.endswith("arguments.delta")] == ['{"city":"Paris"}']
    assert [each.item.status for each in events if each.item] == ["in_progress", "completed"]
    assert stream.response.function_calls[0].name == "get_weather"


def test_a_result_of_a_tool(client):
    """Calls and their results go in as items."""
    items = [
        {"role": "user", "content": "Hello"},
        {"type": "function_call", "call_id": "c1", "name": "now", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "12:00"},
    ]
    stored = turn(client, items, max_output_tokens=2)

    asked = client.responses.input_items(stored.id)
    assert [item.type for item in asked] == ["message", "function_call", "function_call_output"]
    assert (asked[1].name, asked[2].output) == ("now", "12:00")


def test_a_model_that_is_not_loaded(own_client):
    """It is loaded for the call, whole and streamed."""
    assert own_client.responses.create("Hello", temperature=0).output_text == HELLO
    own_client.models.unload(ALIAS)
    assert own_client.responses.stream("Hello", temperature=0, store=True).gather().output_text == HELLO
    forget(own_client)


def test_a_model_that_is_not_loaded_on_1x(own_core_runtime):
    """1.x just ends the stream's connection: the cause is asked for without one, and cured."""
    with FoundryAPIClient(own_core_runtime.url, model=ALIAS) as client:
        got = client.responses.stream("Hello", temperature=0, store=True).gather()

        assert got.output_text == HELLO
        assert [each.id for each in client.responses.list()] == [got.id]


# ---------------------------------------------------------------- leaving


def endless(client, **params):
    """Return a stream that goes on for a second or more."""
    return client.responses.stream("Hello", text=ENDLESS, max_output_tokens=4000, **params)


def test_a_stream_that_is_left_is_not_stored(client, unload):
    """The service stops: nothing is kept of it, and nothing holds its model."""
    stream = endless(client, store=True)
    while not stream.text:
        next(stream)
    stream.close()

    with pytest.raises(Cancelled) as caught:
        stream.gather()
    assert caught.value.text
    unload(client)
    assert len(client.responses.list()) == 0
    client.models.load(ALIAS)


def test_a_whole_response_can_be_ended_from_elsewhere(client, unload):
    """It runs over a stream, so the service stops: the model can be unloaded at once."""
    token = CancelToken()
    ending = threading.Timer(0.2, token.cancel)
    ending.start()
    with pytest.raises(Cancelled):
        client.responses.create("Hello", text=ENDLESS, max_output_tokens=4000, cancel=token)
    ending.join()

    unload(client)
    client.models.load(ALIAS)
