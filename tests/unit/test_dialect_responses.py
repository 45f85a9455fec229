"""The Responses API on the wire: what is sent, when it may be repeated, and how 2.2.1 and 1.2.4 answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundry_rest.config import Timeouts
from foundry_rest.dialects.generation1_core import Generation1Dialect
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.dialects.responses_parsing import parse_event, parse_response
from foundry_rest.errors import (
    BadRequest,
    ConfigError,
    ContextLengthExceeded,
    InvalidReply,
    ServerError,
    ServiceError,
)
from foundry_rest.schema import Usage
from foundry_rest.schema.response_request import build_response_request
from foundry_rest.transport.call import Options, Replay, Reply

SAMPLES = Path(__file__).parents[1] / "samples"
OPTIONS = Options(Timeouts(first_token=9.0, idle=2.0), until=99.0)
NATIVE, CORE, STRANGER = Generation2Dialect(), Generation1Dialect(), OpenAIDialect()
#: Bodies and events as 2.2.1 and 1.2.4 sent them for the same requests.
RECORDED = {
    name: json.loads((SAMPLES / f"json_{name}_responses.json").read_text("utf-8"))
    for name in ("native", "core")
}
both = pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
WHOLE = {"id": "resp_1", "status": "completed", "output": []}


def request(**params):
    """Return a checked request."""
    return build_response_request("Hi", model="demo", model_id="demo:1", max_output_tokens=7, params=params)


def reply(body) -> Reply:
    """Return an answer with this body: bytes, or a value as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(200, {"server": "x"}, content, "http://h", 1.5)


def event(type, **more) -> bytes:
    """Return the data of one event."""
    return json.dumps({"type": type, **more}).encode()


@pytest.mark.parametrize("dialect", [NATIVE, CORE, STRANGER], ids=lambda dialect: dialect.generation)
def test_create(dialect):
    """One POST with the exact id, the input and the limit; the model's given name is kept for errors."""
    call = dialect.responses().create(request(temperature=0), OPTIONS).call

    assert (call.method, call.path, call.label, call.model) == (
        "POST",
        "/v1/responses",
        "responses.create",
        "demo",
    )
    assert json.loads(call.body) == {
        "model": "demo:1",
        "input": "Hi",
        "temperature": 0,
        "max_output_tokens": 7,
        "stream": False,
    }
    assert (call.replay, call.plain, call.options.timeouts.idle) == (Replay.ALWAYS, None, 2.0)


def test_stream():
    """The same, streamed; the first event comes before the prefill, so the silence after it is borne."""
    call = NATIVE.responses().stream(request(), OPTIONS, "x").call

    assert json.loads(call.body)["stream"] is True
    assert (call.label, call.replay, call.options.timeouts.idle, call.options.until) == (
        "x",
        Replay.ALWAYS,
        9.0,
        99.0,
    )


@pytest.mark.parametrize(("store", "replay"), [(True, Replay.IF_UNSENT), (False, Replay.ALWAYS)])
def test_a_stored_response_is_not_made_twice(store, replay):
    """A second one would lie beside the first; what is not stored is harmless to repeat."""
    given = request(store=store)

    assert NATIVE.responses().create(given, OPTIONS).call.replay is replay
    assert NATIVE.responses().stream(given, OPTIONS).call.replay is replay


def test_why_a_stream_did_not_begin():
    """1.x tells only a plain request that its model is not loaded; of that one nothing is kept.

    2.x tells the stream, and its plain requests cannot be stopped: it is never asked that way.
    """
    plain = json.loads(CORE.responses().stream(request(store=True), OPTIONS).call.plain)

    assert plain == {"model": "demo:1", "input": "Hi", "max_output_tokens": 7, "store": False}
    assert NATIVE.responses().stream(request(store=True), OPTIONS).call.plain is None


