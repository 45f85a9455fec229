"""Oddities in responses, vectors, transcriptions and lists of models: what nobody needs is left out."""

from __future__ import annotations

import json

import pytest
from support.responses import PATH

from foundry_rest import BreakerPolicy, FoundryAPIClient
from foundry_rest.errors import InvalidMember, InvalidReply, ServiceError, StreamInterrupted
from foundry_rest.testing import DEMO_MODEL, answer, event, sse

#: JSON that Python's encoder does not write.
NUMBERS = ("NaN", "-Infinity", "1e400", "9" * 5000)
TEXT = "Hello there"
MESSAGE = '{"type": "message", "id": "m1", "content": [{"type": "output_text", "text": "Hello there"}]}'
#: Members of a response that nobody needs -> values of other types.
BESIDE = {
    "usage": ["null", "1.5", "[]", '"many"', '{"output_tokens": null}', '{"output_tokens": "2"}'],
    "created_at": ["null", '"x"', '"7"', "[]", *NUMBERS],
    "model": ["null", "7", "[]", "{}"],
    "error": ["null", "{}", '""', "[]", '{"code": null, "message": null}'],
    "incomplete_details": ["null", "[]", '"x"', '{"reason": 7}'],
    "max_output_tokens": ["null", '"x"', "1.5", "[]", *NUMBERS],
    "metadata": ["null", "7", '"\\ud83d"', '"\\u0000"', *NUMBERS],
}
#: Members of a message that nobody needs.
IN_ITEM = {
    "status": ["null", '"completed"'],
    "role": ["null", "7", "[]"],
    "name": ["null", "[]", "{}"],
    "summary": ["null", "7", '"x"', "[null]"],
    "annotations": ["null", "7", *NUMBERS],
}
#: Contents of a message, and the text of each.
CONTENTS = {
    '"Hello there"': TEXT,
    '[{"type": "output_text", "text": "Hello there", "logprobs": [{"logprob": -Infinity}]}]': TEXT,
    '[null, {"type": "output_text", "text": "Hello there"}]': TEXT,
    '[{"text": "Hello"}, {"type": null, "text": " there"}]': TEXT,
    '[{"type": "output_text", "text": "Hello there", "refusal": false}]': TEXT,
    '[{"type": "refusal", "refusal": "I will not."}]': "I will not.",
    '[{"type": "output_text", "text": "a\\ud83d\\ude00"}]': "a\N{GRINNING FACE}",
    '[{"type": "output_text", "text": "a\\ud83d"}]': "a\N{REPLACEMENT CHARACTER}",
}
#: What must be readable -> values that are not.
NEEDED = {
    '{"id": "r", "status": "completed", "output": %s}': ["7", "{}", '"x"', "true", "[7]", "null"],
    '{"id": "r", "status": %s, "output": []}': ["7", "null", "{}", "true"],
    '{"id": "r", "status": "completed", "output": [{"type": %s}]}': ["7", "[1]", "true"],
    '{"id": "r", "status": "completed", "output": [{"type": "message", "content": %s}]}': [
        "7",
        "true",
        "[7]",
    ],
    '{"id": "r", "status": "completed", "output": [{"type": "message", "content": [{"text": %s}]}]}': [
        "7",
        '{"value": "x"}',
    ],
    '{"id": "r", "status": "completed", "output": [{"type": "function_call", "arguments": %s}]}': [
        "7",
        "[1]",
    ],
}


def whole(item=MESSAGE, status="completed", id='"r1"', **more):
    """Return a response as JSON text."""
    beside = "".join(f', "{name}": {value}' for name, value in more.items())
    return f'{{"id": {id}, "object": "response", "status": "{status}", "output": [{item}]{beside}}}'


def made(type, **more):
    """Return one event of a response, whose members are JSON text."""
    beside = "".join(f', "{name}": {value}' for name, value in more.items())
    return event(f'{{"type": "response.{type}"{beside}}}')


def served(body):
    """Return what answers with a whole response, or with its events."""

    def reply(request):
        if not request.json().get("stream"):
            return answer(200, body.encode())
        begun = made("created", response=whole("", "in_progress"))
        return sse([begun, made("output_text.delta", delta='"Hello"'), made("completed", response=body)])

    return reply


@pytest.fixture(params=["2.x", "1.x", "openai"])
def client(request, server):
    """Ask the server as a client of one generation whose circuit opens at the first failure."""
    with FoundryAPIClient(
        server.url,
        model=DEMO_MODEL,
        retries=0,
        dialect=request.param,
        breaker=BreakerPolicy(failures=1),
        auto_load=False,
    ) as connected:
        yield connected


