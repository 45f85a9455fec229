"""Audio: what is said in a file of the service's machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.config import Timeouts, is_loopback
from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import BadRequest, ConfigError
from foundry_rest.models.tasks import SPEECH, check_task
from foundry_rest.schema.audio import (
    Transcription,
    TranscriptionRequest,
    build_transcription_request,
)
from foundry_rest.services.context import Context, with_model
from foundry_rest.stream.transcription import TranscriptionStream
from foundry_rest.transport.call import Call, CancelToken, Options

#: Label of the whole operation in logs, metrics and errors.
_WHOLE = "audio.transcribe"
#: In the service's refusal of a file that it does not see.
_NOT_THERE = b"Audio file not found"
_ELSEWHERE = (
    "The service opens the file on its own machine. Run a service on this one (foundry-rest serve), or copy "
    "the file there and ask with client.request('POST', '/v1/audio/transcriptions', json={'model': ..., "
    "'filename': its path there})."
)


class Audio:
    """Ask what is said in audio files."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def transcribe(
        self,
        path: str | os.PathLike[str],
        *,
        model: str | None = None,
        language: str | None = None,
        temperature: float | None = None,
        prompt: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
    ) -> Transcription:
        """Return what is said in an audio file.

        The service opens the file itself, so it must run on this machine and be allowed to read it. Every
        model reads WAV, mono, of 16 kHz; Whisper also more channels and higher rates, MP3 and FLAC.

        Args:
            path: The file; ``~`` is the home directory.
            model: Alias or id of a speech model; the client's default when not given.
            language: What is spoken, such as ``"en"``; 2.2.1 takes a language it does not know for English.
            temperature: 0 to 1.
            prompt: What came before, or a hint of names and style; 2.2.1 takes it and ignores it.
            timeout: Seconds of silence borne in one attempt, or a whole set.
            deadline: Seconds for the whole call, retries included.
            headers: Added to this request.
            cancel: Ends the call from another thread.
            retries: Tries after the first, in place of the client's number.

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
        options = self._context.options(timeout, deadline, headers, cancel, retries)
        request = self._request(path, model, language, temperature, prompt)
        dialect = self._speak(options)
        if dialect.completes_by_stream:
            return self._open(dialect, request, options, started, _WHOLE).gather()
        operation = dialect.transcribe(request, options)
        return self._context.ask(replace(operation, call=self._checked(dialect, operation.call)))

    def transcribe_stream(
        self,
        path: str | os.PathLike[str],
        *,
        model: str | None = None,
        language: str | None = None,
        temperature: float | None = None,
        prompt: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
    ) -> TranscriptionStream:
        """Return what is said in an audio file as an open stream of pieces; its first event has come.

        Args and errors are those of ``transcribe``.
        """
        started = clock.monotonic()
        options = self._context.options(timeout, deadline, headers, cancel, retries)
        request = self._request(path, model, language, temperature, prompt)
        return self._open(self._speak(options), request, options, started, "audio.transcribe_stream")

    def _request(
        self,
        path: str | os.PathLike[str],
        model: str | None,
        language: str | None,
        temperature: float | None,
        prompt: str | None,
    ) -> TranscriptionRequest:
        return build_transcription_request(
            audio_file(path),
            model=self._context.config.model if model is None else model,
            language=language,
            temperature=temperature,
            prompt=prompt,
        )

    def _speak(self, options: Options) -> Dialect:
        """Return the dialect of the service, which must be on this machine."""
        url = self._context.locate()
        if not is_loopback(url):
            raise ConfigError("the service is on another machine", call=_WHOLE, url=url, advice=_ELSEWHERE)
        return self._context.speak(options)

    def _checked(self, dialect: Dialect, call: Call) -> Call:
        """Return the call for a model that may be for speech, by the id that was learnt."""
        check_task(self._context, dialect, call, "speech", lambda task: task in ("", SPEECH))
        return with_model(call, self._context.names.id_of(call.model)) or call

    def _open(
        self,
        dialect: Dialect,
        request: TranscriptionRequest,
        options: Options,
        started: float,
        label: str,
    ) -> TranscriptionStream:
        operation = dialect.transcribe_stream(request, options)
        call = self._checked(dialect, replace(operation.call, label=label))
        try:
            opened = self._context.sender.open(call)
        except BadRequest as error:
            if _NOT_THERE in error.body:  # it is: we have looked at it
                error.advice = _ELSEWHERE
            raise
        return TranscriptionStream(opened, operation.parse, call, started, self._context.emit)


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