@pytest.mark.parametrize(
    ("ask", "method", "path"),
    [
        (lambda: NATIVE.responses().get("resp_1", OPTIONS), "GET", "/v1/responses/resp_1"),
        (lambda: NATIVE.responses().delete("resp_1", OPTIONS), "DELETE", "/v1/responses/resp_1"),
        (
            lambda: NATIVE.responses().input_items("resp_1", OPTIONS),
            "GET",
            "/v1/responses/resp_1/input_items",
        ),
        (lambda: NATIVE.responses().page(OPTIONS), "GET", "/v1/responses"),
        (lambda: NATIVE.responses().page(OPTIONS, limit=5), "GET", "/v1/responses?limit=5"),
        (
            lambda: NATIVE.responses().page(OPTIONS, limit=5, after="r_1"),
            "GET",
            "/v1/responses?limit=5&after=r_1",
        ),
    ],
)
def test_what_is_stored(ask, method, path):
    """Reading and forgetting may be asked twice."""
    call = ask().call

    assert (call.method, call.path, call.body, call.replay) == (method, path, None, Replay.ALWAYS)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: NATIVE.responses().get("../status", OPTIONS),
        lambda: NATIVE.responses().delete("a?b", OPTIONS),
        lambda: NATIVE.responses().input_items("", OPTIONS),
        lambda: NATIVE.responses().page(OPTIONS, after="a&limit=1"),
        lambda: NATIVE.responses().page(OPTIONS, limit=0),
        lambda: NATIVE.responses().page(OPTIONS, limit=101),
        lambda: NATIVE.responses().page(OPTIONS, limit=True),
        lambda: NATIVE.responses().page(OPTIONS, limit="5"),
    ],
)
def test_nothing_leads_elsewhere(ask):
    """An id that is none, and a limit that 2.x would ignore in silence, stop before the wire."""
    with pytest.raises(ConfigError):
        ask()


# ---------------------------------------------------------------- reading


@both
def test_a_whole_response(recorded):
    """Text, counts and ids are read from either generation; the whole object is kept."""
    response = parse_response(reply(recorded["completed"]))

    assert (response.output_text, response.status) == ("Hello! How can I help you today?", "completed")
    assert (response.usage, response.incomplete_reason) == (Usage(14, 14, 28), None)
    assert response.id.startswith("resp_")
    assert response.model.startswith("demo-chat-generic-cpu")
    assert (response.elapsed, response.headers, response.first_token) == (1.5, {"server": "x"}, None)
    assert response.raw == recorded["completed"]
    assert response.created_at == recorded["completed"]["created_at"]


@both
def test_a_cut_response(recorded):
    """The reason is told for both, though 1.x calls what it cut completed."""
    response = parse_response(reply(recorded["cut"]))

    assert (response.output_text, response.incomplete_reason) == ("Hello", "max_output_tokens")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"incomplete_details": {"reason": None}}, None),
        ({"max_output_tokens": 5, "usage": {"output_tokens": 5}}, "max_output_tokens"),
        ({"max_output_tokens": 5, "usage": {"output_tokens": 4}}, None),
        ({"max_output_tokens": None, "usage": {"output_tokens": 4}}, None),
        ({"max_output_tokens": 5, "usage": None}, None),
        ({"max_output_tokens": 5, "usage": {"output_tokens": 5}, "status": "in_progress"}, None),
    ],
)
def test_why_a_response_is_cut(fields, reason):
    """The service's own reason first; else a limit that was used up."""
    assert parse_response(reply({**WHOLE, **fields})).incomplete_reason == reason


def test_an_empty_response():
    """A model that says nothing at once is answered so by 2.2.1: completed, no items, 0 tokens."""
    response = parse_response(reply({**WHOLE, "usage": {"output_tokens": 0}, "max_output_tokens": 9}))

    assert (response.output_text, response.output, response.usage) == ("", (), Usage())


