"""Ready answers have 2.x's spelling, and our own reader takes each error for what it stands for."""

from __future__ import annotations

import json

import pytest

from foundry_rest import errors
from foundry_rest.errors.bodies import service_error
from foundry_rest.testing import (
    DEMO_MODEL,
    chat_completion,
    chat_event,
    chat_events,
    chat_stream,
    context_exceeded,
    error_event,
    error_stream,
    inference_failed,
    json_error,
    model_not_cached,
    model_not_found,
    model_not_loaded,
    too_many,
    unavailable,
)


def parts(script):
    """Return status, headers (lower case) and body of a script that is one answer."""
    head, _, body = script.data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


def data_of(block):
    """Return the decoded data of one event."""
    return json.loads(block.removeprefix(b"data: "))


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (model_not_found("nope"), errors.ModelNotFound),
        (model_not_loaded(), errors.ModelNotLoaded),
        (model_not_cached(), errors.ModelNotCached),
        (context_exceeded(), errors.ContextLengthExceeded),
        (inference_failed(), errors.InferenceFailed),
        (too_many(), errors.TooManyRequests),
        (unavailable(), errors.ServerError),
        (json_error(400, "Unsupported parameter: nonzero penalties"), errors.UnsupportedParameter),
    ],
)
def test_every_error_answer_is_read_as_its_class(script, kind):
    """The wording is the service's, so the reader of real answers understands it."""
    assert type(service_error(*parts(script))) is kind


@pytest.mark.parametrize(("status", "kind"), [(400, "invalid_request_error"), (500, "server_error")])
def test_the_type_of_an_error_follows_from_its_status(status, kind):
    """Unless it is given; ``code`` is null but where 2.x sets it."""
    assert json.loads(parts(json_error(status, "x"))[2]) == {
        "error": {"code": None, "message": "x", "param": None, "type": kind}
    }
    given = json.loads(parts(json_error(404, "x", "odd", code="response_not_found", param="id"))[2])["error"]
    assert (given["type"], given["code"], given["param"]) == ("odd", "response_not_found", "id")


def test_an_error_body_may_come_with_success():
    """Status 200 over an error body: what must never look like an answer."""
    status, _, body = parts(json_error(200, "Inference failed"))

    assert status == 200
    assert b'"error"' in body


@pytest.mark.parametrize("build", [too_many, unavailable])
@pytest.mark.parametrize("value", [None, 2, 0.5, "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_gateways_may_say_when_to_come_back(build, value):
    """Seconds, parts of them, a date, or nothing."""
    assert parts(build(value))[1].get("retry-after") == (None if value is None else str(value))


def test_a_stream_is_head_role_words_finish_usage_done_end():
    """One step each, so that a slice breaks the stream off where a test wants it."""
    script = chat_stream("one two")

    assert len(script) == 8
    contents = [data_of(block)["choices"][0]["delta"].get("content") for block in chat_events("one two")[:3]]
    assert contents == ["", "one", " two"]
    assert script[:4].data.endswith(b"\r\n")
    assert b'" two"' in script[3:4].data
    assert script[-2:].data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_a_stream_may_lack_its_finish_its_usage_and_its_done():
    """Each part of the end can be left out by itself."""
    script = chat_stream(["a"], None, usage=False, done=False)

    assert b'finish_reason":"' not in script.data
    assert b"usage" not in script.data
    assert b"[DONE]" not in script.data


def test_pieces_are_sent_as_they_are():
    """A list is not taken apart: empty pieces, spaces and non-ASCII stay."""
    events = chat_events(["", " é\u2028"], usage=False)

    assert [data_of(block)["choices"][0]["delta"].get("content") for block in events[1:3]] == ["", " é\u2028"]
    assert "\u2028".encode() in events[2]


def test_the_last_chunks_are_finish_and_usage():
    """The usage chunk has an empty ``choices``, as 2.x sends it."""
    finish, usage = map(data_of, chat_events("a b", "length")[-2:])

    assert (finish["choices"][0]["finish_reason"], finish["choices"][0]["delta"]) == ("length", {})
    assert (usage["choices"], usage["usage"]["completion_tokens"], usage["model"]) == ([], 2, DEMO_MODEL)


def test_a_chunk_of_any_delta_can_be_built():
    """Tool calls come whole in one delta."""
    chunk = data_of(chat_event({"tool_calls": [{"index": 0}]}, "tool_calls"))["choices"][0]

    assert (chunk["delta"], chunk["finish_reason"]) == ({"tool_calls": [{"index": 0}]}, "tool_calls")


def test_a_failing_stream_ends_cleanly_without_done():
    """Words, the error event, the zero chunk: HTTP sees nothing wrong."""
    script = error_stream("Inference failed: x", after="one two")

    assert b'" two"' in script.data
    assert script.data.endswith(error_event("Inference failed: x") + b"\r\n0\r\n\r\n")
    assert b"[DONE]" not in script.data
    assert b"role" not in error_stream().data


def test_a_completion_has_text_usage_and_tool_calls():
    """Keys of the recorded answer; tool calls beside an empty content."""
    body = json.loads(parts(chat_completion("a b"))[2])
    called = json.loads(parts(chat_completion("", finish="tool_calls", tool_calls=[{"id": "c"}]))[2])

    assert body["choices"][0]["message"] == {"content": "a b", "refusal": None, "role": "assistant"}
    assert body["usage"]["total_tokens"] == 20
    assert called["choices"][0]["message"]["tool_calls"] == [{"id": "c"}]
