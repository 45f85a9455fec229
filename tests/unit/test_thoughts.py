"""Thoughts that a service leaves in the text: they go to ``reasoning``, whole and streamed."""

from __future__ import annotations

import itertools

import pytest
from support.cases import each_case
from support.responses import PATH, event, response, streamed
from support.servers import CHAT, answer

from foundry_rest import FoundryAPIClient
from foundry_rest.schema.thoughts import TAGS, ThoughtSplitter, split_thoughts
from foundry_rest.testing import DEMO_MODEL, chat_event, json_answer, sse

GENERATIONS = ("2.x", "1.x", "0.x", "openai")
#: Texts, and the thoughts and the answer in them.
TEXTS = [
    *((f"{begin}Hm{end}42", "Hm", "42") for begin, end in TAGS.items()),
    ("<think>\nHm, {42}\n</think>\n\n42 <b>", "\nHm, {42}\n", "42 <b>"),
    ("\n <think>Hm</think>42", "Hm", "42"),
    ("<think></think>\n\n42", "", "42"),
    ("<think>a</think>\n<think>b</think>42", "ab", "42"),
    ("<think>a <think> b</think>42", "a <think> b", "42"),
    ("<think>Hm</think>", "Hm", ""),
    ("<think>Hm, cut", "Hm, cut", ""),
    ("<think>Hm</thi", "Hm</thi", ""),
    ("<think>a</think>The tag </think> ends it.", "a", "The tag </think> ends it."),
    ("The tag <think> begins, </think> ends it.", "", "The tag <think> begins, </think> ends it."),
    ("`</think>` ends it", "", "`</think>` ends it"),
    ("<thin air", "", "<thin air"),
    ("<b>bold</b>", "", "<b>bold</b>"),
    ("  42", "", "  42"),
    (" \n", "", " \n"),
    ("[1, 2]", "", "[1, 2]"),
    ("<", "", "<"),
    ("", "", ""),
]
#: The same where the opening tag is missing, which only a whole text shows.
UNOPENED = [("Hm\n</think>\n\n42", "Hm\n", "42"), ("Hm</think>42", "Hm", "42"), ("</think>42", "", "42")]


@pytest.fixture(params=GENERATIONS)
def client(request, server):
    """Ask the server as a client of one generation."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect=request.param) as made:
        yield made


@each_case("text, thoughts, content", TEXTS + UNOPENED)
def test_a_whole_answer(server, client, text, thoughts, content):
    """The content is the answer alone, and the next message of the conversation has no thoughts."""
    server.on("POST", CHAT, answer(text))

    reply = client.complete("How many?")
    assert (reply.reasoning, reply.content) == (thoughts, content)
    assert reply.message["content"] == content


@each_case("finish", ["stop", "length", None])
@each_case("text, thoughts, content", TEXTS)
def test_a_stream(server, client, text, thoughts, content, finish):
    """Where the text is split does not matter: no chunk has a thought as content, and none is lost."""
    server.on("POST", CHAT, answer(text, finish, pieces=text))

    with client.stream_complete("How many?") as stream:
        chunks = list(stream)
    assert stream.text == content
    if finish is not None:
        assert "".join(chunk.reasoning for chunk in chunks) == thoughts
        assert "".join(chunk.content for chunk in chunks) == content


@each_case("text, size", [(text, size) for text, size in itertools.product(TEXTS, (2, 3, 5, 8)) if text[0]])
def test_pieces_of_any_size(text, size):
    """The splitter holds back only what may still become a tag."""
    splitter = ThoughtSplitter()
    whole, thoughts, content = text
    parts = [splitter.feed(whole[at : at + size]) for at in range(0, len(whole), size)]
    parts.append(splitter.flush())

    assert "".join(part[0] for part in parts) == thoughts
    assert "".join(part[1] for part in parts) == content


def test_the_answer_is_not_held_back():
    """Once it has begun, every piece is passed on at once."""
    splitter = ThoughtSplitter()
    splitter.feed("<think>Hm</think>\n")

    assert [splitter.feed(piece)[1] for piece in ("4", "<think>", "2")] == ["4", "<think>", "2"]
    assert splitter.is_done


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_members_of_either_name(server, client, name):
    """Servers call the member ``reasoning`` or ``reasoning_content``."""
    whole = {"choices": [{"message": {name: "Hm", "content": "42"}, "finish_reason": "stop"}]}
    stream = sse([chat_event({name: "H"}), chat_event({name: "m"}), chat_event({"content": "42"}, "stop")])
    server.on("POST", CHAT, lambda request: stream if request.json().get("stream") else json_answer(whole))

    reply = client.complete("How many?")
    assert (reply.reasoning, reply.content) == ("Hm", "42")
    assert "".join(chunk.reasoning for chunk in client.stream_complete("How many?")) == "Hm"


def test_a_whole_text_is_read_once():
    """A long answer without tags costs no more than two looks."""
    assert split_thoughts("a" * 1_000_000 + "</think>") == ("a" * 1_000_000, "")


@pytest.mark.parametrize("generation", ["2.x", "1.x", "openai"])
@pytest.mark.parametrize(("text", "thoughts", "content"), [case for case in TEXTS if case[0]] + UNOPENED)
def test_a_response(server, generation, text, thoughts, content):
    """The Responses API divides a whole text in the same way."""
    server.on(
        "POST",
        PATH,
        lambda request: (
            streamed(response(text=text))
            if request.json().get("stream")
            else json_answer(response(text=text))
        ),
    )

    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect=generation) as client:
        got = client.responses.create("How many?")
    assert (got.reasoning, got.output_text) == (thoughts, content)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(("text", "thoughts", "content"), [case for case in TEXTS if case[0]])
def test_the_stream_of_a_response(server, native, text, thoughts, content, size):
    """No event has a thought as content, wherever the text is split, and none is lost."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    events = [event("output_text.delta", delta=piece) for piece in pieces]
    events.append(event("completed", response=response(text=text)))
    server.on("POST", PATH, sse(events))

    with native.responses.stream("How many?") as stream:
        seen = [each.content for each in stream]
    assert (stream.reasoning, stream.text) == (thoughts, content)
    assert content.startswith("".join(seen))


@pytest.mark.parametrize("placeholder", ["", "null", None])
@pytest.mark.parametrize("role", [{"role": "assistant", "content": ""}, {"role": "assistant"}])
def test_thoughts_where_every_chunk_has_a_reason(server, client, placeholder, role):
    """A finish reason that is none does not end the look for thoughts before the text has begun."""
    pieces = ["<thi", "nk>Hm</th", "ink>", "42"]
    chunks = [chat_event(role, placeholder), *(chat_event({"content": each}, placeholder) for each in pieces)]
    server.on("POST", CHAT, lambda request: sse([*chunks, chat_event({}, "stop")]))

    reply = client.stream_complete("How many?").gather()
    assert (reply.reasoning, reply.content) == ("Hm", "42")