def test_a_failure_under_200():
    """1.x says HTTP 200 and status failed: the error is the typed one that its wording stands for."""
    with pytest.raises(ContextLengthExceeded, match="9014 total tokens"):
        parse_response(reply(RECORDED["core"]["failed"]))


def test_a_failure_without_a_reason():
    """It is no success either."""
    with pytest.raises(ServerError, match="does not say why"):
        parse_response(reply({**WHOLE, "status": "failed", "error": None}))


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "$"),
        (b"<html>", "$"),
        (b"[]", "$"),
        ({}, "$"),
        ({"id": "r", "status": "completed"}, "$"),
        ({**WHOLE, "status": None}, "$.status"),
        ({**WHOLE, "output": {}}, "$.output"),
        ({**WHOLE, "output": [{"type": "message", "content": 7}]}, "$.output[0].content"),
    ],
)
def test_what_is_no_response(body, where):
    """Nothing, a page, a part of one, a wrong type: named with its place, never a success."""
    with pytest.raises(InvalidReply) as caught:
        parse_response(reply(body))

    assert caught.value.where == where


@pytest.mark.parametrize("said", [None, "resp_other"])
def test_a_response_that_goes_on_from_nothing(said):
    """A service that does not name the previous response has lost the conversation in silence."""
    body = {**WHOLE, "previous_response_id": said}
    created = event("response.created", response=body)
    for read in (
        lambda: parse_response(reply(body), previous="resp_0"),
        lambda: parse_event(created, previous="resp_0"),
    ):
        with pytest.raises(InvalidReply, match="did not go on") as caught:
            read()
        assert "whole conversation" in str(caught.value)


def test_a_response_that_goes_on():
    """One that names it is fine; the operations ask for exactly that."""
    body = {**WHOLE, "previous_response_id": "resp_0"}
    given = request(previous_response_id="resp_0")

    assert NATIVE.responses().create(given, OPTIONS).parse(reply(body)).previous_response_id == "resp_0"
    assert NATIVE.responses().stream(given, OPTIONS).parse(event("response.created", response=body)).response
    with pytest.raises(InvalidReply):
        NATIVE.responses().create(given, OPTIONS).parse(reply(WHOLE))


@both
def test_recorded_events(recorded):
    """Every event of both generations is read: its text, its item, its response, and itself."""
    events = [parse_event(json.dumps(each).encode()) for each in recorded["events_cut"]]

    assert [each.type for each in events] == [each["type"] for each in recorded["events_cut"]]
    assert [each.sequence_number for each in events] == list(range(10))
    assert "".join(each.content for each in events) == "You"
    assert [each.item.type for each in events if each.item] == ["message", "message"]
    assert [each.response.status for each in events if each.response][:2] == ["in_progress", "in_progress"]
    assert events[-1].response.incomplete_reason == "max_output_tokens"
    assert [each.raw for each in events] == recorded["events_cut"]
    assert {each.output_index for each in events} == {0, None}
    assert events[4].item_id == recorded["events_cut"][4]["item_id"]


@both
def test_recorded_failure(recorded):
    """The event that tells the failure raises it; those before it do not, whatever they hold."""
    *before, last = (json.dumps(each).encode() for each in recorded["events_failed"])

    assert [parse_event(each).delta for each in before] == ["", ""]
    with pytest.raises(ContextLengthExceeded):
        parse_event(last)


@pytest.mark.parametrize(
    ("type", "more"),
    [
        ("response.reasoning.delta", {"delta": "hm"}),
        ("response.refusal.delta", {"delta": "no"}),
        ("response.function_call_arguments.delta", {"delta": "{}"}),
    ],
)
def test_deltas(type, more):
    """All that a model writes comes through, 2.x's own names for thinking included."""
    assert parse_event(event(type, **more)).delta == more["delta"]


