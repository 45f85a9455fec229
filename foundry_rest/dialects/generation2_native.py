"""The dialect of 2.x, Microsoft's native runtime (docs/reference/service.md, section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import msgspec

from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors.process import late_import
from foundry_rest.schema import ChatRequest, ServiceStatus
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT, Options, Reply
from foundry_rest.transport.json_codec import decode_answer

if TYPE_CHECKING:
    from foundry_rest.dialects.audio import AudioRoutes
    from foundry_rest.dialects.model_routes import ModelRoutes


class _Status(msgspec.Struct):
    pid: int
    cache_path: str = msgspec.field(name="modelCachePath")


class Generation2Dialect(OpenAIDialect):
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
    counts_by_refusal: ClassVar[bool] = True
    reads_media: ClassVar[bool] = False
    converts: ClassVar[frozenset[str]] = frozenset(("response_format",))

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Build the request for the status, which 2.x answers in milliseconds even under load."""
        return Operation(self.build_get("/status", "health.check", options), _parse_status)

    def count_tokens(self, request: ChatRequest, options: Options) -> Operation[bytes, int]:
        """Build a request that is refused with a conversation's number of tokens."""
        with late_import():
            from foundry_rest.dialects.token_counts import count_by_refusal

        return count_by_refusal(self, request, options)

    def models(self) -> ModelRoutes:
        """Return the routes for models."""
        with late_import():
            from foundry_rest.dialects.model_routes import NativeModelRoutes

        return NativeModelRoutes(self)

    def audio(self) -> AudioRoutes:
        """Return the routes for audio files on the service's machine."""
        with late_import():
            from foundry_rest.dialects.audio import AudioRoutes

        return AudioRoutes(self)

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


def _parse_status(reply: Reply) -> ServiceStatus:
    status = decode_answer(reply.body, _Status, reply.url)
    return ServiceStatus(pid=status.pid, cache_path=status.cache_path, raw=reply.raw, headers=reply.headers)
