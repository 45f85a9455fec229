"""Transcription on the real 2.2.1, with a tiny real model that says one sentence, and made-up sound."""

from __future__ import annotations

import math
import struct
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    BadRequest,
    Cancelled,
    ConfigError,
    ModelNotFound,
    StreamInterrupted,
    UnsupportedByService,
)
from foundry_rest.runtime import LocalRuntime, demo_model_dir
from foundry_rest.schema import ModelInfo

pytestmark = pytest.mark.runtime
MODELS = Path(__file__).parents[1] / "models"
ALIAS, ID = "tiny-whisper", "tiny-whisper-generic-cpu:1"
SENTENCE = "Hello world, the quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def service() -> Iterator[LocalRuntime]:
    """Return a 2.2.1 with a model of each task; nothing is loaded."""
    with LocalRuntime([MODELS / ALIAS, MODELS / "tiny-embeddings", demo_model_dir()]) as started:
        yield started


@pytest.fixture
def client(service) -> Iterator[FoundryAPIClient]:
    """Return a client that knows nothing yet."""
    with FoundryAPIClient(service.url, model=ALIAS) as made:
        yield made


@pytest.fixture
def tone(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a tone into a file of a name."""

    def write(name: str = "tone.wav", *, seconds: float = 0.5, rate: int = 16_000) -> Path:
        count = int(seconds * rate)
        heights = (int(12_000 * math.sin(2 * math.pi * 440 * n / rate)) for n in range(count))
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(struct.pack(f"<{count}h", *heights))
        return tmp_path / name

    return write


def test_a_model_that_is_not_loaded_is(client, tone):
    """By its alias alone the model is found and loaded, and the file transcribed."""
    client.models.unload(ALIAS)
    found = client.audio.transcribe(tone(), language="en", temperature=0, prompt="Names")

    assert (found.text, found.model) == (SENTENCE, ALIAS)
    assert found.id.startswith("audio_")
    assert ID in [info.id for info in client.models.loaded()]


def test_in_pieces(client, tone):
    """The pieces are the sentence; the service says it is over."""
    with client.audio.transcribe_stream(str(tone())) as stream:
        pieces = [chunk.text for chunk in stream]

    assert "".join(pieces) == stream.text == SENTENCE
    assert len(pieces) > 10


def test_left_early(client, tone):
    """A stream that is closed never looks whole, and the model is free at once."""
    stream = client.audio.transcribe_stream(tone())
    next(stream)
    stream.close()
    with pytest.raises((Cancelled, StreamInterrupted)):
        stream.gather()

    assert client.audio.transcribe(tone()).text == SENTENCE


@pytest.mark.parametrize("name", ["a b.wav", "ünï 日本語.wav", "%41#?&.wav", "quote'\".wav"])
def test_any_name(client, tone, name):
    """A file may be called whatever the file system takes and JSON can say."""
    assert client.audio.transcribe(tone(name)).text == SENTENCE


@pytest.mark.parametrize("seconds", [0.02, 31.0])
def test_any_length(client, tone, seconds):
    """Less than a word, and more than the half minute that the model hears at once."""
    assert client.audio.transcribe(tone(seconds=seconds)).text == SENTENCE


def cut(file: Path) -> None:
    """Keep the head of a file."""
    file.write_bytes(file.read_bytes()[:60])


def garble(file: Path) -> None:
    """Put other bytes behind a file's first words."""
    file.write_bytes(file.read_bytes()[:20] + b"\xff" * 200)


def write_text(file: Path) -> None:
    """Make it a text."""
    file.write_text("no sound at all\n" * 100, "utf-8")


@pytest.mark.parametrize("spoil", [cut, garble, write_text])
def test_a_file_that_is_no_audio(client, tone, spoil):
    """The service takes the blame with a 500; it is the request's, asked once, and the service is well."""
    file = tone()
    client.audio.transcribe(file)
    spoil(file)
    for ask in (client.audio.transcribe, client.audio.transcribe_stream):
        with pytest.raises(BadRequest, match=r"AudioDecoder|LogMel") as caught:
            ask(file)
        assert len(caught.value.attempts) == 1

    assert client.breaker.current == "closed"
    assert client.audio.transcribe(tone()).text == SENTENCE


def test_a_sound_of_too_few_samples(client, tone):
    """The service takes 16 kHz or more, and says so."""
    with pytest.raises(BadRequest, match="down-sampling"):
        client.audio.transcribe(tone(rate=8000))


@pytest.mark.parametrize("alias", ["demo-chat", "tiny-embeddings"])
def test_a_model_for_something_else(client, tone, alias):
    """It is refused before it is asked, or loaded for nothing."""
    with pytest.raises(ConfigError, match=f"{alias}-generic-cpu:1 is a model for .*, not for speech"):
        client.audio.transcribe(tone(), model=alias)

    assert alias not in str(client.models.loaded())


def test_a_model_for_who_knows_what(client, tone):
    """While its task is unknown the service refuses, and is asked once."""
    id_ = client.models.load("demo-chat").id
    client._context.names.learn(id_, ModelInfo(id=id_))
    with pytest.raises(BadRequest, match="does not support audio") as caught:
        client.audio.transcribe(tone(), model=id_)
    client.models.unload("demo-chat")

    assert len(caught.value.attempts) == 1


def test_an_unknown_model(client, tone):
    """A name that nothing has is an error, not a guess."""
    with pytest.raises(ModelNotFound):
        client.audio.transcribe(tone(), model="tiny-whisker")


def test_a_missing_file(client, tmp_path):
    """What is not here is not asked for."""
    with pytest.raises(ConfigError, match="No such file"):
        client.audio.transcribe(tmp_path / "missing.wav")


def test_1x_has_no_audio(core_runtime, tone):
    """1.2.4 transcribes in its own process only; that is said without asking."""
    with (
        FoundryAPIClient(core_runtime.url, model=ALIAS) as client,
        pytest.raises(UnsupportedByService, match="audio"),
    ):
        client.audio.transcribe(tone())
