"""Audio over the wire: which files, which services, which models; whole, in pieces, and broken off."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import pytest
from support.platforms import links, posix, set_home

from foundry_rest import FoundryAPIClient, Timeouts
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.endpoints.audio import audio_file
from foundry_rest.errors import (
    AudioFileNotFound,
    BadRequest,
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    ServerError,
    StreamInterrupted,
    UnsupportedByService,
)
from foundry_rest.schema import ModelInfo
from foundry_rest.testing import DEMO_MODEL, FaultServer, cut, event, json_answer, json_error, sse, stall

PATH = "/v1/audio/transcriptions"


def piece(text: str) -> bytes:
    """Return an event of a transcription."""
    return event(f'{{"id":"audio_1","text":"{text}"}}')


def spoken(*words: str):
    """Answer with a stream of these words."""
    return sse(map(piece, words))


@pytest.fixture
def server():
    """Serve a 2.x with one loaded model that hears two words."""
    with FaultServer() as running:
        yield running.on("POST", PATH, spoken("Hello", " world"))


@pytest.fixture
def file(tmp_path) -> Path:
    """Return a file that could hold sound."""
    made = tmp_path / "a.wav"
    made.write_bytes(b"RIFF")
    return made


def test_a_whole_transcription(server, client, file):
    """It is gathered from a stream, so that giving up stops the work."""
    found = client.audio.transcribe(file, language="en", headers={"X-Mine": "1"})

    assert (found.text, found.id, found.model) == ("Hello world", "audio_1", DEMO_MODEL)
    assert found.elapsed >= found.first_token > 0
    assert [each["text"] for each in found.stream_events] == ["Hello", " world"]
    assert found.raw == {"id": "audio_1", "text": "Hello world"}
    (request,) = server.asked(PATH)
    assert request.headers.get("X-Mine") == "1"
    assert request.json() == {"model": DEMO_MODEL, "filename": str(file), "stream": True, "language": "en"}


class _PlainDialect(Generation2Dialect):
    """A service that stops working on a plain request that is given up."""

    completes_by_stream: ClassVar[bool] = False


def test_where_a_plain_request_is_stopped_too(server, file):
    """There a whole transcription is one plain request."""
    server.on("POST", PATH, json_answer({"id": "audio_2", "text": "All of it"}))
    with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect=_PlainDialect()) as client:
        assert client.audio.transcribe(str(file)).text == "All of it"

    assert server.asked(PATH)[0].json() == {"model": DEMO_MODEL, "filename": str(file)}


def test_a_transcription_in_pieces(client, file):
    """Pieces come one by one; the stream holds the text so far, and gathers the rest."""
    with client.audio.transcribe_stream(str(file)) as stream:
        assert next(stream).text == "Hello"
        assert stream.text == "Hello"
        found = stream.gather()

    assert (found.text, len(found.bodies)) == ("Hello world", 1)


@pytest.mark.parametrize(("words", "id"), [((), ""), (("",), "audio_1")])
def test_a_silent_file(server, client, file, words, id):
    """A stream of nothing but its end is whole: the file is silent."""
    server.on("POST", PATH, spoken(*words))
    found = client.audio.transcribe(file)

    assert (found.text, found.id, len(found.stream_events)) == ("", id, len(words))


FAILED = event('{"error":{"message":"out of memory"}}')
NO_AUDIO = event('{"error":{"message":"[AudioDecoder]: no format"}}')
OTHER_TASK = json_error(400, "Model does not support audio transcription: Model 'x' has task 'y'")
BEGUN = sse([piece("Hello")], done=False)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (BEGUN, StreamInterrupted),
        (BEGUN[:-1] + cut(), StreamInterrupted),
        (BEGUN[:-1] + stall(), StreamInterrupted),
        (sse([piece("Hello"), FAILED], done=False), StreamInterrupted),
        (sse([piece("Hello"), event('{"id":"audio_1"}')]), StreamInterrupted),
        (sse([], done=False), StreamInterrupted),
        (sse([FAILED], done=False), ServerError),
        (sse([NO_AUDIO], done=False), BadRequest),
        (OTHER_TASK, BadRequest),
    ],
)
def test_a_broken_stream(server, client, file, script, error):
    """Only [DONE] makes it whole; what breaks it is an error that names the call and keeps the text."""
    server.on("POST", PATH, script)
    with pytest.raises(error) as caught:
        client.audio.transcribe(file, timeout=Timeouts(1, 0.2, 0.2))

    assert (caught.value.call, caught.value.model) == ("audio.transcribe", DEMO_MODEL)
    assert getattr(caught.value, "text", "") == ("Hello" if b"Hello" in _bytes_of(script) else "")


def _bytes_of(script) -> bytes:
    return b"".join(getattr(step, "data", b"") for step in script.steps)


def test_a_file_that_is_no_audio_is_asked_about_once(server, file):
    """The service says 500 to it; another try would say the same."""
    server.on("POST", PATH, sse([NO_AUDIO], done=False))
    with (
        FoundryAPIClient(server.url, model=DEMO_MODEL, retries=3) as client,
        pytest.raises(BadRequest) as caught,
    ):
        client.audio.transcribe(file)

    assert len(server.asked(PATH)) == len(caught.value.attempts) == 1


def test_a_closed_stream(client, file):
    """What was left early never looks whole."""
    stream = client.audio.transcribe_stream(file)
    next(stream)
    stream.close()
    with pytest.raises(Cancelled) as caught:
        stream.gather()

    assert (caught.value.call, caught.value.text) == ("audio.transcribe_stream", "Hello")


def test_a_deadline(server, client, file):
    """The deadline bounds the whole call, and the error holds the text so far."""
    server.on("POST", PATH, BEGUN[:-1] + stall())
    with pytest.raises(DeadlineExceeded) as caught:
        client.audio.transcribe(file, deadline=0.2)

    assert caught.value.text == "Hello"


# ---------------------------------------------------------------- which file


@links
def test_where_a_file_is_looked_for(file, tmp_path, monkeypatch):
    """A path may be relative, begin with ~, be a Path or a link; what is sent is absolute and no more."""
    link = tmp_path / "link.wav"
    link.symlink_to(file)
    monkeypatch.chdir(tmp_path)
    set_home(monkeypatch, tmp_path)

    assert {audio_file(name) for name in ("a.wav", "./x/../a.wav", "~/a.wav", file)} == {str(file)}
    assert audio_file(link) == str(link)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.wav", "No such file|File not found|cannot find"),
        ("~nobody-at-all/a.wav", "No such file|not found|cannot find"),
        ("", "must name an audio file"),
        (None, "must name an audio file"),
        (5, "must name an audio file"),
        (b"a.wav", "must name an audio file"),
        (".", "is a directory"),
        pytest.param("a.wav/b.wav", "Not a directory", marks=posix),
        ("a\0.wav", "null (byte|character)"),
        pytest.param("pipe", "no regular file", marks=posix),
        pytest.param("/dev/zero", "no regular file", marks=posix),
        ("empty.wav", "is empty"),
        ("\udcff.wav", "not UTF-8"),
    ],
    ids=repr,
)
def test_what_is_no_file_is_never_sent(server, client, file, monkeypatch, name, words):
    """The path is looked at here first, and the error says what is wrong with it."""
    monkeypatch.chdir(file.parent)
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe")
    Path("empty.wav").touch()
    with pytest.raises(ConfigError, match=words) as caught:
        client.audio.transcribe(name)

    assert caught.value.call == "audio.transcribe"
    assert server.requests == []


def test_a_file_of_somebody_else(client, file, monkeypatch):
    """A file that this user may not read is refused here."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ConfigError, match="may not be read"):
        client.audio.transcribe(file)


