"""The route ``/v1/audio/transcriptions`` of 2.x, and the parsers of its responses, whole and in events.

Most programs only chat, so this is imported by the first request with an audio file.
"""

from __future__ import annotations

from functools import partial

import msgspec

from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.errors.parsing import error_in
from foundry_rest.raw_json import UNDECODABLE
from foundry_rest.schema.audio import Transcription, TranscriptionChunk, TranscriptionRequest
from foundry_rest.transport.call import Call, Options, Reply
from foundry_rest.transport.json_codec import decode_answer, decode_odd

_CHUNK = msgspec.json.Decoder(TranscriptionChunk)


class AudioRoutes:
    """The routes for audio files on the service's machine, in its dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def transcribe(self, request: TranscriptionRequest, options: Options) -> Operation[Reply, Transcription]:
        """Build a plain transcription; closing it does not stop the service's work, closing a stream does."""
        call = self._call(request, options, "audio.transcribe")
        return Operation(call, partial(parse_transcription, model=request.model))

    def transcribe_stream(
        self, request: TranscriptionRequest, options: Options
    ) -> Operation[bytes, TranscriptionChunk]:
        """Build a streamed transcription."""
        call = self._call(request, options, "audio.transcribe_stream", stream=True)
        return Operation(call, parse_transcription_chunk)

    def _call(self, request: TranscriptionRequest, options: Options, label: str, **more: object) -> Call:
        """Return the call: JSON with a path, where OpenAI sends a form that holds the file."""
        body = {"model": request.id, "filename": request.path, **request.params, **more}
        path = "/v1/audio/transcriptions"
        return self._dialect.build_call("POST", path, label, options, body, request.model)


def parse_transcription(reply: Reply, model: str) -> Transcription:
    """Parse a whole transcription.

    Args:
        reply: The response.
        model: Alias or id, as requested.

    Raises:
        InvalidReply: It has no text.
    """
    parsed = decode_answer(reply.body, TranscriptionChunk, reply.url)
    return Transcription(
        text=parsed.text,
        id=parsed.id or "",
        model=model,
        elapsed=reply.elapsed,
        headers=reply.headers,
        bodies=(reply.body,),
    )


def parse_transcription_chunk(event: bytes) -> TranscriptionChunk:
    """Parse one event of a streamed transcription.

    Raises:
        ServiceError: The event is an error.
        InvalidReply: The event has no text.
    """
    error = error_in(event)
    if error is not None:
        raise error
    try:
        chunk = _CHUNK.decode(event)
    except UNDECODABLE as cause:
        chunk = decode_odd(event, TranscriptionChunk, cause, keeps_halves=True)
    chunk.event = event
    return chunk
