"""Audio: what is said in a file of the service's machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.config import is_loopback
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import AudioFileNotFound, ConfigError
from foundry_rest.models.tasks import SPEECH, check_task
from foundry_rest.schema.audio import (
    Transcription,
    TranscriptionChunk,
    TranscriptionRequest,
    build_transcription_request,
)
from foundry_rest.services.context import Context
from foundry_rest.services.target import Target
from foundry_rest.stream.transcription import TranscriptionStream
from foundry_rest.transport.call import CallOptions, Options, Reply

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Label of the whole operation in logs, metrics and errors.
_WHOLE = "audio.transcribe"
_ELSEWHERE = (
    "The service opens the file on its own machine. Run a service on this one (foundry-rest serve), or copy "
    "the file there and ask with client.request('POST', '/v1/audio/transcriptions', json={'model': ..., "
    "'filename': its path there})."
)


class TranscriptionArguments(CallOptions, total=False):
    """The keyword arguments of a transcription: what is asked, and the options of the call."""

    #: Alias or id of a speech model; the client's default when not given.
    model: str | None
    #: What is spoken, such as ``"en"``; 2.2.1 takes a language it does not know for English.
    language: str | None
    #: 0 to 1.
    temperature: float | None
    #: What came before, or a hint of names and style; 2.2.1 takes it and ignores it.
    prompt: str | None


class Audio:
    """The audio endpoint: what is said in files of the service's machine."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def transcribe(
        self,
        path: str | os.PathLike[str],
        **given: Unpack[TranscriptionArguments],
    ) -> Transcription:
        """Return what is said in an audio file.

        The service opens the file itself, so it must run on this machine and be allowed to read it. Every
        model reads WAV, mono, of 16 kHz; Whisper also more channels and higher rates, MP3 and FLAC.

        Args:
            path: The file; ``~`` is the home directory.
            given: ``model``, ``language``, ``temperature``, ``prompt`` and the options of the call, see
                ``TranscriptionArguments``.

        Raises:
            ConfigError: The file cannot be read here, the service is on another machine, the model is not
                for speech, or a parameter cannot be used.
            UnsupportedByService: This generation transcribes nothing over REST (0.x, 1.x).
            BadRequest: The file is no audio that the service can decode.
            ServiceError: The service said no.
            TransportError: No whole answer came; ``StreamInterrupted`` holds the text so far.
            DeadlineExceeded: The time for the whole call ran out.
            Cancelled: It was ended from another thread.
        """
        started = clock.monotonic()
        checked, params = self._context.split(given)
        request = self._request(path, params)
        self._check_place(checked)
        if self._context.dialect_for(checked).completes_by_stream:
            return self._open(request, checked, started, _WHOLE).gather()

        def build(target: Target) -> Operation[Reply, Transcription]:
            return target.dialect.transcribe(target.named(request), checked)

        build(self._context.target(checked))  # what this service has no route for is said before it is asked
        self._check_task(request, checked, _WHOLE)
        return self._context.ask(build, checked, model=request.model)

    def transcribe_stream(
        self,
        path: str | os.PathLike[str],
        **given: Unpack[TranscriptionArguments],
    ) -> TranscriptionStream:
        """Return what is said in an audio file as an open stream of pieces; its first event has come.

        Args and errors are those of ``transcribe``.
        """
        started = clock.monotonic()
        checked, params = self._context.split(given)
        request = self._request(path, params)
        self._check_place(checked)
        return self._open(request, checked, started, "audio.transcribe_stream")

    def _request(self, path: str | os.PathLike[str], params: Mapping[str, object]) -> TranscriptionRequest:
        unknown = params.keys() - TranscriptionArguments.__annotations__
        if unknown:
            raise TypeError(f"a transcription takes no argument {', '.join(sorted(unknown))}")
        named = {"model": self._context.config.model} | {k: v for k, v in params.items() if v is not None}
        return build_transcription_request(audio_file(path), **named)  # type: ignore[arg-type]

    def _check_place(self, options: Options) -> None:
        """Refuse a service on another machine: it would open its own file of that name, or none."""
        url = self._context.target(options).url
        if not is_loopback(url):
            raise ConfigError("the service is on another machine", call=_WHOLE, url=url, advice=_ELSEWHERE)

    def _check_task(self, request: TranscriptionRequest, options: Options, label: str) -> None:
        """Refuse a model that is known not to be for speech."""
        check_task(
            self._context,
            request.model,
            options,
            call=label,
            purpose="speech",
            fits=lambda task: task in ("", SPEECH),
        )

    def _open(
        self, request: TranscriptionRequest, options: Options, started: float, label: str
    ) -> TranscriptionStream:
        def build(target: Target) -> Operation[bytes, TranscriptionChunk]:
            operation = target.dialect.transcribe_stream(target.named(request), options)
            return replace(operation, call=replace(operation.call, label=label))

        self._context.dialect_for(options)
        build(self._context.target(options))  # what this service has no route for is said before it is asked
        self._check_task(request, options, label)
        try:
            return self._context.open(
                TranscriptionStream, build, options, model=request.model, started=started
            )
        except AudioFileNotFound as error:  # it is there: we have looked at it
            error.advice = _ELSEWHERE
            raise


def audio_file(path: object) -> str:
    """Return the absolute path of a file that can be read here, in letters that the service takes.

    Raises:
        ConfigError: It is no path, no file, empty, or not to be read by this user.
    """
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(name, str) or not name:
        raise ConfigError(f"path must name an audio file, as text or as a Path, not {path!r}", call=_WHOLE)
    # Not resolve(): a link is opened by its own name. A home that nobody has stays as it is.
    file = os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111
    trouble = _trouble_with(file)
    if trouble:
        raise ConfigError(f"the audio file {file!r} {trouble}", call=_WHOLE)
    return file


def _trouble_with(file: str) -> str:
    """Return what keeps a file from being transcribed, in words; ``""`` for nothing."""
    try:
        file.encode()
        found = os.stat(file)  # noqa: PTH116
    except UnicodeEncodeError:
        return "has a name that is not UTF-8, which JSON cannot say: rename it"
    except (OSError, ValueError) as error:
        return f"cannot be opened: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(found.st_mode):  # a pipe would keep the service waiting for ever
        return "is a directory" if stat.S_ISDIR(found.st_mode) else "is no regular file"
    if not os.access(file, os.R_OK):
        return "may not be read by this user"
    return "" if found.st_size else "is empty"
