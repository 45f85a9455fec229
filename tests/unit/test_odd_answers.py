"""Answers that are odd in a part that nobody needs: the answer counts, the oddity is left out."""

from __future__ import annotations

import itertools
import json

import pytest
from support.cases import each_case
from support.servers import CHAT

from foundry_rest import BreakerPolicy, FoundryAPIClient
from foundry_rest.errors import InvalidReply
from foundry_rest.testing import DEMO_MODEL, answer, comment, event, sse

GENERATIONS = ("2.x", "1.x", "0.x", "openai")
#: Members beside the choices, as JSON, because Python writes some of them in its own way.
BESIDE = {
    "usage": ["null", "3", "3.5", "[]", '"many"', '{"prompt_tokens": null}', '{"total_tokens": "3"}', "true"],
    "created": ["1.5", "null", '"2026-11-26T00:00:00Z"', "1e400", "[]", "-1", "NaN", "9" * 5000],
    "id": ["7", "null", "7.5", "{}", "true"],
    "model": ["null", "7", "[]"],
    "system_fingerprint": ["7", "NaN", '"\\ud83d"', "Infinity"],
    "object": ["null", "7"],
}
#: Members of the choice, beside its text.
IN_CHOICE = {
    "index": ["null", "0.0", '"0"', "[]"],
    "logprobs": ['{"content": [{"logprob": -Infinity}]}', '{"content": [{"logprob": NaN}]}', "7", "1e999"],
    "stop_reason": ["7", "[]", "NaN"],
}
#: Members of the message, beside its text.
IN_PART = {
    "role": ["null", "7", "[]"],
    "tool_calls": ["null", "[]", "[null]"],
    "reasoning_content": ["null", "7.5", "[]"],
    "reasoning": ["null", '{"steps": []}', "[1]"],
    "refusal": ["null", "[]", "false"],
    "annotations": ["NaN", '"\\udc00"'],
}
#: Contents, and the text that each is.
CONTENTS = {
    '"Hello there"': "Hello there",
    '[{"type": "text", "text": "Hello there"}]': "Hello there",
    '[{"type": "text", "text": "Hello"}, {"type": "text", "text": " there"}]': "Hello there",
    '["Hello", " there"]': "Hello there",
    '[{"type": "image"}, {"type": "text", "text": "Hello there"}, null]': "Hello there",
    '"Hello \\ud83d\\ude00"': "Hello \N{GRINNING FACE}",
    '"Hello \\ud83d"': "Hello \N{REPLACEMENT CHARACTER}",
    '"\\ude00 Hello"': "\N{REPLACEMENT CHARACTER} Hello",
}
ODDITIES = [
    *(("beside", name, value) for name, values in BESIDE.items() for value in values),
    *(("choice", name, value) for name, values in IN_CHOICE.items() for value in values),
    *(("part", name, value) for name, values in IN_PART.items() for value in values),
]


def body(part, content='"Hello there"', place="", name="", value="", finish='"stop"'):
    """Return an answer or a chunk as JSON text, with one odd member."""
    odd = f', "{name}": {value}'
    inner = f'{{"content": {content}{odd if place == "part" else ""}}}'
    index = '"index": 0, ' if name != "index" else ""
    choice = f'{{{index}"{part}": {inner}, "finish_reason": {finish}{odd if place == "choice" else ""}}}'
    return f'{{"choices": [{choice}]{odd if place == "beside" else ""}}}'


def served(whole, stream):
    """Return what answers with either, as it is asked."""

    def reply(request):
        if request.json().get("stream"):
            return sse([event(each) for each in stream]) if isinstance(stream, list) else stream
        return answer(200, whole if isinstance(whole, bytes) else whole.encode())

    return reply


@pytest.fixture(params=GENERATIONS)
def client(request, server):
    """Ask the server as a client of one generation whose circuit opens at the first failure."""
    policy = BreakerPolicy(failures=1)
    with FoundryAPIClient(
        server.url, model=DEMO_MODEL, retries=0, dialect=request.param, breaker=policy
    ) as made:
        yield made


@each_case("place, name, value", ODDITIES)
def test_an_odd_member(server, client, place, name, value):
    """Whole and streamed, the text is there, ``raw`` can be read, and the circuit stays closed."""
    whole = body("message", place=place, name=name, value=value)
    chunk = body("delta", place=place, name=name, value=value)
    server.on("POST", CHAT, served(whole, [chunk]))

    reply = client.complete("Hi")
    assert (reply.content, reply.finish_reason, reply.tool_calls) == ("Hello there", "stop", ())
    assert reply.raw
    with client.stream_complete("Hi") as stream:
        chunks = list(stream)
    assert (stream.text, stream.finish_reason) == ("Hello there", "stop")
    assert chunks[0].raw["choices"]
    assert client.breaker.current == "closed"