def test_unknown_events_pass():
    """What no version here knows is handed on as it came, whatever its fields hold."""
    found = parse_event(
        event("response.audio.delta", delta={"b": 1}, item=7, response="x", sequence_number=3)
    )

    assert (found.type, found.sequence_number, found.delta) == ("response.audio.delta", 3, "")
    assert (found.item, found.response, found.raw["delta"]) == (None, None, {"b": 1})


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (event("response.failed", response={**WHOLE, "error": None}), ServerError, "does not say why"),
        (event("response.failed"), ServerError, "does not say why"),
        (
            event("response.failed", response={"error": {"code": "invalid_request_error", "message": "bad"}}),
            BadRequest,
            "bad",
        ),
        (event("error", code="server_error", message="boom", param=None), ServerError, "boom"),
        (event("response.completed", response=WHOLE, error={"message": "boom"}), ServerError, "boom"),
        (
            b'{"error":{"message":"SSE stream buffer limit exceeded","type":"server_error"}}',
            ServerError,
            "buffer",
        ),
        (b'{"error":"boom","sequence_number":"x"}', ServiceError, "boom"),
    ],
)
def test_events_that_tell_a_failure(data, error, words):
    """A failed response, OpenAI's error event, 2.x's bare error: each is raised as what it stands for."""
    with pytest.raises(error, match=words):
        parse_event(data)


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"<html>", "$"),
        (b"{}", "$.type"),
        (b'{"error":null}', "$.type"),
        (event("response.output_text.delta", delta=7), "$.delta"),
        (event("response.output_text.delta"), "$.delta"),
        (event("response.output_text.delta", delta=None), "$.delta"),
        (event("response.output_text.delta", delta={"text": "x"}), "$.delta"),
        (event("response.output_item.done", item=[]), "$.item"),
        (event("response.output_item.done", item={"name": 7}), "$.item.name"),
        (event("response.completed"), "$.response"),
        (event("response.completed", response={**WHOLE, "output": 7}), "$.response.output"),
    ],
)
def test_events_that_cannot_be_read(data, where):
    """A known event without its content is an error with its place: text is never lost in silence."""
    with pytest.raises(InvalidReply) as caught:
        parse_event(data)

    assert caught.value.where == where


def test_a_page():
    """Failed responses are listed, not raised; a page may be empty, as 1.x's is without ids."""
    page = (
        NATIVE.responses()
        .page(OPTIONS)
        .parse(reply({"data": [WHOLE, RECORDED["core"]["failed"]], "has_more": True, "last_id": "resp_9"}))
    )

    assert ([each.status for each in page], page.has_more, page.last_id) == (
        ["completed", "failed"],
        True,
        "resp_9",
    )
    assert page.data[1].error.code == "internal_error"
    assert (
        len(NATIVE.responses().page(OPTIONS).parse(reply({"object": "list", "data": [], "has_more": False})))
        == 0
    )


def test_input_items():
    """Messages without a type (2.x leaves it out as it was given), calls and their results."""
    data = [
        {"content": "Hi", "id": "item_1", "role": "user"},
        {"arguments": "{}", "call_id": "c", "id": "fc_1", "name": "f", "type": "function_call"},
        {"call_id": "c", "id": "fco_1", "output": "5", "type": "function_call_output"},
    ]
    items = NATIVE.responses().input_items("r", OPTIONS).parse(reply({"data": data, "has_more": False}))

    assert [(item.type, item.text, item.output) for item in items] == [
        ("message", "Hi", None),
        ("function_call", "", None),
        ("function_call_output", "", "5"),
    ]


@pytest.mark.parametrize("body", [{"deleted": False}, {}, b"", b"ok"])
def test_a_delete_that_did_not(body):
    """Only the word of the service counts."""
    operation = NATIVE.responses().delete("resp_1", OPTIONS)

    assert operation.parse(reply({"id": "resp_1", "object": "response.deleted", "deleted": True})) is True
    with pytest.raises(InvalidReply):
        operation.parse(reply(body))