# ---------------------------------------------------------------- which service, which model


def test_a_service_on_another_machine(file):
    """It would open the path on its own disk: refused before anything is sent, with the way out."""
    with FoundryAPIClient("http://192.0.2.7:5273", retries=0) as client:
        for ask in (client.audio.transcribe, client.audio.transcribe_stream):
            with pytest.raises(ConfigError, match=r"another machine.*192\.0\.2\.7.*client\.request"):
                ask(file)


def test_a_service_behind_a_forwarded_port(server, client, file):
    """It looks like this machine and does not see the file: the error tells where it looked."""
    server.on("POST", PATH, json_error(400, f"Audio file not found: '{file}'"))
    with pytest.raises(AudioFileNotFound, match="on its own machine"):
        client.audio.transcribe(file)


def test_a_generation_without_audio(server, client, file):
    """1.x has no such route: that is said without asking for it."""
    server.on("GET", "/status", json_answer({"modelDirPath": "/x", "pipeName": None}))
    with pytest.raises(UnsupportedByService, match="audio"):
        client.audio.transcribe(file)

    assert server.asked(PATH) == []


@pytest.mark.parametrize("task", ["chat-completion", "embeddings"])
@pytest.mark.parametrize("dialect", [Generation2Dialect, _PlainDialect])
def test_a_model_for_something_else(server, file, task, dialect):
    """A model that is known to be for something else is refused, by either way of asking."""
    with FoundryAPIClient(server.url, model="demo", dialect=dialect()) as client:
        client._context.names.learn("demo", ModelInfo(id=DEMO_MODEL, task=task))
        with pytest.raises(ConfigError, match=f"{DEMO_MODEL} is a model for {task}") as caught:
            client.audio.transcribe(file)

    assert caught.value.model == "demo"
    assert server.asked(PATH) == []


def test_a_model_that_is_known_to_hear(server, file):
    """A speech model goes by its exact id, where that has been learnt."""
    with FoundryAPIClient(server.url, model="demo") as client:
        client._context.names.learn("demo", ModelInfo(id=DEMO_MODEL, task="automatic-speech-recognition"))
        client.audio.transcribe(file)

    assert server.asked(PATH)[0].json()["model"] == DEMO_MODEL


@pytest.mark.parametrize("options", [{"model": ""}, {"model": 5}, {"language": "klingon"}, {"deadline": 0}])
def test_bad_options_are_never_sent(server, client, file, options):
    """What cannot be used is refused before anything is asked of the service."""
    with pytest.raises(ConfigError):
        client.audio.transcribe(file, **options)

    assert server.requests == []
