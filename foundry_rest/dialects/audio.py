"""Parse the responses of ``/v1/audio/transcriptions``, whole and in events."""

from __future__ import annotations

import msgspec

from foundry_rest.errors.parsing import error_in
from foundry_rest.raw_json import UNDECODABLE
from foundry_rest.schema.audio import Transcription, TranscriptionChunk
from foundry_rest.transport.call import Reply
from foundry_rest.transport.json_codec import decode_answer, decode_odd

_CHUNK = msgspec.json.Decoder(TranscriptionChunk)


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
