"""The dialect of 2.x, Microsoft's native runtime (docs/reference/service.md, section 4.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import msgspec

from foundry_rest.dialects.model_routes import ModelRoutesDialect
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import InvalidReply
from foundry_rest.schema import ChatRequest, ServiceStatus
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT, Call, Options, Reply
from foundry_rest.transport.json_codec import decode_answer

if TYPE_CHECKING:
    from foundry_rest.schema.audio import Transcription, TranscriptionChunk, TranscriptionRequest

_NOT_IN_SEGMENT = r"[^A-Za-z0-9._:~@+-]"


class _Status(msgspec.Struct):
    pid: int
    cache_path: str = msgspec.field(name="modelCachePath")


class _Outcome(msgspec.Struct):
    status: str = ""


class Generation2Dialect(ModelRoutesDialect):
    """The dialect of the 2.x native runtime."""

    generation: ClassVar[str] = "2.x"
    has_status: ClassVar[bool] = True
    limits_calls: ClassVar[bool] = False
    completes_by_stream: ClassVar[bool] = True
    header_limit: ClassVar[int | None] = NATIVE_HEADER_LIMIT
    asks_by_id: ClassVar[bool] = True
    loads_by_alias: ClassVar[bool] = True
    enforces_schema: ClassVar[bool | None] = True
    guides_decoding: ClassVar[bool] = True
    keeps_conversations: ClassVar[bool | None] = None
    guards_unload: ClassVar[bool] = True
    reads_media: ClassVar[bool] = False
    converts: ClassVar[frozenset[str]] = frozenset(("response_format",))

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Build the request for the status, which 2.x answers in milliseconds even under load."""
        return Operation(self.build_get("/status", "health.check", options), _parse_status)

    @staticmethod
    def segment(name: str) -> str | None:
        """Return the name unchanged, for 2.x does not decode ``%3A``; ``None`` if it needs encoding."""
        return None if re.search(_NOT_IN_SEGMENT, name) else name

    @staticmethod
    def parse_loaded(reply: Reply) -> str:
        """Return the reported status: ``"loaded"`` or ``"already_loaded"``."""
        return _parse_outcome(reply)

    @staticmethod
    def parse_unloaded(reply: Reply) -> str:
        """Return the reported status: ``"unloaded"`` or ``"not_loaded"``."""
        return _parse_outcome(reply)

    def transcribe(self, request: TranscriptionRequest, options: Options) -> Operation[Reply, Transcription]:
        """Build a plain transcription; closing it does not stop the service's work, closing a stream does."""
        from foundry_rest.dialects.audio import parse_transcription

        call = self._transcription_call(request, options, "audio.transcribe")
        return Operation(call, partial(parse_transcription, model=request.model))

    def transcribe_stream(
        self, request: TranscriptionRequest, options: Options
    ) -> Operation[bytes, TranscriptionChunk]:
        """Build a streamed transcription."""
        from foundry_rest.dialects.audio import parse_transcription_chunk

        call = self._transcription_call(request, options, "audio.transcribe_stream", stream=True)
        return Operation(call, parse_transcription_chunk)

    def chat_fields(self, request: ChatRequest) -> dict[str, object]:
        """Return the parameters with the JSON schema where 2.x expects it.

        2.x takes the value of ``json_schema`` itself for the schema, so OpenAI's wrapper would constrain
        nothing. The two are merged, so that either way of reading finds the schema
        (docs/reference/service.md, section 7.3).
        """
        wrapper = (request.params.get("response_format") or {}).get("json_schema")  # type: ignore[attr-defined]
        if not isinstance(wrapper, Mapping) or not isinstance(wrapper.get("schema"), Mapping):
            return request.params
        merged = {**wrapper, **wrapper["schema"]}
        return {**request.params, "response_format": {"type": "json_schema", "json_schema": merged}}

    def _transcription_call(
        self, request: TranscriptionRequest, options: Options, label: str, **more: object
    ) -> Call:
        """Return the call: JSON with a path, where OpenAI sends a form that holds the file."""
        body = {"model": request.id, "filename": request.path, **request.params, **more}
        return self.build_call("POST", "/v1/audio/transcriptions", label, options, body, request.model)


def _parse_status(reply: Reply) -> ServiceStatus:
    status = decode_answer(reply.body, _Status, reply.url)
    return ServiceStatus(pid=status.pid, cache_path=status.cache_path, raw=reply.raw, headers=reply.headers)


def _parse_outcome(reply: Reply) -> str:
    status = decode_answer(reply.body, _Outcome, reply.url).status
    if not status:
        raise InvalidReply("the answer does not say what was done", where="$.status", url=reply.url)
    return status
