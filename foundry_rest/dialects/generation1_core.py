"""1.x: the embedded service of Foundry Local Core, also the CLI preview's daemon.

Facts: docs/service.md, section 4, measured on 1.2.4. Its mistakes that a client can mend are mended
here: the failure inside a stream that tells no cause, the limit whose cut looks like an end, the text in
parts that its chat templates do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from foundry_rest.dialects.model_routes import ModelRoutesDialect
from foundry_rest.dialects.openai import parse_models
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import InvalidReply
from foundry_rest.schema import ChatChunk, ChatReply, ChatRequest, ModelInfo, ServiceStatus
from foundry_rest.schema.request import Message
from foundry_rest.transport.call import Options, Reply


class _Status(msgspec.Struct):
    cache_path: str = msgspec.field(name="modelDirPath")


class Generation1Dialect(ModelRoutesDialect):
    """Speak to the 1.x service."""

    generation: ClassVar[str] = "1.x"
    enforces_schema: ClassVar[bool] = False
    checks_tasks: ClassVar[bool] = False
    keeps_conversations: ClassVar[bool] = False

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Ask the service how it is; it does not tell its process."""
        return Operation(self.build_get("/status", "health.check", options), _parse_status)

    def list_models(self, options: Options) -> Operation[Reply, list[ModelInfo]]:
        """List the models on the service's disk, with their aliases and without their versions."""
        return Operation(self.build_get("/v1/models", "models.list", options), _parse_cached)

    @staticmethod
    def segment(name: str) -> str | None:
        """Return the name quoted, which 1.x decodes: an id, a name (its newest version) or an alias."""
        return quote(name, safe=":")

    @staticmethod
    def parse_loaded(reply: Reply) -> str:
        """Read the empty answer."""
        return _empty(reply, "loaded")

    @staticmethod
    def parse_unloaded(reply: Reply) -> str:
        """Read the empty answer, which what was not loaded gets too; an alias means the newest version."""
        return _empty(reply, "unloaded")

    def chat(self, request: ChatRequest, options: Options) -> Operation[Reply, ChatReply]:
        """Ask for a whole answer."""
        return super().chat(_with_plain_texts(request), options)

    def chat_stream(
        self, request: ChatRequest, options: Options, label: str = "chat.stream"
    ) -> Operation[bytes, ChatChunk]:
        """Ask for an answer in chunks; a stream that breaks is asked about without streaming.

        What 1.x finds wrong with a streamed request it tells nobody: it cuts the connection.
        """
        operation = super().chat_stream(_with_plain_texts(request), options, label)
        plain = self.chat(request, options).call.body
        return replace(operation, call=replace(operation.call, plain=plain))

    def chat_fields(self, request: ChatRequest) -> dict[str, object]:
        """Return the parameters, the limit as ``max_tokens``: the other's cut is reported as a stop.

        Where both are given 1.x heeds ``max_completion_tokens``, so that one stays.
        """
        fields = dict(request.params)
        limit = fields.pop("max_completion_tokens", None)
        return fields if limit is None else {**fields, "max_tokens": limit}


def _parse_status(reply: Reply) -> ServiceStatus:
    status = reply.decode(_Status)
    return ServiceStatus(cache_path=status.cache_path, raw=reply.raw, headers=reply.headers)


def _parse_cached(reply: Reply) -> list[ModelInfo]:
    """Read the list; two versions of one model are the same entry twice there, and one here."""
    listed = {info.id: info for info in parse_models(reply)}
    return [msgspec.structs.replace(info, alias=_alias(info), cached=True) for info in listed.values()]


def _alias(info: ModelInfo) -> str:
    parent = info.raw.get("parent") if isinstance(info.raw, Mapping) else None
    return parent if isinstance(parent, str) else ""


def _empty(reply: Reply, word: str) -> str:
    """Return ``word`` for an empty answer, which is 1.x's own for done; a gateway's page is none."""
    if reply.body:
        raise InvalidReply(
            "the answer should be empty and is not", where="$", body=reply.body[:2048], url=reply.url
        )
    return word


def _with_plain_texts(request: ChatRequest) -> ChatRequest:
    """Return the request with texts in parts as one text: chat templates write the parts out as they are."""
    return msgspec.structs.replace(request, messages=[_with_plain_text(each) for each in request.messages])


def _with_plain_text(message: Message) -> Message:
    parts = message.get("content")
    texts = [_text(part) for part in parts] if isinstance(parts, (list, tuple)) else [None]
    known = [text for text in texts if text is not None]
    return {**message, "content": "\n".join(known)} if len(known) == len(texts) else message


def _text(part: object) -> str | None:
    """Return the text of a part that is nothing but text."""
    text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None
    return text if isinstance(text, str) else None
