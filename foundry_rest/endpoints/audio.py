"""Audio: transcriptions of files on the service's machine."""

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
from foundry_rest.transport.call import Options, Reply
from foundry_rest.transport.call_options import CallOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Label of the whole operation in logs, metrics and errors.
_LABEL = "audio.transcribe"
_LOCAL_ADVICE = (
    "The service opens the file on its own machine. Run a service on this one (foundry-rest serve), or copy "
    "the file there and ask with client.request('POST', '/v1/audio/transcriptions', json={'model': ..., "
    "'filename': its path there})."
)


class TranscriptionArguments(CallOptions, total=False):
    """The keyword arguments of a transcription: parameters of the request, and options of the call."""

    #: Alias or id of a speech model; the client's default when not given.
    model: str | None
    #: Spoken language, such as ``"en"``; 2.2.1 treats an unknown one as English.
    language: str | None
    #: 0 to 1.
    temperature: float | None
    #: Text that precedes the recording, or a hint of names and style; 2.2.1 ignores it.
    prompt: str | None


#: Names of the keyword arguments that are no options of a call.
_NAMES = TranscriptionArguments.__annotations__.keys() - CallOptions.__annotations__.keys()


class Audio:
    """The audio endpoint, which transcribes files on the service's machine."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def transcribe(
        self,
        path: str | os.PathLike[str],
        **given: Unpack[TranscriptionArguments],
    ) -> Transcription:
        """Return the transcription of an audio file.

        The service opens the file itself, so it must run on this machine and have the right to read it. Every
        model reads mono WAV at 16 kHz; Whisper also reads more channels, higher rates, MP3 and FLAC.

        Args:
            path: The file; ``~`` is the home directory.
            given: ``model``, ``language``, ``temperature``, ``prompt`` and the options of the call, see
                ``TranscriptionArguments``.

        Raises:
            ConfigError: The file cannot be read here, the service is on another machine, the model is not
                for speech, or a parameter cannot be used.
            UnsupportedByService: This generation has no transcription over REST (0.x, 1.x).
            BadRequest: The service cannot decode the file as audio.
            ServiceError: The service refused or failed.
            TransportError: No whole response came; ``StreamInterrupted`` holds the text so far.
            DeadlineExceeded: The deadline of the whole call passed.
            Cancelled: The call was cancelled from another thread.

        Options: timeout, deadline, retries, headers, cancel, lane, cache. Parameters: model, language,
        temperature, prompt.

        Example:
            >>> client.audio.transcribe("talk.wav", model="whisper-tiny").text
            'Good morning.'
        """
        started = clock.monotonic()
        checked, params = self._context.split(given, _NAMES)
        request = self._request(path, params)
        self._check_is_local(checked)
        if self._context.dialect_for(checked).completes_by_stream:
            return self._open(request, checked, started, _LABEL).gather()

        def build(target: Target) -> Operation[Reply, Transcription]:
            return target.dialect.audio().transcribe(target.named(request), checked)

        build(self._context.target(checked))  # raises if the service lacks the route, before anything is sent
        self._check_task(request, checked, _LABEL)
        return self._context.ask(build, checked, model=request.model)

    def transcribe_stream(
        self,
        path: str | os.PathLike[str],
        **given: Unpack[TranscriptionArguments],
    ) -> TranscriptionStream:
        """Return the transcription of an audio file as an open stream, whose first event has arrived.

        The arguments and errors are those of ``transcribe``.

        Options: timeout, deadline, retries, headers, cancel, lane, cache. Parameters: model, language,
        temperature, prompt.

        Example:
            >>> for chunk in client.audio.transcribe_stream("talk.wav", model="whisper-tiny"):
            ...     print(chunk.text, end="")
            Good morning.
        """
        started = clock.monotonic()
        checked, params = self._context.split(given, _NAMES)
        request = self._request(path, params)
        self._check_is_local(checked)
        return self._open(request, checked, started, "audio.transcribe_stream")

    def _request(self, path: str | os.PathLike[str], params: Mapping[str, object]) -> TranscriptionRequest:
        named = {"model": self._context.config.model} | {k: v for k, v in params.items() if v is not None}
        return build_transcription_request(audio_file(path), **named)  # type: ignore[arg-type]

    def _check_is_local(self, options: Options) -> None:
        """Raise ConfigError for a service on another machine, which would open its own file of that name."""
        url = self._context.target(options).url
        if not is_loopback(url):
            raise ConfigError("the service is on another machine", call=_LABEL, url=url, advice=_LOCAL_ADVICE)

    def _check_task(self, request: TranscriptionRequest, options: Options, label: str) -> None:
        """Raise ConfigError for a model that is known not to be for speech."""
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
            operation = target.dialect.audio().transcribe_stream(target.named(request), options)
            return replace(operation, call=replace(operation.call, label=label))

        self._context.dialect_for(options)
        build(self._context.target(options))  # raises if the service lacks the route, before anything is sent
        self._check_task(request, options, label)
        try:
            return self._context.open(
                TranscriptionStream, build, options, model=request.model, started=started
            )
        except AudioFileNotFound as error:  # it exists here: audio_file() has checked it
            error.advice = _LOCAL_ADVICE
            raise


def audio_file(path: object) -> str:
    """Return the absolute path of an audio file, checked to be readable here and to be valid JSON text.

    Raises:
        ConfigError: It is not a path, not a regular file, empty, or not readable by this user.
    """
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(name, str) or not name:
        raise ConfigError(f"path must name an audio file, as text or as a Path, not {path!r}", call=_LABEL)
    # Not resolve(): a link is opened by its own name. An unknown user's ~ is left unchanged.
    file = os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111
    problem = _problem_with(file)
    if problem:
        raise ConfigError(f"the audio file {file!r} {problem}", call=_LABEL)
    return file


def _problem_with(file: str) -> str:
    """Return why a file cannot be transcribed, in words; ``""`` if it can."""
    try:
        file.encode()
        found = os.stat(file)  # noqa: PTH116
    except UnicodeEncodeError:
        return "has a name that is not UTF-8, which JSON cannot say: rename it"
    except (OSError, ValueError) as error:
        return f"cannot be opened: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(found.st_mode):  # a pipe would block the service for ever
        return "is a directory" if stat.S_ISDIR(found.st_mode) else "is no regular file"
    if not os.access(file, os.R_OK):
        return "may not be read by this user"
    return "" if found.st_size else "is empty"
