"""Reading transcriptions, whole and in events; and what 2.x is sent."""

from __future__ import annotations

import json

import pytest

from foundry_rest.dialects.audio import parse_transcription, parse_transcription_chunk
from foundry_rest.dialects.generation1_core import Generation1Dialect
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.errors import (
    BadRequest,
    ConfigError,
    InferenceFailed,
    InvalidReply,
    ServerError,
    UnsupportedByService,
)
from foundry_rest.errors.bodies import service_error
from foundry_rest.schema.audio import TranscriptionChunk, build_transcription_request
from foundry_rest.transport.call import Options, Replay, Reply

URL = "http://127.0.0.1:5273"
BODY = b'{"id":"audio_1","text":"Hello","x":1}'


def request(**params: object):
    """Return a checked request, known by an alias."""
    return build_transcription_request("/a/b.wav", model="alias", model_id="id:1", **params)


def test_what_2x_is_sent():
    """JSON with a path, not a form with a file; the caller's name stays with the call."""
    call = (
        Generation2Dialect()
        .audio()
        .transcribe(request(language="de", temperature=0, prompt="Names"), Options())
        .call
    )

    assert (call.method, call.path, call.label) == (
        "POST",
        "/v1/audio/transcriptions",
        "audio.transcribe",
    )
    assert (call.model, call.replay, call.header_limit) == ("alias", Replay.ALWAYS, 4000)
    assert json.loads(call.body) == {
        "model": "id:1",
        "filename": "/a/b.wav",
        "language": "de",
        "temperature": 0,
        "prompt": "Names",
    }


def test_what_2x_is_sent_for_a_stream():
    """The same, with `stream`; what was not given is not sent."""
    call = Generation2Dialect().audio().transcribe_stream(request(), Options()).call

    assert call.label == "audio.transcribe_stream"
    assert json.loads(call.body) == {"model": "id:1", "filename": "/a/b.wav", "stream": True}


def test_a_generation_without_audio():
    """1.x and 0.x have no such route over REST."""
    with pytest.raises(UnsupportedByService, match="audio transcription"):
        Generation1Dialect().audio()


def test_a_whole_transcription():
    """Text, id, the name that was asked for, headers, time, and the body as it came."""
    found = (
        Generation2Dialect()
        .audio()
        .transcribe(request(), Options())
        .parse(Reply(200, {"a": "b"}, BODY, URL, 1.5))
    )

    assert (found.text, found.id, found.model) == ("Hello", "audio_1", "alias")
    assert (found.headers, found.elapsed, found.first_token) == ({"a": "b"}, 1.5, None)
    assert found.raw == {"id": "audio_1", "text": "Hello", "x": 1}


def test_a_silent_file():
    """A model that hears nothing gives an empty text, which is an answer; an id need not be there."""
    found = parse_transcription(Reply(200, {}, b'{"text":""}', URL), "m")

    assert (found.text, found.id) == ("", "")


def test_an_event():
    """An event is its text, with all else in raw."""
    chunk = parse_transcription_chunk(BODY)

    assert (chunk.text, chunk.id, chunk.raw) == ("Hello", "audio_1", json.loads(BODY))
    assert TranscriptionChunk(text="made by hand").raw is None


def test_an_event_about_an_error():
    """A text may speak of errors; that is none."""
    assert parse_transcription_chunk(b'{"text":"the word \\"error\\" was said"}').text.startswith("the word")


BROKEN = [
    (b"", "$"),
    (b"<html>", "$"),
    (b"null", "$"),
    (b"[]", "$"),
    (b"{}", "$"),
    (b'{"id":"audio_1"}', "$"),
    (b'{"text":null}', "$.text"),
    (b'{"text":5}', "$.text"),
    (b'{"text":"cut', "$"),
    (b'{"text":"\xff"}', "$.text"),
]


@pytest.mark.parametrize(("body", "where"), BROKEN, ids=lambda value: repr(value)[:30])
def test_a_broken_answer_never_looks_like_success(body, where):
    """Empty, HTML, cut or without a text: InvalidReply with the place, in either form."""
    with pytest.raises(InvalidReply) as caught:
        parse_transcription(Reply(200, {}, body, URL), "m")
    assert (caught.value.where, caught.value.url) == (where, URL)

    with pytest.raises(InvalidReply) as caught:
        parse_transcription_chunk(body)
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("message", "cls"),
    [
        ("[AudioDecoder]: Cannot detect audio stream format", BadRequest),
        ("[AudioDecoder]: only down-sampling supported.", BadRequest),
        ("[LogMel]: STFT output is degenerate (too few time steps or frequency bins).", BadRequest),
        ("out of memory", ServerError),
    ],
)
def test_a_file_that_is_no_audio(message, cls):
    """2.2.1 calls it its own fault, plainly and in a stream; it is the request's, and not asked again."""
    with pytest.raises(cls) as caught:
        parse_transcription_chunk(json.dumps({"error": {"message": message}}).encode())
    plain = service_error(
        500, {}, json.dumps({"error": {"message": f"Inference failed: {message}"}}).encode()
    )

    assert type(caught.value) is cls
    assert type(plain) is (cls if cls is BadRequest else InferenceFailed)


@pytest.mark.parametrize(
    "params",
    [
        {"language": "klingon"},
        {"language": ""},
        {"language": 5},
        {"language": "e n"},
        {"temperature": 1.1},
        {"temperature": -0.1},
        {"temperature": True},
        {"temperature": "hot"},
        {"temperature": float("nan")},
        {"prompt": 5},
        {"prompt": "a\0b"},
    ],
    ids=repr,
)
def test_parameters_that_would_be_ignored(params):
    """2.2.1 ignores a wrong type or a strange language in silence: they stop here."""
    with pytest.raises(ConfigError):
        request(**params)


@pytest.mark.parametrize("language", ["en", "DE", "haw", "pt-BR", "zh-Hans"])
def test_languages(language):
    """A code of ISO 639 goes out as it is given, with its region."""
    assert request(language=language).params == {"language": language}