@each_case("content, text", CONTENTS.items())
def test_contents(server, client, content, text):
    """Parts are joined, and halves of surrogate pairs, too; a lone one is replaced."""
    server.on("POST", CHAT, served(body("message", content), [body("delta", content)]))

    assert client.complete("Hi").content == text
    assert client.stream_complete("Hi").gather().content == text


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (('"Hello \\ud83d"', '"\\ude00!"'), "Hello \N{GRINNING FACE}!"),
        (('"\\ud83d"', '"\\ude00"', '"\\ud83d"', '"\\ude00"'), "\N{GRINNING FACE}" * 2),
        (('"\\ud83d"', '"!"'), "\N{REPLACEMENT CHARACTER}!"),
        (('"a"', '"\\ud83d"', '""', '"b"'), "a\N{REPLACEMENT CHARACTER}b"),
    ],
)
def test_halves_in_two_chunks(server, client, pieces, text):
    """The halves of a pair are joined across chunks, and none is handed out alone."""
    chunks = [body("delta", piece, finish="null") for piece in pieces]
    server.on("POST", CHAT, served("", [*chunks, body("delta", '""')]))

    with client.stream_complete("Hi") as stream:
        seen = "".join(chunk.content for chunk in stream)
    assert seen == stream.text == text
    seen.encode()


