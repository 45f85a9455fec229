"""The tokens of a prompt, and a conversation that fits the model's context."""

from __future__ import annotations

import pickle
from contextlib import suppress

import pytest
from support.servers import CHAT

from foundry_rest import FoundryAPIClient
from foundry_rest.endpoints import token_counts
from foundry_rest.errors import (
    BadRequest,
    ConfigError,
    ContextLengthExceeded,
    InvalidReply,
    ServiceTimeout,
    ServiceUnreachable,
    UnsupportedByService,
)
from foundry_rest.errors.context_length import tokens_in
from foundry_rest.schema.turns import Turns
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    chat_stream,
    cut,
    error_stream,
    json_answer,
    json_error,
    stall,
)

#: Server -> (what it says, the tokens of the prompt, those of the context).
SAID = {
    "2.2.1": (
        (
            "request requires 1000016 total tokens (16 input + 1000000 output), which exceeds the "
            "model's maximum context length of 4096 tokens"
        ),
        16,
        4096,
    ),
    "2.0.1": (
        (
            "request requires 1000016 total tokens (16 input + 1000000 output), which exceeds "
            "the model's maximum context length of 4096 tokens"
        ),
        16,
        4096,
    ),
    "1.2.4": (
        (
            "This request requires 5021 total tokens (21 input + 5000 output), "
            "which exceeds the model's maximum context length of 4096 tokens. Please reduce"
        ),
        21,
        4096,
    ),
    "embeddings": ("max_length (5002) cannot be greater than model context_length (1024)", 5002, 1024),
    "OpenAI": (
        (
            "This model's maximum context length is 16385 tokens. However, you requested 122946 tokens "
            "(118850 in the messages, 4096 in the completion)."
        ),
        118850,
        16385,
    ),
    "OpenAI's older": (
        "This model's maximum context length is 4097 tokens. However, your messages resulted in 5000 tokens.",
        5000,
        4097,
    ),
    "vLLM": (
        "This model's maximum context length is 512 tokens. However, your request has 30023 input tokens.",
        30023,
        512,
    ),
    "vLLM without": ("This model's maximum context length is 512 tokens.", None, 512),
    "llama.cpp": ("request (5000 tokens) exceeds the available context size (4096 tokens)", 5000, 4096),
    "llama-cpp-python": ("Requested tokens (30023) exceed context window of 512", 30023, 512),
    "LM Studio": (
        (
            "Trying to keep the first 6000 tokens when context the overflows. However, the model is loaded "
            "with context length of only 4096 tokens, which is not enough."
        ),
        6000,
        4096,
    ),
    "Anthropic": ("prompt is too long: 209303 tokens > 200000 maximum", 209303, 200000),
    "Gemini": (
        "The input token count (2800010) exceeds the maximum number of tokens allowed (1048576).",
        2800010,
        1048576,
    ),
    "no numbers": ("the input length exceeds the context length", None, None),
    "a number of 5,000 digits": (f"prompt is too long: {'9' * 5000} tokens > 10 maximum", None, 10),
}
OVER = (
    "request requires {} total tokens ({} input + {} output), which exceeds the model's maximum context "
    "length of {} tokens"
)


def tokens_of(body):
    """Return the tokens of a body, of which each word is one."""
    return sum(len((message["content"] or "").split()) for message in body["messages"])


def with_context(limit, answer=None, *, as_stream=True):
    """Return a service's script for a model of this context, which refuses as 2.x does."""

    def script(request):
        body = request.json()
        prompt, room = tokens_of(body), body.get("max_tokens") or body["max_completion_tokens"]
        if prompt + room > limit:
            words = OVER.format(prompt + room, prompt, room, limit)
            streams = as_stream and body.get("stream")
            return error_stream(words, "invalid_request_error") if streams else json_error(400, words)
        return answer or chat_stream("one two")

    return script


def talk(*lengths):
    """Return a conversation whose questions have so many words, each answered with one."""
    messages = [{"role": "system", "content": "short"}]
    for number, length in enumerate(lengths):
        messages.append({"role": "user", "content": " ".join([f"q{number}"] * length)})
        messages.append({"role": "assistant", "content": "yes"})
    return messages[:-1]


@pytest.mark.parametrize("server_name", SAID)
def test_the_numbers_of_a_refusal(server_name):
    """They are read from whatever server says them, and are facts of the error."""
    message, prompt, limit = SAID[server_name]
    assert tokens_in(message) == (prompt, limit)


@pytest.mark.parametrize("script", [json_error(400, SAID["2.2.1"][0]), error_stream(SAID["2.2.1"][0])])
def test_the_error_has_the_numbers(server, native, script):
    """They come with a refusal and with the event of a stream, and survive a pickle."""
    server.on("POST", CHAT, script)
    with pytest.raises(ContextLengthExceeded) as caught:
        native.complete("Hi", max_tokens=5)
    same = pickle.loads(pickle.dumps(caught.value))
    assert (same.prompt_tokens, same.limit) == (16, 4096)


