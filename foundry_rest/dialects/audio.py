"""Parse the responses of ``/v1/audio/transcriptions``, whole and in events."""

from __future__ import annotations

import msgspec

from foundry_rest.errors.parsing import UNDECODABLE, error_in
from foundry_rest.schema.audio import Transcription, TranscriptionChunk
from foundry_rest.transport.call import Reply
from foundry_rest.transport.json_codec import unreadable

_CHUNK = msgspec.json.Decoder(TranscriptionChunk)


def parse_transcription(reply: Reply, model: str) -> Transcription:
    """Parse a whole transcription.

    Args:
        reply: The response.
        model: Alias or id, as requested.

    Raises:
        InvalidReply: It has no text.
    """
    parsed = reply.decode(TranscriptionChunk)
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
        raise unreadable(cause, event) from None
    chunk.event = event
    return chunk