@each_case(
    "arguments, parsed",
    [
        ('{"a": 1}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('{"a": {"b": [1, "x"]}}', {"a": {"b": [1, "x"]}}),
        ("{}", {}),
        ("null", {}),
        ('""', {}),
    ],
)
@each_case("before", ["", "null, "])
def test_arguments_of_a_call(server, client, arguments, parsed, before):
    """Arguments that are an object are the JSON text that they should be; a null among the calls is none."""
    call = f'{{"id": 7, "type": null, "function": {{"name": "add", "arguments": {arguments}}}}}'
    odd = {"place": "part", "name": "tool_calls", "value": f"[{before}{call}]", "finish": '"tool_calls"'}
    server.on("POST", CHAT, served(body("message", "null", **odd), [body("delta", "null", **odd)]))

    for reply in (client.complete("Hi"), client.stream_complete("Hi").gather()):
        (made,) = reply.tool_calls
        assert (made.id, made.name, made.parse()) == ("7", "add", parsed)


@each_case(
    "heartbeat",
    [
        "data:\n\n",
        "data: \n\n",
        "data: {}\n\n",
        "data: null\n\n",
        "event: ping\n\n",
        "event: ping\ndata: {}\n\n",
        'event: ping\ndata: {"type": "ping"}\n\n',
        "event: ping\ndata: 2026-11-26\n\n",
        "event: heartbeat\ndata: 7\n\n",
        "event: keepalive\ndata: .\n\n",
        ": keep-alive\n\n",
        "id: 7\n\n",
        "retry: 3000\n\n",
    ],
)
@each_case("where", ["first", "between", "last", "everywhere"])
def test_heartbeats(server, client, heartbeat, where):
    """What keeps a connection open is no part of an answer, wherever it comes."""
    blocks = [
        event(body("delta", piece, finish=end))
        for piece, end in (('"Hello"', "null"), ('" there"', "null"), ('""', '"stop"'))
    ]
    beat = heartbeat.encode()
    placed = {
        "first": [beat, *blocks],
        "between": [blocks[0], beat, *blocks[1:]],
        "last": [*blocks, beat],
        "everywhere": [*itertools.chain.from_iterable((beat, block) for block in blocks), beat],
    }
    server.on("POST", CHAT, lambda request: sse(placed[where]))

    assert client.stream_complete("Hi").gather().content == "Hello there"


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\n \xef\xbb\xbf"[2:], b"\r\n\t "])
def test_bytes_before_a_plain_answer(server, client, mark):
    """A byte order mark or white space before JSON does not matter."""
    whole = mark + body("message").encode()
    server.on("POST", CHAT, served(whole, [body("delta")]))

    assert client.complete("Hi").content == "Hello there"


@each_case("delta", ["{}", '{"role": "assistant"}', '{"content": ""}', '{"content": null}'])
@each_case("said", [0, 1, 2])
def test_an_empty_delta_beside_a_full_message(server, client, delta, said):
    """The message counts, and what it repeats of the chunks before is not said twice."""
    both = (
        f'{{"choices": [{{"index": 0, "delta": {delta}, "message": {{"role": "assistant", '
        '"content": "Hello there"}, "finish_reason": "stop"}]}'
    )
    before = [body("delta", piece, finish="null") for piece in ('"Hello"', '" there"')][:said]
    server.on("POST", CHAT, served(both, [*before, both]))

    assert client.complete("Hi").content == "Hello there"
    assert client.stream_complete("Hi").gather().content == "Hello there"


@pytest.mark.parametrize("content", ["null", '""'])
def test_a_refusal(server, client, content):
    """A refusal is visible as the content, and told apart by ``refusal``."""
    odd = {"place": "part", "name": "refusal", "value": '"I cannot."'}
    halves = [
        body("delta", content, "part", "refusal", piece, finish="null") for piece in ('"I "', '"cannot."')
    ]
    server.on("POST", CHAT, served(body("message", content, **odd), [*halves, body("delta", '""')]))

    for reply in (client.complete("Hi"), client.stream_complete("Hi").gather()):
        assert (reply.content, reply.refusal) == ("I cannot.", "I cannot.")
    assert "".join(chunk.content for chunk in client.stream_complete("Hi")) == "I cannot."


@each_case(
    "inner, where",
    [
        ('"content": 5', "content"),
        ('"content": {"text": "Hi"}', "content"),
        ('"content": true', "content"),
        ('"content": "", "tool_calls": "add"', "tool_calls"),
        ('"content": "", "tool_calls": [7]', "tool_calls[0]"),
        ('"content": "", "tool_calls": [{"function": []}]', "tool_calls[0].function"),
        ('"content": "", "tool_calls": [{"function": {"name": 7}}]', "tool_calls[0].function.name"),
        (
            '"content": "", "tool_calls": [{"function": {"name": "a", "arguments": 7}}]',
            "tool_calls[0].function.arguments",
        ),
    ],
)
def test_what_has_to_be_readable(server, client, inner, where):
    """Text and calls are never guessed at; the message names the member, and blames no proxy."""
    whole = f'{{"choices": [{{"message": {{{inner}}}, "finish_reason": "stop"}}]}}'
    chunk = whole.replace("message", "delta")
    server.on("POST", CHAT, served(whole, [chunk]))

    for ask in (client.complete, lambda text: client.stream_complete(text).gather()):
        with pytest.raises(InvalidReply, match=r"unreadable answer: \$\.choices\[0\]") as caught:
            ask("Hi")
        assert caught.value.where.endswith(where)
        assert "proxy" not in str(caught.value)


@each_case(
    "unknown",
    [
        b'"\xff\xfe"',
        b"1e400",
        b"9" * 5000,
        b"NaN",
        b"-Infinity",
        b'"\\ud800"',
        b'"a\tb"',
        b"[" * 50 + b"]" * 50,
    ],
)
def test_raw_of_unknown_members(server, client, unknown):
    """``raw`` can always be read, and never raises an error of another library."""
    chunk = body("delta").encode()[:-1] + b', "x": ' + unknown + b"}"
    whole = chunk.replace(b'"delta"', b'"message"')
    stream = sse([b"data: " + chunk + b"\n\n", comment()])
    server.on("POST", CHAT, served(whole, stream))

    assert client.complete("Hi").raw
    (first, *_) = list(client.stream_complete("Hi"))
    assert "x" in first.raw


def test_text_that_is_not_utf8(server, client):
    """Text whose bytes cannot be read is no text."""
    whole = b'{"choices": [{"message": {"content": "Hell\xff"}, "finish_reason": "stop"}]}'
    server.on("POST", CHAT, served(whole, sse([b"data: " + whole + b"\n\n"])))

    with pytest.raises(InvalidReply, match="not UTF-8"):
        client.complete("Hi")


def test_values_are_json(server, client):
    """What was read leniently can be sent back."""
    server.on("POST", CHAT, served(body("message", '"\\ud83d"'), [body("delta", '"\\ud83d"')]))

    json.dumps(client.complete("Hi").message).encode()


@pytest.mark.parametrize(
    ("name", "read"), [("reasoning_content", "reasoning"), ("reasoning", "reasoning"), ("refusal", "content")]
)
def test_halves_of_other_texts(server, client, name, read):
    """Thoughts and refusals are joined like content, and what is left over is replaced."""
    for pieces, text in (
        (("a\\ud83d", "\\ude00b"), "a\N{GRINNING FACE}b"),
        (("a\\ud83d", "b"), "a\N{REPLACEMENT CHARACTER}b"),
    ):
        chunks = [body("delta", "null", "part", name, f'"{piece}"', finish="null") for piece in pieces]
        whole = body("message", "null", "part", name, f'"{"".join(pieces)}"')
        server.on("POST", CHAT, served(whole, [*chunks, body("delta", '""')]))
        for reply in (client.complete("Hi"), client.stream_complete("Hi").gather()):
            assert getattr(reply, read) == text
            json.dumps(reply.message).encode()


def test_halves_in_arguments(server, client):
    """Arguments whose halves came in two fragments are whole, and can be sent back."""
    calls = [
        '[{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\\"x\\": \\"\\ud83d"}}]',
        '[{"index": 0, "function": {"name": "f", "arguments": "\\ude00\\"}"}}]',
    ]
    chunks = [body("delta", "null", "part", "tool_calls", each, finish="null") for each in calls]
    server.on("POST", CHAT, served("", [*chunks, body("delta", '""', finish='"tool_calls"')]))

    (call,) = client.stream_complete("Hi").gather().tool_calls
    assert call.parse() == {"x": "\N{GRINNING FACE}"}
    json.dumps(call.message).encode()