def test_counted_by_a_refusal(server, native):
    """2.x is asked for more than any context holds; the circuit and the figures do not learn of it."""
    server.on("POST", CHAT, with_context(100))
    assert native.chat.count_tokens("one two three", system="be brief") == 5
    (asked,) = server.asked(CHAT)
    assert (asked.json()["max_tokens"], asked.json()["stream"]) == (1_000_000, True)
    assert "chat.count_tokens" not in native.stats().by_call
    assert native.breaker.current == "closed"


def test_counted_by_a_refusal_of_1x(server, core):
    """1.x cuts a stream that it refuses; the same request in plain tells the number."""
    server.on("POST", CHAT, refuse_as_1x)
    assert core.chat.count_tokens("one two three") == 3
    assert "chat.count_tokens" not in core.stats().by_call


def refuse_as_1x(request):
    """Cut a stream after its head, and refuse a plain request."""
    if request.json().get("stream"):
        return chat_stream("one")[:1] + cut()
    return with_context(100)(request)


def test_counts_are_kept(server, native):
    """The same text is asked for once; another model, system or tool is another text."""
    server.on("POST", CHAT, with_context(100))
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    for _ in range(2):
        native.chat.count_tokens("one")
        native.chat.count_tokens("one", system="be brief")
        native.chat.count_tokens("one", tools=[tool])
        native.chat.count_tokens([{"role": "user", "content": "one"}])
    assert len(server.asked(CHAT)) == 3


def test_few_counts_are_kept(server, native, monkeypatch):
    """However many texts are counted, the memory for them is bounded."""
    monkeypatch.setattr(token_counts, "KEPT", 4)
    server.on("POST", CHAT, with_context(100))
    for number in range(20):
        native.chat.count_tokens(f"text {number}")
    assert len(native.chat._counts._kept) <= 4


def test_a_service_that_does_not_refuse(server, native):
    """It is stopped at its first event, and the error says what to read instead."""
    server.on("POST", CHAT, chat_stream("one two three"))
    with pytest.raises(UnsupportedByService, match="token counting"):
        native.chat.count_tokens("Hi")
    assert len(server.asked(CHAT)) == 1
    assert native.stats().slots.in_use == 0


def test_a_model_that_is_not_loaded(server):
    """It is loaded, as for every call."""
    with FoundryAPIClient(server.url, model="demo", retries=0) as client:
        server.on("POST", CHAT, with_context(100))
        client.chat.count_tokens("one")
        server.loaded = []
        server.on("POST", CHAT, *[server.healthy] * 2, with_context(100))
        assert client.chat.count_tokens("one two") == 2


def test_other_errors(server, native):
    """What fails is told as for every call."""
    server.on("POST", CHAT, json_error(400, "no such thing"))
    with pytest.raises(BadRequest, match="no such thing"):
        native.chat.count_tokens("Hi")
    server.on("POST", CHAT, cut())
    with pytest.raises(ServiceUnreachable):
        native.chat.count_tokens("Hi there")


@pytest.mark.parametrize("script", [stall(), json_error(400, "no such thing")], ids=["silent", "refused"])
def test_what_no_cure_helps_is_asked_once(server, native, script):
    """A service that is silent, or says no for another reason, is not asked a second time."""
    server.on("POST", CHAT, script)
    with pytest.raises((ServiceTimeout, BadRequest)):
        native.chat.count_tokens("Hi", timeout=0.05)
    assert len(server.asked(CHAT)) == 1


def test_tools_where_they_are_not_counted():
    """0.x's route takes no tools, so that their tokens would be missing."""
    client = FoundryAPIClient("http://127.0.0.1:9", model="m", dialect="0.x")
    with client, pytest.raises(UnsupportedByService, match="with tools"):
        client.chat.count_tokens("Hi", tools=[{"type": "function"}])


# ---------------------------------------------------------------- what is left


@pytest.mark.parametrize("dialect", ["2.x", "1.x", "openai"])
@pytest.mark.parametrize("method", ["complete", "stream", "tools", "typed", "parsed"])
def test_a_call_without_a_limit_takes_what_is_left(server, dialect, method):
    """Where the default is more than the prompt leaves, the rest of the context is asked for."""
    streams = (dialect == "2.x" and method != "parsed") or method == "stream"
    good = chat_stream("7") if streams else None
    server.on("POST", CHAT, lambda request: with_context(100, good or server.healthy(request))(request))
    calls = {
        "complete": lambda chat: chat.complete("one two"),
        "stream": lambda chat: chat.stream("one two").gather(),
        "tools": lambda chat: chat.run_tools("one two", functions=[tokens_in]),
        "typed": lambda chat: chat.complete("one two", response_model=int, max_reasks=0),
        "parsed": lambda chat: chat.complete("one two", parse=lambda reply: reply.status),
    }
    client = FoundryAPIClient(server.url, model=DEMO_MODEL, dialect=dialect, retries=0)
    with client, suppress(InvalidReply):  # of the type, which the fixed answer may not fit
        calls[method](client.chat)
    asked = [request.json() for request in server.asked(CHAT)]
    assert [body["max_tokens"] for body in asked if not streams or body.get("stream")][-1] == 100 - tokens_of(
        asked[-1]
    )


