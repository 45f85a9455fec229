"""The dialect of 1.x, the embedded service of Foundry Local Core and of the CLI preview's daemon.

Its routes are in docs/reference/service.md, section 4.2, measured on 1.2.4. Three of its faults are worked
around here:
a failed stream that gives no cause, a limit whose cut is reported as a normal stop, and text in parts,
which its chat templates do not support.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from foundry_rest.dialects.model_routes import ModelRoutes, NativeModelRoutes, parse_models
from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.dialects.operation import Operation
from foundry_rest.dialects.token_counts import count_by_refusal
from foundry_rest.errors import InvalidReply
from foundry_rest.schema import ChatChunk, ChatRequest, ModelInfo, ServiceStatus
from foundry_rest.transport.call import Options, Reply
from foundry_rest.transport.json_codec import decode_answer


class _Status(msgspec.Struct):
    cache_path: str = msgspec.field(name="modelDirPath")


class Generation1Dialect(OpenAIDialect):
    """The dialect of the 1.x service."""

    generation: ClassVar[str] = "1.x"
    has_status: ClassVar[bool] = True
    limits_calls: ClassVar[bool] = False
    enforces_schema: ClassVar[bool | None] = False
    checks_tasks: ClassVar[bool] = False
    guards_unload: ClassVar[bool] = False
    counts_by_refusal: ClassVar[bool] = True
    keeps_conversations: ClassVar[bool | None] = False
    joins_texts: ClassVar[bool] = True
    converts: ClassVar[frozenset[str]] = frozenset(("max_completion_tokens",))

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Build the request for the status, which holds no pid."""
        return Operation(self.build_get("/status", "health.check", options), _parse_status)

    def models(self) -> ModelRoutes:
        """Return the routes for models."""
        return _ModelRoutes(self)

    def count_tokens(self, request: ChatRequest, options: Options) -> Operation[bytes, int]:
        """Build a request that is refused with a conversation's number of tokens."""
        return count_by_refusal(self, request, options)

    def chat_stream(
        self, request: ChatRequest, options: Options, label: str = "chat.stream"
    ) -> Operation[bytes, ChatChunk]:
        """Build a streamed completion, with the body of a plain one that finds out why a stream failed.

        1.x does not report what is wrong with a streamed request: it only closes the connection.
        """
        operation = super().chat_stream(request, options, label)
        plain = self.chat(request, options).call.body
        return replace(operation, call=replace(operation.call, plain=plain))

    def chat_fields(self, request: ChatRequest) -> dict[str, object]:
        """Return the parameters with ``max_completion_tokens`` as ``max_tokens``.

        1.x reports a cut by ``max_completion_tokens`` as a normal stop. When both are given it applies
        ``max_completion_tokens``, so that value is kept.
        """
        fields = dict(request.params)
        limit = fields.pop("max_completion_tokens", None)
        return fields if limit is None else {**fields, "max_tokens": limit}


class _ModelRoutes(NativeModelRoutes):
    """The routes for models of the 1.x service."""

    def listed(self, options: Options) -> Operation[Reply, list[ModelInfo]]:
        """Build the request for the models on the service's disk, which lists aliases but no versions."""
        return Operation(self._dialect.build_get("/v1/models", "models.list", options), _parse_cached)

    @staticmethod
    def segment(name: str) -> str | None:
        """Return the name percent-encoded; it may be an id, a name (for its newest version) or an alias."""
        return quote(name, safe=":")

    @staticmethod
    def parse_loaded(reply: Reply) -> str:
        """Check the empty response to a load."""
        return _check_empty(reply, "loaded")

    @staticmethod
    def parse_unloaded(reply: Reply) -> str:
        """Check the empty response, which a model that was not loaded gets, too."""
        return _check_empty(reply, "unloaded")


def _parse_status(reply: Reply) -> ServiceStatus:
    status = decode_answer(reply.body, _Status, reply.url)
    return ServiceStatus(cache_path=status.cache_path, raw=reply.raw, headers=reply.headers)


def _parse_cached(reply: Reply) -> list[ModelInfo]:
    """Parse the list, in which two versions of one model are two equal entries; return one of them."""
    listed = {info.id: info for info in parse_models(reply)}
    return [msgspec.structs.replace(info, alias=_alias(info), cached=True) for info in listed.values()]


def _alias(info: ModelInfo) -> str:
    parent = info.raw.get("parent") if isinstance(info.raw, Mapping) else None
    return parent if isinstance(parent, str) else ""


def _check_empty(reply: Reply, outcome: str) -> str:
    """Return ``outcome`` for an empty body, which is 1.x's only sign of success; a gateway's page is not."""
    if reply.body:
        raise InvalidReply(
            "the answer should be empty and is not", where="$", body=reply.body[:2048], url=reply.url
        )
    return outcome
