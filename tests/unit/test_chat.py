"""Chat: what goes over the wire, and what comes back, whole or in chunks."""

from __future__ import annotations

import pytest
from support.servers import CHAT

from foundry_rest import FoundryAPIClient, Timeouts
from foundry_rest.dialects.openai import parse_chunk
from foundry_rest.errors import (
    BadRequest,
    ConfigError,
    ContextLengthExceeded,
    DeadlineExceeded,
    InferenceFailed,
    InvalidReply,
    ServiceTimeout,
    StreamInterrupted,
)
from foundry_rest.testing import (
    answer,
    chat_completion,
    chat_event,
    chat_stream,
    context_exceeded,
    cut,
    error_stream,
    html_page,
    inference_failed,
    sse,
    stall,
)


def body_of(server) -> dict[str, object]:
    """Return the last chat request's body."""
    return server.asked(CHAT)[-1].json()


def test_a_whole_answer(server, client):
    """On 2.x it is gathered from a stream, so that giving up stops the work; usage is there."""
    reply = client.chat.complete("Hi", system="Be brief.", temperature=0, extra={"top_k": 3})

    assert (reply.content, reply.finish_reason, reply.usage.completion_tokens) == ("Hello there", "stop", 2)
    assert reply.model == "demo-generic-cpu:1"
    assert reply.first_token <= reply.elapsed < 5
    assert reply.stream_events[0]["object"] == "chat.completion.chunk"
    assert reply.raw["object"] == "chat.completion"
    assert body_of(server) == {
        "model": "demo-generic-cpu:1",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "temperature": 0,
        "top_k": 3,
        "max_tokens": 2048,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_whole_answer_from_a_stranger(server):
    """An OpenAI-like service is asked plainly."""
    with FoundryAPIClient(server.url, model="demo-generic-cpu:1", dialect="openai") as client:
        reply = client.chat.complete("Hi")

    assert (reply.content, reply.first_token) == ("Hello there", None)
    assert "stream" not in body_of(server)
    assert reply.headers["SERVER"] == "oatpp/1.3.0"


def test_a_stream(server, client):
    """Chunks come as they arrive; text, usage and reason are on the stream."""
    with client.chat.stream("Hi", seed=1) as stream:
        texts = [chunk.content for chunk in stream]

    assert "".join(texts) == stream.text == "Hello there"
    assert (stream.finish_reason, stream.usage.prompt_tokens) == ("stop", 18)
    assert body_of(server)["seed"] == 1


def test_a_streams_own_parser(client):
    """``parse`` reads each event in place of the dialect's."""
    seen: list[bytes] = []

    def parse(event):
        seen.append(event)
        return parse_chunk(event)

    assert client.chat.stream("Hi", parse=parse).gather().content == "Hello there"
    assert len(seen) == 5


def test_a_replys_own_parser(server, client):
    """``parse`` gets the plain HTTP answer; its result is returned, and no stream is asked for."""
    reply = client.chat.complete("Hi", parse=lambda reply: (reply.status, reply.raw["object"]))

    assert reply == (200, "chat.completion")
    assert "stream" not in body_of(server)


def test_headers_of_one_call(server, client):
    """``headers`` goes out with this call alone."""
    client.chat.complete("Hi", headers={"X-Trace": "7"})
    client.chat.complete("Hi")

    assert [request.headers.get("x-trace") for request in server.asked(CHAT)] == ["7", None]


@pytest.mark.parametrize(
    ("script", "cls", "words"),
    [
        (context_exceeded(), ContextLengthExceeded, "maximum context length of 1024"),
        (inference_failed(), InferenceFailed, "out of memory"),
        (error_stream("Invalid request: x", "invalid_request_error"), BadRequest, "Invalid request: x"),
        (html_page(), InvalidReply, "expected an event stream, got text/html"),
        (answer(200, b""), InvalidReply, "expected an event stream, got application/json"),
        (chat_stream("a b", done=False, finish=None), StreamInterrupted, "ended without"),
        (chat_stream("a b")[:3] + cut(), StreamInterrupted, "broke"),
        (error_stream("Inference failed", after="a b"), StreamInterrupted, "Inference failed"),
        (sse([chat_event({"content": 5})]), InvalidReply, "unreadable answer"),
        (sse([], done=True), StreamInterrupted, "the stream ended"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_failures(server, client, script, cls, words, whole):
    """Nothing cut, empty, foreign or broken looks like success, in either way of asking."""
    server.on("POST", CHAT, script)
    with pytest.raises(cls, match=words) as caught:
        client.chat.complete("Hi") if whole else client.chat.stream("Hi").gather()

    assert (caught.value.url, caught.value.model) == (server.url, "demo-generic-cpu:1")
    assert caught.value.call == ("chat.complete" if whole else "chat.stream")


def test_the_text_so_far_is_kept(server, client):
    """A break after the first token is not repeated; what had come is in the error."""
    server.on("POST", CHAT, chat_stream("one two three")[:4] + cut(), chat_stream("other"))
    with pytest.raises(StreamInterrupted) as caught:
        client.with_options(retries=3).chat.complete("Hi")

    assert caught.value.text == "one two"
    assert len(server.asked(CHAT)) == 1


@pytest.mark.parametrize(
    "script", [html_page(), answer(200, b"{}"), answer(200, b'{"choices":[]}'), answer(200, b"")]
)
def test_a_strangers_broken_answer(server, script):
    """A plain answer without a choice names the call, the address and the model."""
    server.on("POST", CHAT, script)
    client = FoundryAPIClient(server.url, model="m", dialect="openai", retries=0)
    with client, pytest.raises(InvalidReply, match=r"chat.complete at http.*model 'm'"):
        client.chat.complete("Hi")


def test_a_deadline_bounds_the_first_call_whole(server):
    """Recognising the service belongs to the call: its bounds hold there, too."""
    server.on("GET", "/status", stall())
    with FoundryAPIClient(server.url) as client:
        with pytest.raises(DeadlineExceeded):
            client.chat.complete("Hi", deadline=0.05)
        with pytest.raises(ServiceTimeout):
            client.with_options(retries=0).chat.complete("Hi", timeout=0.05)

    assert server.asked(CHAT) == []


def test_a_calls_own_timeout(server, client):
    """Seconds, or a whole set, for this call."""
    server.on("POST", CHAT, stall())
    for timeout in (0.03, Timeouts(first_token=0.03)):
        with pytest.raises(ServiceTimeout, match="silent"):
            client.chat.complete("Hi", timeout=timeout)


@pytest.mark.parametrize(
    "arguments",
    [
        {"temperature": -3},
        {"stream": True},
        {"timeout": 0},
        {"deadline": -1},
        {"timeout": "5"},
        {"model": "a b"},
        {"model": 7},
        {"model": ""},
        {"extra": {"model": "x"}},
    ],
)
@pytest.mark.parametrize("method", ["complete", "stream"])
def test_mistakes_are_found_before_any_io(server, client, method, arguments):
    """A ConfigError costs no request, not even one to find out who answers."""
    with pytest.raises(ConfigError):
        getattr(client.chat, method)("Hi", **arguments)

    assert server.requests == []


def test_headers_above_the_services_limit(server, client):
    """2.x resets such a connection without a word; once it is known, that is said here instead."""
    client.complete("Hi")
    with pytest.raises(ConfigError, match="resets the connection above"):
        client.chat.complete("Hi", headers={"X": "y" * 4000})


def test_a_completion_in_many_words(server, client):
    """Tool calls and reasoning are gathered from the chunks."""
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    events = [chat_event({"reasoning_content": "hm "}), chat_event({"reasoning_content": "yes"})]
    server.on("POST", CHAT, sse([*events, chat_event({"tool_calls": [call]}, "tool_calls")]))
    reply = client.chat.complete("Hi", tools=[{"type": "function", "function": {"name": "now"}}])

    assert (reply.content, reply.reasoning, reply.finish_reason) == ("", "hm yes", "tool_calls")
    assert reply.tool_calls[0].function.name == "now"


def test_a_plain_answer_of_a_tool_call(server):
    """The same from a stranger, in one piece."""
    server.on("POST", CHAT, chat_completion("", finish="tool_calls", tool_calls=[{"id": "c1"}]))
    with FoundryAPIClient(server.url, model="m", dialect="openai") as client:
        assert client.complete("Hi").tool_calls[0].id == "c1"