def test_a_limit_that_was_given_stays(server, native):
    """It is the caller's, so the refusal is, too."""
    server.on("POST", CHAT, with_context(100))
    for given in ({"max_tokens": 500}, {"max_completion_tokens": 500}, {"max_tokens": 2048}):
        with pytest.raises(ContextLengthExceeded):
            native.complete("one two", **given)


def test_a_prompt_that_leaves_nothing(server, native):
    """It is refused as it was, once."""
    server.on("POST", CHAT, with_context(3))
    with pytest.raises(ContextLengthExceeded) as caught:
        native.complete("one two three four")
    assert (caught.value.prompt_tokens, caught.value.limit) == (4, 3)
    assert len(server.asked(CHAT)) == 1


# ---------------------------------------------------------------- fit


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (1000, ["q0", "q1", "q2", "q3"]),
        (40, ["q1", "q2", "q3"]),
        (30, ["q2", "q3"]),
        (17, ["q3"]),
    ],
)
def test_the_oldest_turns_go(server, native, limit, kept):
    """As few as it takes; the system message stays, and the last question."""
    server.on("POST", CHAT, with_context(limit))
    fitted = native.chat.fit(talk(10, 10, 10, 10), max_tokens=5)

    assert fitted[0] == {"role": "system", "content": "short"}
    assert [each["content"].split()[0] for each in fitted if each["role"] == "user"] == kept
    assert native.chat.count_tokens(fitted) + 5 <= limit


def test_few_requests(server, native):
    """Of a thousand turns the right ones are found in a dozen requests."""
    server.on("POST", CHAT, with_context(500))
    fitted = native.chat.fit(talk(*[3] * 1000), max_tokens=5)
    assert len(server.asked(CHAT)) <= 14
    assert 490 <= native.chat.count_tokens(fitted) + 5 <= 500


def test_the_last_turn_does_not_fit(server, native):
    """The error has the numbers, and says of which call."""
    server.on("POST", CHAT, with_context(17))
    for conversation in (talk(10, 20), talk(20), "one " * 30):
        with pytest.raises(ContextLengthExceeded, match="the last turn has") as caught:
            native.chat.fit(conversation, max_tokens=5)
        assert caught.value.limit == 17
        assert caught.value.prompt_tokens > 12
        assert caught.value.call == "chat.fit"


def test_the_default_room(server, native):
    """Without ``max_tokens`` half of a small context is for the answer."""
    server.on("POST", CHAT, with_context(60))
    assert native.chat.count_tokens(native.chat.fit(talk(10, 10, 10, 10))) <= 30


def test_where_the_context_is_not_told():
    """0.x counts, but does not say how much is too much."""
    with FaultServer() as server:
        server.on("POST", "/v1/chat/completions/tokenizer/encode/count", json_answer({"tokenCount": 7}))
        client = FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="0.x")
        with (
            client,
            pytest.raises(UnsupportedByService, match=r"how long.*Drop the oldest"),
        ):
            client.chat.fit(talk(10, 10))


@pytest.mark.parametrize("given", [0, -1, 1.5, "5"])
def test_a_wrong_room(native, given):
    """It is refused before anything is counted."""
    with pytest.raises(ConfigError):
        native.chat.fit(talk(1), max_tokens=given)


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ROLES = {
    "plain": ("s u a u a u", ["s u a u a u", "s u a u", "s u"]),
    "with tools": ("s u c t a u c t", ["s u c t a u c t", "s u c t"]),
    "two calls": ("u c t t a u", ["u c t t a u", "u"]),
    "an assistant first": ("s a u a u", ["s a u a u", "s u a u", "s u"]),
    "system in the middle": ("s u a s u a u", ["s u a s u a u", "s s u a u", "s s u"]),
    "no system": ("u a u", ["u a u", "u"]),
    "a tool's result at the end": ("u a u c t", ["u a u c t", "u c t"]),
    "one turn": ("u", ["u"]),
    "system alone": ("s", ["s"]),
    "two questions in a row": ("u u a u", ["u u a u", "u a u", "u"]),
}
MESSAGES = {
    "s": {"role": "system", "content": "x"},
    "u": {"role": "user", "content": "x"},
    "a": {"role": "assistant", "content": "x"},
    "c": {"role": "assistant", "content": "", "tool_calls": [CALL]},
    "t": {"role": "tool", "content": "x", "tool_call_id": "c"},
}


@pytest.mark.parametrize("name", ROLES)
def test_turns(name):
    """A turn goes whole, calls with their results; what the system says stays, and the last turn."""
    whole, left = ROLES[name]
    turns = Turns([MESSAGES[role] for role in whole.split()])
    letters = {id(message): role for role, message in MESSAGES.items()}
    shown = [
        " ".join(letters[id(each)] for each in turns.without(number)) for number in range(len(turns) or 1)
    ]
    assert shown == left
    assert turns.without(99) == turns.without(len(left) - 1)