def both(client):
    """Return the response to a question, plain and streamed."""
    return client.responses.create("Hi"), client.responses.stream("Hi").gather()


@pytest.mark.parametrize("name", [*BESIDE, *IN_ITEM, "id"])
def test_an_odd_member(server, client, name):
    """The response counts, whatever stands in a part that nobody needs, and its circuit stays closed."""
    places = (
        *(whole(**{name: value}) for value in BESIDE.get(name, ())),
        *(whole(MESSAGE[:-1] + f', "{name}": {value}}}') for value in IN_ITEM.get(name, ())),
        *(whole(id=value) for value in ("7", "7.5") if name == "id"),
    )
    for body in places:
        server.on("POST", PATH, served(body))
        for reply in both(client):
            assert (reply.output_text, reply.status) == (TEXT, "completed")
            assert reply.raw["output"]
            assert isinstance(reply.id, str)
    assert client.breaker.current == "closed"


@pytest.mark.parametrize(("content", "text"), CONTENTS.items())
def test_contents(server, client, content, text):
    """The text is there, whichever way it is written; a refusal is visible, and told apart."""
    server.on("POST", PATH, served(whole(f'{{"type": "message", "content": {content}}}')))

    for reply in both(client):
        assert reply.output_text == text
        assert reply.refusal == (text if "will not" in text else "")


@pytest.mark.parametrize("body", NEEDED)
def test_what_has_to_be_readable(server, client, body):
    """Output and text are never guessed at; the message names the member, and blames no proxy."""
    for value in NEEDED[body]:
        server.on("POST", PATH, served(body % value))
        for ask in (client.responses.create, lambda text: client.responses.stream(text).gather()):
            with pytest.raises((InvalidReply, StreamInterrupted), match=r"output|status") as caught:
                ask("Hi")
            assert "proxy" not in str(caught.value)


@pytest.mark.parametrize("name", ["sequence_number", "output_index", "content_index", "item_id", "logprobs"])
def test_an_odd_event(server, client, name):
    """Odd positions cost no event."""
    for value in ("null", '"1"', '"x"', "1.5", "{}", *NUMBERS):
        delta = made("output_text.delta", delta='"Hello there"', **{name: value})
        server.on("POST", PATH, sse([delta, made("completed", response=whole())]))
        with client.responses.stream("Hi") as stream:
            assert [each.content for each in stream] == [TEXT, ""]


@pytest.mark.parametrize("kind", ["output_text", "reasoning", "refusal"])
@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (("\\ud83d", "\\ude00"), "\N{GRINNING FACE}"),
        (("a\\ud83d", "\\ude00b"), "a\N{GRINNING FACE}b"),
        (("a\\ud83d", "b"), "a\N{REPLACEMENT CHARACTER}b"),
        (("\\ude00", "b"), "\N{REPLACEMENT CHARACTER}b"),
        (("\u00e9", "a\\ud83d"), "\u00e9a\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_halves_in_two_events(server, client, kind, pieces, text):
    """Halves that were split over two deltas are joined, and none is handed out alone."""
    deltas = [made(f"{kind}.delta", delta=f'"{piece}"') for piece in pieces]
    server.on("POST", PATH, sse([*deltas, made("completed", response=whole())]))

    with client.responses.stream("Hi") as stream:
        for each in stream:
            each.delta.encode()
    assert (stream.reasoning if kind == "reasoning" else stream.text) == text


def test_a_page_of_odd_responses(server, client):
    """One odd response costs no page; whether more follow must be readable."""
    page = f'{{"data": [{whole(created_at="NaN")}, {whole()}], "has_more": %s, "first_id": 7}}'
    server.on("GET", PATH, answer(200, (page % "false").encode()))
    assert [each.output_text for each in client.responses.list()] == [TEXT, TEXT]

    server.on("GET", PATH, answer(200, (page % '"perhaps"').encode()))
    with pytest.raises(InvalidMember, match="has_more"):
        client.responses.list()


def prepare(server, dialect):
    """Let the server tell what a client of a generation asks it beforehand."""
    if dialect == "1.x":
        server.on("GET", "/status", answer(200, b'{"modelDirPath": "/nowhere", "endpoints": NaN}'))
    server.on("GET", "/openai/models", answer(200, b"[]"))
    server.on("GET", "/openai/loadedmodels", answer(200, b"[]"))


VECTORS = '{"data": [{"index": 0, "embedding": [1.0, 2.0]%s}]%s}'


@pytest.mark.parametrize("dialect", ["2.x", "1.x", "0.x", "openai"])
def test_vectors_with_oddities(server, dialect):
    """Odd counts and unknown members cost no vectors; an index and a vector are read strictly."""
    odd = {
        "usage": ["null", "1.5", "[]", '{"prompt_tokens": null}', '{"total_tokens": "3"}'],
        "model": ["null", "7", "[]"],
        "id": ["7", "null"],
        "x": ['"\\ud83d"', "[null]", *NUMBERS],
    }
    bodies = [VECTORS % ("", f', "{name}": {value}') for name, values in odd.items() for value in values]
    bodies += [VECTORS % (f', "object": {value}', "") for value in ("7", "null", *NUMBERS)]
    bodies += [
        '{"data": [{"index": "0", "embedding": [1, 2.0]}]}',
        '{"data": [{"index": 0.0, "embedding": [1, 2]}]}',
    ]
    prepare(server, dialect)
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect=dialect, auto_load=False) as made:
        for body in bodies:
            server.on("POST", "/v1/embeddings", answer(200, body.encode()))
            assert made.embeddings.create("hi").vectors == [[1.0, 2.0]]
        for wrong in ("NaN", "null", '"1"', "1e400"):
            body = f'{{"data": [{{"index": 0, "embedding": [1, {wrong}]}}]}}'
            server.on("POST", "/v1/embeddings", answer(200, body.encode()))
            with pytest.raises(InvalidReply, match=r"embedding|finite"):
                made.embeddings.create("hi")


