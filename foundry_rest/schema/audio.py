"""Transcriptions: the checked request, and the text that comes back."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from foundry_rest.checks import number
from foundry_rest.errors import ConfigError
from foundry_rest.raw_json import decode_raw
from foundry_rest.schema.request import check_json, check_model_name
from foundry_rest.values import Value

#: ``en``, ``haw``, ``pt-BR``. Models differ in the languages they know; 2.2.1 treats any other as English.
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?")


class TranscriptionRequest(msgspec.Struct, frozen=True):
    """One checked request for a transcription.

    Attributes:
        model: Alias or id, as the caller gave it.
        path: Absolute path of the file on the service's machine.
        params: All other fields of the body.
        id: Name that is sent to the service: the exact id when it is known, else ``model``.
    """

    model: str
    path: str
    params: dict[str, object]
    id: str


class TranscriptionChunk(Value, msgspec.Struct):
    """One event of a streamed transcription; ``text`` is the piece that it adds."""

    text: str
    id: str | None = None
    #: The event's bytes. No JSON field has this name, so a response cannot set it.
    event: bytes = msgspec.field(default=b"", name=" the event itself ")

    @property
    def raw(self) -> object:
        """Return the event as decoded JSON, unknown fields included."""
        return decode_raw(self.event) if self.event else None


class Transcription(Value, msgspec.Struct, frozen=True, kw_only=True):
    """One whole transcription.

    Attributes:
        text: The spoken words; ``""`` when the model hears none.
        id: Id that the service gave this transcription; ``""`` when it gave none.
        model: Alias or id, as requested: the service does not repeat it.
        elapsed: Seconds from the start of the call to its last byte, retries included.
        first_token: Seconds to the first event; ``None`` when the response was not streamed.
        headers: HTTP headers of the response, case-insensitive.
        bodies: Bytes of the response: one JSON body, or each event of the stream it was gathered from.
    """

    text: str
    id: str = ""
    model: str = ""
    elapsed: float = 0.0
    first_token: float | None = None
    headers: Mapping[str, str] = {}
    bodies: tuple[bytes, ...] = ()

    @property
    def raw(self) -> object:
        """Return the response as decoded JSON; a streamed one in the shape of a plain one."""
        from foundry_rest.schema.joined_events import join_texts

        if self.first_token is None:
            return decode_raw(self.bodies[0]) if self.bodies else None
        return join_texts(self.stream_events)

    @property
    def stream_events(self) -> list[object]:
        """Return the decoded events that the text was gathered from; none for a plain response."""
        return [] if self.first_token is None else [decode_raw(body) for body in self.bodies]


def build_transcription_request(
    path: str,
    *,
    model: str,
    model_id: str | None = None,
    language: str | None = None,
    temperature: float | None = None,
    prompt: str | None = None,
) -> TranscriptionRequest:
    """Return the checked request for one file.

    Args:
        path: Absolute path on the service's machine.
        model: Alias or id.
        model_id: Exact id, when it is known.
        language: ISO 639 code of the spoken language.
        temperature: 0 to 1.
        prompt: Text that precedes the recording, or a hint of names and style.

    Raises:
        ConfigError: A value cannot be sent, or the service would silently ignore it.
    """
    if language is not None and (not isinstance(language, str) or not _LANGUAGE.fullmatch(language)):
        raise ConfigError(f"language must be a code such as 'en' or 'pt-BR', not {language!r}")
    if temperature is not None:
        number("temperature", temperature, 0, 1)
    if prompt is not None and not isinstance(prompt, str):
        raise ConfigError(f"prompt must be text, not {type(prompt).__name__}")
    given = {"language": language, "temperature": temperature, "prompt": prompt}
    params: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    check_json(params, "params")
    check_json(path, "path")
    return TranscriptionRequest(check_model_name(model), path, params, model_id or model)