#: The list of models of each generation: route, and a body with a place for one odd member.
LISTS = {
    "openai": ("/v1/models", '{"object": "list", "data": [{"id": "a:1", "object": "model"%s}]}'),
    "1.x": ("/v1/models", '{"object": "list", "data": [{"id": "a:1", "parent": "a"%s}]}'),
    "0.x": ("/foundry/list", '[{"name": "a:1", "alias": "a"%s}]'),
}


@pytest.mark.parametrize("dialect", LISTS)
def test_a_list_of_models_with_oddities(server, dialect):
    """Odd sizes, times, owners and unknown members cost no list of models."""
    path, body = LISTS[dialect]
    prepare(server, dialect)
    names = ("created", "owned_by", "fileSizeMb", "runtime", "supportsToolCalling", "task", "version", "meta")
    with FoundryAPIClient(server.url, retries=0, dialect=dialect, auto_load=False) as client:
        for name in names:
            for value in ("null", "[]", "{}", '"\\ud83d"', *NUMBERS):
                server.on("GET", path, answer(200, (body % f', "{name}": {value}').encode()))
                (info,) = [each for each in client.models.catalog() if each.id == "a:1"]
                assert info.raw
                assert json.dumps(info.to_dict())


def test_a_transcription_with_oddities(server):
    """What stands beside the text costs no transcription; the text must be readable."""
    path = "/v1/audio/transcriptions"
    with FoundryAPIClient(server.url, model="m", retries=0, dialect="2.x", auto_load=False) as client:
        for beside in ('"id": 7', '"id": []', '"duration": NaN', '"segments": [1e400]', '"x": "\\ud83d"'):
            piece = f'{{"text": "Hello", {beside}}}'
            server.on(
                "POST", path, sse([event(piece), event('{"text": " \\ud83d"}'), event('{"text": "\\ude00"}')])
            )
            assert client.audio.transcribe(__file__).text == "Hello \N{GRINNING FACE}"
        for wrong in ("7", "null", "[]"):
            server.on("POST", path, sse([event(f'{{"text": {wrong}}}')]))
            with pytest.raises(InvalidReply, match="text"):
                client.audio.transcribe(__file__)


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"message": "no memory left"}}',
        '{"error": "no memory left"}',
        '{"object": "error", "message": "no memory left"}',
        '{"detail": "no memory left"}',
        '{"detail": [{"msg": "no memory left"}]}',
        '{"type": "error", "message": "no memory left", "x": NaN}',
    ],
)
@pytest.mark.parametrize("dialect", ["1.x", "openai"])
def test_an_error_in_place_of_an_answer(server, dialect, body):
    """An error under a status that says success tells the service's words on every route."""
    for path in (PATH, "/v1/embeddings"):
        server.on("POST", path, answer(200, body.encode()))
    server.on("GET", "/v1/models", answer(200, body.encode()))
    with FoundryAPIClient(server.url, model="m", retries=0, dialect=dialect, auto_load=False) as client:
        for ask in (
            lambda: client.responses.create("Hi"),
            lambda: client.embeddings.create("Hi"),
            client.models.catalog,
        ):
            with pytest.raises(ServiceError, match="no memory left"):
                ask()
